//! Installing packs: fetch, check aside, put in place in one rename.
//!
//! Whatever fails on the way leaves the version that was there untouched: everything happens in a staging
//! directory beside the packs, on the same file system, and the last step exchanges two names. Fetching is
//! the business of the `git` program; indexes are looked up by the caller, who has HTTP.
//!
//! Installing a pack means that its author's code will run here. Who may do that is decided before.
//!
//! Start reading at [`install`].

mod fetch;
mod gate;
mod place;
mod source;
mod tree;
mod unloaded;

use crate::builtin::RESERVED;
use crate::files::PackFiles;
use crate::pack::reference_of;
use crate::{Diagnostic, check_pack};
use indexmap::IndexMap;
pub use place::Origin;
use place::Stage;
use source::{Place, Wanted};
use squall_model::PackName;
use std::path::{Path, PathBuf};
use std::time::Duration;
pub(crate) use unloaded::is_unloaded;
pub use unloaded::{load_again, unload};

/// What installing may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most files and directories of a pack.
    pub entries: u64,
    /// Most bytes of a pack.
    pub bytes: u64,
    /// Longest run of one `git` command.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { entries: 20_000, bytes: 512 << 20, timeout: Duration::from_secs(120) }
    }
}

/// What an index says about a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Its repository.
    pub repo_url: String,
    /// Its latest version.
    pub version: Option<String>,
}

/// What to install.
#[derive(Clone, Debug, Default)]
pub struct Install {
    /// Names, URLs or directories, each with an optional `=version`; with `repo_url`, names of packs in there.
    pub packs: Vec<String>,
    /// As in 2016: the repository that has the packs.
    pub repo_url: Option<String>,
    /// As in 2016: a branch of that repository.
    pub branch: Option<String>,
    /// As in 2016: packs are directories of `packs/` in that repository; `*` among the names means all.
    pub subtree: bool,
    /// What the indexes say, by name.
    pub index: IndexMap<String, IndexEntry>,
    /// Whether directories and `file://` may be named; for administrators.
    pub allow_local: bool,
    /// Whether plain `http://` may be used.
    pub allow_http: bool,
    /// Whether a pack may take the name of one that came from elsewhere.
    pub replace_origin: bool,
    /// Whether versions that the pack asks for are ignored.
    pub force: bool,
    /// Proxies and the like for `git`; anything else is ignored.
    pub env: Vec<(String, String)>,
    /// Who installs, for the record.
    pub installed_by: String,
    /// When, for the record.
    pub installed_at: String,
    /// What it may cost.
    pub limits: Limits,
}

/// A pack that is in place.
#[derive(Clone, Debug)]
pub struct InstalledPack {
    /// Its reference.
    pub name: PackName,
    /// Its version.
    pub version: String,
    /// Its directory.
    pub path: PathBuf,
    /// Where it came from.
    pub origin: Origin,
    /// Whether another version of it was there.
    pub replaced: bool,
    /// Packs that it needs: `name`, `name=version` or `<git url>=<ref>`.
    pub dependencies: Vec<String>,
    /// Whether it needs a Python environment.
    pub needs_python: bool,
    /// What its files have to be said about, from a trial load.
    pub diagnostics: Vec<Diagnostic>,
}

/// What came of an installation of which at least one pack succeeded.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// The packs that are in place.
    pub packs: Vec<InstalledPack>,
    /// For each pack that was asked for, `Success.` or `Failure : <reason>`, as StackStorm says it.
    pub results: IndexMap<String, String>,
}

/// Why a pack was not installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Nothing that was asked for could be installed; the text is StackStorm's.
    #[error("{0}")]
    Nothing(String),
    /// Nothing was asked for.
    #[error("no packs are named")]
    NoPacks,
    /// A name without a repository.
    #[error("No record of the \"{0}\" pack in the index.")]
    NotInIndex(String),
    /// A place that must not be used.
    #[error("`{url}` cannot be installed from: {why}")]
    Forbidden {
        /// The place, without passwords.
        url: String,
        /// Why not.
        why: &'static str,
    },
    /// A directory that is not there.
    #[error("Local pack directory \"{0}\" doesn't exist")]
    NoDirectory(String),
    /// A version that the repository does not have.
    #[error("\"{version}\" is not a valid version, hash, tag or branch in {url}.{available}")]
    NoVersion {
        /// What was asked for.
        version: String,
        /// The repository.
        url: String,
        /// ` Available versions are: ….`, or nothing.
        available: String,
    },
    /// `git` failed.
    #[error("git could not {task} {url}: {said}")]
    Git {
        /// What it was to do.
        task: &'static str,
        /// The repository.
        url: String,
        /// What it said.
        said: String,
    },
    /// A tree that has what a pack must not have.
    #[error("the files of the pack are refused: {0}")]
    Tree(String),
    /// No manifest, or one without a name.
    #[error("{0}")]
    Manifest(String),
    /// A version of StackStorm or Python that is not there; the text is StackStorm's.
    #[error("{0}")]
    Gate(String),
    /// The name of a built-in pack.
    #[error("the name `{0}` belongs to a pack that is part of squall")]
    Reserved(String),
    /// The name of a pack from elsewhere.
    #[error("the pack `{name}` was installed from {there}; allow the change of origin to take its place")]
    OtherOrigin {
        /// The name.
        name: String,
        /// Where the one that is there came from.
        there: String,
    },
    /// Somebody else installs it at the same time.
    #[error("the pack `{0}` is being installed by somebody else; try again when that is done")]
    Busy(String),
    /// To be removed, but not there.
    #[error("Pack \"{0}\" is not installed")]
    NotInstalled(String),
    /// To be removed, but part of squall; the text is StackStorm's.
    #[error("Uninstall includes an uninstallable pack - {0}.")]
    Uninstallable(String),
    /// To be unloaded, but part of squall; the text is StackStorm's.
    #[error("Unregister includes an unregisterable pack - {0}.")]
    Unregisterable(String),
    /// Files could not be written.
    #[error("cannot {task} {path}: {source}")]
    Files {
        /// What was to be done.
        task: &'static str,
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
}

impl InstallError {
    pub(crate) fn files(task: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> InstallError {
        move |source| InstallError::Files { task, path: path.display().to_string(), source }
    }
}

/// Installs the packs of `request` below `packs_dir`. Fails only if none could be installed.
///
/// Blocks while `git` runs; call it where that is no harm.
pub fn install(request: &Install, packs_dir: &Path) -> Result<Installed, InstallError> {
    if request.packs.is_empty() {
        return Err(InstallError::NoPacks);
    }
    std::fs::create_dir_all(packs_dir).map_err(InstallError::files("make", packs_dir))?;
    let mut installed = Installed::default();
    let mut errors = Vec::new();
    for wanted in source::plan(request, packs_dir) {
        let (asked, outcome) = match wanted {
            Ok(wanted) => (wanted.asked.clone(), one(request, &wanted, packs_dir, &mut installed)),
            Err((asked, error)) => (vec![asked], Err(error)),
        };
        if let Err(error) = outcome {
            for name in asked {
                installed.results.insert(name, format!("Failure : {error}"));
            }
            errors.push(error);
        }
    }
    if !installed.packs.is_empty() {
        return Ok(installed);
    }
    let reasons: Vec<String> = installed
        .results
        .iter()
        .map(|(pack, text)| format!(" - {pack}: {}", text.trim_start_matches("Failure : ")))
        .collect();
    let first = match &request.repo_url {
        Some(url) => format!("No packs were downloaded from repository \"{}\".", source::masked(url)),
        None => format!("The pack has not been downloaded from \"{}\".", masked_all(&request.packs)),
    };
    match errors.len() {
        1 if request.repo_url.is_none() => Err(errors.remove(0)),
        _ => Err(InstallError::Nothing(format!("{first}\nErrors:\n{}", reasons.join("\n")))),
    }
}

fn masked_all(packs: &[String]) -> String {
    packs.iter().map(|pack| source::masked(pack)).collect::<Vec<_>>().join(", ")
}

/// Fetches one source and puts its packs in place.
fn one(request: &Install, wanted: &Wanted, packs_dir: &Path, installed: &mut Installed) -> Result<(), InstallError> {
    let stage = Stage::new(packs_dir)?;
    let fetched = stage.path().join("fetched");
    let commit = match &wanted.place {
        Place::Git { url, is_local } => fetch::clone(request, wanted, url, *is_local, &stage, &fetched)?,
        Place::Directory(dir) => {
            tree::copy(dir, &fetched, request.limits)?;
            None
        }
    };
    if !wanted.subtree {
        let done = finish(request, wanted, &stage, &fetched, commit, packs_dir, None)?;
        installed
            .results
            .insert(wanted.asked.first().cloned().unwrap_or_else(|| done.name.to_string()), "Success.".into());
        installed.packs.push(done);
        return Ok(());
    }
    for name in in_subtree(&fetched, &wanted.asked) {
        let dir = fetched.join("packs").join(&name);
        let outcome = match source::is_pack_dir_name(&name) && dir.is_dir() {
            true => finish(request, wanted, &stage, &dir, commit.clone(), packs_dir, Some(&name)),
            false => {
                Err(InstallError::Manifest(format!("Pack \"{name}\" not found or it's missing a \"pack.yaml\" file.")))
            }
        };
        let text = match outcome {
            Ok(done) => {
                installed.packs.push(done);
                "Success.".to_owned()
            }
            Err(error) => format!("Failure : {error}"),
        };
        installed.results.insert(name, text);
    }
    Ok(())
}

/// The directories of `packs/` that are meant; `*` is all of them.
fn in_subtree(fetched: &Path, asked: &[String]) -> Vec<String> {
    if !asked.iter().any(|name| name == "*") {
        return asked.to_vec();
    }
    let mut names: Vec<String> = std::fs::read_dir(fetched.join("packs"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("pack.yaml").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Checks a fetched tree and puts it in place.
fn finish(
    request: &Install,
    wanted: &Wanted,
    stage: &Stage,
    tree: &Path,
    commit: Option<String>,
    packs_dir: &Path,
    dir_name: Option<&str>,
) -> Result<InstalledPack, InstallError> {
    let sha256 = tree::check(tree, request.limits)?;
    tree::drop_special_bits(tree)?;
    let (name, manifest) = manifest(wanted, tree, dir_name)?;
    if RESERVED.contains(&&*name) || &*name == "default" {
        return Err(InstallError::Reserved(name.to_string()));
    }
    gate::check(&name, &manifest, request.force)?;
    let staged = stage.path().join("ready").join(&*name);
    stage.rename(tree, &staged)?;
    let origin = Origin {
        url: source::masked(&wanted.place.shown()),
        version: wanted.version.clone(),
        commit,
        sha256,
        installed_by: request.installed_by.clone(),
        installed_at: request.installed_at.clone(),
    };
    let trial = check_pack(&staged);
    let about = trial.registry.pack(&name).cloned();
    let target = packs_dir.join(&*name);
    let replaced = place::put(&staged, &target, &name, &origin, request.replace_origin, stage)?;
    let diagnostics = trial.diagnostics.into_iter().map(|d| elsewhere(d, &staged, &target)).collect();
    Ok(InstalledPack {
        name,
        version: about.as_ref().map_or_else(String::new, |pack| pack.version.to_string()),
        path: target,
        origin,
        replaced,
        dependencies: about.iter().flat_map(|pack| &pack.dependencies).map(ToString::to_string).collect(),
        needs_python: about.is_some_and(|pack| pack.needs_python),
        diagnostics,
    })
}

/// A diagnostic of the trial load names the file where it lies in the end.
fn elsewhere(mut diagnostic: Diagnostic, staged: &Path, target: &Path) -> Diagnostic {
    let move_path = |text: String| text.replace(&staged.display().to_string(), &target.display().to_string());
    diagnostic.file = diagnostic.file.map(move_path);
    diagnostic.help = diagnostic.help.map(move_path);
    diagnostic
}

/// The name and the manifest of a fetched pack.
fn manifest(
    wanted: &Wanted,
    tree: &Path,
    dir_name: Option<&str>,
) -> Result<(PackName, squall_yaml::Node), InstallError> {
    let shown = dir_name
        .map(str::to_owned)
        .or_else(|| wanted.asked.first().map(|name| source::masked(name)))
        .unwrap_or_default();
    let missing = |why: String| InstallError::Manifest(why);
    let files = PackFiles::on_disk(tree).map_err(missing)?;
    if !files.exists("pack.yaml") {
        return Err(missing("Pack is missing a manifest file (pack.yaml).".to_owned()));
    }
    let text =
        files.read("pack.yaml").map_err(|why| missing(format!("`pack.yaml` of \"{shown}\" cannot be read: {why}")))?;
    let document = squall_yaml::parse(&text, &Default::default())
        .map_err(|error| missing(format!("`pack.yaml` of \"{shown}\" is no YAML that can be loaded: {error}")))?;
    if document.root.as_map().is_none() {
        return Err(missing(format!("Pack \"{shown}\" metadata file is empty")));
    }
    let repo_name = wanted.repo_name.as_deref();
    let known_dir = dir_name.or(repo_name.filter(|_| wanted.named_by_repo));
    let name = reference_of(&document.root, known_dir).or_else(|| reference_of(&document.root, repo_name));
    let name = name.ok_or_else(|| {
        missing(format!(
            "Pack name \"{shown}\" contains invalid characters and \"ref\" attribute is not available. \
             Add `ref:` with lower-case letters, digits and underscores to its `pack.yaml`"
        ))
    })?;
    if wanted.by_name && dir_name.is_none() && !wanted.asked.iter().any(|asked| **asked == *name) {
        return Err(missing(format!(
            "Pack \"{}\" not found or it's missing a \"pack.yaml\" file.",
            wanted.asked.join(", ")
        )));
    }
    Ok((name, document.root))
}

/// Removes an installed pack.
pub fn uninstall(name: &str, packs_dir: &Path) -> Result<(), InstallError> {
    if RESERVED.contains(&name) || name == "default" {
        return Err(InstallError::Uninstallable(name.to_owned()));
    }
    if !source::is_pack_dir_name(name) {
        return Err(InstallError::NotInstalled(name.to_owned()));
    }
    place::remove(name, packs_dir)
}
