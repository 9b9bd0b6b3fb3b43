//! Users, groups, names: texts that become numbers, paths and records.

use super::super::case::{Case, EVERY, Form, ONE};
use super::super::spoil::{Spoil, dir, fifo, file, link};
use super::super::way::{By, NO_BUNDLE};

const PASSWD: &str = "root:x:0:0::/:/bin/sh\n1:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n\
    4294967296:x:0:0::/:/bin/sh\n99999999999:x:0:0::/:/bin/sh\n0x0:x:0:0::/:/bin/sh\n";

fn user(text: &str, script: &str) -> Form {
    Form::script(script).named(text).flags([format!("--user={text}")])
}

pub fn cases() -> Vec<Case> {
    let hostile_files = |at: &'static str| {
        [
            ("FIFO", vec![fifo(at)]),
            ("5 GiB", vec![Spoil::Sparse(at.into(), 5 << 30)]),
            ("/dev/zero", vec![link(at, "/dev/zero")]),
            ("zeros of its own", vec![Spoil::Device(at.into(), false, 1, 5)]),
            ("out", vec![link(at, "{canary}/passwd")]),
            ("loop", vec![link(at, at)]),
            ("directory", vec![dir(at)]),
        ]
    };
    let is_1000 = "[ $(id -u):$(id -g) = 1000:1000 ] || id";
    vec![
        Case::new("users that are no number", "CVE-2026-30892, CVE-2024-40635, CVE-2026-46680")
            .by_engines(NO_BUNDLE)
            .forms(
                ["0x0", "-1", "+0", "a:b:c", "1:", ":1", "1:2:3", "1000:", " 0", "0 ", "../0"]
                    .map(|text| user(text, "id").spoil([file("/etc/passwd", PASSWD)])),
            )
            .form(user("", "id"))
            .modes(ONE)
            .no_peers("the bundle is refused before it is written")
            .refused("user"),
        Case::new("users beyond 32 bits", "CVE-2024-40635")
            .by_engines(NO_BUNDLE)
            .forms(
                ["4294967295", "4294967296", "99999999999", "0:4294967295", "0:4294967296"]
                    .map(|text| user(text, "id").spoil([file("/etc/passwd", PASSWD)])),
            )
            .modes(ONE)
            .no_peers("the bundle is refused before it is written")
            .refused("user"),
        Case::new("numbers that are names in the image", "CVE-2016-3697, CVE-2026-46680")
            .form(user("1", "[ $(id -u) = 1 ] || id").spoil([file("/etc/passwd", PASSWD)]))
            .form(user("1000:1000", is_1000).spoil([file("/etc/passwd", PASSWD)]))
            .form(
                user("4294967294:4294967294", "[ $(id -u) = 4294967294 ] || id")
                    .spoil([file("/etc/passwd", PASSWD)]),
            ),
        Case::new("a hostile /etc/passwd", "CVE-2026-47262, CVE-2024-9676")
            .by_engines(NO_BUNDLE)
            .forms(
                hostile_files("/etc/passwd")
                    .map(|(name, spoils)| user("1000:1000", is_1000).named(name).spoil(spoils)),
            )
            .refused("/etc/passwd"),
        Case::new("a hostile /etc/group", "CVE-2026-47262, CVE-2024-9676")
            .by_engines(NO_BUNDLE)
            .forms(
                hostile_files("/etc/group")
                    .map(|(name, spoils)| user("1000:1000", is_1000).named(name).spoil(spoils)),
            )
            .refused("/etc/group"),
        Case::new("user names from a hostile /etc/passwd", "CVE-2026-47262, CVE-2016-3697")
            .by_engines(NO_BUNDLE)
            .forms(
                hostile_files("/etc/passwd")
                    .map(|(name, spoils)| user("nobody", "id").named(name).spoil(spoils)),
            )
            .form(user("nobody", "id").named("missing").spoil([Spoil::Gone("/etc/passwd".into())]))
            .no_peers("hotcell finds no number to write into the bundle")
            .refused("passwd"),
        Case::new("no /etc/passwd, no /etc/group", "scratch images").form(
            user("1000:1000", is_1000)
                .spoil(["/etc/passwd", "/etc/group"].map(|at| Spoil::Gone(at.into()))),
        ),
        Case::new("further groups", "GO-2022-0985")
            .form(
                user(
                    "1000:1000",
                    "grep -q '^Groups:[[:space:]]*\\(1000 \\)\\?$' /proc/self/status ||
                    grep Groups /proc/self/status",
                )
                .spoil([file("/etc/group", "root:x:0:1000\ndisk:x:6:1000\n")]),
            )
            .form(user(
                "0:0",
                "grep -q '^Groups:[[:space:]]*\\(0 \\)\\?$' /proc/self/status ||
                    grep Groups /proc/self/status",
            ))
            .modes(EVERY),
        Case::new("capabilities that are left over", "CVE-2022-29162, CVE-2022-27650")
            .form(Form::script(
                "grep -q '^CapInh:.0000000000000000$' /proc/self/status || echo inheritable
                    grep -q '^CapAmb:.0000000000000000$' /proc/self/status || echo ambient
                    grep -q '^NoNewPrivs:.1$' /proc/self/status || echo new privileges
                    grep -q '^CapBnd:.00000000a80425fb$' /proc/self/status || echo other bounds",
            ))
            .modes(EVERY),
        Case::new("names that are paths or flags", "crun 1.28, GHSA-x7pf, moby 4f84bcb967")
            .by_engines(By::NotRun("the name is no part of a bundle"))
            .forms(
                ["..", ".", "a/b", "../a", "", "-rf", "--", "a\nb", "a b", "ü", "a\u{7f}"]
                    .map(|name| Form::script("").named(name).flags([format!("--name={name}")])),
            )
            .form(
                Form::script("").named("300 bytes").flags([format!("--name={}", "n".repeat(300))]),
            )
            .modes(ONE)
            .no_peers("the name is no part of a bundle")
            .refused("cell name"),
        Case::new("host names that are none", "CVE-2021-43784")
            .by_engines(NO_BUNDLE)
            .form(Form::script("").named("empty").flags(["--hostname="]))
            .form(
                Form::script("")
                    .named("70 000 bytes")
                    .flags([format!("--hostname={}", "h".repeat(70_000))]),
            )
            .modes(ONE)
            .no_peers("the bundle is refused before it is written")
            .refused("hostname"),
        Case::new("a host name that says more", "injection into files and prompts")
            .by_engines(NO_BUNDLE)
            .form(Form::script("hostname").flags(["--hostname=a\n127.0.0.1 b $(touch {canary}/x)"]))
            .refused("hostname"),
    ]
}
