//! containerd 1.6 with its shim, as `ctr` drives it: one daemon per test.

use std::process::Command;

use super::image::{self, IMAGE};
use super::stage::{Daemon, Stage, wait_for};
use super::{SIZE, good, on_terminal, runtime};
use crate::bed::{Bed, Ran};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_task_runs_to_its_end, Cells, Busybox, Containerd),
        test!(a_process_joins_a_task, Cells, Busybox, Containerd),
        test!(a_task_is_paused_and_killed, Cells, Busybox, Containerd),
        test!(a_task_has_a_terminal, Cells, Busybox, Containerd),
        test!(limits_and_metrics, Cells, Busybox, Containerd, Memory, Cpu, Hybrid),
        test!(events_tell_the_story, Cells, Busybox, Containerd, Memory),
        test!(what_a_container_may_and_sees, Cells, Busybox, Containerd),
        test!(a_checkpoint_is_refused_in_words, Cells, Busybox, Containerd),
        test!(tasks_outlive_the_daemon, Cells, Busybox, Containerd),
        test!(ten_at_once, Cells, Busybox, Containerd),
    ]
}

/// Plugins that look at the whole machine are left out.
const CONFIG: &str = r#"
version = 2
root = "DIR/root"
state = "DIR/state"
disabled_plugins = [
    "io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",
    "io.containerd.snapshotter.v1.devmapper",
]
[grpc]
address = "DIR/containerd.sock"
"#;

/// A daemon with the busybox image.
pub struct Containerd {
    stage: Stage,
    daemon: Option<Daemon>,
}

impl Containerd {
    pub fn with(bed: &Bed, story: impl FnOnce(&mut Containerd, &Bed)) {
        let stage = Stage::set_up(bed, "", &[]);
        let text = CONFIG.replace("DIR", stage.dir().to_str().unwrap());
        std::fs::write(bed.path("config.toml"), text).unwrap();
        let daemon = Some(start(bed, &stage));
        let mut ctr = Containerd { stage, daemon };
        ctr.answers();
        ctr.good(&["images", "import", image::archive(bed).to_str().unwrap()]);
        story(&mut ctr, bed);
        for name in ctr.good(&["containers", "list", "--quiet"]).lines() {
            ctr.call(&["task", "delete", "--force", name]);
            ctr.good(&["containers", "delete", name]);
        }
        ctr.daemon.take().unwrap().stop(&ctr.stage);
        ctr.stage.finish();
    }

    fn answers(&self) {
        wait_for("containerd answers", || self.call(&["version"]).code == Some(0));
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.stage.command("ctr");
        command.args(["--address", &self.stage.path("containerd.sock")]).args(args);
        command
    }

    /// Lines for a shell, in which `ctr` speaks to this daemon.
    pub fn shell(&self, script: &str) -> Ran {
        let mut shell = self.stage.command("sh");
        shell.env("CONTAINERD_ADDRESS", self.stage.path("containerd.sock"));
        Ran::from(shell.args(["-c", script]).output().unwrap())
    }

    fn call(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    #[track_caller]
    pub fn good(&self, args: &[&str]) -> String {
        good(self.call(args))
    }

    /// `ctr run` on our runtime: flags, then a name and a script.
    fn words(&self, flags: &[&str], name: &str, script: &str) -> Vec<String> {
        let cgroup = format!("{}/{name}", self.stage.cgroup_parent());
        let runtime = runtime().to_str().unwrap().to_owned();
        let ours = ["--runc-binary", &runtime, "--cgroup", &cgroup];
        let words = [&["run"], &ours[..], flags, &[IMAGE, name, "sh", "-c", script]].concat();
        words.into_iter().map(str::to_owned).collect()
    }

    fn run(&self, flags: &[&str], name: &str, script: &str) -> Ran {
        let words = self.words(&[&["--rm"], flags].concat(), name, script);
        self.call(&words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[track_caller]
    fn start(&self, flags: &[&str], name: &str, script: &str) {
        let words = self.words(&[&["--detach"], flags].concat(), name, script);
        self.good(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// A script in a running task. Each has an id of its own there.
    fn exec(&self, flags: &[&str], name: &str, id: &str, script: &str) -> Ran {
        let id = ["task", "exec", "--exec-id", id];
        self.call(&[&id, flags, &[name, "sh", "-c", script]].concat())
    }

    fn status(&self, name: &str) -> String {
        let list = self.good(&["task", "list"]);
        let line = list.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().last().unwrap_or_default().to_owned()
    }
}

fn start(bed: &Bed, stage: &Stage) -> Daemon {
    let config = bed.path("config.toml");
    stage.daemon("containerd", &["--config", config.to_str().unwrap()], &bed.path("log"))
}

fn a_task_runs_to_its_end(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        let ran = ctr.run(
            &["--env", "A=b", "--cwd", "/tmp"],
            "one",
            "echo $A $(pwd); echo err >&2; exit 5",
        );
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(5), "b /tmp\n", "err\n"));
        let killed = ctr.run(&[], "two", "sh -c 'kill -9 $$'; exit $?");
        assert_eq!(killed.code, Some(137));
        let missing = ctr.run(&["--cwd", "/etc/passwd"], "three", "true");
        assert!(missing.code != Some(0) && !missing.err.is_empty(), "{missing:?}");
        let ran = ctr.run(&["--read-only"], "four", "touch /written");
        assert!(ran.err.contains("Read-only"), "{ran:?}");
        // Its name is free again.
        assert_eq!(ctr.run(&[], "one", "true").code, Some(0));
    });
}

fn a_process_joins_a_task(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        ctr.start(&[], "host", "sleep 1000");
        let ran = ctr.exec(&[], "host", "first", "echo out; echo err >&2; exit 4");
        assert_eq!((ran.code, &*ran.out, &*ran.err), (Some(4), "out\n", "err\n"));
        let ran =
            ctr.exec(&["--user", "12:34", "--cwd", "/tmp"], "host", "second", "id -u; id -g; pwd");
        assert_eq!(good(ran), "12\n34\n/tmp");
        good(ctr.exec(&["--detach"], "host", "third", "sleep 999"));
        wait_for("both are there", || ctr.good(&["task", "ps", "host"]).lines().count() == 3);
        let missing = ctr.call(&["task", "exec", "--exec-id", "fourth", "host", "no-such-command"]);
        assert!(missing.code != Some(0) && missing.err.contains("no-such-command"), "{missing:?}");
        ctr.good(&["task", "kill", "--signal", "9", "--exec-id", "third", "host"]);
        wait_for("one is gone", || ctr.good(&["task", "ps", "host"]).lines().count() == 2);
        assert_eq!(ctr.status("host"), "RUNNING");
    });
}

fn a_task_is_paused_and_killed(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        ctr.start(&[], "clock", "trap '' TERM; while :; do sleep 0.1; done");
        ctr.good(&["task", "pause", "clock"]);
        assert_eq!(ctr.status("clock"), "PAUSED");
        ctr.good(&["task", "resume", "clock"]);
        assert_eq!(ctr.status("clock"), "RUNNING");
        let held = ctr.call(&["task", "delete", "clock"]);
        assert_ne!(held.code, Some(0), "{held:?}");
        ctr.good(&["task", "kill", "clock"]);
        assert_eq!(ctr.status("clock"), "RUNNING");
        ctr.good(&["task", "kill", "--signal", "SIGKILL", "--all", "clock"]);
        wait_for("it is dead", || ctr.status("clock") == "STOPPED");
        ctr.good(&["task", "delete", "clock"]);
        assert_eq!(ctr.status("clock"), "");
        ctr.start(&[], "held", "sleep 1000 & sleep 1000");
        ctr.good(&["task", "pause", "held"]);
        ctr.good(&["task", "delete", "--force", "held"]);
    });
}

fn a_task_has_a_terminal(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        let words = ctr.words(&["--rm", "--tty"], "room", SIZE);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let ran = on_terminal(&ctr.command(&words));
        assert_eq!((ran.code, &*ran.out), (Some(3), "33 91\n/dev/pts/0\n"), "{ran:?}");
        ctr.start(&[], "host", "sleep 1000");
        let exec =
            ["task", "exec", "--tty", "--exec-id", "shell", "host", "sh", "-c", "test -t 1 && tty"];
        // It tells loudly when it is too late to set the size.
        let ran = on_terminal(&ctr.command(&exec));
        assert_eq!((ran.code, ran.out.lines().next()), (Some(0), Some("/dev/pts/0")), "{ran:?}");
    });
}

fn limits_and_metrics(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        let flags = ["--memory-limit", "67108864", "--cpus", "0.5", "--cpu-shares", "512"];
        ctr.start(&flags, "held", "sleep 1000");
        let metrics = ctr.good(&["task", "metrics", "held"]);
        let value = |name: &str| {
            let line = metrics.lines().find(|line| line.starts_with(name)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap()
        };
        assert_eq!(value("memory.limit_in_bytes"), 64 << 20);
        assert_eq!(value("pids.current"), 1);
        assert!(value("memory.usage_in_bytes") > 0 && value("cpuacct.usage ") > 0, "{metrics}");
        let cgroup = |file: &str| {
            let (hierarchy, file) = file.split_once('/').unwrap();
            let dirs = ctr.stage.cgroups();
            let dir = dirs.iter().find(|dir| dir.parent().unwrap().ends_with(hierarchy)).unwrap();
            std::fs::read_to_string(dir.join("held").join(file)).unwrap().trim().to_owned()
        };
        assert_eq!(cgroup("cpu/cpu.cfs_quota_us"), "50000");
        assert_eq!(cgroup("cpu/cpu.shares"), "512");
    });
}

fn events_tell_the_story(bed: &Bed) {
    Containerd::with(bed, |ctr, bed| {
        let record = std::fs::File::create(bed.path("events")).unwrap();
        let mut listener = ctr.command(&["events"]).stdout(record).spawn().unwrap();
        let told = |what: &str| std::fs::read_to_string(bed.path("events")).unwrap().contains(what);
        // Nothing says when it listens.
        wait_for("the listener hears", || {
            ctr.call(&["containers", "label", "none", "a=b"]);
            ctr.call(&["images", "label", IMAGE, &format!("a={:?}", std::time::Instant::now())]);
            told("/images/update")
        });
        let eat = "head -c 100m /dev/zero | tail >/dev/null; sleep 1";
        ctr.run(&["--memory-limit", "33554432"], "greedy", eat);
        for what in ["create", "start", "exit", "delete", "oom"] {
            wait_for(what, || told(&format!("/tasks/{what}")));
        }
        // timeout passes the end on.
        good(ctr.stage.sh("kill $(pidof ctr)"));
        listener.wait().unwrap();
    });
}

fn what_a_container_may_and_sees(bed: &Bed) {
    Containerd::with(bed, |ctr, bed| {
        let caps = "grep CapEff /proc/self/status | cut -f 2";
        let ordinary = good(ctr.run(&[], "one", caps));
        let more = good(ctr.run(&["--cap-add", "CAP_NET_ADMIN"], "two", caps));
        let bits = |text: &str| u64::from_str_radix(text, 16).unwrap();
        assert_eq!(bits(&ordinary) | 1 << 12, bits(&more));
        let filtered = "grep Seccomp: /proc/self/status | cut -f 2";
        assert_eq!(good(ctr.run(&["--seccomp"], "three", filtered)), "2");
        assert_eq!(good(ctr.run(&[], "four", filtered)), "0");
        std::fs::write(bed.path("there"), "shared").unwrap();
        let mount =
            format!("type=bind,src={},dst=/there,options=rbind:ro", bed.path("there").display());
        let ran = ctr.run(&["--mount", &mount], "five", "cat /there; echo x >/there");
        assert!(ran.out == "shared" && ran.err.contains("Read-only"), "{ran:?}");
        let network = good(ctr.stage.sh("readlink /proc/1/ns/net"));
        let name = "ls -l /proc/self/ns/net | sed 's/.*-> //'";
        assert_eq!(good(ctr.run(&["--net-host"], "six", name)), network);
        assert_ne!(good(ctr.run(&[], "seven", name)), network);
        ctr.start(&[], "eight", "sleep 1000");
        let pid = ctr
            .good(&["task", "list"])
            .lines()
            .last()
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .to_owned();
        let flag = format!("network:/proc/{pid}/ns/net");
        let joined = good(ctr.run(&["--with-ns", &flag], "nine", name));
        assert_eq!(joined, good(ctr.exec(&[], "eight", "name", name)));
    });
}

fn a_checkpoint_is_refused_in_words(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        ctr.start(&[], "still", "sleep 1000");
        let ran = ctr.call(&["task", "checkpoint", "still"]);
        let words = ran.err.to_lowercase();
        assert!(
            ran.code != Some(0) && (words.contains("checkpoint") || words.contains("criu")),
            "{ran:?}"
        );
        assert_eq!(ctr.status("still"), "RUNNING");
    });
}

fn tasks_outlive_the_daemon(bed: &Bed) {
    Containerd::with(bed, |ctr, bed| {
        ctr.start(&[], "steady", "sleep 1000");
        ctr.daemon.take().unwrap().stop(&ctr.stage);
        ctr.daemon = Some(start(bed, &ctr.stage));
        ctr.answers();
        wait_for("it is known again", || ctr.status("steady") == "RUNNING");
        assert_eq!(good(ctr.exec(&[], "steady", "first", "echo here")), "here");
        ctr.good(&["task", "kill", "--signal", "9", "steady"]);
        wait_for("it is dead", || ctr.status("steady") == "STOPPED");
    });
}

fn ten_at_once(bed: &Bed) {
    Containerd::with(bed, |ctr, _| {
        let ctr = &*ctr;
        std::thread::scope(|scope| {
            let runs = (0..10).map(|number| {
                let script = format!("echo {number}");
                scope.spawn(move || good(ctr.run(&[], &format!("cell{number}"), &script)))
            });
            let runs: Vec<_> = runs.collect();
            for (number, run) in runs.into_iter().enumerate() {
                assert_eq!(run.join().unwrap(), number.to_string());
            }
        });
    });
}
