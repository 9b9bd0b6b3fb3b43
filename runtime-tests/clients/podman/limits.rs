//! podman: limits on a container's resources, seen from inside and by the engine.

use super::Podman;
use crate::bed::Bed;
use crate::clients::good;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(limits_are_read_back_inside, Cells, Busybox, Podman, Memory, Cpu, Pids),
        test!(too_much_memory_is_death, Cells, Busybox, Podman, Memory),
        test!(limits_change_while_it_runs, Cells, Busybox, Podman, Memory, Cpu, Pids, Hybrid),
        test!(resource_limits_of_processes, Cells, Busybox, Podman),
        test!(only_asked_for_devices_are_there, Cells, Busybox, Podman),
        test!(kernel_settings_of_its_own, Cells, Busybox, Podman),
    ]
}

const FLAGS: [&str; 14] = [
    "-m",
    "64m",
    "--memory-swap",
    "64m",
    "--memory-reservation",
    "32m",
    "--cpus",
    "0.5",
    "--cpu-shares",
    "512",
    "--cpuset-cpus",
    "0",
    "--pids-limit",
    "20",
];

fn limits_are_read_back_inside(bed: &Bed) {
    Podman::with(bed, |podman| {
        // One tree, or one for each controller.
        let files = "cd /sys/fs/cgroup; if [ -e cgroup.controllers ]; then \
                cat memory.max memory.low cpu.max cpuset.cpus pids.max; \
            else \
                cat memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes; \
                echo $(cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us); \
                cat cpuset/cpuset.cpus pids/pids.max; \
            fi; nproc";
        let read = good(podman.run(&FLAGS, files));
        assert_eq!(read, "67108864\n33554432\n50000 100000\n0\n20\n1");
        engine_reads_them_too(podman);
    });
}

fn engine_reads_them_too(podman: &Podman) {
    podman.start("held", &FLAGS, "sleep 1000");
    let format = "{{.MemLimit}} {{.PIDs}}";
    assert_eq!(podman.good(&["stats", "--no-stream", "--format", format, "held"]), "67108864 1");
}

fn too_much_memory_is_death(bed: &Bed) {
    Podman::with(bed, |podman| {
        let eat = "head -c 100m /dev/zero | tail >/dev/null; echo survived";
        let ran =
            podman.run(&["-m", "32m", "--memory-swap", "32m"], &format!("exec sh -c '{eat}'"));
        assert!(ran.code == Some(137) || ran.err.contains("Killed"), "{ran:?}");
    });
}

fn limits_change_while_it_runs(bed: &Bed) {
    Podman::with(bed, |podman| {
        podman.start("held", &["-m", "64m"], "sleep 1000");
        podman.good(&["update", "-m", "128m", "--cpus", "0.25", "held"]);
        let files = "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes cpu/cpu.cfs_quota_us";
        assert_eq!(good(podman.exec("held", &[], files)), "134217728\n25000");
    });
}

fn resource_limits_of_processes(bed: &Bed) {
    Podman::with(bed, |podman| {
        let processes = ["--ulimit", "nproc=4096:4096"];
        let flags =
            [&processes[..], &["--ulimit", "core=0:0", "--ulimit", "nofile=100:200"]].concat();
        assert_eq!(good(podman.run(&flags, "ulimit -c; ulimit -n; ulimit -Hn")), "0\n100\n200");
        let adjusted = podman.run(&["--oom-score-adj", "500"], "cat /proc/self/oom_score_adj");
        assert_eq!(good(adjusted), "500");
        assert_eq!(good(podman.run(&["--umask", "077"], "umask")), "0077");
    });
}

fn only_asked_for_devices_are_there(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags = ["--device", "/dev/null:/dev/nothing:rw"];
        let ran =
            podman.run(&flags, "echo x >/dev/nothing; stat -c %t:%T /dev/nothing; ls /dev/fuse");
        assert!(ran.out == "1:3\n" && ran.code != Some(0), "{ran:?}");
        // Nodes that a container makes for itself do not open.
        let made = "mknod /tmp/disk b 7 0 && cat /tmp/disk";
        let ran = podman.run(&["--cap-add", "mknod"], made);
        assert!(ran.code != Some(0) && ran.err.contains("not permitted"), "{ran:?}");
        let shm = podman.run(&["--shm-size", "1m"], "df -k /dev/shm | tail -n 1");
        assert_eq!(good(shm).split_whitespace().nth(1), Some("1024"));
    });
}

fn kernel_settings_of_its_own(bed: &Bed) {
    Podman::with(bed, |podman| {
        let flags = ["--sysctl", "net.ipv4.ip_forward=1", "--sysctl", "kernel.msgmax=9000"];
        let ran = podman.run(&flags, "cd /proc/sys; cat net/ipv4/ip_forward kernel/msgmax");
        assert_eq!(good(ran), "1\n9000");
        let foreign = podman.run(&["--sysctl", "vm.swappiness=1"], "true");
        assert_ne!(foreign.code, Some(0), "{foreign:?}");
    });
}
