//! Commands that are not what they seem, and privilege that a file would give.

use super::super::case::{Case, EVERY, Expect, Form, ONE, WITH_INIT};
use super::super::spoil::{Spoil, block, character, dir, fifo, file, link, program};
use super::super::way::{By, OWN_FIRST};

/// A file capability: `CAP_SYS_ADMIN` and all others, effective.
const ALL_CAPABILITIES: &[u8] =
    &[1, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0xff, 1, 0, 0];

/// Those that Docker's set has: only `no_new_privs` keeps them from the task.
const SOME_CAPABILITIES: &[u8] =
    &[1, 0, 0, 2, 0xfb, 0x25, 0x04, 0xa8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn with_capabilities(name: &str, value: &'static [u8], then: &str) -> Form {
    let script = format!(
        "got=$(/caps/grep ^Cap /proc/self/status 2>/dev/null | grep -v ^CapBnd)
        echo \"$got\" | grep -v '0000000000000000$' | grep .
        {then}"
    );
    Form::script(&script)
        .named(name)
        .spoil([
            Spoil::Copy("/caps/grep".into()),
            Spoil::Xattr("/caps/grep".into(), "security.capability", value),
        ])
        .flags(["-u", "1000:1000"])
}

/// Tries every process's program for writing, again and again while others start.
const OVERWRITE: &str = "
    n=0
    while [ $n -lt 20 ]; do
        n=$((n + 1))
        for exe in /proc/[0-9]*/exe; do
            case $(readlink $exe) in
                /bin/busybox|'') continue ;;
            esac
            (echo x >> $exe) 2>/dev/null && echo wrote $exe
        done
        (exec /bin/true)
    done
    true";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("the command is /proc/self/exe", "CVE-2019-5736")
            .form(Form::command(["/proc/self/exe", "run"]).named("itself"))
            .form(
                Form::command(["/evil", "x"])
                    .named("a link")
                    .spoil([link("/evil", "/proc/self/exe")]),
            )
            .form(
                Form::command(["/evil", "x"])
                    .named("an interpreter")
                    .spoil([program("/evil", "#!/proc/self/exe\n")]),
            )
            // The init begins anew, without a plan, inside: it ends at once.
            .modes(EVERY)
            .code(127),
        Case::new("the command is PID 1's program", "CVE-2019-5736")
            .by_engines(OWN_FIRST)
            .form(Form::command(["/proc/1/exe", "run"]).named("itself"))
            .form(
                Form::command(["/evil", "x"]).named("a link").spoil([link("/evil", "/proc/1/exe")]),
            )
            .modes(WITH_INIT)
            .no_peers("their PID 1 is the task itself")
            .refused("cannot execute"),
        Case::new("overwriting what started the cell", "CVE-2019-5736")
            .form(Form::script(OVERWRITE))
            .modes(EVERY),
        Case::new("the command leads out", "CVE-2019-18837")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .forms(
                [
                    "{canary}/tool",
                    "../../../../../../../..{canary}/tool",
                    "/proc/1/root{canary}/tool",
                ]
                .map(|to| Form::command(["/evil"]).named(to).spoil([link("/evil", to)])),
            )
            .form(Form::command(["{canary}/tool"]).named("by its path"))
            .modes(EVERY)
            .refused("cannot execute"),
        Case::new("the command is no program", "exec of anything")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .forms(
                [
                    ("FIFO", fifo("/evil")),
                    ("directory", dir("/evil")),
                    ("socket", Spoil::Socket("/evil".into())),
                    ("disk", block("/evil", 8, 0)),
                    ("memory device", character("/evil", 1, 1)),
                    ("whiteout", character("/evil", 0, 0)),
                    ("empty", program("/evil", "")),
                    ("not executable", file("/evil", "#!/bin/sh\n")),
                    ("not known", program("/evil", "\u{7f}ELF garbage")),
                    ("its own link", link("/evil", "evil")),
                ]
                .map(|(name, spoil)| Form::command(["/evil"]).named(name).spoil([spoil])),
            )
            .refused("cannot execute"),
        Case::new("a hostile interpreter", "#! of anything")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .forms(
                [
                    ("itself", vec![program("/evil", "#!/evil\n")]),
                    ("nothing", vec![program("/evil", "#!\n")]),
                    ("4096 bytes", vec![program("/evil", &format!("#!/{}\n", "x".repeat(4096)))]),
                    ("FIFO", vec![program("/evil", "#!/fifo\n"), fifo("/fifo")]),
                    ("out", vec![program("/evil", "#!/out\n"), link("/out", "{canary}/tool")]),
                    ("directory", vec![program("/evil", "#!/bin\n")]),
                ]
                .map(|(name, spoils)| Form::command(["/evil"]).named(name).spoil(spoils)),
            )
            .refused("cannot execute"),
        Case::new("a forest of 300 links to a program", "ELOOP at 40")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .form(
                Form::command(["/f/0"])
                    .spoil((0..300).map(|n| link(&format!("/f/{n}"), &format!("{}", n + 1))))
                    .spoil([Spoil::Copy("/f/300".into())]),
            )
            .refused("cannot execute"),
        Case::new("a set-user-id program", "no_new_privs")
            .form(
                Form::script(
                    // What execve gave is told by the auxiliary vector, whatever busybox drops.
                    "[ $(id -u) = 1000 ] || echo not the user
                    v=$(/suid/od -A n -t d8 -w16 /proc/self/auxv | tr -s ' ')
                    echo \"$v\" | grep -q '^ 11 1000$' || echo blind \"$v\"
                    echo \"$v\" | grep -q '^ 12 1000$' || echo other effective user
                    echo \"$v\" | grep -q '^ 23 0$' || echo it is set-user-id",
                )
                .spoil([Spoil::Copy("/suid/od".into()), Spoil::Mode("/suid/od".into(), 0o6755)])
                .flags(["-u", "1000:1000"]),
            )
            .modes(EVERY),
        Case::new("file capabilities", "CVE-2022-29162, CVE-2022-24769")
            .form(with_capabilities("all", ALL_CAPABILITIES, "true"))
            .form(with_capabilities("Docker's", SOME_CAPABILITIES, "[ -n \"$got\" ] || echo blind"))
            .modes(EVERY),
        Case::new("a command of a megabyte", "containerd#4434, CVE-2021-43784")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .form(Form::command([format!("/{}", "x".repeat(100_000))]).named("100 000 bytes"))
            .form(
                Form::command(
                    ["/nothing".to_owned()].into_iter().chain((0..20).map(|_| "x".repeat(50_000))),
                )
                .named("a megabyte of arguments"),
            )
            .modes(EVERY)
            .refused("cannot execute"),
        Case::new("arguments and variables of 70 000 bytes", "CVE-2021-43784")
            .form(
                Form::script(&format!(
                    "x={}; [ ${{#x}} = 70000 ] || echo ${{#x}} bytes",
                    "x".repeat(70_000)
                ))
                .named("argument"),
            )
            .form(
                Form::script("[ ${#BIG} = 70000 ] || echo ${#BIG} bytes")
                    .named("variable")
                    .flags(["-e".to_owned(), format!("BIG={}", "x".repeat(70_000))]),
            )
            .modes(EVERY),
        Case::new("a loader's orders in the environment", "CVE-2019-14271")
            .form(Form::script("true").flags([
                "-e",
                "LD_PRELOAD={canary}/tool",
                "-e",
                "LD_AUDIT={canary}/tool",
                "-e",
                "LD_LIBRARY_PATH={canary}",
                "-e",
                "PATH=/bin:{canary}",
                "-e",
                "GCONV_PATH={canary}",
            ]))
            .modes(ONE),
        Case::new("a search path that leads out", "exec of anything")
            .by_engines(By::Ends(Expect::Refused("exec: ")))
            .form(
                Form::command(["tool"])
                    .spoil([link("/out", "{canary}")])
                    .flags(["-e", "PATH={canary}:/out:/proc/1/root{canary}:../../..{canary}"]),
            )
            .refused("cannot execute"),
    ]
}
