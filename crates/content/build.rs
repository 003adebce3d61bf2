//! Puts the files of the folder `packs/` into the program as a table of packs, paths and texts.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../packs").canonicalize()?;
    println!("cargo::rerun-if-changed={}", root.display());
    let mut table = String::from("/// Every built-in pack: its name, and its files as pairs of path and text.\n");
    table.push_str("pub static BUILTIN: &[(&str, &[(&str, &str)])] = &[\n");
    for pack in entries(&root)?.into_iter().filter(|path| path.is_dir()) {
        let mut files = Vec::new();
        collect(&pack, &mut files)?;
        let name = pack.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let _ = writeln!(table, "    ({name:?}, &[");
        for file in files {
            let path = file.strip_prefix(&pack).map_err(io::Error::other)?.display().to_string();
            let _ = writeln!(table, "        ({path:?}, include_str!({:?})),", file.display().to_string());
        }
        table.push_str("    ]),\n");
    }
    table.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR").unwrap_or_default()).join("builtin.rs"), table)
}

fn entries(dir: &Path) -> io::Result<Vec<PathBuf>> {
    println!("cargo::rerun-if-changed={}", dir.display());
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    paths.sort();
    Ok(paths)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for path in entries(dir)? {
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
