//! Volumes and tmpfs on targets that the image, or another cell, made hostile.

use super::super::case::{Case, EVERY, Form, ONE};
use super::super::spoil::{dir, fifo, file, link};
use super::places::links;

/// The forms of a link that end somewhere inside.
fn inner(at: &str, flags: [&str; 2], script: &str) -> Vec<Form> {
    let nowhere = ["loop", "through /proc/self/root", "through /proc/self/fd"];
    let kinds = links(at).into_iter().filter(|(name, _)| !nowhere.contains(name));
    kinds
        .map(|(name, spoils)| Form::script(script).named(name).spoil(spoils).flags(flags))
        .collect()
}

fn nowhere(at: &str, flags: [&str; 2]) -> Vec<Form> {
    let nowhere = ["loop", "through /proc/self/root", "through /proc/self/fd"];
    let kinds = links(at).into_iter().filter(|(name, _)| nowhere.contains(name));
    kinds.map(|(name, spoils)| Form::script("").named(name).spoil(spoils).flags(flags)).collect()
}

const VOLUME: [&str; 2] = ["-v", "{share}:/data"];
const BELOW: [&str; 2] = ["-v", "{share}:/data/made/here"];

pub fn cases() -> Vec<Case> {
    let shared = "[ \"$(cat /data/marker)\" = shared ] || echo not mounted";
    let below = "[ \"$(cat /data/made/here/marker)\" = shared ] || echo not mounted";
    vec![
        Case::new("a volume's target is a link", "CVE-2019-18837, CVE-2021-30465")
            .forms(inner("/data", VOLUME, shared))
            .modes(EVERY),
        Case::new("a volume's target is a link to nowhere", "CVE-2021-30465")
            .forms(nowhere("/data", VOLUME))
            .modes(EVERY)
            .refused("/data"),
        Case::new("a link above a volume's target", "CVE-2024-45310")
            .forms(inner("/data", BELOW, below))
            .modes(EVERY),
        Case::new("a link to nowhere above a volume's target", "CVE-2024-45310")
            .forms(nowhere("/data", BELOW))
            .refused("/data/made/here"),
        Case::new("a tmpfs's target is a link", "CVE-2019-18837")
            .forms(inner("/data", ["--tmpfs", "/data/t"], "touch /data/t/x || echo not writable"))
            .modes(EVERY),
        Case::new("a volume's target is no directory", "a file where a directory goes")
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
                ("absolute", link("/data", "{canary}/secret")),
                ("dangling", link("/data", "{canary}/pwned")),
                ("to a file inside", link("/data", "/etc/passwd")),
            ]
            .map(|(name, spoil)| {
                let script = "[ \"$(cat /data)\" = shared ] || echo not mounted";
                let flags = ["-v", "{share}/marker:/data:ro"];
                Form::script(script).named(name).spoil([spoil]).flags(flags)
            }),
        ),
        Case::new("a target that climbs", "Docker CVE-2014-9356")
            .forms(["/../../tmp/x", "/data/../../..", "/..", "/", "relative", ""].map(|to| {
                Form::script("").named(to).flags(["-v".to_owned(), format!("{{share}}:{to}")])
            }))
            .modes(ONE)
            .refused("volume"),
        Case::new("a volume over /proc, /sys or /dev", "CVE-2019-16884, CVE-2019-19921")
            .forms(["/proc", "/sys", "/dev", "/proc/", "//dev", "/./sys"].map(|to| {
                Form::script("").named(to).flags(["-v".to_owned(), format!("{{share}}:{to}")])
            }))
            .modes(ONE)
            .refused("is taken"),
        Case::new("a target is a link into /proc", "CVE-2019-16884, CVE-2025-52881").forms(
            ["/proc/sys", "/proc/self", "/proc/self/attr", "/proc/1/fdinfo"].map(|to| {
                let script = "[ -e /proc/self/status ] || [ -e /proc/1/status ] || echo no procfs
                    (: >> /proc/sys/kernel/core_pattern) 2>/dev/null && echo writable; true";
                Form::script(script).named(to).spoil([link("/data", to)]).flags(VOLUME)
            }),
        ),
        Case::new("a target is a link to /dev", "CVE-2025-31133, CVE-2026-88265")
            .form(Form::script("").spoil([link("/data", "/dev")]).flags(VOLUME))
            .refused("/dev/null"),
        Case::new("another cell left a link in the volume", "CVE-2021-30465, CVE-2015-3629")
            .forms(["{canary}", "../../../../../../../..{canary}", "/proc/1/root"].map(|to| {
                let under = ["sh", "-c", "ln -sfn \"$0\" {share}/sub; \"$@\"", to];
                let script = "true";
                Form::script(script).named(to).under(under).flags([
                    "-v",
                    "{share}:/data",
                    "--tmpfs",
                    "/data/sub/made",
                ])
            }))
            .later("a judge that knows what the first cell left"),
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
            .forms(
                [
                    "{share}:/data:bind-propagation=../..",
                    "{share}:/data:rshared",
                    "{share}:/d:ro:x",
                ]
                .map(|volume| Form::script("").named(volume).flags(["-v", volume])),
            )
            .forms(
                ["/t:size=0", "/t:mode=99", "/t:uid=../x", "/t:context=x"]
                    .map(|tmpfs| Form::script("").named(tmpfs).flags(["--tmpfs", tmpfs])),
            )
            .modes(ONE)
            .refused("must"),
    ]
}
