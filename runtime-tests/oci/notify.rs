//! Calls that an agent decides about: who gets a filter's listener, what he is told, and what comes of it.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{Shutdown, shutdown};
use serde_json::{Value, json};

use super::scene::{PATIENCE, Scene, complaint};
use super::terminal::received_with;
use crate::bed::{Bed, Ran};
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(an_agent_decides_about_calls_and_is_told_whose, Cells, Busybox),
        test!(an_agent_may_decide_about_what_comes_before_the_command, Cells, Busybox),
        test!(a_process_that_enters_among_tracers_is_bound_before_it_is_seen, Cells, Busybox),
        test!(one_that_joins_the_processes_of_another_is_told_by_its_own_number, Cells, Busybox),
        test!(nobody_inside_gets_a_listener, Cells, Busybox),
        test!(without_an_agent_there_is_no_container, Cells, Busybox),
        test!(an_agent_that_goes_leaves_calls_that_do_not_exist, Cells, Busybox),
        test!(what_no_agent_could_decide_about_is_refused, Cells, Busybox),
    ]
}

/// `struct seccomp_notif`.
#[repr(C)]
#[derive(Default)]
struct Notice {
    id: u64,
    pid: u32,
    flags: u32,
    number: i32,
    architecture: u32,
    instruction: u64,
    arguments: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

const RECEIVE: u64 = 0xc050_2100;
const SEND: u64 = 0xc018_2101;
/// In the answer: the call is made.
const CONTINUE: u32 = 1;
const ENOMEDIUM: i32 = 123;

/// What an agent does with calls.
#[derive(Clone, Copy)]
enum Say {
    Errno(i32),
    Continue,
}

/// Waits for a call; `false` once nobody is left who could make one.
fn wait(listener: &OwnedFd) -> bool {
    loop {
        let mut watched = [PollFd::new(listener, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) if watched[0].revents().contains(PollFlags::IN) => return true,
            Err(rustix::io::Errno::INTR) => {}
            _ => return false,
        }
    }
}

/// Answers one call. Who made it may have gone meanwhile.
#[allow(unsafe_code, reason = "a listener is spoken to by ioctl")]
fn answer_once(listener: &OwnedFd, say: Say, calls: &Sender<u32>) {
    let mut notice = Notice::default();
    // SAFETY: the kernel writes the structure's size, which is part of the number.
    if unsafe { libc::ioctl(listener.as_raw_fd(), RECEIVE, &raw mut notice) } != 0 {
        return;
    }
    let (error, flags) = match say {
        Say::Errno(errno) => (-errno, 0),
        Say::Continue => (0, CONTINUE),
    };
    let answer = Answer { id: notice.id, value: 0, error, flags };
    // SAFETY: the kernel reads the structure's size, which is part of the number.
    unsafe { libc::ioctl(listener.as_raw_fd(), SEND, &raw const answer) };
    let _ = calls.send(notice.pid);
}

/// What one connection brings: one state, and one descriptor along.
fn read(stream: &UnixStream) -> (Value, OwnedFd) {
    let mut text = vec![0; 64 << 10];
    let (count, mut files) = received_with(stream, &mut text);
    assert_eq!(files.len(), 1);
    // runc's end stays open as long as it runs: the first message is all.
    text.truncate(count);
    (serde_json::from_slice(&text).unwrap(), files.remove(0))
}

/// An agent of the test's: it answers on threads of its own until nobody is left to ask.
struct Agent {
    path: PathBuf,
    told: Receiver<Value>,
    calls: Receiver<u32>,
    life: Option<(UnixListener, JoinHandle<()>)>,
}

impl Drop for Agent {
    /// Its containers have gone, or the test fails anyway.
    fn drop(&mut self) {
        if let Some((socket, thread)) = self.life.take()
            && !std::thread::panicking()
        {
            shutdown(&socket, Shutdown::Both).unwrap();
            thread.join().unwrap();
        }
    }
}

impl Agent {
    fn new(bed: &Bed, name: &str, say: Say) -> Agent {
        let path = bed.path(name);
        let socket = UnixListener::bind(&path).unwrap();
        let ((tell, told), (call, calls)) = (channel(), channel());
        let accepting = socket.try_clone().unwrap();
        let thread = std::thread::spawn(move || {
            let mut answering = Vec::new();
            for stream in accepting.incoming().map_while(Result::ok) {
                let (state, listener) = read(&stream);
                let call = call.clone();
                tell.send(state).unwrap();
                answering.push(std::thread::spawn(move || {
                    while wait(&listener) {
                        answer_once(&listener, say, &call);
                    }
                }));
            }
            answering.into_iter().for_each(|thread| thread.join().unwrap());
        });
        Agent { path, told, calls, life: Some((socket, thread)) }
    }

    /// One that is not there.
    fn absent(path: PathBuf) -> Agent {
        Agent { path, told: channel().1, calls: channel().1, life: None }
    }

    #[track_caller]
    fn told(&self) -> Value {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    #[track_caller]
    fn asked_by(&self) -> u32 {
        self.calls.recv_timeout(PATIENCE).unwrap()
    }

    /// A specification that leaves these calls to it.
    fn config(&self, oci: &Scene, script: &str, calls: &[&str]) -> Value {
        let mut config = oci.config(script);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "listenerPath": self.path,
            "listenerMetadata": "some words",
            "syscalls": [{ "names": calls, "action": "SCMP_ACT_NOTIFY" }],
        });
        config
    }
}

/// The names of what an object has.
fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

fn run(oci: &Scene, name: &str, config: Value) -> Ran {
    let bundle = oci.bundle(name, config);
    oci.call(&["run", "--bundle", bundle.to_str().unwrap(), name])
}

const MKDIR: [&str; 2] = ["mkdir", "mkdirat"];

fn an_agent_decides_about_calls_and_is_told_whose(bed: &Bed) {
    let mut shapes = Vec::new();
    let ours = [(Scene::new(bed), true), (Scene::new(bed), false)];
    for (oci, no_new_privileges) in ours.into_iter().chain([(Scene::runc(bed), true)]) {
        let agent = Agent::new(bed, &format!("agent-{}", shapes.len()), Say::Errno(ENOMEDIUM));
        let script = "mkdir /dev/a; while :; do sleep 0.05; done";
        let mut config = agent.config(&oci, script, &MKDIR);
        config["annotations"] = json!({ "some.key": "some value" });
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        if shapes.len() < 2 {
            config["linux"]["seccomp"]["flags"] =
                json!(["SECCOMP_FILTER_FLAG_TSYNC", "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]);
        }
        let version = config["ociVersion"].clone();
        oci.create_from("c1", config);
        let told = agent.told();
        let pid = oci.state("c1")["pid"].clone();
        assert_eq!(told["fds"], json!(["seccompFd"]));
        assert_eq!((&told["pid"], &told["state"]["pid"]), (&pid, &pid), "{told}");
        assert_eq!(told["metadata"], json!("some words"));
        let state = &told["state"];
        assert_eq!((&state["id"], &state["status"]), (&json!("c1"), &json!("creating")));
        assert_eq!(state["bundle"], oci.state("c1")["bundle"]);
        assert_eq!(state["annotations"]["some.key"], json!("some value"));
        assert!(state["ociVersion"].is_string() && told["ociVersion"].is_string());
        oci.call(&["start", "c1"]).ok();
        // Both mkdirs are other processes than the shell, or the shell itself: all are the cell's.
        assert!(agent.asked_by() > 1);
        let ran = oci.call(&["exec", "c1", "sh", "-c", "echo $$; exec mkdir /dev/b"]);
        assert!(ran.code == Some(1) && ran.err.contains("No medium found"), "{ran:?}");
        let entered = agent.told();
        assert_eq!(entered["state"]["status"], json!("running"));
        assert_eq!(entered["state"]["pid"], pid);
        assert_eq!(json!(agent.asked_by()), entered["pid"], "{entered}");
        assert_ne!(entered["pid"], pid);
        shapes.push((version, told, entered));
        oci.delete("c1");
    }
    for (_, told, entered) in &shapes[..2] {
        for (our, their) in [(told, &shapes[2].1), (entered, &shapes[2].2)] {
            assert_eq!(keys(our), keys(their));
            assert_eq!(keys(&our["state"]), keys(&their["state"]));
        }
    }
    for (version, told, _) in &shapes[..2] {
        assert_eq!((&told["ociVersion"], &told["state"]["ociVersion"]), (version, version));
    }
}

/// Everything that the process calls with its filter in force, but what hands over the listener.
fn an_agent_may_decide_about_what_comes_before_the_command(bed: &Bed) {
    let oci = Scene::new(bed);
    let calls = [
        "read",
        "close",
        "close_range",
        "dup3",
        "fcntl",
        "rt_sigprocmask",
        "execve",
        "sendmsg",
        "setsid",
        "clone",
        "getpid",
        "pidfd_open",
        "capget",
        "capset",
        "exit_group",
    ];
    for no_new_privileges in [true, false] {
        let name = format!("agent-{no_new_privileges}");
        let agent = Agent::new(bed, &name, Say::Continue);
        let mut config = agent.config(&oci, "while :; do sleep 0.05; done", &calls);
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        oci.create_from("c1", config.clone());
        oci.call(&["start", "c1"]).ok();
        let ran = oci.call(&["exec", "c1", "sh", "-c", "exit 9"]);
        assert_eq!(ran.code, Some(9), "{ran:?}");
        oci.delete("c1");
        config["process"]["args"] = json!(["sh", "-c", "exit 8"]);
        let ran = run(&oci, "c2", config);
        assert_eq!(ran.code, Some(8), "{ran:?}");
    }
}

fn a_process_that_enters_among_tracers_is_bound_before_it_is_seen(bed: &Bed) {
    let oci = Scene::new(bed);
    for no_new_privileges in [true, false] {
        let name = format!("agent-{no_new_privileges}");
        let agent = Agent::new(bed, &name, Say::Errno(ENOMEDIUM));
        let mut config = agent.config(&oci, "while :; do sleep 0.05; done", &MKDIR);
        config["process"]["noNewPrivileges"] = json!(no_new_privileges);
        config["process"]["capabilities"]["bounding"] = json!(["CAP_KILL", "CAP_SYS_PTRACE"]);
        for set in ["effective", "permitted", "ambient"] {
            config["process"]["capabilities"][set] = json!([]);
        }
        oci.create_from("c1", config);
        oci.call(&["start", "c1"]).ok();
        let first = agent.told();
        let ran = oci.call(&["exec", "c1", "mkdir", "/dev/b"]);
        assert!(ran.code == Some(1) && ran.err.contains("No medium found"), "{ran:?}");
        let entered = agent.told();
        assert_eq!(json!(agent.asked_by()), entered["pid"], "{entered}");
        assert_eq!(entered["state"]["pid"], first["pid"]);
        oci.delete("c1");
    }
    // One that could be bound only when it is seen is not let in.
    let agent = Agent::new(bed, "agent-late", Say::Continue);
    let mut config = agent.config(&oci, "while :; do sleep 0.05; done", &["sendmsg"]);
    config["process"]["capabilities"]["bounding"] = json!(["CAP_SYS_PTRACE"]);
    for set in ["effective", "permitted", "ambient"] {
        config["process"]["capabilities"][set] = json!([]);
    }
    oci.create_from("c1", config);
    oci.call(&["start", "c1"]).ok();
    let ran = oci.call(&["exec", "c1", "true"]);
    assert!(ran.err.contains("linux.seccomp: does not let pass sendmsg"), "{ran:?}");
    oci.delete("c1");
}

fn one_that_joins_the_processes_of_another_is_told_by_its_own_number(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    let pid = oci.state("c1")["pid"].clone();
    let agent = Agent::new(bed, "agent", Say::Errno(ENOMEDIUM));
    let mut config = agent.config(&oci, "exec mkdir /dev/a", &MKDIR);
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    let kind = namespaces.iter_mut().find(|one| one["type"] == "pid").unwrap();
    kind["path"] = json!(format!("/proc/{pid}/ns/pid"));
    oci.create_from("c2", config);
    let told = agent.told();
    let pid = oci.state("c2")["pid"].clone();
    assert_eq!((&told["pid"], &told["state"]["pid"]), (&pid, &pid), "{told}");
    oci.call(&["start", "c2"]).ok();
    assert_eq!(json!(agent.asked_by()), pid);
    oci.delete("c2");
    oci.delete("c1");
}

fn nobody_inside_gets_a_listener(bed: &Bed) {
    let oci = Scene::new(bed);
    let agent = Agent::new(bed, "agent", Say::Continue);
    let mut config = agent.config(&oci, "", &MKDIR);
    config["process"]["args"] = json!(["ls", "/proc/self/fd"]);
    let counted = "[ $(ls /proc/self/fd | wc -l) = 4 ]";
    config["hooks"]["startContainer"] =
        json!([{ "path": "/bin/sh", "args": ["sh", "-c", counted], "env": ["PATH=/bin"] }]);
    let mine = run(&oci, "c1", config.clone());
    config["process"]["args"] = json!(["sh", "-c", "while :; do sleep 0.05; done"]);
    oci.create_from("c2", config);
    oci.call(&["start", "c2"]).ok();
    let entered = oci.call(&["exec", "c2", "ls", "/proc/self/fd"]);
    for ran in [mine, entered] {
        // The three streams, and the directory that is listed.
        assert_eq!(ran.out, "0\n1\n2\n3\n", "{ran:?}");
    }
    oci.delete("c2");
}

fn without_an_agent_there_is_no_container(bed: &Bed) {
    let oci = Scene::new(bed);
    let agent = Agent::absent(bed.path("nobody"));
    let config = agent.config(&oci, "true", &MKDIR);
    let bundle = oci.bundle("c1", config);
    // Nothing there, and a socket at which nobody listens.
    for errno in ["no such file or directory", "connection refused"] {
        for verb in ["create", "run"] {
            let ran = oci.call(&[verb, "--bundle", bundle.to_str().unwrap(), "c1"]);
            let said = complaint(&ran);
            assert!(said.contains("seccomp agent at") && said.ends_with(errno), "{said}");
            assert_eq!(oci.call(&["list", "-q"]).ok(), "");
        }
        drop(UnixListener::bind(&agent.path));
    }
}

fn an_agent_that_goes_leaves_calls_that_do_not_exist(bed: &Bed) {
    let oci = Scene::new(bed);
    let path = bed.path("agent");
    let socket = UnixListener::bind(&path).unwrap();
    let closing = std::thread::spawn(move || {
        for stream in socket.incoming().take(1) {
            let mut stream = stream.unwrap();
            drop(read(&stream));
            assert_eq!(stream.read_to_end(&mut Vec::new()).unwrap(), 0, "one state, and the end");
        }
    });
    let agent = Agent::absent(path);
    let ran = run(&oci, "c1", agent.config(&oci, "mkdir /dev/a", &MKDIR));
    assert!(ran.code == Some(1) && ran.err.contains("Function not implemented"), "{ran:?}");
    closing.join().unwrap();
}

fn what_no_agent_could_decide_about_is_refused(bed: &Bed) {
    let oci = Scene::new(bed);
    let agent = Agent::new(bed, "agent", Say::Continue);
    let change = |what: &str, value: Value| {
        let mut config = agent.config(&oci, "true", &MKDIR);
        *config["linux"]["seccomp"].pointer_mut(what).unwrap() = value;
        config
    };
    for (config, expected) in [
        (change("/syscalls/0/names", json!(["write"])), "linux.seccomp: write"),
        (change("/defaultAction", json!("SCMP_ACT_NOTIFY")), "linux.seccomp.defaultAction"),
        (change("/listenerPath", json!("")), "linux.seccomp.listener"),
        (change("/listenerPath", json!("@agent")), "linux.seccomp.listenerPath: @agent"),
    ] {
        let ran = run(&oci, "c1", config);
        assert!(complaint(&ran).contains(expected), "{ran:?}");
        assert_eq!(oci.call(&["list", "-q"]).ok(), "");
    }
    // A path alone asks for nothing: nobody has to be there.
    let mut config = change("/listenerPath", json!("/nowhere"));
    config["linux"]["seccomp"]["syscalls"] = json!([]);
    assert_eq!(run(&oci, "c1", config).code, Some(0));
}
