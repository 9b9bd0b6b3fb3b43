//! What a process that enters a cell sees, and what it is.

use hotcell::bundle::{IdRange, Network, UserNamespace};
use hotcell::launch::Stdio;

use super::scene::{Scene, idle, proc};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(it_is_where_the_cell_is, Cells, Busybox),
        test!(it_is_what_the_first_process_is, Cells, Busybox),
        test!(it_can_be_somebody_else, Cells, Busybox),
        test!(nothing_of_the_host_is_open, Cells, Busybox),
        test!(ids_of_the_cells_own_are_its_own, Cells, Busybox),
        test!(it_is_a_child_of_ours_and_of_nobody_in_the_cell, Cells, Busybox),
        test!(an_init_that_stays_does_not_mind, Cells, Busybox),
        test!(its_cpus_are_chosen, Cells, Busybox),
    ]
}

const KINDS: [&str; 8] = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"];

fn namespaces(pid: i32) -> Vec<String> {
    let link = |kind| std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
    KINDS.map(|kind| link(kind).display().to_string()).to_vec()
}

/// Each with what the cell is asked for.
fn cells() -> Vec<hotcell::bundle::CellConfig> {
    let plain = idle();
    let mut init = idle();
    init.init = true;
    let mut host_network = idle();
    host_network.network = Network::Host;
    let mut ids = idle();
    ids.upper = hotcell::bundle::Upper::Disk;
    ids.user_namespace = UserNamespace::Range(IdRange::new(400_000, 65_536).unwrap());
    vec![plain, init, host_network, ids]
}

fn it_is_where_the_cell_is(bed: &Bed) {
    let driver = bed.driver();
    for config in cells() {
        let scene = Scene::new(&driver, &config);
        let first = scene.running.cell().pid();
        let further = scene.start(scene.process(&["sleep", "1000"]), Stdio::default()).unwrap();
        assert_eq!(namespaces(further.pid()), namespaces(first), "{config:?}");
        // Every hierarchy there is, the v2 one included.
        assert_eq!(proc(further.pid(), "cgroup"), proc(first, "cgroup"), "{config:?}");
        let root = |pid| std::fs::read_link(format!("/proc/{pid}/root")).unwrap();
        assert_eq!(root(further.pid()), root(first));
        assert_eq!(proc(further.pid(), "mountinfo"), proc(first, "mountinfo"));
        further.kill().unwrap();
        assert!(further.wait(None).unwrap().unwrap().is_kill());
        scene.close();
    }
}

/// What /proc/PID/status says of rights, less the numbers of this one process.
fn rights(pid: i32) -> String {
    let kept =
        ["Uid", "Gid", "Groups", "Umask", "Cap", "NoNewPrivs", "Seccomp", "SigBlk", "SigIgn"];
    let status = proc(pid, "status");
    let lines = status.lines().filter(|line| kept.iter().any(|name| line.starts_with(name)));
    lines.collect::<Vec<_>>().join("\n")
}

fn it_is_what_the_first_process_is(bed: &Bed) {
    let driver = bed.driver();
    for mut config in cells() {
        config.args = ["sleep", "1000"].map(str::to_owned).to_vec();
        if config.init {
            continue;
        }
        let scene = Scene::new(&driver, &config);
        let first = scene.running.cell().pid();
        let further = scene.start(scene.process(&["sleep", "1000"]), Stdio::default()).unwrap();
        assert_eq!(rights(further.pid()), rights(first));
        for file in ["limits", "environ", "cmdline", "oom_score_adj", "personality"] {
            assert_eq!(proc(further.pid(), file), proc(first, file), "{file}");
        }
        scene.close_with([further]);
    }
}

fn it_can_be_somebody_else(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    let user = r#"{"uid": 1234, "gid": 99, "additionalGids": [7, 8], "umask": 63}"#;
    let mut process = scene.process(&["sh", "-c", "id; umask; pwd; echo $A; ulimit -n; ulimit -c"]);
    process.set_user(serde_json::from_str(user).unwrap());
    process.set_cwd("/tmp".into());
    process.set_env(Some(vec!["A=b".into(), "PATH=/bin".into()]));
    let limits = r#"[{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 77}]"#;
    process.set_rlimits(Some(serde_json::from_str(limits).unwrap()));
    process.set_capabilities(None);
    let done = scene.run(process).unwrap();
    let lines: Vec<_> = done.out.lines().collect();
    assert!(lines[0].starts_with("uid=1234 gid=99 groups=7"), "{done:?}");
    assert!(lines[0].contains('8') && lines[1..5] == ["0077", "/tmp", "b", "77"], "{done:?}");
    scene.close();
}

fn nothing_of_the_host_is_open(bed: &Bed) {
    let driver = bed.driver();
    let secret = std::fs::File::open(bed.path("")).unwrap();
    // What this process has open by mistake stays its own.
    rustix::io::fcntl_setfd(&secret, rustix::io::FdFlags::empty()).unwrap();
    for config in cells() {
        let scene = Scene::new(&driver, &config);
        let script =
            "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/$$/fd/0; readlink /proc/$$/exe;
                      readlink /proc/$$/cwd; readlink /proc/$$/root";
        let out = scene.sh(script);
        // The listing's own directory is the third.
        assert_eq!(out, "0 1 2 3 /dev/null\n/bin/busybox\n/\n/\n");
        let null = scene.sh("stat -Lc %d /proc/$$/fd/0; stat -c %d /dev/null");
        let mut devices = null.lines();
        assert_eq!(devices.next(), devices.next(), "the host's null device: {null}");
        scene.close();
    }
}

fn ids_of_the_cells_own_are_its_own(bed: &Bed) {
    let driver = bed.driver();
    let mut config = idle();
    config.upper = hotcell::bundle::Upper::Disk;
    config.user_namespace = UserNamespace::Range(IdRange::new(400_000, 65_536).unwrap());
    let scene = Scene::new(&driver, &config);
    let out =
        scene.sh("id -u; id -g; touch /new; stat -c %u:%g /new; grep CapEff /proc/self/status");
    assert!(out.starts_with("0\n0\n0:0\nCapEff:"), "{out}");
    let mut process = scene.process(&["sleep", "1000"]);
    process.set_user(serde_json::from_str(r#"{"uid": 5, "gid": 6}"#).unwrap());
    let further = scene.start(process, Stdio::default()).unwrap();
    assert!(proc(further.pid(), "status").contains("\nUid:\t400005\t400005\t400005\t400005\n"));
    let mut process = scene.process(&["true"]);
    process.set_user(serde_json::from_str(r#"{"uid": 65536, "gid": 6}"#).unwrap());
    let error = scene.start(process, Stdio::default()).unwrap_err().to_string();
    assert!(error.contains("process.user: ") && error.contains("65536 is nobody"), "{error}");
    scene.close_with([further]);
}

fn it_is_a_child_of_ours_and_of_nobody_in_the_cell(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    let done =
        scene.run(scene.process(&["sh", "-c", "echo $PPID $$; cut -d ' ' -f 5,6 /proc/$$/stat"]));
    let out = done.unwrap().out;
    let words: Vec<i32> = out.split_whitespace().map(|word| word.parse().unwrap()).collect();
    // Nobody inside is its parent, and it leads a session and a group of its own.
    assert!(words[0] == 0 && words[1] > 1 && words[2..] == [words[1]; 2], "{out}");
    let further = scene.start(scene.process(&["sleep", "1000"]), Stdio::default()).unwrap();
    let stat = proc(further.pid(), "stat");
    let parent = stat.rsplit_once(") ").unwrap().1.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(parent, std::process::id().to_string());
    scene.close_with([further]);
}

fn an_init_that_stays_does_not_mind(bed: &Bed) {
    let driver = bed.driver();
    let mut config = idle();
    config.init = true;
    let scene = Scene::new(&driver, &config);
    // What it leaves behind is the init's to reap.
    scene.sh("(sleep 0.1 &) & sleep 0.3; ps -o stat | grep -c Z | grep -qx 0");
    assert!(!scene.running.cell().has_ended());
    scene.close();
}

fn its_cpus_are_chosen(bed: &Bed) {
    let driver = bed.driver();
    let scene = Scene::new(&driver, &idle());
    let mut process = scene.process(&["grep", "Cpus_allowed_list", "/proc/self/status"]);
    for (affinity, list) in
        [(r#"{"final": "1"}"#, "1"), (r#"{"initial": "0", "final": "0-1"}"#, "0-1")]
    {
        process.set_exec_cpu_affinity(Some(serde_json::from_str(affinity).unwrap()));
        let done = scene.run(process.clone()).unwrap();
        assert_eq!(done.out, format!("Cpus_allowed_list:\t{list}\n"), "{done:?}");
    }
    scene.close();
}
