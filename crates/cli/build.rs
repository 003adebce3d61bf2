//! Makes the pages of `docs/errors` part of the program.

use std::fmt::Write as _;
use std::path::Path;

fn main() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/errors");
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut pages: Vec<_> = std::fs::read_dir(&dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    pages.sort();
    let mut table = String::from("&[");
    for path in pages {
        let code = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let absolute = path.canonicalize().unwrap_or(path);
        if code.starts_with("SQ") {
            let _ = write!(table, "({code:?}, include_str!({:?})),", absolute.display().to_string());
        }
    }
    table.push(']');
    let out = std::env::var("OUT_DIR").expect("cargo sets it for build scripts");
    std::fs::write(Path::new(&out).join("errors.rs"), table).expect("the output directory can be written");
}
