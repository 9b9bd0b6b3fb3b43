//! dockerd: what a container may use, see and do.

use super::Docker;
use crate::bed::Bed;
use crate::clients::good;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(limits_and_their_update, Cells, Busybox, Dockerd, Memory, Cpu, Pids, Hybrid),
        test!(too_much_memory_is_told, Cells, Busybox, Dockerd, Memory),
        test!(mounts_and_devices, Cells, Busybox, Dockerd),
        test!(capabilities_and_filters, Cells, Busybox, Dockerd),
        test!(namespaces_shared_and_own, Cells, Busybox, Dockerd),
        test!(settings_of_the_kernel, Cells, Busybox, Dockerd),
    ]
}

fn limits_and_their_update(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let flags = [
            "-m",
            "64m",
            "--memory-swap",
            "64m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "20",
            "--cpuset-cpus",
            "0",
        ];
        docker.start("held", &flags, "sleep 1000");
        let files = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us pids/pids.max cpuset/cpuset.cpus";
        assert_eq!(good(docker.exec("held", &[], files)), "67108864\n50000\n20\n0");
        docker.good(&["update", "-m", "128m", "--memory-swap", "128m", "--cpus", "0.25", "held"]);
        assert_eq!(good(docker.exec("held", &[], files)), "134217728\n25000\n20\n0");
        docker.good(&["update", "--pids-limit", "30", "held"]);
        assert_eq!(good(docker.exec("held", &[], files)), "134217728\n25000\n30\n0");
        let stats = docker.good(&[
            "stats",
            "--no-stream",
            "--format",
            "{{.Name}} {{.PIDs}} {{.MemUsage}}",
            "held",
        ]);
        assert!(stats.starts_with("held 1 ") && stats.ends_with("/ 128MiB"), "{stats}");
    });
}

fn too_much_memory_is_told(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        // The kernel takes the greedy ones before the shell, which has little: told so, it is sure to.
        let eat = "(echo 1000 >/proc/self/oom_score_adj; head -c 100m /dev/zero | tail >/dev/null)
            sleep 0.5; exit 3";
        docker.start("greedy", &["-m", "32m", "--memory-swap", "32m"], eat);
        assert_eq!(docker.good(&["wait", "greedy"]), "3");
        assert_eq!(docker.inspect("greedy", "{{.State.OOMKilled}}"), "true");
        docker.start("modest", &["-m", "32m"], "exit 3");
        docker.good(&["wait", "modest"]);
        assert_eq!(docker.inspect("modest", "{{.State.OOMKilled}}"), "false");
    });
}

fn mounts_and_devices(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let dir = bed.path("volume");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join("there"), "before").unwrap();
        let volume = |options: &str| format!("{}:/v{options}", dir.display());
        let ran = docker.run(&["-v", &volume(":ro")], "cat /v/there; touch /v/new");
        assert!(ran.out == "before" && ran.err.contains("Read-only"), "{ran:?}");
        good(docker.run(&["-v", &volume("")], "echo after >/v/new"));
        assert_eq!(std::fs::read_to_string(dir.join("new")).unwrap(), "after\n");
        assert_eq!(
            good(docker.run(&["-v", "kept:/etc"], "echo k >/etc/kept; ls /etc/passwd")),
            "/etc/passwd"
        );
        assert_eq!(good(docker.run(&["-v", "kept:/k"], "cat /k/kept")), "k");
        docker.good(&["volume", "rm", "kept"]);
        let ran = docker.run(
            &["--read-only", "--tmpfs", "/t:size=64k"],
            "touch /written; df -k /t | tail -n 1",
        );
        assert!(ran.out.contains(" 64 ") && ran.err.contains("Read-only"), "{ran:?}");
        let ran = docker.run(
            &["--device", "/dev/null:/dev/nothing"],
            "echo x >/dev/nothing && stat -c %t:%T /dev/nothing",
        );
        assert_eq!(good(ran), "1:3");
        let made = docker.run(&[], "mknod /tmp/disk b 7 0 && cat /tmp/disk");
        assert!(made.err.contains("not permitted"), "{made:?}");
        let shm = docker.run(&["--shm-size", "1m"], "df -k /dev/shm | tail -n 1");
        assert_eq!(good(shm).split_whitespace().nth(1), Some("1024"));
    });
}

fn capabilities_and_filters(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let status = |flags: &[&str], key: &str| {
            good(docker.run(flags, &format!("grep {key}: /proc/self/status | cut -f 2")))
        };
        assert_eq!(status(&["--cap-drop", "all"], "CapEff"), "0000000000000000");
        assert_eq!(
            status(&["--cap-drop", "all", "--cap-add", "net_raw"], "CapBnd"),
            "0000000000002000"
        );
        assert_eq!(status(&["-u", "1000"], "CapEff"), "0000000000000000");
        assert_eq!(status(&[], "Seccomp"), "2");
        assert_eq!(status(&["--security-opt", "seccomp=unconfined"], "Seccomp"), "0");
        assert_eq!(status(&["--security-opt", "no-new-privileges"], "NoNewPrivs"), "1");
        let profile = bed.path("profile.json");
        let rules = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95 }],
        });
        std::fs::write(&profile, rules.to_string()).unwrap();
        let flag = format!("seccomp={}", profile.display());
        let ran = docker.run(&["--security-opt", &flag], "mkdir /made");
        assert!(ran.err.contains("not supported"), "{ran:?}");
        let hidden = docker.run(&[], "cat /proc/keys | wc -c; echo 0 >/proc/sys/kernel/panic");
        assert!(hidden.out == "0\n" && hidden.err.contains("Read-only"), "{hidden:?}");
    });
}

fn namespaces_shared_and_own(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let listed = "ls -l /proc/self/ns | sed -n 's/.*-> //p'";
        let name = |kind: &str| good(docker.stage().sh(&format!("readlink /proc/1/ns/{kind}")));
        for (flag, kind) in [
            ("--pid", "pid"),
            ("--ipc", "ipc"),
            ("--uts", "uts"),
            ("--network", "net"),
            ("--cgroupns", "cgroup"),
            ("--userns", "user"),
        ] {
            let flag = format!("{flag}=host");
            assert!(good(docker.run(&[&flag], listed)).contains(&name(kind)), "{flag}");
        }
        docker.start("first", &["--ipc", "shareable"], "sleep 1000");
        let names = good(docker.exec("first", &[], listed));
        for (flag, kind) in [("--pid", "pid:"), ("--ipc", "ipc:"), ("--network", "net:")] {
            let second = good(docker.run(&[&format!("{flag}=container:first")], listed));
            let name = names.lines().find(|name| name.starts_with(kind)).unwrap();
            assert!(second.contains(name), "{flag}: {second}, not {name}");
        }
        let private = good(docker.run(&["--cgroupns", "private"], "cat /proc/self/cgroup"));
        assert!(private.lines().all(|line| line.ends_with(":/")), "{private}");
    });
}

fn settings_of_the_kernel(bed: &Bed) {
    Docker::with(bed, &[], |docker| {
        let flags = [
            "--ulimit",
            "nofile=100:200",
            "--hostname",
            "elsewhere",
            "--sysctl",
            "net.ipv4.ip_forward=1",
            "--oom-score-adj",
            "500",
        ];
        let ran = docker.run(&flags, "ulimit -n; ulimit -Hn; hostname; cat /proc/sys/net/ipv4/ip_forward /proc/self/oom_score_adj");
        assert_eq!(good(ran), "100\n200\nelsewhere\n1\n500");
    });
}
