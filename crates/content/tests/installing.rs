//! Installing from repositories and directories made on the spot; nothing leaves this machine.

use squall_content::{
    Install, InstallError, Installed, Limits, Origin, Sources, install, load, load_again, uninstall, unload,
};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        World { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn packs(&self) -> PathBuf {
        self.path("packs")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A directory with a sound pack.
    fn pack(&self, dir: &str, name: &str, version: &str) {
        self.write(
            &format!("{dir}/pack.yaml"),
            &format!("name: {name}\ndescription: d\nversion: {version}\nauthor: a\n"),
        );
        self.write(&format!("{dir}/actions/a.yaml"), "name: a\nrunner_type: noop\n");
    }

    fn git(&self, dir: &str, args: &[&str]) -> String {
        let output = Command::new("git")
            .current_dir(self.path(dir))
            .args(["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"])
            .args(args)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Commits everything in a directory, which becomes a repository if it is none.
    fn commit(&self, dir: &str, tag: Option<&str>) -> String {
        if !self.path(dir).join(".git").exists() {
            self.git(dir, &["init", "--quiet"]);
        }
        self.git(dir, &["add", "-A"]);
        self.git(dir, &["commit", "--quiet", "-m", "x"]);
        if let Some(tag) = tag {
            self.git(dir, &["tag", tag]);
        }
        self.git(dir, &["rev-parse", "HEAD"])
    }

    fn url(&self, dir: &str) -> String {
        format!("file://{}", self.path(dir).display())
    }

    fn request(&self, packs: &[&str]) -> Install {
        Install {
            packs: packs.iter().map(ToString::to_string).collect(),
            allow_local: true,
            installed_by: "tester".into(),
            ..Install::default()
        }
    }

    fn install(&self, packs: &[&str]) -> Result<Installed, InstallError> {
        install(&self.request(packs), &self.packs())
    }

    /// What lies in the directory of packs, locks aside.
    fn listing(&self) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.packs())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| !name.starts_with(".lock-"));
        names.sort();
        names
    }

    /// The refusal of a directory, without this directory's name.
    #[track_caller]
    fn refusal(&self, what: &str) -> String {
        let error = self.install(&[what]).unwrap_err().to_string();
        assert!(
            !self.packs().exists() || self.listing().iter().all(|name| !name.starts_with('.')),
            "nothing is left over"
        );
        error.replace(&self.dir.path().display().to_string(), "")
    }
}

#[test]
fn from_a_repository() {
    let world = World::new();
    world.pack("src", "ops", "1.2.0");
    let commit = world.commit("src", None);
    let installed = world.install(&[&world.url("src")]).unwrap();
    let pack = &installed.packs[0];
    assert_eq!((&*pack.name, pack.version.as_str(), pack.replaced), ("ops", "1.2.0", false));
    assert_eq!(pack.origin.commit.as_deref(), Some(commit.as_str()));
    assert_eq!(pack.origin.sha256.len(), 64);
    assert!(pack.diagnostics.is_empty());
    assert_eq!(installed.results.values().collect::<Vec<_>>(), ["Success."]);
    assert_eq!(world.listing(), ["ops"]);
    assert!(world.packs().join("ops/actions/a.yaml").exists());
}

#[test]
fn versions_are_branches_tags_hashes_or_releases() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let first = world.commit("src", Some("v1.0.0"));
    world.pack("src", "ops", "2.0.0");
    world.commit("src", Some("v2.0.0"));
    world.git("src", &["checkout", "--quiet", "-b", "next"]);
    world.pack("src", "ops", "3.0.0");
    world.commit("src", None);
    world.git("src", &["checkout", "--quiet", "main"]);
    let version =
        |wanted: &str| world.install(&[&format!("{}={wanted}", world.url("src"))]).unwrap().packs[0].version.clone();
    assert_eq!(version("1.0.0"), "1.0.0");
    assert_eq!(version("v2.0.0"), "2.0.0");
    assert_eq!(version("next"), "3.0.0");
    assert_eq!(version(&first), "1.0.0");
    assert_eq!(version("main"), "2.0.0");
    let error = world.refusal(&format!("{}=9.9.9", world.url("src")));
    assert_eq!(
        error,
        "\"9.9.9\" is not a valid version, hash, tag or branch in file:///src. Available versions are: 1.0.0, 2.0.0."
    );
}

#[test]
fn the_call_of_2016() {
    let world = World::new();
    world.pack("guard", "Guard Pack", "0.1");
    world.commit("guard", None);
    let mut request = world.request(&["guard"]);
    request.repo_url = Some(world.url("guard"));
    let installed = install(&request, &world.packs()).unwrap();
    assert_eq!(&*installed.packs[0].name, "guard");
    assert_eq!(installed.packs[0].version, "0.1.0");
    assert_eq!(installed.results.get("guard").map(String::as_str), Some("Success."));
    // Named again, it comes from where it came from.
    assert!(world.install(&["guard"]).unwrap().packs[0].replaced);
    request.packs = vec!["other".into()];
    let error = install(&request, &world.packs()).unwrap_err().to_string();
    let expected = format!(
        "No packs were downloaded from repository \"{}\".\nErrors:\n - other: Pack \"other\" not found or it's missing a \"pack.yaml\" file.",
        world.url("guard")
    );
    assert_eq!(error, expected);
}

#[test]
fn packs_of_a_subtree() {
    let world = World::new();
    world.pack("src/packs/one", "one", "1.0.0");
    world.pack("src/packs/two", "two", "1.0.0");
    world.write("src/packs/readme/README", "");
    world.commit("src", None);
    let mut request = world.request(&["one", "gone", "../x"]);
    request.repo_url = Some(world.url("src"));
    request.subtree = true;
    let installed = install(&request, &world.packs()).unwrap();
    let results: Vec<String> = installed.results.iter().map(|(pack, text)| format!("{pack}: {text}")).collect();
    assert_eq!(
        results,
        [
            "one: Success.",
            "gone: Failure : Pack \"gone\" not found or it's missing a \"pack.yaml\" file.",
            "../x: Failure : Pack \"../x\" not found or it's missing a \"pack.yaml\" file.",
        ]
    );
    request.packs = vec!["*".into()];
    assert_eq!(install(&request, &world.packs()).unwrap().packs.len(), 2);
    assert_eq!(world.listing(), ["one", "two"]);
}

#[test]
fn from_a_plain_directory_and_again() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    world.write("src/config.yaml", "key: shipped\n");
    world.install(&[&world.url("src")]).unwrap();
    world.write("packs/ops/config.yaml", "key: mine\n");
    world.pack("src", "ops", "1.1.0");
    fs::remove_file(world.path("src/actions/a.yaml")).unwrap();
    world.write("src/actions/b.yaml", "name: b\nrunner_type: nop\n");
    let installed = world.install(&[&world.url("src")]).unwrap();
    assert!(installed.packs[0].replaced);
    assert_eq!(fs::read_to_string(world.packs().join("ops/config.yaml")).unwrap(), "key: mine\n");
    assert!(!world.packs().join("ops/actions/a.yaml").exists());
    let said = &installed.packs[0].diagnostics[0];
    assert_eq!(said.code, "SQ1203");
    assert_eq!(said.file.as_deref(), Some(world.packs().join("ops/actions/b.yaml").to_str().unwrap()));
    assert_eq!(world.listing(), ["ops"]);
}

#[test]
fn a_changed_file_is_noticed() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    world.write("src/config.yaml", "---\n");
    world.install(&[&world.url("src")]).unwrap();
    let dir = world.packs().join("ops");
    let origin = Origin::of(&dir).unwrap();
    assert_eq!((origin.url.as_str(), origin.installed_by.as_str()), (world.url("src").as_str(), "tester"));
    assert!(!origin.has_drifted(&dir).unwrap());
    world.write("packs/ops/config.yaml", "key: mine\n");
    world.write("packs/ops/actions/__pycache__/a.pyc", "compiled");
    assert!(!origin.has_drifted(&dir).unwrap());
    world.write("packs/ops/actions/a.yaml", "name: a\nrunner_type: noop\nenabled: false\n");
    assert!(origin.has_drifted(&dir).unwrap());
}

#[test]
fn a_name_is_not_taken_over() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    world.pack("fork", "ops", "6.6.6");
    world.install(&[&world.url("src")]).unwrap();
    let error = world.refusal(&world.url("fork"));
    assert_eq!(error, "the pack `ops` was installed from file:///src; allow the change of origin to take its place");
    assert!(fs::read_to_string(world.packs().join("ops/pack.yaml")).unwrap().contains("1.0.0"));
    let request = Install { replace_origin: true, ..world.request(&[&world.url("fork")]) };
    assert_eq!(install(&request, &world.packs()).unwrap().packs[0].version, "6.6.6");
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let world = World::new();
    world.pack("core", "core", "1.0.0");
    assert_eq!(world.refusal(&world.url("core")), "the name `core` belongs to a pack that is part of squall");
    world.write("empty/README", "");
    assert_eq!(world.refusal(&world.url("empty")), "Pack is missing a manifest file (pack.yaml).");
    assert_eq!(world.refusal("file:///no/such/dir"), "Local pack directory \"/no/such/dir\" doesn't exist");
    world.pack("dashes", "With Dashes", "1.0.0");
    fs::rename(world.path("dashes"), world.path("st2-dashes")).unwrap();
    assert!(world.refusal(&world.url("st2-dashes")).contains("\"ref\" attribute is not available"));
    world.pack("two", "two", "1.0.0");
    world.write("two/pack.yaml", "name: two\npython_versions: ['2']\n");
    assert!(world.refusal(&world.url("two")).starts_with("Pack \"two\" requires Python 2.x"));
    let not_local = Install { allow_local: false, ..world.request(&[&world.url("two")]) };
    assert!(matches!(install(&not_local, &world.packs()), Err(InstallError::Forbidden { .. })));
    assert_eq!(world.listing(), Vec::<String>::new());
}

#[test]
fn hostile_trees() {
    let hostile = |prepare: &dyn Fn(&Path)| {
        let world = World::new();
        world.pack("src", "ops", "1.0.0");
        prepare(&world.path("src"));
        world.refusal(&world.url("src"))
    };
    let link = |to: &'static str| move |dir: &Path| symlink(to, dir.join("actions/l")).unwrap();
    for target in ["/etc/passwd", "../../x", "../../src/../../x"] {
        assert!(hostile(&link(target)).contains("the link `actions/l` leads out of the pack"), "{target}");
    }
    let through = |dir: &Path| {
        symlink("..", dir.join("actions/up")).unwrap();
        symlink("up/../x", dir.join("actions/l")).unwrap();
        fs::write(dir.parent().unwrap().join("x"), "").unwrap();
    };
    assert!(hostile(&through).contains("leads out of the pack"));
    let pipe = |dir: &Path| {
        assert!(Command::new("mkfifo").arg(dir.join("p")).status().unwrap().success());
    };
    assert!(hostile(&pipe).contains("`p` is neither a file nor a directory nor a link"));
    let case = |dir: &Path| {
        fs::write(dir.join("README"), "").unwrap();
        fs::write(dir.join("readme"), "").unwrap();
    };
    assert!(hostile(&case).contains("only by upper and lower case"));
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let request = Install { limits: Limits { entries: 2, ..Limits::default() }, ..world.request(&[&world.url("src")]) };
    assert!(matches!(install(&request, &world.packs()), Err(InstallError::Tree(_))));
}

#[test]
fn special_bits_are_taken_off() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let script = world.path("src/actions/run.sh");
    fs::write(&script, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o6755)).unwrap();
    world.install(&[&world.url("src")]).unwrap();
    let mode = fs::metadata(world.packs().join("ops/actions/run.sh")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

/// Hooks, filters, submodules and commands that a repository brings are never run.
#[test]
fn a_repository_cannot_run_anything() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let trap = world.path("sprung");
    let command = format!("touch {}", trap.display());
    world.write("src/.gitattributes", "*.yaml filter=trap\n");
    world.write(
        "src/.gitmodules",
        &format!("[submodule \"x\"]\n\tpath = x\n\turl = ext::sh -c \"{command}\"\n\tupdate = !{command}\n"),
    );
    world.commit("src", None);
    world.git("src", &["config", "filter.trap.smudge", &command]);
    world.git("src", &["config", "core.fsmonitor", &command]);
    world.git("src", &["config", "uploadpack.packObjectsHook", &command]);
    world.write("src/.git/hooks/post-checkout", &format!("#!/bin/sh\n{command}\n"));
    fs::set_permissions(world.path("src/.git/hooks/post-checkout"), fs::Permissions::from_mode(0o755)).unwrap();
    world.install(&[&world.url("src")]).unwrap();
    assert!(!trap.exists());
}

#[test]
fn git_that_takes_too_long_is_stopped() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    world.commit("src", None);
    let limits = Limits { timeout: Duration::ZERO, ..Limits::default() };
    let request = Install { limits, ..world.request(&[&world.url("src")]) };
    let error = install(&request, &world.packs()).unwrap_err().to_string();
    assert!(error.contains("it took longer than 0 s"), "{error}");
    assert_eq!(world.listing(), Vec::<String>::new());
}

#[test]
fn what_a_dead_installer_left_is_swept_away() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let mut child = Command::new("true").spawn().unwrap();
    child.wait().unwrap();
    world.write(&format!("packs/.staging-{}-0/fetched/x", child.id()), "");
    world.write(&format!("packs/.staging-{}-0/fetched/x", std::process::id()), "");
    world.install(&[&world.url("src")]).unwrap();
    assert_eq!(world.listing(), [format!(".staging-{}-0", std::process::id()), "ops".to_owned()]);
}

#[test]
fn a_pack_that_is_installed_or_removed_is_not_out_of_service() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    let loaded = || {
        let sources = Sources { builtin: false, packs: vec![world.packs()], ..Sources::default() };
        load(&sources).registry.pack("ops").is_some()
    };
    world.install(&[&world.url("src")]).unwrap();
    assert!(loaded());
    unload("ops", &world.packs()).unwrap();
    assert!(!loaded());
    world.install(&[&world.url("src")]).unwrap();
    assert!(loaded());
    unload("ops", &world.packs()).unwrap();
    uninstall("ops", &world.packs()).unwrap();
    world.pack("packs/ops", "ops", "1.0.0");
    assert!(loaded());
    unload("ops", &world.packs()).unwrap();
    load_again(&["other"], &world.packs()).unwrap();
    assert!(!loaded());
    load_again::<&str>(&[], &world.packs()).unwrap();
    assert!(loaded());
    let refusal = |name: &str| unload(name, &world.packs()).unwrap_err().to_string();
    assert_eq!(refusal("core"), "Unregister includes an unregisterable pack - core.");
    assert_eq!(refusal("../src"), "Pack \"../src\" is not installed");
}

#[test]
fn removing() {
    let world = World::new();
    world.pack("src", "ops", "1.0.0");
    world.install(&[&world.url("src")]).unwrap();
    uninstall("ops", &world.packs()).unwrap();
    assert_eq!(world.listing(), Vec::<String>::new());
    let refusal = |name: &str| uninstall(name, &world.packs()).unwrap_err().to_string();
    assert_eq!(refusal("ops"), "Pack \"ops\" is not installed");
    assert_eq!(refusal("core"), "Uninstall includes an uninstallable pack - core.");
    assert_eq!(refusal("../src"), "Pack \"../src\" is not installed");
    // A pack under development is a link; only the link goes.
    symlink(world.path("src"), world.packs().join("dev")).unwrap();
    uninstall("dev", &world.packs()).unwrap();
    assert!(world.path("src/pack.yaml").exists());
}
