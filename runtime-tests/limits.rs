//! Limits hold, say so when they do, and are refused when they can't.

use hotcell::bundle::{CellConfig, Limits};
use hotcell::cgroup::{Controller, Hierarchies, OwnPlace, Parent};
use hotcell::launch::Exit;
use hotcell::native::Instance;

use crate::bed::{Bed, every_cgroup_dir, finish, script, start};
use crate::host::fixture;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(too_much_memory_is_killed_and_told, Cells, Debian, Memory),
        test!(a_child_killed_for_memory_is_counted_not_blamed, Cells, Debian, Memory),
        test!(writes_to_the_root_in_memory_are_charged, Cells, Busybox, Memory),
        test!(a_limit_too_small_to_start_is_told, Cells, Busybox, Memory),
        test!(a_fork_bomb_meets_its_limit, Cells, Busybox, Pids),
        test!(cpu_time_is_throttled, Cells, Busybox, Cpu),
        test!(tmpfs_size_and_inodes_hold, Cells, Busybox),
        test!(rlimits_hold, Cells, Busybox),
        test!(raising_a_hard_limit_without_privilege_is_refused, Cells, Busybox),
        test!(a_limit_without_its_controller_is_refused_by_name, Cells, Busybox),
        test!(values_stand_in_the_kernels_files, Cells, Busybox, Memory, Cpu, Pids),
        test!(nothing_can_be_made_below_a_cells_cgroup, Cells, Busybox),
    ]
}

fn hog(megabytes: usize) -> [String; 3] {
    let code = format!("b = bytearray(1024) * 1024 * {megabytes}; print(len(b))");
    ["python3".into(), "-c".into(), code]
}

fn too_much_memory_is_killed_and_told(bed: &Bed) {
    let rootfs = fixture("debian");
    for init in [&[][..], &["--init"]] {
        let flags = ["--rootfs", rootfs.to_str().unwrap(), "--memory", "128m"];
        let flags: Vec<_> = flags.iter().chain(init).map(|flag| (*flag).to_owned()).collect();
        let dashes = ["--".to_owned()];
        let ran = bed.run(flags.iter().chain(&dashes).chain(&hog(500)));
        assert_eq!(ran.code, Some(137), "{ran:?}");
        assert!(ran.err.starts_with("hotcell: ") && ran.err.contains("memory limit"), "{ran:?}");
        assert!(ran.err.contains("134217728") && ran.err.lines().count() == 1, "{ran:?}");
        let ran = bed.run(flags.iter().chain(&dashes).chain(&hog(50)));
        assert_eq!(ran.ok(), format!("{}\n", 50 << 20));
    }
}

fn a_child_killed_for_memory_is_counted_not_blamed(bed: &Bed) {
    let code = "import subprocess, sys; sys.exit(subprocess.call(['python3', '-c', \
                'b = bytearray(1024) * 1024 * 500']) == -9 and 5)";
    let mut config = CellConfig::new(fixture("debian"), ["python3", "-c", code]);
    config.limits.memory = Some("64m".parse().unwrap());
    let outcome = finish(&bed.driver(), &config);
    if !Hierarchies::detect().unwrap().v1.contains_key(&Controller::Memory) {
        // On v2 the cell is killed as one (memory.oom.group): there is no survivor to ask.
        assert_eq!((outcome.exit, outcome.oom_killed), (Exit::Signal(9), true), "{outcome:?}");
        assert!(outcome.oom.kills >= 2, "{outcome:?}");
        return;
    }
    assert_eq!((outcome.exit, outcome.oom_killed), (Exit::Code(5), false), "{outcome:?}");
    assert!(outcome.oom.kills >= 1, "{outcome:?}");
}

fn writes_to_the_root_in_memory_are_charged(bed: &Bed) {
    let script = "head -c 200000000 /dev/zero > /big; echo survived";
    let ran = bed.sh(&["--memory", "32m", "--upper", "tmpfs", "--init"], script);
    assert_eq!(ran.code, Some(137), "{ran:?}");
    assert!(ran.err.contains("memory limit"), "{ran:?}");
}

fn a_limit_too_small_to_start_is_told(bed: &Bed) {
    let ran = bed.sh(&["--memory", "4k"], "true");
    assert_eq!(ran.code, Some(125), "{ran:?}");
    assert!(ran.err.lines().count() == 1 && ran.err.contains("memory"), "{ran:?}");
}

fn a_fork_bomb_meets_its_limit(bed: &Bed) {
    let script = "i=0; while [ $i -lt 50 ]; do sleep 30 & i=$((i+1)); done 2>&1; echo reached $i";
    let ran = bed.sh(&["--pids-limit", "16", "--timeout", "20"], script);
    // The shell gives up at the first fork that fails, or goes on and says so.
    assert!(ran.out.contains("can't fork") || ran.err.contains("can't fork"), "{ran:?}");
    // The first process forks once, before there is nothing left to fork.
    let bomb = bed.sh(
        &["--pids-limit", "32", "--timeout", "1s", "--init"],
        "f() { f | f & }; (f) & exec sleep 9",
    );
    assert_eq!(bomb.code, Some(124), "{:.300}", bomb.err);
}

fn cpu_time_is_throttled(bed: &Bed) {
    let mut config = script(
        "file=/sys/fs/cgroup/cpu/cpu.stat; [ -e $file ] || file=/sys/fs/cgroup/cpu.stat
         i=0; while [ $i -lt 150000 ]; do
             i=$((i+1))
             [ $((i % 1000)) != 0 ] || grep -q 'nr_throttled [1-9]' $file && exit 0
         done; exit 1",
    );
    config.limits.cpu = Some("0.1".parse().unwrap());
    let outcome = finish(&bed.driver(), &config);
    assert_eq!(outcome.exit, Exit::Code(0), "{outcome:?}");
}

fn tmpfs_size_and_inodes_hold(bed: &Bed) {
    let flags = ["--tmpfs", "/t:size=1m", "--tmpfs", "/n:nr_inodes=5"];
    let script = "head -c 2000000 /dev/zero > /t/x; wc -c < /t/x; touch /n/1 /n/2 /n/3 /n/4 /n/5; ls /n | wc -l
        grep -c ' /t tmpfs rw,nosuid,nodev,noexec' /proc/mounts; stat -c %a /t";
    let ran = bed.sh(&flags, script);
    assert_eq!(ran.out, "1048576\n4\n1\n1777\n", "{ran:?}");
    assert!(ran.err.contains("No space left on device"), "{ran:?}");
}

fn rlimits_hold(bed: &Bed) {
    let flags = ["--ulimit", "nofile=100:200", "--ulimit", "core=0"];
    let out = bed.sh(&flags, "ulimit -Sn; ulimit -Hn; ulimit -c").ok();
    assert_eq!(out, "100\n200\n0\n");
}

fn raising_a_hard_limit_without_privilege_is_refused(bed: &Bed) {
    let raised = bed.sh(&["--ulimit", "nofile=100:1048577000"], "true");
    // With CAP_SYS_RESOURCE the kernel's own maximum refuses it instead.
    assert_eq!(raised.code, Some(125), "{raised:?}");
    assert!(
        raised.err.contains("RLIMIT_NOFILE") && raised.err.contains("1048577000"),
        "{raised:?}"
    );
}

fn a_limit_without_its_controller_is_refused_by_name(bed: &Bed) {
    let mut hierarchies = Hierarchies::detect().unwrap();
    hierarchies.v1.remove(&Controller::Pids);
    hierarchies.v2.retain(|controller| *controller != Controller::Pids);
    let parent = Parent::open(hierarchies, &bed.options().cgroup_parent, OwnPlace::Keep).unwrap();
    let limits = Limits { pids: Some(7), ..Limits::default() }.to_resources().unwrap();
    let error = parent.create("refused", &limits).unwrap_err().to_string();
    assert!(error.contains("pids.max=7") && error.contains("\"pids\""), "{error}");
    assert_eq!(parent.leaves().unwrap(), [""; 0]);
    parent.dissolve().unwrap();
}

fn values_stand_in_the_kernels_files(bed: &Bed) {
    let script = "cd /sys/fs/cgroup
        cat memory.max memory/memory.limit_in_bytes 2>/dev/null
        cat memory.swap.max 2>/dev/null || cat memory/memory.memsw.limit_in_bytes
        cat cpu.max 2>/dev/null || cat cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us
        cat pids.max pids/pids.max 2>/dev/null; true";
    let flags = ["--memory", "64m", "--cpus", "0.009", "--pids-limit", "12"];
    let out = bed.sh(&flags, script).ok();
    let unified = "67108864\n0\n9000 1000000\n12\n";
    let hybrid = "67108864\n67108864\n9000\n1000000\n12\n";
    assert!(out == unified || out == hybrid, "{out}");
}

fn nothing_can_be_made_below_a_cells_cgroup(bed: &Bed) {
    let unified = Hierarchies::detect().unwrap().unified;
    // One that the driver makes, and one that was there before and is deeper than its own.
    for found in [false, true] {
        let parent = format!("{}-deep", bed.options().cgroup_parent);
        if found {
            std::fs::create_dir(unified.join(&parent)).unwrap();
        }
        let mut options = bed.options();
        options.cgroup_parent = parent.clone();
        let driver = Instance::open(options).unwrap();
        let running = start(&driver, &script("sleep 100"));
        let leaves: Vec<_> = std::fs::read_dir(unified.join(&parent))
            .unwrap()
            .filter_map(|entry| Some(entry.unwrap().path()).filter(|path| path.is_dir()))
            .collect();
        assert_eq!(leaves.len(), 1, "{leaves:?}");
        let refused = std::fs::create_dir(leaves[0].join("below")).unwrap_err();
        // EAGAIN is the kernel's word for a tree that is as deep or as wide as it may be.
        assert_eq!(refused.raw_os_error(), Some(11), "{refused}");
        let depth = std::fs::read_to_string(unified.join(&parent).join("cgroup.max.depth"));
        assert_eq!(depth.unwrap(), if found { "max\n" } else { "1\n" });
        running.close().unwrap();
        drop(driver);
        for dir in every_cgroup_dir() {
            let _ = std::fs::remove_dir(dir.with_file_name(&parent));
        }
    }
}
