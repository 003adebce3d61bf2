//! A control group (version 2) per attempt, where the machine lends us a folder for that.
//!
//! It is a second net, never a condition: a group is killed as a whole by the kernel, fork bombs and processes that sudo
//! gave to root included, and can be bounded. Without one the supervisor's own rounds do the work.
//!
//! Start reading at [`delegated`].

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Processes and threads of one attempt at the same time.
const MOST_PROCESSES: &str = "1024";

/// The group of one attempt; removed when dropped.
pub(crate) struct Group {
    path: PathBuf,
}

impl Group {
    /// Makes the group `id` below `parent`. Its limits hold where `parent` has the controllers for them.
    pub(crate) fn create(parent: &Path, id: &str) -> io::Result<Group> {
        let path = parent.join(format!("attempt-{id}"));
        fs::create_dir(&path)?;
        let _ = fs::write(path.join("pids.max"), MOST_PROCESSES);
        let _ = fs::write(path.join("memory.oom.group"), "1");
        Ok(Group { path })
    }

    /// The group that a killed supervisor left behind, if it did.
    pub(crate) fn find(parent: &Path, id: &str) -> Option<Group> {
        let path = parent.join(format!("attempt-{id}"));
        path.is_dir().then_some(Group { path })
    }

    /// Who writes `0` to this file becomes a member.
    pub(crate) fn members(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    /// Kills every member; a kernel before 5.14 cannot.
    pub(crate) fn kill(&self) {
        let _ = fs::write(self.path.join("cgroup.kill"), "1");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // The kernel may need a moment to forget the last member.
        for _ in 0..20 {
            match fs::remove_dir(&self.path) {
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => std::thread::sleep(Duration::from_millis(5)),
                _ => return,
            }
        }
    }
}

/// The folder of control groups that was delegated to this process (systemd: `Delegate=yes`), made ready for
/// [`crate::Config::cgroup`]: the process itself moves to a leaf beside the attempts, and the controllers that are there
/// are switched on. To be called once, at start; the error says what is missing and is worth a line in a report, no more.
pub fn delegated() -> Result<PathBuf, String> {
    let read = |path: &str| fs::read_to_string(path).map_err(|e| format!("cannot read {path}: {e}"));
    let own = own_group(&read("/proc/self/cgroup")?, &read("/proc/self/mountinfo")?)?;
    let leaf = own.join("server");
    let refused = |e: io::Error| format!("the control group {} is not delegated to this user: {e}", own.display());
    if !leaf.is_dir() {
        fs::create_dir(&leaf).map_err(refused)?;
    }
    fs::write(leaf.join("cgroup.procs"), std::process::id().to_string()).map_err(refused)?;
    for controller in ["+pids", "+memory"] {
        let _ = fs::write(own.join("cgroup.subtree_control"), controller);
    }
    Ok(own)
}

/// Where this process's group of version 2 is mounted.
fn own_group(cgroup: &str, mounts: &str) -> Result<PathBuf, String> {
    let group =
        cgroup.lines().find_map(|line| line.strip_prefix("0::")).ok_or("this machine has no control groups v2")?;
    let mount = mounts.lines().find_map(|line| {
        let (front, back) = line.split_once(" - ")?;
        let mut fields = front.split(' ').skip(3);
        back.starts_with("cgroup2 ").then_some((fields.next()?, fields.next()?))
    });
    let (root, point) = mount.ok_or("control groups v2 are not mounted")?;
    let below = Path::new(group).strip_prefix(root).map_err(|_| format!("the control group {group} is not mounted"))?;
    if below.as_os_str().is_empty() && root == "/" {
        return Err("this process is in the root control group, which nobody can delegate".into());
    }
    Ok(Path::new(point).join(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(cgroup: &str, mounts: &str, expected: &str) {
        let found = own_group(cgroup, mounts).map_or_else(|e| e, |path| path.display().to_string());
        assert_eq!(found, expected);
    }

    #[test]
    fn c03_where_the_own_group_lies() {
        let v2 = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate";
        let hybrid = "31 24 0:27 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";
        check("0::/system.slice/squall.service\n", v2, "/sys/fs/cgroup/system.slice/squall.service");
        check("9:pids:/x\n0::/a\n", hybrid, "/sys/fs/cgroup/unified/a");
        check("9:pids:/x\n", hybrid, "this machine has no control groups v2");
        check("0::/a\n", "31 24 0:27 / /x rw - cgroup cgroup rw", "control groups v2 are not mounted");
        check("0::/\n", v2, "this process is in the root control group, which nobody can delegate");
        check("0::/docker/1/a\n", "30 24 0:26 /docker/1 /sys/fs/cgroup rw - cgroup2 c rw", "/sys/fs/cgroup/a");
    }
}
