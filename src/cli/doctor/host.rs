//! What a cell stands on, apart from limits: kernel, privilege, trees, directories. Each check is a
//! function of what was read, so that every kind of host can be a test.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;

use super::Check;
use crate::cgroup::{Controller, Hierarchies};

/// The oldest kernel that hotcell is written for: `cgroup.kill` came with it.
const FLOOR: (u32, u32) = (5, 14);

/// A small file of the kernel's; `None` when this kernel doesn't have it.
pub(super) fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// Whether this process has the capability in effect.
pub(super) fn has(capability: caps::Capability) -> bool {
    caps::has_cap(None, caps::CapSet::Effective, capability).unwrap_or(false)
}

/// The kernel by its release, such as `6.1.0-18-amd64`.
pub(super) fn kernel(release: &str) -> Check {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    let (major, minor) = FLOOR;
    match (numbers.next(), numbers.next()) {
        (Some(Ok(a)), Some(Ok(b))) if (a, b) >= FLOOR => Check::ok("kernel", release),
        (Some(Ok(_)), Some(Ok(_))) => {
            let detail = format!("{release} is too old: use {major}.{minor} or newer");
            Check::missing("kernel", detail)
        }
        _ => Check::degraded("kernel", format!("{release:?} can't be told from {major}.{minor}")),
    }
}

/// What starting any cell takes.
pub(super) fn privilege(root: bool, sys_admin: bool) -> Check {
    const NAME: &str = "privilege";
    match (root, sys_admin) {
        (true, true) => Check::ok(NAME, "root with CAP_SYS_ADMIN"),
        (false, _) => Check::missing(NAME, "not root: run it as root"),
        (true, false) => {
            let detail = "root without CAP_SYS_ADMIN: add it (in a container: --privileged)";
            Check::missing(NAME, detail)
        }
    }
}

/// What a few settings take beyond that.
pub(super) fn resource_privilege(has: bool) -> Check {
    const NAME: &str = "cap-sys-resource";
    match has {
        true => Check::ok(NAME, "hard rlimits can be raised, oom_score_adj lowered"),
        false => Check::degraded(
            NAME,
            "not held: raising a hard --ulimit or lowering oom_score_adj will be refused",
        ),
    }
}

/// The trees, or why they can't be used.
pub(super) fn cgroups(detected: Result<&Hierarchies, &str>) -> Check {
    const NAME: &str = "cgroups";
    let host = match detected {
        Ok(host) => host,
        Err(why) => return Check::missing(NAME, why),
    };
    let v2 = host.unified.display();
    if !host.is_hybrid() {
        return Check::ok(NAME, format!("unified: v2 at {v2}"));
    }
    let v1: Vec<_> = host.v1.keys().map(|controller| controller.v1_name()).collect();
    // A controller is in one kind of tree at a time, so v2 has what v1 left it.
    let rest: Vec<_> = host.v2.iter().copied().map(Controller::v2_name).collect();
    let rest = if rest.is_empty() { String::new() } else { format!(" with {}", rest.join(", ")) };
    Check::ok(NAME, format!("hybrid: v2 at {v2}{rest}; v1 for {}", v1.join(", ")))
}

/// The kinds of namespaces that a cell is made of, as a process shows its own.
pub(super) fn namespaces(own: &Path) -> Check {
    const KINDS: [&str; 6] = ["mnt", "pid", "ipc", "uts", "net", "cgroup"];
    let lacking: Vec<_> = KINDS.into_iter().filter(|kind| !own.join(kind).exists()).collect();
    match lacking.is_empty() {
        true => Check::ok("namespaces", KINDS.join(", ")),
        false => {
            let detail = format!("this kernel was built without {}", lacking.join(", "));
            Check::missing("namespaces", detail)
        }
    }
}

/// The writable layer over a shared root; `tried` in a cell that ran, or listed at least.
pub(super) fn overlay(filesystems: &str, tried: bool) -> Check {
    const NAME: &str = "overlay";
    let listed = filesystems.lines().any(|line| line.split_whitespace().last() == Some(NAME));
    match (tried, listed) {
        (true, _) => Check::ok(NAME, "the trial cell's root was one"),
        (false, true) => Check::degraded(NAME, "the kernel lists it; not tried: no cell ran"),
        (false, false) => Check::missing(
            NAME,
            "not in /proc/filesystems: modprobe overlay (until then only --read-only can work)",
        ),
    }
}

/// Whether the init may be executed from memory, by the sysctl that forbids it; kernels without
/// the sysctl always allow it.
pub(super) fn memfd(noexec: Option<&str>) -> Check {
    const NAME: &str = "memfd";
    match noexec.map(str::trim) {
        Some("2") => Check::missing(
            NAME,
            "vm.memfd_noexec=2 forbids the init's: sysctl vm.memfd_noexec=1 (or 0) allows it",
        ),
        Some(value) => Check::ok(NAME, format!("executable (vm.memfd_noexec={value})")),
        None => Check::ok(NAME, "executable (no sysctl vm.memfd_noexec)"),
    }
}

/// The driver's directory, by the rules that opening a driver has for it, and where it lies.
pub(super) fn state_dir(path: &Path, uid: u32) -> Check {
    const NAME: &str = "state-dir";
    let shown = path.display();
    let missing = |why: &str| Check::missing(NAME, format!("{shown} {why}"));
    let found = match std::fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) => return missing(&format!("can't be used: {error} (see --state-dir)")),
    };
    if !found.is_dir() {
        return missing("is not a directory: remove it or name another with --state-dir");
    }
    if found.uid() != uid {
        return missing(&format!("belongs to user {}, this is user {uid}", found.uid()));
    }
    if found.mode() & 0o077 != 0 {
        return missing("is open to others: chmod 700 it or name another with --state-dir");
    }
    if let Err(errno) = rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        return missing(&format!("is not writable: {}", std::io::Error::from(errno)));
    }
    const TMPFS_MAGIC: u64 = 0x0102_1994;
    match rustix::fs::statfs(path) {
        Ok(fs) if fs.f_type as u64 == TMPFS_MAGIC => Check::ok(NAME, format!("{shown} on a tmpfs")),
        Ok(_) => {
            // It works; only what a crash leaves behind isn't gone with a reboot.
            let detail = format!("{shown} is not on a tmpfs: a reboot won't clean it");
            Check::degraded(NAME, detail)
        }
        Err(errno) => missing(&format!("can't be used: {}", std::io::Error::from(errno))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn has_words(check: &Check, state: State, words: &[&str]) {
        assert_eq!(check.state, state, "{check:?}");
        assert!(words.iter().all(|word| check.detail.contains(word)), "{check:?}");
    }

    #[test]
    fn a_release_is_compared_by_numbers_not_by_text() {
        for good in ["5.14.0", "5.14-rc1", "6.1.0-18-amd64", "10.0.1"] {
            assert_eq!(kernel(good).state, State::Ok, "{good}");
        }
        for old in ["5.9.16", "5.13.0-52-generic", "4.19.0"] {
            has_words(&kernel(old), State::Missing, &[old, "5.14"]);
        }
        assert_eq!(kernel("vendor").state, State::Degraded);
    }

    #[test]
    fn what_privilege_lacks_is_named() {
        assert_eq!(privilege(true, true).state, State::Ok);
        has_words(&privilege(false, true), State::Missing, &["root"]);
        has_words(&privilege(true, false), State::Missing, &["CAP_SYS_ADMIN"]);
        has_words(&resource_privilege(false), State::Degraded, &["--ulimit", "oom_score_adj"]);
        assert_eq!(resource_privilege(true).state, State::Ok);
    }

    #[test]
    fn the_layout_says_where_the_v2_tree_is() {
        let mut host =
            Hierarchies { unified: "/v2".into(), v2: vec![], v1: [].into(), mounted: vec![] };
        has_words(&cgroups(Ok(&host)), State::Ok, &["unified", "/v2"]);
        host.v1.insert(Controller::Io, "/v1/blkio".into());
        host.v2.push(Controller::Pids);
        has_words(&cgroups(Ok(&host)), State::Ok, &["hybrid", "v2 at /v2 with pids", "blkio"]);
        has_words(&cgroups(Err("no tree")), State::Missing, &["no tree"]);
    }

    #[test]
    fn a_namespace_that_the_kernel_lacks_is_named() {
        let own = tempfile::tempdir().unwrap();
        for kind in ["mnt", "pid", "ipc", "uts", "net"] {
            std::fs::write(own.path().join(kind), "").unwrap();
        }
        has_words(&namespaces(own.path()), State::Missing, &["without cgroup"]);
        std::fs::write(own.path().join("cgroup"), "").unwrap();
        assert_eq!(namespaces(own.path()).state, State::Ok);
    }

    #[test]
    fn overlay_is_looked_for_as_a_whole_word() {
        let with = "nodev\tproc\n\text4\nnodev\toverlay\n";
        assert_eq!(overlay(with, false).state, State::Degraded);
        assert_eq!(overlay("nodev\toverlayfs2\n", false).state, State::Missing);
        assert_eq!(overlay("", true).state, State::Ok);
    }

    #[test]
    fn only_the_strictest_memfd_setting_stands_in_the_way() {
        assert_eq!(memfd(None).state, State::Ok);
        assert_eq!(memfd(Some("0\n")).state, State::Ok);
        assert_eq!(memfd(Some("1\n")).state, State::Ok);
        has_words(&memfd(Some("2\n")), State::Missing, &["vm.memfd_noexec=2"]);
    }

    #[test]
    fn a_state_directory_that_a_driver_would_refuse_is_missing() {
        let at = tempfile::tempdir().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        let file = at.path().join("file");
        std::fs::write(&file, "").unwrap();
        has_words(&state_dir(&file, uid), State::Missing, &["not a directory"]);
        has_words(&state_dir(&at.path().join("none"), uid), State::Missing, &["--state-dir"]);
        let dir = at.path().join("state");
        std::fs::create_dir(&dir).unwrap();
        let mode = |mode| std::fs::set_permissions(&dir, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o750);
        has_words(&state_dir(&dir, uid), State::Missing, &["chmod 700"]);
        mode(0o700);
        assert_ne!(state_dir(&dir, uid).state, State::Missing);
        has_words(&state_dir(&dir, uid + 1), State::Missing, &["belongs to user"]);
    }
}
