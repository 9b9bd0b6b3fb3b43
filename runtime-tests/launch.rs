//! What a cell sees of the world, and what it can't change of it.

use std::io::Write;
use std::process::Stdio as Pipes;

use crate::bed::{Bed, Ran, listing};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(the_first_command_of_the_readme, Cells, Memory, Cpu, Pids),
        test!(namespaces_are_its_own, Cells, Busybox),
        test!(the_host_network_is_the_hosts, Cells, Busybox),
        test!(writes_stay_inside_in_memory_and_on_disk, Cells, Busybox),
        test!(a_read_only_root_takes_mount_points_but_no_writes, Cells, Busybox),
        test!(volumes_are_there_and_ro_means_ro, Cells, Busybox),
        test!(proc_and_sys_are_masked_and_read_only, Cells, Busybox),
        test!(the_cgroup_view_is_its_own_and_read_only, Cells, Busybox, Pids),
        test!(devices_work, Cells, Busybox),
        test!(identity_and_privileges, Cells, Busybox),
        test!(environment_directory_and_name, Cells, Busybox),
        test!(environment_files, Cells, Busybox),
        test!(big_arguments_arrive_whole, Cells, Busybox),
        test!(standard_input_goes_through, Cells, Busybox),
        test!(an_init_reaps_orphans, Cells, Busybox),
        test!(paths_with_separators_work, Cells, Busybox),
        test!(a_bundle_is_written_and_runs_nothing, Busybox),
        test!(a_kept_bundle_stays, Cells, Busybox),
        test!(python_computes, Cells, Debian, Memory),
    ]
}

fn the_first_command_of_the_readme(bed: &Bed) {
    let script = "id; hostname; cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max \
                  2>/dev/null; ls /";
    let flags = ["--rootfs", "/", "--memory", "64m", "--cpus", "0.5", "--pids-limit", "32"];
    let out = bed.run(flags.iter().chain(&["--", "sh", "-c", script])).ok();
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("uid=0(root) gid=0(root)"), "{out}");
    assert_ne!(lines[1], rustix::system::uname().nodename().to_str().unwrap());
    assert_eq!(lines[2], "32", "{out}");
    assert!(lines.contains(&"usr") && lines.contains(&"proc"), "{out}");
}

const NAMESPACES: &str = "for n in pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done";

fn host_namespaces() -> Vec<String> {
    let link = |name| std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
    ["pid", "mnt", "ipc", "uts", "net", "cgroup"].map(|n| link(n).display().to_string()).into()
}

fn namespaces_are_its_own(bed: &Bed) {
    for flags in [&["--init"][..], &[]] {
        let out = bed.sh(flags, NAMESPACES).ok();
        for (cell, host) in out.lines().zip(host_namespaces()) {
            assert_ne!(cell, host);
        }
        assert_eq!(out.lines().count(), 6, "{out}");
    }
    let processes = bed.sh(&["--init"], "ps -o pid,args").ok();
    assert!(processes.lines().count() <= 4, "{processes}");
}

fn the_host_network_is_the_hosts(bed: &Bed) {
    let out = bed.sh(&["--network", "host"], NAMESPACES).ok();
    let cell: Vec<_> = out.lines().collect();
    let host = host_namespaces();
    assert_eq!(cell[4], host[4]);
    assert_ne!(cell[1], host[1]);
    let up = bed
        .sh(&[], "ifconfig lo | grep -c 'UP LOOPBACK' && ping -c1 -W2 127.0.0.1 | grep -c ttl")
        .ok();
    assert_eq!(up, "1\n1\n");
}

fn writes_stay_inside_in_memory_and_on_disk(bed: &Bed) {
    let before = listing(&fixture("busybox"));
    for upper in ["tmpfs", "disk"] {
        let script =
            "echo x > /etc/written && rm /etc/passwd && mkdir /new && ls /etc && stat -c %a /";
        let out = bed.sh(&["--upper", upper], script).ok();
        assert!(out.contains("written") && !out.contains("passwd"), "{out}");
        assert!(out.ends_with("755\n"), "{out}");
        assert_eq!(listing(&fixture("busybox")), before);
    }
}

fn a_read_only_root_takes_mount_points_but_no_writes(bed: &Bed) {
    let before = listing(&fixture("busybox"));
    let script = "touch /x; touch /etc/x; touch /proc/x; awk '$2 == \"/\" {print $4}' /proc/mounts";
    let ran = bed.sh(&["--read-only"], script);
    assert_eq!(ran.err.matches("Read-only file system").count(), 2, "{ran:?}");
    assert!(ran.out.starts_with("ro,"), "{ran:?}");
    // A target that the root lacks is made in a layer above it.
    let script = "touch /missing/deep/x && touch /x";
    let ran = bed.sh(&["--read-only", "--tmpfs", "/missing/deep"], script);
    assert!(ran.err.contains("/x: Read-only"), "{ran:?}");
    assert_eq!(listing(&fixture("busybox")), before);
    // The host's own root, too.
    let args = ["--rootfs", "/", "--read-only", "--", "sh", "-c", "touch /x; cat /proc/self/comm"];
    let ran = bed.run(args);
    assert!(ran.out == "cat\n" && ran.err.contains("Read-only"), "{ran:?}");
}

fn volumes_are_there_and_ro_means_ro(bed: &Bed) {
    let (dir, file) = (bed.path("volume"), bed.path("file"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&file, "content\n").unwrap();
    let volumes = [
        format!("{}:/v", dir.display()),
        format!("{}:/r:ro", dir.display()),
        format!("{}:/etc/f:ro", file.display()),
    ];
    let flags = ["-v", &volumes[0], "-v", &volumes[1], "-v", &volumes[2]];
    let ran =
        bed.sh(&flags, "echo in > /v/out; cat /r/out /etc/f; echo x > /r/no; echo x > /etc/f");
    assert_eq!(ran.out, "in\ncontent\n", "{ran:?}");
    assert_eq!(ran.err.matches("Read-only file system").count(), 2, "{ran:?}");
    assert_eq!(std::fs::read_to_string(dir.join("out")).unwrap(), "in\n");
    // Neither devices nor set-uid programs work from a volume.
    let out = bed.sh(&flags, "grep -E ' /(v|r) ' /proc/mounts | grep -c nosuid,nodev").ok();
    assert_eq!(out, "2\n");
}

fn proc_and_sys_are_masked_and_read_only(bed: &Bed) {
    let script = "
        for f in /proc/keys /proc/timer_list /proc/interrupts /proc/kcore; do
            [ -e $f ] && wc -c < $f
        done
        ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v :
        for f in /proc/sys/kernel/core_pattern /proc/sysrq-trigger /sys/kernel/uevent_helper; do
            echo x 2>/dev/null > $f && echo wrote $f
        done
        mount -o remount,rw /proc/sys 2>/dev/null && echo remounted
        umount /proc/keys 2>/dev/null && echo unmasked
        true";
    let out = bed.sh(&[], script).ok();
    assert!(out.lines().all(|line| line.trim() == "0" || line.is_empty()), "{out}");
}

fn the_cgroup_view_is_its_own_and_read_only(bed: &Bed) {
    let script = "cat /sys/fs/cgroup/pids.max /sys/fs/cgroup/pids/pids.max 2>/dev/null
        cat /proc/self/cgroup | cut -d: -f3 | sort -u
        mkdir /sys/fs/cgroup/x /sys/fs/cgroup/*/x 2>/dev/null && echo made
        for f in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
            echo 1 2>/dev/null > $f && echo wrote $f
        done; true";
    let out = bed.sh(&["--pids-limit", "17"], script).ok();
    assert_eq!(out, "17\n/\n", "own limits, own root, nothing written");
}

fn devices_work(bed: &Bed) {
    let script =
        "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c
        ls -l /dev/fd /dev/ptmx | wc -l; echo x > /dev/shm/x && cat /dev/shm/x
        stat -c '%t:%T %a' /dev/null; readlink /proc/self/fd/0";
    let out = bed.sh(&[], script).ok();
    assert_eq!(out, "4\n4\n2\nx\n1:3 666\n/dev/null\n");
    // Standard input is the cell's own device: its mode is not the host's.
    use std::os::unix::fs::PermissionsExt;
    let mode = || std::fs::metadata("/dev/null").unwrap().permissions().mode();
    let before = mode();
    bed.sh(&[], "chmod 600 /proc/self/fd/0 /dev/null").ok();
    assert_eq!(mode(), before);
}

fn identity_and_privileges(bed: &Bed) {
    let script = "id -u; id -g; grep -E 'Cap|NoNew|^Groups|Seccomp:' /proc/self/status | tr -d '\\t '; umask";
    let root = bed.sh(&[], script).ok();
    assert!(root.contains("CapBnd:00000000a80425fb"), "{root}");
    assert!(root.contains("CapInh:0000000000000000") && root.contains("CapAmb:0000000000000000"));
    assert!(root.contains("NoNewPrivs:1") && root.ends_with("0022\n"), "{root}");
    let user = bed.sh(&["-u", "1000:1001", "--init"], script).ok();
    assert!(user.starts_with("1000\n1001\n"), "{user}");
    assert!(user.contains("CapEff:0000000000000000") && user.contains("CapPrm:0000000000000000"));
    let named = bed.sh(&["-u", "1000:1001"], "echo out > /dev/stdout; echo err > /dev/stderr");
    assert_eq!((named.out.as_str(), named.err.as_str()), ("out\n", "err\n"));
    // As Docker: the group is 0 when none is given.
    assert!(bed.sh(&["-u", "1000"], script).ok().starts_with("1000\n0\n"));
}

fn environment_directory_and_name(bed: &Bed) {
    let flags =
        ["-e", "A=1=2", "-e", "HERE", "-e", "NOT_HERE", "-w", "/made/for/me", "--hostname", "box"];
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap()];
    let script = "echo $A $HERE ${NOT_HERE-unset}; pwd; hostname; echo $HOSTNAME $HOME $PATH";
    let shell = ["--", "sh", "-c", script];
    let args = args.iter().chain(&flags).chain(&shell);
    let ran = Ran::from(bed.command("run", args).env("HERE", "taken").output().unwrap());
    assert_eq!(
        ran.ok(),
        "1=2 taken unset\n/made/for/me\nbox\nbox /root \
         /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
    );
    for dir in ["/x/", "/a//b", "/", "/tmp/."] {
        let out = bed.sh(&["-w", dir], "pwd").ok();
        let clean: std::path::PathBuf = std::path::Path::new(dir).components().collect();
        assert_eq!(out.trim_end(), clean.to_str().unwrap());
    }
    let named = bed.sh(&["--name", "my-cell.1"], "hostname").ok();
    assert_eq!(named, "my-cell.1\n");
    let entrypoint =
        ["--rootfs", rootfs.to_str().unwrap(), "--entrypoint", "echo", "--", "a", "-b"];
    assert_eq!(bed.run(entrypoint).ok(), "a -b\n");
}

fn environment_files(bed: &Bed) {
    let file = bed.path("env");
    std::fs::write(&file, "# comment\n\nA=from file\nB=2\n").unwrap();
    let flags = ["--env-file", file.to_str().unwrap(), "-e", "B=3"];
    assert_eq!(bed.sh(&flags, "echo $A $B").ok(), "from file 3\n");
}

/// Longer than the socket's buffer: the plan is sent while the init reads.
fn big_arguments_arrive_whole(bed: &Bed) {
    let mut config = crate::bed::script("exit $(( (${#A} + ${#B} + ${#C} + ${#D}) / 4000 ))");
    for name in ["A", "B", "C", "D"] {
        config.env.push(format!("{name}={}", "x".repeat(100_000)));
    }
    let outcome = crate::bed::finish(&bed.driver(), &config);
    assert_eq!(outcome.exit, hotcell::launch::Exit::Code(100));
}

fn standard_input_goes_through(bed: &Bed) {
    let rootfs = fixture("busybox");
    let args = ["--rootfs", rootfs.to_str().unwrap(), "-i", "--", "sha256sum"];
    let mut child =
        bed.command("run", args).stdin(Pipes::piped()).stdout(Pipes::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(&vec![b'x'; 3 << 20]).unwrap();
    drop(input);
    let ran = Ran::from(child.wait_with_output().unwrap());
    let again = std::process::Command::new("sh")
        .args(["-c", "head -c 3145728 /dev/zero | tr '\\0' x | sha256sum"])
        .output()
        .unwrap();
    assert_eq!(ran.ok(), String::from_utf8(again.stdout).unwrap());
    // Without -i there is nothing to read.
    assert_eq!(bed.sh(&[], "cat | wc -c").ok(), "0\n");
}

fn an_init_reaps_orphans(bed: &Bed) {
    let script =
        "for i in 1 2 3 4 5; do (sleep 0.01 & ) ; done; sleep 0.3; ps -o stat | grep -c Z; true";
    assert_eq!(bed.sh(&["--init"], script).ok(), "0\n");
}

fn paths_with_separators_work(bed: &Bed) {
    let odd = bed.path("a,b:c\\d e");
    std::os::unix::fs::symlink(fixture("busybox"), bed.path("link")).unwrap();
    let copied =
        std::process::Command::new("cp").arg("-a").arg(fixture("busybox")).arg(&odd).status();
    assert!(copied.unwrap().success());
    for rootfs in [odd, bed.path("link")] {
        for upper in ["disk", "tmpfs"] {
            let args = ["--rootfs", rootfs.to_str().unwrap(), "--upper", upper, "--", "echo", "hi"];
            assert_eq!(bed.run(args).ok(), "hi\n");
        }
    }
}

fn a_bundle_is_written_and_runs_nothing(bed: &Bed) {
    let (dir, rootfs) = (bed.path("bundle"), fixture("busybox"));
    let args = [
        "--bundle-dir",
        dir.to_str().unwrap(),
        "--rootfs",
        rootfs.to_str().unwrap(),
        "--memory",
        "64m",
        "--",
        "touch",
        "/ran",
    ];
    Ran::from(bed.command("bundle", args).output().unwrap()).ok();
    let text = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(config["root"]["path"], rootfs.to_str().unwrap());
    assert_eq!(config["root"]["readonly"], true);
    assert_eq!(config["linux"]["resources"]["memory"]["limit"], 64 << 20);
    assert_eq!(config["process"]["args"][0], "touch");
    // Not over one that is there.
    let again = Ran::from(bed.command("bundle", args).output().unwrap());
    assert!(again.code == Some(125) && again.err.contains("config.json"), "{again:?}");
}

fn a_kept_bundle_stays(bed: &Bed) {
    let dir = bed.path("kept");
    bed.sh(&["--bundle-dir", dir.to_str().unwrap()], "true").ok();
    assert!(hotcell::bundle::Bundle::load(&dir).is_ok());
}

fn python_computes(bed: &Bed) {
    let rootfs = fixture("debian");
    let args = [
        "--rootfs",
        rootfs.to_str().unwrap(),
        "--memory",
        "128m",
        "--",
        "python3",
        "-c",
        "import json, math; print(json.dumps([math.factorial(20), 6 * 7]))",
    ];
    assert_eq!(bed.run(args).ok(), "[2432902008176640000, 42]\n");
}
