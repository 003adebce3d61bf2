//! Where packs come from: StackStorm's ways to name a pack, of today and of 2016, become places.
//!
//! Pure but for looking whether a directory exists. A place that leaves this file is safe to hand to `git`:
//! its scheme is allowed, and nothing in it can be taken for an option.

use super::{Install, InstallError, Origin};
use std::path::{Path, PathBuf};

/// Where to fetch from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Git { url: String, is_local: bool },
    Directory(PathBuf),
}

impl Place {
    pub(super) fn shown(&self) -> String {
        match self {
            Place::Git { url, .. } => url.clone(),
            Place::Directory(dir) => format!("file://{}", dir.display()),
        }
    }
}

/// One fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// The packs as they were asked for.
    pub(super) asked: Vec<String>,
    pub(super) place: Place,
    /// Branch, tag or hash.
    pub(super) version: Option<String>,
    /// The packs are directories of `packs/`.
    pub(super) subtree: bool,
    /// The fetched pack must be one of those asked for.
    pub(super) by_name: bool,
    /// The repository's name is the pack's name unless `ref` says otherwise, as in 2016.
    pub(super) named_by_repo: bool,
    /// The name of the repository.
    pub(super) repo_name: Option<String>,
}

/// What to fetch, in order; what cannot be is an error beside the name that was asked for.
pub(super) fn plan(request: &Install, packs_dir: &Path) -> Vec<Result<Wanted, (String, InstallError)>> {
    if let Some(repo_url) = request.repo_url.as_deref().filter(|url| !url.is_empty()) {
        let wanted = of_2016(request, repo_url);
        return vec![wanted.map_err(|error| (request.packs.join(","), error))];
    }
    request.packs.iter().map(|pack| today(request, pack, packs_dir).map_err(|error| (masked(pack), error))).collect()
}

/// `repo_url`, `branch`, `subtree`: all packs come from one repository.
fn of_2016(request: &Install, repo_url: &str) -> Result<Wanted, InstallError> {
    let mut url = github(repo_url);
    let is_local = url.starts_with("file://") || url.starts_with('/');
    if !is_local && !url.ends_with(".git") {
        url.push_str(".git");
    }
    let place = place_of(request, &url)?;
    Ok(Wanted {
        asked: request.packs.clone(),
        subtree: request.subtree || url.contains("st2contrib") || url.contains("st2incubator"),
        version: version(request.branch.as_deref(), &url)?,
        by_name: true,
        named_by_repo: true,
        repo_name: repo_name(&url),
        place,
    })
}

/// `<name or url>[=<version>]`.
fn today(request: &Install, pack: &str, packs_dir: &Path) -> Result<Wanted, InstallError> {
    let mut parts = pack.split('=');
    let (what, mut wanted_version) = (parts.next().unwrap_or_default(), parts.next().map(str::to_owned));
    let by_name = !what.contains('/');
    let url = if by_name {
        match request.index.get(what) {
            Some(entry) => {
                wanted_version = wanted_version.or_else(|| entry.version.clone());
                entry.repo_url.clone()
            }
            // Without an index entry, a pack that is installed comes from where it came from.
            None => Origin::of(&packs_dir.join(what))
                .filter(|_| is_pack_dir_name(what))
                .map(|origin| origin.url)
                .ok_or_else(|| InstallError::NotInIndex(what.to_owned()))?,
        }
    } else {
        github(what)
    };
    let place = place_of(request, &url)?;
    Ok(Wanted {
        asked: vec![if by_name { what.to_owned() } else { masked(what) }],
        version: version(wanted_version.as_deref(), &url)?,
        subtree: false,
        by_name,
        named_by_repo: false,
        repo_name: repo_name(&url),
        place,
    })
}

/// `owner/name` is short for a repository on GitHub.
fn github(url: &str) -> String {
    let short = url.matches('/').count() == 1 && !url.contains('@') && !url.contains(':') && !url.starts_with('/');
    if short { format!("https://github.com/{url}") } else { url.to_owned() }
}

/// Text after the last slash up to the next dot.
fn repo_name(url: &str) -> Option<String> {
    let last = url.trim_end_matches('/').rsplit(['/', ':']).next()?;
    let name = last.split('.').next().unwrap_or_default();
    (!name.is_empty()).then(|| name.to_owned())
}

/// Whether a word can be the name of a directory of a pack: no dot, no slash, nothing hidden.
pub(super) fn is_pack_dir_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 100
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
        && !name.starts_with('-')
}

fn version(text: Option<&str>, url: &str) -> Result<Option<String>, InstallError> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    let is_sound = text.len() <= 200
        && !text.starts_with(['-', '/', '.'])
        && !text.contains("..")
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '+'));
    match is_sound {
        true => Ok(Some(text.to_owned())),
        false => Err(InstallError::NoVersion {
            version: text.chars().filter(|c| !c.is_control()).collect(),
            url: masked(url),
            available: String::new(),
        }),
    }
}

/// Checks a URL and says what kind of place it is.
fn place_of(request: &Install, url: &str) -> Result<Place, InstallError> {
    let forbidden = |why| Err(InstallError::Forbidden { url: masked(url), why });
    if url.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return forbidden("it has control characters or blanks");
    }
    if url.starts_with('-') {
        return forbidden("it begins with a dash");
    }
    if let Some(path) = url.strip_prefix("file://").or_else(|| url.starts_with('/').then_some(url)) {
        return match request.allow_local {
            true => local(path),
            false => forbidden("only an administrator may install from a directory"),
        };
    }
    let Some((scheme, rest)) = url.split_once("://") else {
        return match is_scp_like(url) {
            true => Ok(Place::Git { url: url.to_owned(), is_local: false }),
            false => forbidden("it is neither https, ssh, `user@host:path` nor a directory"),
        };
    };
    if rest.split('@').any(|part| part.starts_with('-')) || rest.is_empty() {
        return forbidden("a host cannot begin with a dash");
    }
    match scheme {
        "https" | "ssh" => Ok(Place::Git { url: url.to_owned(), is_local: false }),
        "http" if request.allow_http => Ok(Place::Git { url: url.to_owned(), is_local: false }),
        "http" => forbidden("plain http can be changed on the way; use https"),
        _ => forbidden("its scheme is not one of https, ssh and file"),
    }
}

/// `user@host:path`, where no part can be taken for an option.
fn is_scp_like(url: &str) -> bool {
    let Some((user, rest)) = url.split_once('@') else { return false };
    let Some((host, path)) = rest.split_once(':') else { return false };
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with('-')
            && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    };
    word(user) && word(host) && !path.is_empty() && !path.starts_with('-') && !path.starts_with(':')
}

/// A directory: a repository is cloned, anything else is copied.
fn local(path: &str) -> Result<Place, InstallError> {
    let dir = Path::new(path);
    if !dir.is_absolute() || !dir.is_dir() {
        return Err(InstallError::NoDirectory(path.to_owned()));
    }
    let is_repository = dir.join(".git").exists() || (dir.join("HEAD").is_file() && dir.join("objects").is_dir());
    Ok(match is_repository {
        true => Place::Git { url: format!("file://{path}"), is_local: true },
        false => Place::Directory(dir.to_owned()),
    })
}

/// A URL without the password or token in it.
pub(crate) fn masked(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, None), |(authority, path)| (authority, Some(path)));
    let Some((user, host)) = authority.rsplit_once('@') else { return url.to_owned() };
    let shown = match user.split_once(':') {
        Some((name, _)) => format!("{name}:********"),
        // A lone user name for https is a token more often than not.
        None if scheme.starts_with("http") => "********".to_owned(),
        None => user.to_owned(),
    };
    let path = path.map(|path| format!("/{path}")).unwrap_or_default();
    format!("{scheme}://{shown}@{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packs: &[&str], expected: &[&str]) {
        let request = Install { packs: packs.iter().map(ToString::to_string).collect(), ..Install::default() };
        let got: Vec<String> = plan(&request, Path::new("/nowhere"))
            .into_iter()
            .map(|wanted| match wanted {
                Ok(w) => format!("{} {}", w.place.shown(), w.version.unwrap_or_else(|| "-".into())),
                Err((_, error)) => error.to_string(),
            })
            .collect();
        assert_eq!(got, expected);
    }

    #[test]
    fn todays_ways_to_name_a_pack() {
        check(
            &[
                "owner/st2-x",
                "https://example.org/a/b.git=1.2.0",
                "git@host.example:team/pack.git",
                "ssh://git@host/x",
                "unknown",
            ],
            &[
                "https://github.com/owner/st2-x -",
                "https://example.org/a/b.git 1.2.0",
                "git@host.example:team/pack.git -",
                "ssh://git@host/x -",
                "No record of the \"unknown\" pack in the index.",
            ],
        );
    }

    #[test]
    fn what_git_must_never_see() {
        for url in [
            "ext::sh -c touch/x",
            "fd::17/x/y",
            "-uexec/x/y",
            "--upload-pack=/x/y",
            "https://-host/x/y",
            "ssh://-oProxyCommand=x/y/z",
            "ssh://a@-oProxyCommand/y/z",
            "http://host/x/y",
            "git://host/x/y",
            "-a@host:x/y/z",
            "a@-host:x/y/z",
            "https://host/x/y\u{7}",
            "/etc/x/y",
            "file:///etc",
            "javascript:x/y/z",
        ] {
            let request = Install { packs: vec![url.replace('=', "%")], ..Install::default() };
            let wanted = plan(&request, Path::new("/nowhere")).remove(0);
            assert!(matches!(wanted, Err((_, InstallError::Forbidden { .. }))), "{url}: {wanted:?}");
        }
        for version in ["-x", "a b", "a..b", "x\n", "$(id)", "/x"] {
            let request = Install { packs: vec![format!("a/b={version}")], ..Install::default() };
            let wanted = plan(&request, Path::new("/nowhere")).remove(0);
            assert!(version.trim() == "x" || matches!(wanted, Err((_, InstallError::NoVersion { .. }))), "{version}");
        }
    }

    #[test]
    fn the_form_of_2016() {
        let request = |repo: &str| Install {
            packs: vec!["x".into()],
            repo_url: Some(repo.into()),
            branch: Some("master".into()),
            ..Install::default()
        };
        let wanted = |repo: &str| plan(&request(repo), Path::new("/nowhere")).remove(0).unwrap();
        let short = wanted("owner/x");
        assert_eq!(
            (short.place.shown().as_str(), short.repo_name.as_deref(), short.subtree),
            ("https://github.com/owner/x.git", Some("x"), false)
        );
        assert!(wanted("StackStorm/st2contrib").subtree);
        assert_eq!(wanted("git@host:a/x.git").place.shown(), "git@host:a/x.git");
    }

    #[test]
    fn passwords_are_masked() {
        assert_eq!(masked("https://me:secret@host/x"), "https://me:********@host/x");
        assert_eq!(masked("https://ghp_token@host/x"), "https://********@host/x");
        assert_eq!(masked("ssh://git@host/x@y"), "ssh://git@host/x@y");
        assert_eq!(masked("git@host:x"), "git@host:x");
    }
}
