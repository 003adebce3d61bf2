//! The packs that are part of the program: the files of the folder `packs/`, put in by the build.
//!
//! They are loaded from memory. Actions that run a script need it on disk: [`unpack_builtin`] writes them
//! out, and `Sources::builtin_dir` tells the loader where they are then.

use std::fs;
use std::io;
use std::path::Path;

include!(concat!(env!("OUT_DIR"), "/builtin.rs"));

/// Names that a pack from outside cannot take. `default` and `examples` can be replaced by one's own.
pub(crate) const RESERVED: &[&str] = &["core", "chatops", "packs", "st2", "linux", "squall"];

/// Writes the built-in packs below `dir`, which is made if needed. Files that are the same are left alone.
pub fn unpack_builtin(dir: &Path) -> io::Result<()> {
    for (pack, files) in BUILTIN {
        for (path, text) in *files {
            let target = dir.join(pack).join(path);
            if fs::read_to_string(&target).is_ok_and(|there| there == *text) {
                continue;
            }
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(&target, text)?;
            if text.starts_with("#!") {
                use std::os::unix::fs::PermissionsExt as _;
                fs::set_permissions(&target, fs::Permissions::from_mode(0o755))?;
            }
        }
    }
    Ok(())
}
