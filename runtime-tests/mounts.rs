//! Volumes and mounts: what their options do, what hides and what can't be used to hide, and what
//! propagates.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use hotcell::bundle::{self, CellConfig};
use hotcell::launch::{Exit, Stdio};
use oci_spec::runtime::Spec;

use crate::bed::{Bed, PROGRAM, Ran, listing, script};
use crate::escape::spoiled;
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(read_only_reaches_what_is_mounted_below, Cells, Busybox),
        test!(the_words_about_attributes, Cells, Busybox),
        test!(later_mounts_of_the_host_are_seen_if_asked, Cells, Busybox),
        test!(the_long_form_mounts_memory_too, Cells, Busybox),
        test!(what_makes_no_sense_is_refused_in_one_line, Cells, Busybox),
        test!(an_image_cannot_choose_what_hides, Cells, Busybox),
        test!(a_bundle_without_dev_gets_the_devices, Cells, Busybox),
        test!(a_hidden_link_hides_what_it_leads_to_inside, Cells, Busybox),
        test!(the_roots_own_propagation, Cells, Busybox),
        test!(nothing_that_a_cell_mounts_reaches_the_host, Cells, Busybox),
        test!(a_jailed_embedders_cells_see_nothing_of_the_host, Cells, Busybox),
        test!(mount_options_of_a_specification, Cells, Busybox),
        test!(what_hides_leads_nobody_to_the_layer_in_memory, Cells, Busybox),
        test!(a_mount_at_a_path_that_is_no_utf8_stops_nobody, Cells, Busybox),
    ]
}

/// `hotcell run` on the busybox root, in a mount namespace where `setup` has been done. A shell:
/// `$V` is the volume's directory, `"$@"` the program with its arguments.
fn among_own_mounts(bed: &Bed, setup: &str, flags: &[&str], inside: &str) -> Ran {
    let volume = bed.path("volume");
    std::fs::create_dir_all(volume.join("sub")).unwrap();
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap()];
    let shell = ["--", "sh", "-c", inside];
    let args = args.iter().chain(flags).chain(&shell);
    let run = bed.command("run", args);
    let mut command = Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-ec", setup, "sh", PROGRAM]);
    command.args(run.get_args()).env("V", &volume);
    let settings = run.get_envs().filter_map(|(name, value)| Some((name, value?)));
    Ran::from(command.envs(settings).output().unwrap())
}

fn read_only_reaches_what_is_mounted_below(bed: &Bed) {
    let volume = bed.path("volume");
    let setup = r#"mount -t tmpfs -o exec tmpfs "$V/sub"; touch "$V/sub/mark"; exec "$@""#;
    let inside = "ls /v/sub; for at in /v /v/sub; do
            touch $at/new 2>/dev/null && echo wrote $at; rm -f $at/new 2>/dev/null
        done
        grep -c ' /v.* nosuid,nodev' /proc/mounts /dev/null | head -1 | cut -d: -f2
        true";
    let short = |more: &str| format!("{}:/v{more}", volume.display());
    let long = |more: &str| format!("type=bind,src={},dst=/v,readonly{more}", volume.display());
    for (flag, value, out) in [
        ("-v", short(""), "mark\nwrote /v\nwrote /v/sub\n"),
        ("-v", short(":ro"), "mark\n"),
        ("--mount", long(""), "mark\n"),
        ("--mount", long(",bind-recursive=readonly"), "mark\n"),
        ("--mount", long(",bind-recursive=writable"), "mark\nwrote /v/sub\n"),
        ("--mount", long(",bind-recursive=disabled"), ""),
        ("--mount", long(",bind-nonrecursive"), ""),
    ] {
        let ran = among_own_mounts(bed, setup, &[flag, &value], inside).ok();
        let lines: Vec<_> = ran.lines().filter(|line| line.parse::<u32>().is_err()).collect();
        assert_eq!(lines.join("\n").trim_end(), out.trim_end(), "{value}: {ran}");
    }
    // Neither set-uid programs nor devices, in depth.
    let look = "awk '$2 ~ \"^/v\" && /nosuid,nodev/ {print $2}' /proc/mounts";
    let out = among_own_mounts(bed, setup, &["-v", &short("")], look).ok();
    assert_eq!(out, "/v\n/v/sub\n");
}

fn the_words_about_attributes(bed: &Bed) {
    let volume = bed.path("volume");
    std::fs::create_dir(&volume).unwrap();
    std::fs::write(volume.join("run"), "#!/bin/sh\necho ran\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(volume.join("run"), mode).unwrap();
    let look = "/v/run 2>&1; awk '$2 == \"/v\" {print $4}' /proc/mounts; true";
    let with =
        |words: &str| bed.sh(&["-v", &format!("{}:/v:{words}", volume.display())], look).ok();
    let has = |out: &str, word: &str| {
        let options = out.lines().last().unwrap_or_default();
        options.split(',').any(|option| option == word)
    };
    let plain = with("rw");
    assert!(plain.starts_with("ran\n") && has(&plain, "nosuid") && has(&plain, "nodev"), "{plain}");
    let noexec = with("noexec");
    assert!(noexec.contains("Permission denied") && has(&noexec, "noexec"), "{noexec}");
    // As on the host.
    let own = with("suid,dev");
    let host = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    if !host.contains("nosuid") {
        assert!(!has(&own, "nosuid") && !has(&own, "nodev"), "{own}");
    }
    assert!(own.starts_with("ran\n"), "{own}");
}

/// The host's side is a mount namespace of the test's own.
fn later_mounts_of_the_host_are_seen_if_asked(bed: &Bed) {
    let setup = r#"
        mount -t tmpfs tmpfs "$V"; mount --make-shared "$V"
        mkdir "$V/later" "$V/below"
        mount -t tmpfs tmpfs "$V/below"; mount --make-shared "$V/below"; mkdir "$V/below/later"
        "$@" & cell=$!
        for i in $(seq 500); do [ -e "$V/ready" ] && break; sleep 0.02; done
        mount -t tmpfs tmpfs "$V/later"; touch "$V/later/seen"
        mount -t tmpfs tmpfs "$V/below/later"; touch "$V/below/later/seen"
        touch "$V/go"; wait $cell"#;
    let inside = "touch /v/ready; for i in $(seq 500); do [ -e /v/go ] && break; sleep 0.02; done
        [ -e /v/later/seen ] && echo top; [ -e /v/below/later/seen ] && echo deep; true";
    for (word, out) in [
        ("", ""),
        (":rprivate", ""),
        (":private", "deep\n"),
        (":slave", "top\ndeep\n"),
        (":rslave", "top\ndeep\n"),
        (":rshared", "top\ndeep\n"),
    ] {
        let volume = format!("{}:/v{word}", bed.path("volume").display());
        let ran = among_own_mounts(bed, setup, &["-v", &volume], inside);
        assert_eq!(ran.out, out, "{word}: {ran:?}");
    }
}

fn the_long_form_mounts_memory_too(bed: &Bed) {
    let look = "awk '$2 == \"/t\" {print $4}' /proc/mounts; stat -c %a /t; touch /t/x";
    let mount = "type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=700";
    let out = bed.sh(&["--mount", mount], look).ok();
    for part in ["nosuid", "nodev", "noexec", "size=1024k", "mode=700", "\n700\n"] {
        assert!(out.contains(part), "{part}: {out}");
    }
    let ran = bed.sh(&["--mount", &format!("{mount},ro")], look);
    assert!(ran.err.contains("Read-only"), "{ran:?}");
    let taken = bed.sh(&["--mount", mount, "--tmpfs", "/t"], "true");
    assert!(taken.code == Some(125) && taken.err.contains("is taken"), "{taken:?}");
}

fn what_makes_no_sense_is_refused_in_one_line(bed: &Bed) {
    for (flag, value, part) in [
        ("-v", "/etc:/e:bind-propagation=../..", "../.."),
        ("-v", "/etc:/e:z", "SELinux"),
        ("-v", "/etc:/e:nocopy", "nocopy"),
        ("-v", "named:/e", "named"),
        ("-v", "/no/such/source:/e", "/no/such/source"),
        ("--mount", "type=bind,src=/etc,dst=/e,bind-propagation=../..", "../.."),
        ("--mount", "type=bind,src=/etc,dst=/e,colour=red", "colour"),
        ("--mount", "type=bind,src=/no/such/source,dst=/e", "/no/such/source"),
        ("--mount", "type=volume,src=data,dst=/e", "named volumes"),
        ("--mount", "type=bind,src=/etc,dst=/../e", ".."),
    ] {
        let ran = bed.sh(&[flag, value], "echo ran");
        assert!(ran.code == Some(125) && ran.out.is_empty(), "{value}: {ran:?}");
        assert!(ran.err.contains(part) && ran.err.lines().count() == 1, "{value}: {ran:?}");
    }
}

/// Runs `text` after `change` on its specification. `Err` is why it did not start.
fn run_spec(
    bed: &Bed,
    config: &CellConfig,
    change: impl FnOnce(&mut Spec),
) -> Result<Exit, String> {
    let mut spec = bundle::spec(config).unwrap();
    change(&mut spec);
    let created = bed.driver().create_from_spec(None, spec, None).map_err(|e| chain(&e))?;
    let mut running = created.run(Stdio::default()).map_err(|error| chain(&error))?;
    let exit = running.wait(None).unwrap().unwrap().exit;
    running.close().unwrap();
    Ok(exit)
}

fn chain(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", chain(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

fn without_dev(spec: &mut Spec) {
    let mounts = spec.mounts().iter().flatten();
    let kept = mounts.filter(|mount| !mount.destination().starts_with("/dev")).cloned().collect();
    spec.set_mounts(Some(kept));
}

/// Without a /dev of its own, a bundle's /dev/null is the image's.
fn an_image_cannot_choose_what_hides(bed: &Bed) {
    type Spoil = fn(&Path);
    let spoils: [(&str, Spoil); 4] = [
        ("a link", |null| symlink("/proc/sysrq-trigger", null).unwrap()),
        ("a link to a device", |null| symlink("/dev/zero", null).unwrap()),
        ("a file", |null| std::fs::write(null, "content").unwrap()),
        ("a directory", |null| std::fs::create_dir(null).unwrap()),
    ];
    for (at, (what, spoil)) in spoils.into_iter().enumerate() {
        let root = spoiled(bed, &format!("root-{at}"), |root| {
            std::fs::create_dir_all(root.join("dev")).unwrap();
            let _ = std::fs::remove_file(root.join("dev/null"));
            spoil(&root.join("dev/null"));
        });
        let mut config = script("true");
        config.rootfs = root;
        let error = run_spec(bed, &config, without_dev).unwrap_err();
        assert!(error.contains("/dev/null"), "{what}: {error}");
    }
}

fn a_bundle_without_dev_gets_the_devices(bed: &Bed) {
    let config = script(
        "[ -c /dev/null ] && [ -c /dev/tty ] && [ -L /dev/fd ] && \
                         [ $(wc -c < /proc/keys) = 0 ] && echo x > /dev/full && exit 1; exit 7",
    );
    assert_eq!(run_spec(bed, &config, without_dev), Ok(Exit::Code(7)));
}

fn a_hidden_link_hides_what_it_leads_to_inside(bed: &Bed) {
    let canary = bed.path("canary");
    std::fs::create_dir(&canary).unwrap();
    std::fs::write(canary.join("file"), "as it was").unwrap();
    let before = listing(&canary);
    let root = spoiled(bed, "root", |root| {
        std::fs::create_dir_all(root.join("secret")).unwrap();
        std::fs::write(root.join("secret/file"), "secret").unwrap();
        symlink("/secret", root.join("dir")).unwrap();
        symlink("../../secret/file", root.join("file")).unwrap();
        symlink(&canary, root.join("out")).unwrap();
    });
    for (path, text) in [
        ("/dir", "[ -z \"$(ls -A /secret)\" ]"),
        ("/file", "[ $(wc -c < /secret/file) = 0 ]"),
        ("/out", "[ -s /secret/file ]"),
    ] {
        let mut config = script(text);
        config.rootfs.clone_from(&root);
        config.masked_paths = vec![path.to_owned()];
        assert_eq!(run_spec(bed, &config, |_| {}), Ok(Exit::Code(0)), "{path}");
        assert_eq!(listing(&canary), before);
    }
}

fn the_roots_own_propagation(bed: &Bed) {
    let fields = |word: &str| format!("awk '$5 == \"/\"' /proc/self/mountinfo | grep -q '{word}'");
    for (value, word, code) in [
        ("rshared", "shared:", 0),
        ("shared", "shared:", 0),
        ("unbindable", "unbindable", 0),
        ("rprivate", "shared:", 1),
        ("rslave", "shared:", 1),
    ] {
        let exit = run_spec(bed, &script(&fields(word)), |spec| propagate(spec, value));
        assert_eq!(exit, Ok(Exit::Code(code)), "{value}");
    }
    let refused = run_spec(bed, &script("true"), |spec| propagate(spec, "../.."));
    assert!(refused.unwrap_err().contains("rootfsPropagation"));
}

fn propagate(spec: &mut Spec, value: &str) {
    let mut linux = spec.linux().clone().unwrap();
    linux.set_rootfs_propagation(Some(value.to_owned()));
    spec.set_linux(Some(linux));
}

fn mount_options_of_a_specification(bed: &Bed) {
    let with = |kind: &str, options: &[&str], text: &str| {
        let mount = serde_json::json!({
            "destination": "/m", "type": kind, "source": "/etc", "options": options,
        });
        run_spec(bed, &script(text), |spec| {
            let mut mounts = spec.mounts().clone().unwrap();
            mounts.push(serde_json::from_value(mount).unwrap());
            spec.set_mounts(Some(mounts));
        })
    };
    let has = |word: &str| format!("awk '$2 == \"/m\"' /proc/mounts | grep -Eq '[ ,]{word}[, ]'");
    for (kind, options, word) in [
        ("bind", &["rbind", "rnoatime", "ro"][..], "noatime"),
        ("none", &["bind", "nodiratime"], "nodiratime"),
        ("none", &["rbind", "noexec"], "noexec"),
        ("tmpfs", &["size=4k", "noatime", "nosymfollow"], "nosymfollow"),
        ("tmpfs", &["rro", "uid=7"], "uid=7"),
        ("tmpfs", &["sync"], "sync"),
        ("proc", &["hidepid=2"], "hidepid=invisible"),
    ] {
        assert_eq!(with(kind, options, &has(word)), Ok(Exit::Code(0)), "{kind} {options:?}");
    }
    for (kind, option) in [("bind", "size=1k"), ("tmpfs", "sze=1k"), ("proc", "tmpcopyup")] {
        let error = with(kind, &[option], "true").unwrap_err();
        assert!(error.contains(option) && error.contains("/m"), "{error}");
    }
}

/// Not even one that may mount, and asks for a shared volume.
fn nothing_that_a_cell_mounts_reaches_the_host(bed: &Bed) {
    let setup = r#"mount -t tmpfs v "$V"; mount --make-shared "$V"; mkdir "$V/sub" "$V/e"
        mount -t tmpfs s "$V/sub"; mount --make-shared "$V/sub"; mkdir "$V/sub/z"
        chmod 777 "$V" "$V/sub"; cat /proc/self/mountinfo >"$V/before"
        "$@"; diff "$V/before" /proc/self/mountinfo"#;
    let inside =
        "mount -t tmpfs t /s/e && mount -t tmpfs t /s/sub/z && umount -l /s/sub && echo did";
    let volume = bed.path("volume");
    let may = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    for own_ids in [&[][..], &["--userns", "auto", "--upper", "disk"]] {
        for propagation in ["private", "slave", "shared", "rprivate", "rslave", "rshared"] {
            let value = format!("{}:/s:{propagation}", volume.display());
            let flags: Vec<_> = may.iter().chain(own_ids).chain(&["-v", &value]).copied().collect();
            let ran = among_own_mounts(bed, setup, &flags, inside);
            // Before Linux 6.3 the ids of a tmpfs can't be mapped.
            if own_ids.is_empty() || !ran.err.contains("MOUNT_ATTR_IDMAP") {
                assert_eq!(ran.out, "did\n", "{own_ids:?} {propagation}: {ran:?}");
            }
        }
    }
}

/// Its root is a mount somewhere below the root of its namespace.
fn a_jailed_embedders_cells_see_nothing_of_the_host(bed: &Bed) {
    let setup = r#"mount -t tmpfs v "$V"; mkdir "$V/jail"; mount --rbind / "$V/jail"
        cat /proc/self/mountinfo >"$V/before"
        chroot "$V/jail" "$@"; diff "$V/before" /proc/self/mountinfo"#;
    let ran =
        among_own_mounts(bed, setup, &["--upper", "tmpfs"], "ls -d /scratch /run/hotcell; echo in");
    assert_eq!(ran.out, "in\n", "{ran:?}");
}

/// Who can open files by their handles, or change mounts, gets at all of a file system by any part.
fn what_hides_leads_nobody_to_the_layer_in_memory(bed: &Bed) {
    let script = "grep ' /sys/firmware ' /proc/self/mountinfo";
    for (may, root) in [
        (&[][..], "/root"),
        (&["--cap-add", "DAC_READ_SEARCH"], "/"),
        (&["--cap-add", "SYS_ADMIN"], "/"),
        (&["--cap-add", "SYS_ADMIN", "--userns", "auto", "--upper", "disk"], "/"),
    ] {
        let line = bed.sh(may, script).ok();
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!(fields[3], root, "{may:?}: {line}");
        assert!(line.contains(" - tmpfs ") && fields[5].starts_with("ro,"), "{may:?}: {line}");
    }
}

/// Any user may mount something anywhere below a directory of theirs.
fn a_mount_at_a_path_that_is_no_utf8_stops_nobody(bed: &Bed) {
    let setup = r#"at="$V/$(printf 'a\377')"; mkdir "$at"; mount -t tmpfs none "$at"; exec "$@""#;
    assert_eq!(among_own_mounts(bed, setup, &[], "echo started").ok(), "started\n");
}
