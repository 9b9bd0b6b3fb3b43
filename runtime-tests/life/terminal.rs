//! Terminals: who holds which end, and what images try with the names of terminals.

use std::fs::File;
use std::io::{IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;

use hotcell::bundle::spec;
use hotcell::launch::{Exit, Place};
use hotcell::oci_spec::runtime::Spec;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    recvmsg, socketpair,
};

use super::{Made, image, task};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(a_terminal_is_the_tasks_own, Cells, Busybox),
        test!(a_terminal_belongs_to_the_user, Cells, Busybox),
        test!(keys_reach_the_task, Cells, Busybox),
        test!(the_master_is_nowhere_in_the_cell, Cells, Busybox),
        test!(a_console_that_is_a_link_is_refused, Cells, Busybox),
        test!(terminals_that_an_image_made_up_are_refused, Cells, Busybox),
    ]
}

/// With a terminal of 40 rows and 132 columns.
fn with_terminal(command: &str, user: &str) -> Spec {
    let mut config = task(["sh", "-c", command]);
    config.user = user.parse().unwrap();
    let mut json = serde_json::to_value(spec(&config).unwrap()).unwrap();
    json["process"]["terminal"] = true.into();
    json["process"]["consoleSize"] = serde_json::json!({"height": 40, "width": 132});
    serde_json::from_value(json).unwrap()
}

fn console() -> (OwnedFd, Place) {
    let pair = socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair.unwrap();
    (ours, Place { console: Some(theirs), ..Place::default() })
}

/// What receivers of other runtimes do: one message with a name and one descriptor.
fn receive(socket: &OwnedFd) -> (String, File) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut along = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut name)], &mut along, flags).unwrap();
    let mut masters = along.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let master = masters.next().unwrap();
    assert!(masters.next().is_none());
    (String::from_utf8_lossy(&name[..got.bytes]).into_owned(), File::from(master))
}

/// Everything until the last process has closed the terminal, without carriage returns.
fn read_all(master: &mut File) -> String {
    let (mut text, mut buffer) = (String::new(), [0; 4096]);
    // A terminal that nobody has open any more is an I/O error.
    while let Ok(count @ 1..) = master.read(&mut buffer) {
        text.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
    text.replace('\r', "")
}

fn run(bed: &Bed, command: &str, user: &str, keys: &str) -> (Exit, String) {
    let made = Made::of(&bed.driver(), with_terminal(command, user));
    let (ours, place) = console();
    let (launched, _) = made.launch(place).unwrap();
    let (name, mut master) = receive(&ours);
    assert_eq!(name, "/dev/ptmx");
    // The task says when it listens.
    let mut first = [0];
    let mut text = match keys.is_empty() {
        true => String::new(),
        false => {
            master.read_exact(&mut first).unwrap();
            String::from_utf8_lossy(&first).into_owned()
        }
    };
    master.write_all(keys.as_bytes()).unwrap();
    text.push_str(&read_all(&mut master));
    let exit = launched.cell.wait(None).unwrap().unwrap();
    made.close();
    (exit, text)
}

fn a_terminal_is_the_tasks_own(bed: &Bed) {
    let command = "tty; stty size; echo hi > /dev/tty; echo there > /dev/console; \
                   test -t 0 -a -t 1 -a -t 2; echo $?; stat -c %t:%T /dev/console; exit 3";
    let (exit, text) = run(bed, command, "0", "");
    assert_eq!(text, "/dev/pts/0\n40 132\nhi\nthere\n0\n88:0\n");
    assert_eq!(exit, Exit::Code(3));
}

fn a_terminal_belongs_to_the_user(bed: &Bed) {
    let command = "stat -c '%u:%g %a' /dev/pts/0 /dev/console; echo hi > /dev/console";
    let (_, text) = run(bed, command, "7:8", "");
    assert_eq!(text, "7:5 620\n7:5 620\nhi\n");
}

fn keys_reach_the_task(bed: &Bed) {
    let (exit, text) = run(bed, "echo x; read line; echo got $line", "0", "keys\n");
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "x\nkeys\ngot keys\n"));
    // The terminal is that of the session: a key interrupts what stands in front. PID 1 itself
    // handles what it wants to.
    let (exit, _) = run(bed, "trap 'exit 9' INT; echo x; while :; do sleep 0.1; done", "0", "\x03");
    assert_eq!(exit, Exit::Code(9));
}

fn the_master_is_nowhere_in_the_cell(bed: &Bed) {
    let (_, text) = run(bed, "ls -l /proc/1/fd | grep -v total | sed 's/.*-> //'", "0", "");
    assert!(text.contains("/dev/pts/0") && !text.contains("ptmx"), "{text}");
    assert!(!text.contains("socket"), "{text}");
}

/// An image whose /dev is its own.
fn refusal(bed: &Bed, prepare: &str, drop_mounts: &[&str]) -> String {
    let image = image(bed, prepare);
    let mut spec = with_terminal("true", "0");
    let mut mounts = spec.mounts().clone().unwrap();
    mounts.retain(|mount| !drop_mounts.contains(&mount.destination().to_str().unwrap()));
    spec.set_mounts(Some(mounts));
    let mut root = spec.root().clone().unwrap();
    root.set_path(image);
    spec.set_root(Some(root));
    spec.set_annotations(None);
    let made = Made::of(&bed.driver(), spec);
    let (_ours, place) = console();
    let error = made.launch(place).unwrap_err().to_string();
    made.close();
    error
}

/// With /dev taken from the image, a link at its console would lead the terminal elsewhere.
fn a_console_that_is_a_link_is_refused(bed: &Bed) {
    let prepare = "mkdir -p dev/pts && ln -s /proc/sys/kernel/core_pattern dev/console";
    let dev = ["/dev", "/dev/shm", "/dev/mqueue"];
    let error = refusal(bed, prepare, &dev);
    assert!(error.contains("open a terminal for user 0: openat2"), "{error}");
    let directory = refusal(bed, "mkdir -p dev/pts dev/console", &dev);
    assert!(directory.contains("open a terminal for user 0: move_mount"), "{directory}");
}

fn terminals_that_an_image_made_up_are_refused(bed: &Bed) {
    let without = ["/dev", "/dev/pts", "/dev/shm", "/dev/mqueue"];
    let error = refusal(bed, "mkdir -p dev/pts && mkfifo dev/pts/ptmx", &without);
    assert!(error.contains("open a terminal for user 0: fstatfs"), "{error}");
    let error = refusal(bed, "mkdir -p dev other && ln -s ../other dev/pts", &without);
    assert!(error.contains("open a terminal for user 0: openat2"), "{error}");
}
