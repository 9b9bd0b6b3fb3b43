//! Working directories and inherited descriptors: the ways in through /proc/self/fd.

use super::super::case::{Case, EVERY, Expect, Form, ONE};
use super::super::spoil::{Spoil, block, dir, fifo, file, link};
use super::super::way::By;
use super::places::{each, links_inside, links_to_nowhere};

fn workdir(at: &str) -> [String; 2] {
    ["-w".to_owned(), at.to_owned()]
}

/// Starts the runtime with fifty descriptors open on the host's root.
pub const FIFTY: [&str; 4] =
    ["bash", "-c", "for n in $(seq 10 60); do eval \"exec $n</\"; done; exec \"$@\"", "bash"];

pub fn cases() -> Vec<Case> {
    let here = "[ \"$(pwd -P | head -c 1)\" = / ] || echo unreachable
        cat ../../../../../../..{canary}/secret 2>/dev/null; true";
    vec![
        Case::new("a working directory in /proc/self/fd", "CVE-2024-21626")
            .forms((3..=64).map(|number| {
                let at = format!("/proc/self/fd/{number}");
                Form::script(here).named(at.clone()).flags(workdir(&at))
            }))
            .modes(ONE)
            .refused("/proc/self/fd/"),
        Case::new("the same with fifty more descriptors", "CVE-2024-21626")
            .forms([3, 7, 8, 10, 11, 35, 60].map(|number| {
                let at = format!("/proc/self/fd/{number}");
                Form::script(here).named(at.clone()).flags(workdir(&at)).under(FIFTY)
            }))
            .modes(EVERY)
            .refused("/proc/self/fd/"),
        Case::new("a working directory that links there", "CVE-2024-21626")
            .forms(
                [
                    "/proc/self/fd/3",
                    "/proc/self/fd/7",
                    "/proc/self/fd/8",
                    "/proc/1/cwd",
                    "/proc/self/cwd",
                    "/proc/self/root",
                    "/proc/1/root",
                    "/proc/thread-self/fd/7",
                    "/proc/self/fd/7/../../..",
                ]
                .map(|to| {
                    Form::script(here).named(to).spoil([link("/way", to)]).flags(workdir("/way"))
                }),
            )
            .modes(EVERY)
            .refused("/way"),
        Case::new("fifty inherited descriptors", "Docker 1.6.1, runc#5007")
            .form(
                Form::script(
                    "cd /proc/self/fd && for n in *; do
                    case $(readlink $n) in
                        pipe:*|/dev/null|/proc/*) ;;
                        '') ;;
                        *) echo \"$n is $(readlink $n)\" ;;
                    esac
                done
                [ -e 0 ] || echo blind",
                )
                .under(FIFTY),
            )
            .modes(EVERY),
        Case::new("what the driver was started with", "environment, umask, ignored signals").form(
            Form::script(
                "env | grep -q SECRET && echo the environment is inherited
                [ $(umask) = 0022 ] || echo umask $(umask)
                grep -q '^SigIgn:.0*$' /proc/self/status || grep SigIgn /proc/self/status
                grep -q '^SigBlk:.0*$' /proc/self/status || grep SigBlk /proc/self/status
                true",
            )
            .under([
                "bash",
                "-c",
                "umask 0; trap '' PIPE HUP USR1; export SECRET={token}; exec \"$@\"",
                "bash",
            ]),
        ),
        Case::new("a working directory that leads out", "CVE-2024-21626")
            .forms(each(links_inside("/way"), here).into_iter().map(|f| f.flags(workdir("/way"))))
            .modes(EVERY),
        Case::new("a working directory that leads to nowhere", "CVE-2024-21626")
            .forms(each(links_to_nowhere("/way"), "").into_iter().map(|f| f.flags(workdir("/way"))))
            .modes(EVERY)
            .refused("/way"),
        Case::new("a working directory that is none", "chdir to a file")
            .forms(
                [
                    ("file", vec![file("/way", "")]),
                    ("FIFO", vec![fifo("/way")]),
                    ("socket", vec![Spoil::Socket("/way".into())]),
                    ("disk", vec![block("/way", 8, 0)]),
                    ("loop", vec![link("/way", "way")]),
                    ("below a file", vec![file("/way", "")]),
                ]
                .map(|(name, spoils)| {
                    let at = if name == "below a file" { "/way/x" } else { "/way" };
                    Form::script("").named(name).spoil(spoils).flags(workdir(at))
                }),
            )
            .modes(EVERY)
            .refused("/way"),
        Case::new("a forest of 300 links", "ELOOP at 40")
            .form(
                Form::script("")
                    .spoil((0..300).map(|n| link(&format!("/f/{n}"), &format!("{}", n + 1))))
                    .spoil([dir("/f/300")])
                    .flags(workdir("/f/0")),
            )
            .refused("/f/0"),
        Case::new("a working directory that climbs or never ends", "PATH_MAX")
            .by_engines(By::Ends(Expect::Either("")))
            .form(Form::script("").named("climbing").flags(workdir("/../..{canary}")))
            .form(Form::script("").named("5000 bytes").flags(workdir(&"/long".repeat(1000))))
            .form(Form::script("").named("relative").flags(workdir("../..")))
            .modes(ONE)
            .no_peers("the bundle is refused before it is written")
            .refused(""),
        Case::new("a working directory that vanishes", "getcwd fails").form(
            Form::script(
                "rmdir /tmp/way; cat ../../../../..{canary}/secret ../secret 2>/dev/null
                (cd .. 2>/dev/null; ls {canary} 2>/dev/null)
                sh -c true; true",
            )
            .spoil([dir("/tmp/way")])
            .flags(workdir("/tmp/way")),
        ),
    ]
}
