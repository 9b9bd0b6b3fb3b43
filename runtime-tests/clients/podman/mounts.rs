//! podman: volumes, their options, and how mounts spread.

use super::Podman;
use crate::bed::Bed;
use crate::clients::good;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(volumes_of_the_host, Cells, Busybox, Podman),
        test!(volumes_of_the_engine, Cells, Busybox, Podman),
        test!(memory_instead_of_files, Cells, Busybox, Podman),
        test!(a_root_that_nobody_writes, Cells, Busybox, Podman),
        test!(mounts_spread_as_asked, Cells, Busybox, Podman),
    ]
}

fn volumes_of_the_host(bed: &Bed) {
    Podman::with(bed, |podman| {
        let dir = bed.path("volume");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("there"), "before").unwrap();
        let volume = |options: &str| format!("{}:/v{options}", dir.display());
        let ran = podman.run(&["-v", &volume(":ro")], "cat /v/there; touch /v/new");
        assert!(ran.out == "before" && ran.err.contains("Read-only"), "{ran:?}");
        good(podman.run(&["-v", &volume("")], "echo after >/v/new"));
        assert_eq!(std::fs::read_to_string(dir.join("new")).unwrap(), "after\n");
        let options = "grep ' /v ' /proc/self/mounts";
        let strict = good(podman.run(&["-v", &volume(":noexec,nosuid,nodev")], options));
        assert!(["noexec", "nosuid", "nodev"].iter().all(|one| strict.contains(one)), "{strict}");
        let one = format!("{}:/etc/one:ro", dir.join("there").display());
        assert_eq!(good(podman.run(&["-v", &one], "cat /etc/one")), "before");
        let mount = format!("type=bind,src={},dst=/v,ro=true", dir.display());
        assert_ne!(podman.run(&["--mount", &mount], "touch /v/new").code, Some(0));
    });
}

fn volumes_of_the_engine(bed: &Bed) {
    Podman::with(bed, |podman| {
        // What the image has there is in the volume at first.
        assert_eq!(
            good(
                podman
                    .run(&["-v", "kept:/etc"], "echo k >/etc/kept; test -e /etc/passwd && echo y")
            ),
            "y"
        );
        assert_eq!(good(podman.run(&["-v", "kept:/k"], "cat /k/kept")), "k");
    });
}

fn memory_instead_of_files(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags = ["--tmpfs", "/u:size=64k,mode=700,noexec"];
        let seen = good(
            podman
                .run(&flags, "stat -c %a /u; df -k /u | tail -n 1; grep ' /u ' /proc/self/mounts"),
        );
        assert!(
            seen.starts_with("700\n") && seen.contains(" 64 ") && seen.contains("noexec"),
            "{seen}"
        );
        let full = podman.run(&flags, "head -c 100000 /dev/zero >/u/big || stat -c %s /u/big");
        assert_eq!(full.out, "65536\n", "{full:?}");
    });
}

fn a_root_that_nobody_writes(bed: &Bed) {
    Podman::with(bed, |podman| {
        let ran = podman.run(&["--read-only"], "touch /written; touch /tmp/y && echo tmp");
        assert!(ran.out == "tmp\n" && ran.err.contains("Read-only"), "{ran:?}");
        let bare = podman.run(&["--read-only", "--read-only-tmpfs=false"], "touch /tmp/y");
        assert_ne!(bare.code, Some(0), "{bare:?}");
    });
}

fn mounts_spread_as_asked(bed: &Bed) {
    Podman::with(bed, |podman| {
        let dir = podman.stage().path("spread");
        good(
            podman.stage().sh(&format!(
                "mkdir {dir} && mount --bind {dir} {dir} && mount --make-shared {dir}"
            )),
        );
        podman.start("slave", &["-v", &format!("{dir}:/s:rslave")], "sleep 1000");
        podman.start("private", &["-v", &format!("{dir}:/s:rprivate")], "sleep 1000");
        good(
            podman.stage().sh(&format!(
                "mkdir {dir}/m && mount -t tmpfs tmpfs {dir}/m && touch {dir}/m/here"
            )),
        );
        assert_eq!(good(podman.exec("slave", &[], "ls /s/m")), "here");
        assert_eq!(good(podman.exec("private", &[], "ls /s/m")), "");
        let flags = ["--privileged", "-v", &format!("{dir}:/s:rshared")];
        good(podman.run(&flags, "mkdir /s/n && mount -t tmpfs tmpfs /s/n && touch /s/n/there"));
        assert_eq!(good(podman.stage().sh(&format!("ls -A {dir}/n"))), "there");
        let flags = ["--privileged", "-v", &format!("{dir}:/s:rslave")];
        good(podman.run(&flags, "mkdir /s/o && mount -t tmpfs tmpfs /s/o && touch /s/o/there"));
        assert_eq!(good(podman.stage().sh(&format!("ls -A {dir}/o"))), "");
        podman.good(&["rm", "--all", "--force", "--time", "0"]);
        good(podman.stage().sh(&format!("umount -R {dir}")));
    });
}
