//! Files that an image leaves lying for the runtime, the kernel or the host to stumble over.

use super::super::case::{Case, EVERY, Expect, Form, ONE};
use super::super::spoil::{Spoil, block, character, dir, file, gone, link, program};
use super::super::way::By;

fn xattr(at: &str, name: &'static str, value: &'static [u8]) -> Spoil {
    Spoil::Xattr(at.into(), name, value)
}

/// Names that a runtime gives to what it makes.
const OWN_NAMES: [&str; 12] = [
    "config.json",
    ".config.json",
    "state.json",
    "upper",
    "work",
    "root",
    "lower",
    "merged",
    ".hotcell",
    ".pivot_root",
    ".old_root",
    "init",
];

pub fn cases() -> Vec<Case> {
    let open = "
        n=0
        for d in /tmp/d/*; do
            n=$((n + 1))
            (head -c 1 $d > /tmp/got) 2>/dev/null && [ -s /tmp/got ] && echo opened $d
            (: >> $d) 2>/dev/null && echo opened $d for writing
        done
        [ $n = 7 ] || echo $n devices";
    vec![
        Case::new("device nodes in the image", "GO-2022-0396").form(Form::script(open).spoil([
            block("/tmp/d/disk", 8, 0),
            block("/tmp/d/vda", 254, 0),
            block("/tmp/d/loop0", 7, 0),
            character("/tmp/d/mem", 1, 1),
            character("/tmp/d/kmsg", 1, 11),
            character("/tmp/d/kvm", 10, 232),
            character("/tmp/d/fuse", 10, 229),
        ])),
        Case::new("names of a runtime's own files", "CVE-2025-24965")
            .form(
                Form::script("true")
                    .named("links")
                    .spoil(OWN_NAMES.map(|name| link(&format!("/{name}"), "{canary}/pwned"))),
            )
            .form(
                Form::script("true")
                    .named("directories")
                    .spoil(OWN_NAMES.map(|name| dir(&format!("/{name}/{name}")))),
            )
            .modes(EVERY),
        Case::new("forged overlay attributes", "trusted.overlay.* in an image")
            .form(Form::script("cat /dir/secret /file 2>/dev/null; true").named("trusted").spoil([
                dir("/dir"),
                xattr("/dir", "trusted.overlay.opaque", b"y"),
                xattr("/dir", "trusted.overlay.redirect", b"/../../../../canary"),
                xattr("/dir", "trusted.overlay.origin", b"\x00\xfb\x15\x00"),
                file("/file", ""),
                xattr("/file", "trusted.overlay.metacopy", b""),
                xattr("/file", "trusted.overlay.redirect", b"/canary/secret"),
                xattr("/etc", "trusted.overlay.impure", b"y"),
                xattr("/", "trusted.overlay.opaque", b"y"),
            ]))
            .form(Form::script("cat /dir/secret /file 2>/dev/null; true").named("user").spoil([
                dir("/dir"),
                xattr("/dir", "user.overlay.redirect", b"/../../../../canary"),
                file("/file", ""),
                xattr("/file", "user.overlay.metacopy", b""),
                xattr("/", "user.overlay.opaque", b"x"),
            ]))
            .modes(EVERY),
        Case::new("whiteouts in the image", "char 0:0 and .wh. names").form(
            Form::script("ls -R /w > /tmp/list; true").spoil([
                character("/w/gone", 0, 0),
                file("/w/.wh..wh..opq", ""),
                file("/w/.wh...", ""),
                file("/w/.wh.x", ""),
                character("/var", 0, 0),
            ]),
        ),
        Case::new("whiteouts of /proc, /sys and /dev", "char 0:0 where the runtime mounts")
            .by_engines(By::Ends(Expect::Refused("set-up step")))
            .no_entry()
            .forms(["/proc", "/sys", "/dev"].map(|at| {
                let script = "grep -q '^proc /proc proc ' /proc/mounts || echo no procfs";
                Form::script(script).named(at).spoil([character(at, 0, 0)])
            })),
        Case::new("a whiteout as a mount point", "char 0:0 where a volume goes")
            .by_engines(By::Ends(Expect::Refused("/data")))
            .no_entry()
            .form(
                Form::script("[ \"$(cat /data/marker)\" = shared ] || echo not mounted")
                    .spoil([character("/data", 0, 0)])
                    .flags(["-v", "{share}:/data"]),
            ),
        Case::new("a host's file by a hard link", "hard link to outside")
            .by_engines(By::NotRun("a plain root is the container's own"))
            .form(
                Form::script(
                    "echo x >> /hard 2>/dev/null; chmod 777 /hard; chown 1:1 /hard; rm -f /hard
                    true",
                )
                .spoil([Spoil::HardLink("/hard".into(), "{canary}/dir/hard".into())]),
            )
            .modes(EVERY)
            .no_peers("a peer writes to the root that it is given"),
        Case::new("hostile modes and owners", "root that nobody may enter")
            .forms(
                [
                    ("mode 0", Spoil::Mode("/".into(), 0)),
                    ("set-group-id and sticky", Spoil::Mode("/".into(), 0o7777)),
                    ("somebody's", Spoil::Owner("/".into(), 4_000_000_000, 4_000_000_000)),
                ]
                .map(|(name, spoil)| Form::script("true").named(name).spoil([spoil])),
            )
            .modes(EVERY),
        Case::new("missing mount points", "CVE-2024-45310")
            .form(
                Form::script("grep -q '^proc /proc proc ' /proc/mounts || echo no procfs")
                    .spoil(["/proc", "/sys", "/dev", "/tmp", "/etc"].map(gone)),
            )
            .modes(EVERY),
        Case::new("names as long as they get", "NAME_MAX, PATH_MAX").form(
            Form::script("rm -rf /n* 2>/dev/null; true").spoil([
                file(&format!("/{}", "n".repeat(255)), ""),
                dir(&format!("/deep{}", "/d".repeat(1500))),
                file("/new\nline \\ % ' \" , : x", ""),
            ]),
        ),
        Case::new("helpers that a host might run", "CVE-2026-41567, CVE-2019-14271")
            .form(
                Form::script("true").spoil(
                    [
                        "/usr/bin/xz",
                        "/usr/bin/unpigz",
                        "/usr/bin/tar",
                        "/usr/bin/newuidmap",
                        "/sbin/mkfs.ext4",
                        "/sbin/modprobe",
                        "/usr/bin/nsenter",
                        "/usr/sbin/iptables",
                        "/lib/libnss_files.so.2",
                        "/lib64/libc.so.6",
                        "/etc/ld.so.preload",
                    ]
                    .map(|at| program(at, "#!/bin/sh\ntouch {canary}/pwned\n")),
                ),
            )
            .modes(ONE),
    ]
}
