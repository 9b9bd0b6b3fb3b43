//! Cells that work together against a third, or against the host.

use std::os::unix::fs::symlink;
use std::process::Stdio as Pipes;

use super::super::case::{Case, Form, Mode, ONE, WRITABLE};
use super::super::judge::{INSIDE, Seen};
use super::super::scene::Scene;
use super::super::way::DRIVERS;
use crate::bed::Ran;
use crate::host::{fixture, soak};

const ONLY_OURS: &str = "needs several cells at once";

pub fn cases() -> Vec<Case> {
    vec![
        Case::new("directory and link change places", "CVE-2021-30465: renameat2(EXCHANGE)")
            .by_engines(DRIVERS)
            .form(Form::play(exchange))
            .modes(ONE)
            .no_peers(ONLY_OURS),
        Case::new("a link left in a shared volume", "CVE-2021-30465, CVE-2015-3629")
            .by_engines(DRIVERS)
            .form(Form::play(left_link))
            .modes(WRITABLE)
            .no_peers(ONLY_OURS),
        Case::new("an abstract socket of the host", "CVE-2020-15257")
            .by_engines(DRIVERS)
            .form(Form::play(abstract_socket))
            .modes(ONE)
            .no_peers(ONLY_OURS),
        Case::new("killed while it starts", "a driver's death at every moment")
            .by_engines(DRIVERS)
            .form(Form::play(killed_early))
            .modes(ONE)
            .no_peers(ONLY_OURS),
    ]
}

fn flags(scene: &Scene, mode: Mode, more: &[&str]) -> Vec<String> {
    let form = Form::script("true").flags(more.iter().copied());
    super::super::cell::words(scene, &form, mode)
}

fn fine() -> Seen {
    Seen { code: Some(0), out: INSIDE.to_owned(), err: String::new() }
}

fn said(what: String) -> Seen {
    Seen { code: Some(0), out: format!("{INSIDE}\n{what}"), err: String::new() }
}

/// Others mount below what a cell swaps.
fn exchange(scene: &Scene, mode: Mode) -> Seen {
    let volume = scene.fill("{share}:/data");
    let more = ["--timeout=20", "-v", &volume, "--tmpfs", "/data/sub/mnt"];
    let words = flags(scene, mode, &more);
    let start = || match scene.bed.run(&words) {
        Ran { code: Some(0), .. } => None,
        Ran { code: Some(125), err, .. } if err.contains("/data/sub") => None,
        other => Some(format!("{other:?}")),
    };
    swapping(scene, start).map_or_else(fine, said)
}

/// One cell swaps the directory `sub` of the shared one with a link to the canary as fast as it can,
/// while others `start`, which says what is wrong about it.
pub fn swapping(scene: &Scene, start: impl Fn() -> Option<String>) -> Option<String> {
    std::fs::create_dir_all(scene.share().join("sub/mnt")).unwrap();
    symlink(scene.canary(), scene.share().join("link")).unwrap();
    let swap = "
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
renameat2 = 316 if os.uname().machine == 'x86_64' else 276
print('swapping', flush=True)
while True: libc.syscall(renameat2, -100, b'/data/sub', -100, b'/data/link', 2)";
    let volume = scene.fill("{share}:/data");
    let debian = fixture("debian");
    let args = ["--init", "--timeout=100", "--rootfs", debian.to_str().unwrap(), "-v", &volume];
    let command = ["--", "python3", "-c", swap];
    let mut attacker = scene.bed.command("run", args.iter().chain(&command));
    let mut attacker = attacker.stdout(Pipes::piped()).spawn().unwrap();
    let mut first = [0; 8];
    std::io::Read::read_exact(attacker.stdout.as_mut().unwrap(), &mut first).unwrap();
    let mut wrong = None;
    let mut faces = [0; 2];
    for _ in 0..if soak() { 1000 } else { 30 } {
        wrong = start().or(wrong);
        // How often the place was the one and the other: proof that the race was on.
        for _ in 0..20 {
            let is_link = scene.share().join("sub").is_symlink();
            faces[usize::from(is_link)] += 1;
        }
    }
    let pid = rustix::process::Pid::from_child(&attacker);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    attacker.wait().unwrap();
    restore(scene);
    assert!(faces.iter().all(|seen| *seen > 0), "nobody swapped: {faces:?}");
    wrong
}

/// Puts the share back as the watch saw it.
fn restore(scene: &Scene) {
    std::fs::remove_dir_all(scene.share()).unwrap();
    std::fs::create_dir(scene.share()).unwrap();
    std::fs::write(scene.share().join("marker"), "shared").unwrap();
}

fn left_link(scene: &Scene, mode: Mode) -> Seen {
    let volume = scene.fill("{share}:/data");
    for to in
        [scene.fill("{canary}"), scene.fill("../../../../../../..{canary}"), "/proc/1/root".into()]
    {
        let plant = format!("ln -sfn {to} /data/sub; ln -sfn /proc/self/fd/3 /data/fd");
        let planted = scene.bed.sh(&["-v", &volume], &plant);
        assert_eq!(planted.code, Some(0), "{planted:?}");
        for target in ["/data/sub/made", "/data/sub", "/data/fd/x"] {
            let words = flags(scene, mode, &["-v", &volume, "--tmpfs", target]);
            let ran = scene.bed.run(&words);
            if !matches!(ran.code, Some(0 | 125)) {
                return said(format!("{target}: {ran:?}"));
            }
        }
    }
    restore(scene);
    fine()
}

fn abstract_socket(scene: &Scene, _: Mode) -> Seen {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener};
    let address = SocketAddr::from_abstract_name(&scene.token).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    let code = format!(
        "import socket\ntry: socket.socket(socket.AF_UNIX).connect('\\0{}'); print('connected')\n\
         except OSError: print('refused')",
        scene.token
    );
    let debian = fixture("debian");
    let rootfs = ["--rootfs", debian.to_str().unwrap(), "--", "python3", "-c", &code];
    let ran = scene.bed.run(rootfs);
    drop(listener);
    match ran.ok().as_str() {
        "refused\n" => fine(),
        other => said(other.to_owned()),
    }
}

/// Kills the driver at a different moment of each start.
fn killed_early(scene: &Scene, mode: Mode) -> Seen {
    let words = flags(scene, mode, &["--timeout=20"]);
    for round in 0..if soak() { 1000 } else { 40 } {
        let mut child = scene.bed.command("run", &words);
        let mut child = child.stdout(Pipes::null()).stderr(Pipes::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_micros(round % 40 * 500));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // This driver sweeps what they left.
    scene.bed.run(&words).into()
}
