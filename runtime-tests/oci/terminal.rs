//! Terminals: what a container says there, and who gets it.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};

use super::scene::{Scene, complaint};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(an_engine_gets_the_terminal_at_its_socket, Cells, Busybox),
        test!(a_terminal_in_the_foreground_is_carried_through, Cells, Busybox),
        test!(a_process_that_enters_has_a_terminal_of_its_own, Cells, Busybox),
        test!(a_terminal_that_nobody_would_show_is_refused, Cells, Busybox),
    ]
}

fn with_terminal(oci: &Scene, script: &str) -> Value {
    let mut config = oci.config(script);
    config["process"]["terminal"] = json!(true);
    config
}

fn received(socket: &UnixStream) -> OwnedFd {
    received_with(socket, &mut [0; 256]).1.remove(0)
}

/// What one message brings: so many bytes, and the descriptors along.
pub fn received_with(socket: &UnixStream, bytes: &mut [u8]) -> (usize, Vec<OwnedFd>) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let into = &mut [IoSliceMut::new(bytes)];
    let message = recvmsg(socket, into, &mut along, RecvFlags::CMSG_CLOEXEC).unwrap();
    let files = along.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => Some(files),
        _ => None,
    });
    (message.bytes, files.flatten().collect())
}

fn an_engine_gets_the_terminal_at_its_socket(bed: &Bed) {
    let oci = Scene::new(bed);
    let script = "read word; tty; stty size; echo got $word; exit 5";
    let mut config = with_terminal(&oci, script);
    config["process"]["consoleSize"] = json!({ "height": 40, "width": 132 });
    let bundle = oci.bundle("c1", config);
    let path = bed.path("console");
    let listener = UnixListener::bind(&path).unwrap();
    let words = ["create", "--bundle", bundle.to_str().unwrap(), "--console-socket"];
    let mut create = oci.command(&words);
    create.arg(&path).arg("c1").stdout(Stdio::null());
    let output = create.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut terminal = File::from(received(&listener.accept().unwrap().0));
    oci.call(&["start", "c1"]).ok();
    terminal.write_all(b"hello\n").unwrap();
    let mut told = Vec::new();
    // A terminal whose other side nobody has open any more is an error, not an end.
    let _ = terminal.read_to_end(&mut told);
    assert_eq!(String::from_utf8(told).unwrap(), "hello\r\n/dev/pts/0\r\n40 132\r\ngot hello\r\n");
    oci.until("c1", "stopped");
    oci.delete("c1");
}

fn a_terminal_in_the_foreground_is_carried_through(bed: &Bed) {
    let oci = Scene::new(bed);
    let script = "read word; [ -t 0 -a -t 1 -a -t 2 ] && echo got $word; exit 7";
    let bundle = oci.bundle("c1", with_terminal(&oci, script));
    let mut run = oci.command(&["run", "--bundle", bundle.to_str().unwrap(), "c1"]);
    let mut child =
        run.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\r\ngot hello\r\n");
    assert_eq!(oci.call(&["list", "-q"]).ok(), "");
}

fn a_process_that_enters_has_a_terminal_of_its_own(bed: &Bed) {
    let oci = Scene::new(bed);
    oci.start("c1", "while :; do sleep 0.05; done");
    // The last word goes to the terminal that controls the session, by whatever name.
    let script = "tty; stat -c %u /dev/pts/0; read word; echo got $word >/dev/tty; exit 8";
    let mut exec = oci.command(&["exec", "--tty", "--user", "7", "c1", "sh", "-c", script]);
    let mut child =
        exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    // The echo of what was typed stands somewhere in between.
    for line in ["/dev/pts/0\r\n", "7\r\n", "got hello\r\n"] {
        assert!(told.contains(line), "{told:?}");
    }
    oci.delete("c1");
}

fn a_terminal_that_nobody_would_show_is_refused(bed: &Bed) {
    let oci = Scene::new(bed);
    let bundle = oci.bundle("c1", with_terminal(&oci, "true"));
    for verb in [&["create"][..], &["run", "--detach"]] {
        let words = [verb, &["--bundle", bundle.to_str().unwrap(), "c1"]].concat();
        let ran = oci.call(&words);
        assert!(complaint(&ran).contains("process.terminal needs --console-socket"), "{ran:?}");
    }
    assert_eq!(oci.call(&["list", "-q"]).ok(), "");
}
