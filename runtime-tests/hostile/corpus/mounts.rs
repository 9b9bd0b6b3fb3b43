//! Volumes and tmpfs on targets that the image, or another cell, made hostile.

use super::super::case::{Case, EVERY, Expect, Form, ONE};
use super::super::spoil::{Spoil, dir, fifo, file, link};
use super::super::way::{By, NO_BUNDLE};
use super::places::{each, links_inside, links_to_nowhere};

fn with(
    kinds: Vec<(&'static str, Vec<Spoil>)>,
    flags: [&'static str; 2],
    script: &'static str,
) -> Vec<Form> {
    each(kinds, script).into_iter().map(|form| form.flags(flags)).collect()
}

const VOLUME: [&str; 2] = ["-v", "{share}:/data"];
const FILE: [&str; 2] = ["-v", "{share}/marker:/data:ro"];
const TMPFS: [&str; 2] = ["--tmpfs", "/data/t"];
const BELOW: [&str; 2] = ["-v", "{share}:/data/made/here"];

/// A volume with `made` in it goes over the cell's own devices.
fn over_dev(name: &str, made: &str) -> Form {
    let script = "[ -f /proc/interrupts ] && grep CPU0 /proc/interrupts; true";
    let prepare = format!("rm -rf {{share}}/null; {made}; exec \"$@\"");
    Form::script(script).named(name).spoil([link("/data", "/dev")]).flags(VOLUME).under([
        "sh".to_owned(),
        "-c".to_owned(),
        prepare,
        "sh".to_owned(),
    ])
}

pub fn cases() -> Vec<Case> {
    let shared = "[ \"$(cat /data/marker)\" = shared ] || echo not mounted";
    let below = "[ \"$(cat /data/made/here/marker)\" = shared ] || echo not mounted";
    vec![
        Case::new("a volume's target is a link", "CVE-2019-18837, CVE-2021-30465")
            .forms(with(links_inside("/data"), VOLUME, shared))
            .modes(EVERY),
        Case::new("a volume's target is a link to nowhere", "CVE-2021-30465")
            .by_engines(By::Ends(Expect::Either("/data")))
            .forms(with(links_to_nowhere("/data"), VOLUME, ""))
            .modes(EVERY)
            .refused("/data"),
        Case::new("a link above a volume's target", "CVE-2024-45310")
            .forms(with(links_inside("/data"), BELOW, below))
            .modes(EVERY),
        Case::new("a link to nowhere above a volume's target", "CVE-2024-45310")
            .by_engines(By::Ends(Expect::Either("/data/made/here")))
            .forms(with(links_to_nowhere("/data"), BELOW, ""))
            .refused("/data/made/here"),
        Case::new("a tmpfs's target is a link", "CVE-2019-18837")
            .forms(with(links_inside("/data"), TMPFS, "touch /data/t/x || echo not writable"))
            .modes(EVERY),
        Case::new("a tmpfs's target is a link to nowhere", "CVE-2019-18837")
            .by_engines(By::Ends(Expect::Either("/data/t")))
            .forms(with(links_to_nowhere("/data"), TMPFS, ""))
            .modes(EVERY)
            .refused("/data/t"),
        Case::new("a volume's target is no directory", "a file where a directory goes")
            .no_entry()
            .forms(
                [("file", file("/data", "")), ("FIFO", fifo("/data"))]
                    .map(|(name, spoil)| Form::script("").named(name).spoil([spoil]).flags(VOLUME)),
            )
            .form(
                Form::script("")
                    .named("a directory where a file goes")
                    .spoil([dir("/data")])
                    .flags(["-v", "{share}/marker:/data"]),
            )
            .form(
                Form::script("")
                    .named("below a file")
                    .spoil([file("/data", "")])
                    .flags(["-v", "{share}:/data/x"]),
            )
            .refused("/data"),
        Case::new("a file's target is a link", "CVE-2019-18837").forms(
            [
                ("absolute", vec![link("/data", "{canary}/null"), file("{canary}/null", "")]),
                ("to a file inside", vec![link("/data", "/etc/passwd")]),
            ]
            .map(|(name, spoils)| {
                let script = "[ \"$(cat /data)\" = shared ] || echo not mounted";
                Form::script(script).named(name).spoil(spoils).flags(FILE)
            }),
        ),
        Case::new("a file's target is a link to nowhere", "CVE-2019-18837")
            .by_engines(By::Ends(Expect::Either("/data")))
            .forms(
                ["{canary}/null", "{canary}/pwned", "/data", "/proc/self/fd/3"]
                    .map(|to| Form::script("").named(to).spoil([link("/data", to)]).flags(FILE)),
            )
            .refused("/data"),
        Case::new("a target that climbs", "Docker CVE-2014-9356")
            .by_engines(NO_BUNDLE)
            .forms(["/../../tmp/x", "/data/../../..", "/..", "/", "relative", ""].map(|to| {
                Form::script("").named(to).flags(["-v".to_owned(), format!("{{share}}:{to}")])
            }))
            .modes(ONE)
            .refused("volume"),
        Case::new("a volume over /proc, /sys or /dev", "CVE-2019-16884, CVE-2019-19921")
            .by_engines(NO_BUNDLE)
            .forms(["/proc", "/sys", "/dev", "/proc/", "//dev", "/./sys"].map(|to| {
                Form::script("").named(to).flags(["-v".to_owned(), format!("{{share}}:{to}")])
            }))
            .modes(ONE)
            .refused("is taken"),
        Case::new("a target is a link into /proc", "CVE-2019-16884, CVE-2025-52881").forms(
            ["/proc/sys", "/proc/self", "/proc/self/attr", "/proc/1/fdinfo"].map(|to| {
                let script = "[ -e /proc/version ] || echo no procfs
                    (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo writable; true";
                Form::script(script).named(to).spoil([link("/data", to)]).flags(VOLUME)
            }),
        ),
        Case::new("a target is a link to /dev", "CVE-2025-31133, CVE-2026-88265")
            .no_entry()
            .forms(
                [
                    ("empty", "true"),
                    ("link", "ln -s /proc/self/comm {share}/null"),
                    ("link out", "ln -s {canary}/null {share}/null"),
                    ("directory", "mkdir {share}/null"),
                    ("other device", "mknod {share}/null c 1 5"),
                    ("file", "echo x > {share}/null"),
                    ("FIFO", "mkfifo {share}/null"),
                ]
                .map(|(name, made)| over_dev(name, made)),
            )
            .refused("set-up step"),
        Case::new("a read-only volume stays so", "CVE-2023-25809")
            .form(
                Form::script(
                    "(echo x > /data/marker) 2>/dev/null && echo wrote
                    mount -o remount,rw /data 2>/dev/null && echo remounted
                    mount -o bind,remount,rw /data 2>/dev/null && echo remounted
                    [ \"$(cat /data/marker)\" = shared ] || echo not mounted",
                )
                .flags(["-v", "{share}:/data:ro"]),
            )
            .modes(EVERY),
        Case::new("unknown mount options", "CVE-2024-1753")
            .by_engines(NO_BUNDLE)
            .forms(
                [
                    "{share}:/data:bind-propagation=../..",
                    "{share}:/data:src=/etc",
                    "{share}:/d:ro:x",
                ]
                .map(|volume| Form::script("").named(volume).flags(["-v", volume])),
            )
            .forms(
                ["/t:size=0", "/t:mode=99", "/t:uid=../x", "/t:context=x"]
                    .map(|tmpfs| Form::script("").named(tmpfs).flags(["--tmpfs", tmpfs])),
            )
            .modes(ONE)
            .no_peers("the bundle is refused before it is written")
            .refused("--"),
    ]
}
