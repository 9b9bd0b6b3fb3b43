//! Who is who in roots of many kinds, kind and hostile.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

const USERS: &str = "\
# a comment
root:x:0:0:root:/root:/bin/sh
bob:x:1000:100:Bob:/home/bob:/bin/sh
bob:x:0:0:the first counts:/root:/bin/sh
1:x:0:0:a number for a name:/root:/bin/sh
99999999999:x:0:0::/root:/bin/sh
nobody:x:65534:65534::relative:/bin/false
broken:x::0::/:/bin/sh
short:x
signed:x:-1:0::/:/bin/sh
";

const GROUPS: &str = "\
root:x:0:root
users:x:100:
audio:x:29:bob,root
video:x:44:alice,bob
bobby:x:45:bobby
odd:x:nine:nobody
";

fn root() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("etc")).unwrap();
    std::fs::write(root.path().join("etc/passwd"), USERS).unwrap();
    std::fs::write(root.path().join("etc/group"), GROUPS).unwrap();
    root
}

fn look_up(root: &tempfile::TempDir, who: &str, more: &[&str]) -> Result<Account, Error> {
    let more: Vec<_> = more.iter().map(|group| group.parse().unwrap()).collect();
    Account::look_up(root.path(), &who.parse().unwrap(), &more)
}

#[track_caller]
fn is(root: &tempfile::TempDir, who: &str, more: &[&str], ids: (u32, u32), groups: &[u32]) {
    let account = look_up(root, who, more).unwrap();
    let User { uid, gid } = account.user;
    assert_eq!(((uid, gid), account.groups.as_slice()), (ids, groups), "{who}");
}

#[test]
fn accounts_are_docker_s() {
    let root = root();
    is(&root, "0", &[], (0, 0), &[0, 29]);
    is(&root, "root", &[], (0, 0), &[0, 29]);
    is(&root, "bob", &[], (1000, 100), &[29, 44]);
    is(&root, "1000", &[], (1000, 100), &[29, 44]);
    // A group that is named leaves the account's out.
    is(&root, "bob:users", &[], (1000, 100), &[]);
    is(&root, "bob:7", &["video", "9", "9"], (1000, 7), &[44, 9]);
    is(&root, "1000", &["29", "audio", "12"], (1000, 100), &[29, 44, 12]);
    // A number needs no account.
    is(&root, "4711", &[], (4711, 0), &[]);
    is(&root, "4711:video", &[], (4711, 44), &[]);
    assert_eq!(look_up(&root, "bob", &[]).unwrap().home.as_deref(), Some("/home/bob"));
    assert_eq!(look_up(&root, "1000:7", &[]).unwrap().home.as_deref(), Some("/home/bob"));
    assert_eq!(look_up(&root, "nobody:1", &[]).unwrap().home, None, "a relative one is none");
}

#[test]
fn a_number_is_never_a_name_and_nothing_becomes_0() {
    let root = root();
    is(&root, "1", &[], (1, 0), &[]);
    is(&root, "1:1", &[], (1, 1), &[]);
    for (who, more, text) in [
        ("alice", &[][..], "user \"alice\": is not in the root's /etc/passwd"),
        ("bob:staff", &[], "group \"staff\": is not in the root's /etc/group"),
        ("bob", &["staff"], "group \"staff\": is not in the root's /etc/group"),
        ("broken", &[], "line 8 has no proper number"),
        ("short", &[], "line 9 has no proper number"),
        ("signed", &[], "line 10 has no proper number"),
        ("nobody", &[], "/etc/group\": line 6 has no proper number"),
        ("bob:odd", &[], "/etc/group\": line 6 has no proper number"),
    ] {
        let error = look_up(&root, who, more).unwrap_err().to_string();
        assert!(error.contains(text), "{who}: {error}");
    }
}

#[test]
fn without_files_numbers_still_work() {
    let root = tempfile::tempdir().unwrap();
    is(&root, "0", &["5"], (0, 0), &[5]);
    is(&root, "1000", &[], (1000, 0), &[]);
    is(&root, "1000:5", &[], (1000, 5), &[]);
    assert!(look_up(&root, "root", &[]).is_err());
    assert!(look_up(&root, "0:root", &[]).is_err());
}

/// Puts something else in the place of `/etc/passwd`, by which nobody may be found, soon.
#[track_caller]
fn refused(put: impl Fn(&Path), why: &str) {
    for file in ["etc/passwd", "etc/group"] {
        let root = root();
        let path = root.path().join(file);
        std::fs::remove_file(&path).unwrap();
        put(&path);
        let started = Instant::now();
        for who in ["root", "0", "bob"] {
            let error = look_up(&root, who, &[]).unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(why), "{error}");
        }
        // Generous: what would hang does so for ever.
        assert!(started.elapsed() < Duration::from_secs(20));
    }
}

#[test]
fn what_is_no_file_is_not_even_opened() {
    use rustix::fs::mknodat;
    let make = |path: &Path, kind| {
        mknodat(rustix::fs::CWD, path, kind, Mode::from_raw_mode(0o666), 0).unwrap();
    };
    refused(|path| make(path, FileType::Fifo), "is not a regular file");
    refused(|path| drop(std::os::unix::net::UnixListener::bind(path).unwrap()), "is not a regular");
    refused(|path| std::fs::create_dir(path).unwrap(), "is not a regular file");
}

#[test]
fn size_and_lines_are_bounded() {
    let sparse = |path: &Path| std::fs::File::create(path).unwrap().set_len(5 << 30).unwrap();
    refused(sparse, "is larger than 10485760 bytes");
    let one_line = |path: &Path| std::fs::write(path, vec![b'x'; 2 << 20]).unwrap();
    refused(one_line, "line 1 is longer than 1048576 bytes");
    // Just small enough is read whole.
    let root = root();
    let mut text = format!("{}\n", "x".repeat((1 << 20) - 1)).repeat(9);
    text.push_str("late:x:7:8::/:/\n");
    std::fs::write(root.path().join("etc/passwd"), text).unwrap();
    is(&root, "late", &[], (7, 8), &[]);
}

#[test]
fn links_lead_nowhere_but_into_the_root() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&outside, "root:x:0:0::/:/\nbob:x:0:0::/:/\n").unwrap();
    refused(|path| symlink(outside.path(), path).unwrap(), "is a link to nowhere in the root");
    refused(|path| symlink("/dev/zero", path).unwrap(), "is a link to nowhere in the root");
    refused(|path| symlink("/proc/self/mem", path).unwrap(), "is a link to nowhere in the root");
    refused(|path| symlink(path.file_name().unwrap(), path).unwrap(), "read the root's");
    // Inside, links are the image's own business.
    let root = root();
    std::fs::rename(root.path().join("etc/passwd"), root.path().join("users")).unwrap();
    symlink("/../../users", root.path().join("etc/passwd")).unwrap();
    is(&root, "bob", &[], (1000, 100), &[29, 44]);
}

proptest! {
    #[test]
    fn no_file_panics(passwd: Vec<u8>, group in ".{0,200}", who in "[a-z0-9]{1,3}") {
        let root = root();
        std::fs::write(root.path().join("etc/passwd"), &passwd).unwrap();
        std::fs::write(root.path().join("etc/group"), group).unwrap();
        if let Ok(who) = who.parse::<UserSpec>()
            && let Ok(account) = Account::look_up(root.path(), &who, &[])
            && let Principal::Id(id) = who.user
        {
            prop_assert_eq!(account.user.uid, id);
        }
    }
}
