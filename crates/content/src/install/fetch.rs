//! Fetching by the `git` program, which is trusted with nothing: no environment, no configuration but ours,
//! no hooks, no submodules, no prompt, a time-out and a watch on the size.

use super::place::Stage;
use super::source::{Wanted, masked};
use super::{Install, InstallError, tree};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Variables that the caller may set: proxies, certificates and the agent that holds ssh keys.
const ALLOWED_ENV: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "GIT_SSL_CAINFO",
    "SSH_AUTH_SOCK",
];

/// Where `git` and `ssh` are looked for when the caller has no `PATH`.
const USUAL_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Clones into `target` and checks the wanted version out. Gives the commit.
pub(super) fn clone(
    request: &Install,
    wanted: &Wanted,
    url: &str,
    is_local: bool,
    stage: &Stage,
    target: &Path,
) -> Result<Option<String>, InstallError> {
    let git = Git { request, url, is_local, stage, watched: target };
    let shallow: &[&str] = if wanted.version.is_none() { &["--depth", "1"] } else { &[] };
    let place = target.display().to_string();
    let base = ["clone", "--quiet", "--no-checkout", "--no-recurse-submodules", "--template="];
    let rest = ["--", url, place.as_str()];
    git.run("clone", &[&base[..], shallow, &rest[..]].concat())?;
    let commit = match &wanted.version {
        None => git.inside(target, "read", &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"])?,
        Some(version) => git.resolve(target, version)?,
    };
    git.inside(target, "check out", &["checkout", "--quiet", "--detach", "--force", &commit])?;
    Ok(Some(commit))
}

struct Git<'a> {
    request: &'a Install,
    url: &'a str,
    is_local: bool,
    stage: &'a Stage,
    watched: &'a Path,
}

impl Git<'_> {
    /// The commit of a branch, tag or hash, tried in StackStorm's order.
    fn resolve(&self, repository: &Path, version: &str) -> Result<String, InstallError> {
        let mut tries = vec![format!("refs/remotes/origin/{version}"), version.to_owned()];
        if version.starts_with(|c: char| c.is_ascii_digit()) {
            tries.push(format!("v{version}"));
        }
        for name in tries {
            let commit = format!("{name}^{{commit}}");
            if let Ok(hash) =
                self.inside(repository, "read", &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit])
            {
                return Ok(hash);
            }
        }
        let tags = self.inside(repository, "list the versions of", &["tag", "--list", "v*.*.*"]).unwrap_or_default();
        let tags: Vec<&str> = tags.lines().map(|tag| tag.trim_start_matches('v')).collect();
        let available =
            if tags.is_empty() { String::new() } else { format!(" Available versions are: {}.", tags.join(", ")) };
        Err(InstallError::NoVersion { version: version.to_owned(), url: masked(self.url), available })
    }

    fn inside(&self, repository: &Path, task: &'static str, args: &[&str]) -> Result<String, InstallError> {
        let repository = repository.display().to_string();
        self.run(task, &[&["-C", &repository], args].concat())
    }

    /// Runs `git`; the answer is what it wrote, trimmed.
    fn run(&self, task: &'static str, args: &[&str]) -> Result<String, InstallError> {
        let failed = |said: String| InstallError::Git {
            task,
            url: masked(self.url),
            said: said.replace(self.url, &masked(self.url)),
        };
        let (out, err) = (self.stage.path().join("git.out"), self.stage.path().join("git.err"));
        let make = |path: &Path| File::create(path).map_err(InstallError::files("write", path));
        let mut command = self.command()?;
        command.args(args).stdin(Stdio::null()).stdout(make(&out)?).stderr(make(&err)?);
        let mut child =
            command.spawn().map_err(|error| failed(format!("the program `git` cannot be started: {error}")))?;
        let status = self.wait(&mut child).map_err(failed)?;
        if !status.success() {
            let said = start_of(&err);
            return Err(failed(if said.is_empty() { format!("it ended with {status}") } else { said }));
        }
        Ok(start_of(&out))
    }

    fn command(&self) -> Result<Command, InstallError> {
        // The program that serves a local repository forgets `-c`, so what it must know stands in a file.
        let config = self.stage.path().join("git.config");
        let safe = self.url.strip_prefix("file://").filter(|_| self.is_local);
        let text = safe.map(|dir| {
            let quoted = dir.replace('\\', "\\\\").replace('"', "\\\"");
            format!("[safe]\n\tdirectory = \"{quoted}\"\n\tdirectory = \"{quoted}/.git\"\n")
        });
        fs::write(&config, text.unwrap_or_default()).map_err(InstallError::files("write", &config))?;
        let mut command = Command::new("git");
        command.env_clear().process_group(0);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_else(|| USUAL_PATH.into()));
        command.env("HOME", self.stage.path()).env("LC_ALL", "C.UTF-8");
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", &config);
        command.env("GIT_SSH_COMMAND", "ssh -oBatchMode=yes");
        for (name, value) in &self.request.env {
            if ALLOWED_ENV.contains(&name.as_str()) {
                command.env(name, value);
            }
        }
        let mut settings = vec![
            "protocol.allow=never",
            "protocol.https.allow=always",
            "protocol.ssh.allow=always",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "core.symlinks=true",
            "credential.helper=",
            "http.followRedirects=initial",
        ];
        if self.is_local {
            settings.push("protocol.file.allow=always");
        }
        if self.request.allow_http {
            settings.push("protocol.http.allow=always");
        }
        settings.into_iter().for_each(|setting| {
            command.args(["-c", setting]);
        });
        Ok(command)
    }

    /// Waits for its end, and ends it when it takes too long or fetches too much.
    fn wait(&self, child: &mut Child) -> Result<ExitStatus, String> {
        let limits = self.request.limits;
        let deadline = Instant::now() + limits.timeout;
        let mut weighed = Instant::now();
        loop {
            if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
                return Ok(status);
            }
            let now = Instant::now();
            let too_long = (now >= deadline).then(|| format!("it took longer than {} s", limits.timeout.as_secs()));
            let too_much = || {
                let due = now.duration_since(weighed) > Duration::from_millis(250);
                weighed = if due { now } else { weighed };
                // Packed and unpacked together, hence twice.
                (due && tree::is_larger(self.watched, limits.bytes.saturating_mul(2)))
                    .then(|| "it is larger than a pack may be".to_owned())
            };
            if let Some(why) = too_long.or_else(too_much) {
                stop(child);
                return Err(why);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Ends `git` and everything that it started.
fn stop(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    let _ = child.wait();
}

/// The beginning of what was written, enough for a message.
fn start_of(path: &Path) -> String {
    let mut text = Vec::new();
    if let Ok(file) = File::open(path) {
        // What cannot be read is not shown.
        let _ = file.take(16 << 10).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}
