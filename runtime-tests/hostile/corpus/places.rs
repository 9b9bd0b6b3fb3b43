//! Links, files and devices where a runtime mounts, makes or opens something before the pivot.

use super::super::case::{Case, EVERY, Expect, Form, WRITABLE};
use super::super::spoil::{Spoil, block, character, dir, fifo, file, link};
use super::super::way::By;

/// Eight ways for a link to lead out, or nowhere.
pub fn links(at: &str) -> Vec<(&'static str, Vec<Spoil>)> {
    vec![
        ("absolute", vec![link(at, "{canary}")]),
        ("climbing", vec![link(at, "../../../../../../../../../../..{canary}")]),
        ("chain", vec![link(at, "/hop1"), link("/hop1", "hop2"), link("/hop2", "{canary}")]),
        ("loop", vec![link(at, "/hop1"), link("/hop1", at)]),
        ("dangling", vec![link(at, "{canary}/pwned")]),
        ("through /proc/self/root", vec![link(at, "/proc/self/root/proc/1/root{canary}")]),
        ("through /proc/self/fd", vec![link(at, "/proc/self/fd/3/..{canary}")]),
        ("to a place inside", vec![dir("/elsewhere"), link(at, "/elsewhere")]),
    ]
}

/// The same where the path that leads out on the host exists in the root as well: there it leads.
pub fn links_inside(at: &str) -> Vec<(&'static str, Vec<Spoil>)> {
    let mut kinds = only(links(at), &["absolute", "climbing", "chain", "to a place inside"]);
    kinds.iter_mut().for_each(|(_, spoils)| spoils.push(dir("{canary}")));
    kinds
}

/// Those that lead nowhere in the root.
pub fn links_to_nowhere(at: &str) -> Vec<(&'static str, Vec<Spoil>)> {
    let inside = "to a place inside";
    links(at).into_iter().filter(|(name, _)| *name != inside).collect()
}

/// Everything but a directory.
pub fn others(at: &str) -> Vec<(&'static str, Vec<Spoil>)> {
    vec![
        ("file", vec![file(at, "x")]),
        ("FIFO", vec![fifo(at)]),
        ("socket", vec![Spoil::Socket(at.into())]),
        ("disk", vec![block(at, 8, 0)]),
        ("memory device", vec![character(at, 1, 1)]),
    ]
}

/// One form for each, which all run `script`.
pub fn each(kinds: Vec<(&'static str, Vec<Spoil>)>, script: &str) -> Vec<Form> {
    let form = |(name, spoils): (&str, Vec<Spoil>)| Form::script(script).named(name).spoil(spoils);
    kinds.into_iter().map(form).collect()
}

/// The forms that `keep` names.
pub fn only(
    kinds: Vec<(&'static str, Vec<Spoil>)>,
    keep: &[&str],
) -> Vec<(&'static str, Vec<Spoil>)> {
    kinds.into_iter().filter(|(name, _)| keep.contains(name)).collect()
}

const REAL_PROC: &str = "
    grep -q '^proc /proc proc ' /proc/mounts || echo no procfs
    [ \"$(cat /proc/self/comm)\" = cat ] || echo a forged /proc/self
    [ -e /proc/forged ] && echo the image shows through
    true";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("/proc is a link", "CVE-2019-19921, CVE-2023-27561, CVE-2025-54867")
            .no_entry()
            .forms(each(links("/proc"), ""))
            .modes(EVERY)
            .refused("/proc"),
        Case::new("/sys is a link", "CVE-2025-54867")
            .no_entry()
            .forms(each(links("/sys"), ""))
            .modes(EVERY)
            .refused("/sys"),
        Case::new("/dev is a link", "CVE-2026-41579, CVE-2026-47766, CVE-2024-45310")
            .no_entry()
            .forms(each(links("/dev"), ""))
            .modes(EVERY)
            .refused("/dev"),
        Case::new("/proc is no directory", "CVE-2023-28642")
            .no_entry()
            .forms(each(others("/proc"), ""))
            .refused("/proc"),
        Case::new("/sys is no directory", "CVE-2023-28642")
            .no_entry()
            .forms(each(others("/sys"), ""))
            .refused("/sys"),
        Case::new("/dev is no directory", "CVE-2024-45310")
            .no_entry()
            .forms(each(others("/dev"), ""))
            .refused("/dev"),
        Case::new("/proc is forged", "CVE-2019-16884, CVE-2025-52881")
            .form(Form::script(REAL_PROC).spoil([
                file("/proc/forged", ""),
                file("/proc/self/comm", "x"),
                link("/proc/self/attr/exec", "{canary}/secret"),
                link("/proc/self/oom_score_adj", "{canary}/secret"),
                link("/proc/sys/kernel/core_pattern", "{canary}/secret"),
            ]))
            .modes(EVERY),
        Case::new("/sys is forged", "CVE-2023-25809")
            .form(
                Form::script("[ -e /sys/kernel ] || echo no sysfs")
                    .spoil([link("/sys/fs/cgroup", "{canary}"), link("/sys/firmware", "{canary}")]),
            )
            .modes(EVERY),
        Case::new("/dev/pts, /dev/shm, /dev/mqueue are links", "CVE-2026-41579").forms(
            ["/dev/pts", "/dev/shm", "/dev/mqueue"].into_iter().flat_map(|at| {
                let script = "grep -q ' /dev/shm tmpfs ' /proc/mounts || echo no shm";
                each(only(links(at), &["absolute", "climbing", "dangling"]), script)
            }),
        ),
        Case::new("/dev/null is something else", "CVE-2025-31133, CVE-2026-88265")
            .forms(
                [
                    ("link to a file", link("/dev/null", "{canary}/null")),
                    ("link to /proc", link("/dev/null", "/proc/self/comm")),
                    ("file", file("/dev/null", "x")),
                    ("FIFO", fifo("/dev/null")),
                    ("directory", dir("/dev/null")),
                    ("disk", block("/dev/null", 8, 0)),
                ]
                .map(|(name, spoil)| {
                    let script = "
                        [ -c /dev/null ] && [ \"$(stat -c %t:%T /dev/null)\" = 1:3 ] ||
                            echo not the null device
                        echo x > /dev/null && [ -z \"$(cat /dev/null)\" ] || echo it keeps
                        grep CPU0 /proc/interrupts; true";
                    Form::script(script).named(name).spoil([spoil])
                }),
            )
            .modes(EVERY),
        Case::new("/dev/console is something else", "CVE-2025-52565, CVE-2026-88264").forms(
            [
                ("link", link("/dev/console", "{canary}/console")),
                ("link to /proc", link("/dev/console", "/proc/self/comm")),
                ("directory", dir("/dev/console")),
            ]
            .map(|(name, spoil)| Form::script("true").named(name).spoil([spoil])),
        ),
        Case::new("the links in /dev lead out", "CVE-2025-52565").form(
            Form::script("readlink /dev/fd | grep -qx /proc/self/fd || echo a forged /dev/fd")
                .spoil(
                    ["fd", "stdin", "stdout", "stderr", "ptmx", "tty", "zero", "core"]
                        .map(|name| link(&format!("/dev/{name}"), "{canary}/secret")),
                ),
        ),
        Case::new("the first directories are links", "CVE-2024-45310")
            .forms(["/etc", "/run", "/var", "/root"].into_iter().flat_map(|at| {
                each(links_inside(at), "touch /etc/made /tmp/made 2>/dev/null; true")
                    .into_iter()
                    .map(move |form| form.flags(["--tmpfs".to_owned(), format!("{at}/a/b")]))
            }))
            .modes(EVERY),
        Case::new("the first directories are links to nowhere", "CVE-2024-45310")
            .by_engines(By::Ends(Expect::Either("/a/b")))
            .forms(["/tmp", "/root"].into_iter().flat_map(|at| {
                each(links_to_nowhere(at), "touch /etc/made /tmp/made 2>/dev/null; true")
                    .into_iter()
                    .map(move |form| form.flags(["--tmpfs".to_owned(), format!("{at}/a/b")]))
            }))
            .modes(EVERY)
            .refused("/a/b"),
        Case::new("the first directories are none", "CVE-2024-45310")
            .no_entry()
            .forms(["/run", "/tmp"].into_iter().flat_map(|at| {
                each(only(others(at), &["file", "FIFO", "socket", "disk"]), "")
                    .into_iter()
                    .map(move |form| form.flags(["--tmpfs".to_owned(), format!("{at}/a/b")]))
            }))
            .modes(WRITABLE)
            .refused("/a/b"),
        Case::new("/etc is none, or leads nowhere", "CVE-2024-45310")
            .by_engines(By::Ends(Expect::Either("/etc")))
            .forms(
                each(links_to_nowhere("/etc"), "")
                    .into_iter()
                    .chain(each(others("/etc"), ""))
                    .map(|form| form.flags(["--tmpfs", "/etc/a/b"])),
            )
            .refused("/etc"),
        Case::new("files a runtime may fill in are links", "CVE-2025-24965, CVE-2026-41579").form(
            Form::script("true").spoil(
                [
                    "/etc/hosts",
                    "/etc/resolv.conf",
                    "/etc/hostname",
                    "/etc/mtab",
                    "/run/.containerenv",
                    "/.dockerenv",
                ]
                .map(|at| link(at, "{canary}/pwned")),
            ),
        ),
    ]
}
