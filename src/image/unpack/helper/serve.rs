//! The helper's own half: it takes one order, and the rights to do anything else from itself.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{PollFd, PollFlags, poll};

use super::super::error::{Cause, Error};
use super::super::source::Source;
use super::super::tree::Marker;
use super::super::{Confinement, Unpacked};
use super::confine::confine;
use super::message::{Order, Word, receive, send, unheard};

/// What the program is called when it is to be a helper.
pub(super) const NAME: &CStr = c"hotcell-unpack";

/// Whether this program serves when it is asked to.
static SERVES: AtomicBool = AtomicBool::new(false);

pub(in super::super) fn serves() -> bool {
    SERVES.load(Ordering::Relaxed)
}

/// Makes this program one that [`Unpacker::ThisProgram`](super::super::Unpacker::ThisProgram) can
/// execute again. To be called first in `main`, before any thread is started: when the program has
/// been executed as a helper, it unpacks its layer here and ends. Else this does nothing.
///
/// ```no_run
/// hotcell::image::unpack::serve_if_asked();
/// // … the program
/// ```
pub fn serve_if_asked() {
    SERVES.store(true, Ordering::Relaxed);
    let name = std::env::args_os().next();
    if name.is_some_and(|name| name.as_bytes() == NAME.to_bytes()) {
        let code = match serve(&io::stdin()) {
            Ok(()) => 0,
            // Nobody hears why.
            Err(_) => 1,
        };
        end(code);
    }
}

#[allow(clippy::exit, reason = "this process is no more than a function of another")]
fn end(code: i32) -> ! {
    std::process::exit(code)
}

/// One order from the first to the last word.
fn serve(control: &io::Stdin) -> io::Result<()> {
    let Some((order, mut along)) = receive::<Order>(control)? else {
        return Ok(());
    };
    let mut lowers = Vec::new();
    while lowers.len() < usize::from(order.lowers) {
        match receive::<()>(control)? {
            Some(((), more)) if !more.is_empty() => lowers.extend(more),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
    let (Some(upper), Some(file)) = (along.pop(), along.pop()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let word = match work(control, order, file, &upper, &lowers) {
        Ok(unpacked) => Word::Done(unpacked),
        Err(error) => Word::Failed(error),
    };
    send(control, &word, &[])
}

fn work(
    control: &io::Stdin,
    order: Order,
    file: OwnedFd,
    upper: &OwnedFd,
    lowers: &[OwnedFd],
) -> Result<Unpacked, Error> {
    let lowers: Vec<BorrowedFd<'_>> = lowers.iter().map(AsFd::as_fd).collect();
    let landlock = confine(upper.as_fd(), &lowers, &order.limits)?;
    watch()?;
    let source = Source {
        file,
        extent: order.extent,
        blob_algorithm: order.blob_algorithm,
        diff_id_algorithm: order.diff_id_algorithm,
    };
    let mut tell = |path: &[u8]| send(control, &Word::Opaque(path.to_vec()), &[]).map_err(unheard);
    let marker = Marker::Told(&mut tell);
    let unpacked = super::super::unpack(&source, upper.as_fd(), &lowers, &order.limits, marker)?;
    Ok(Unpacked { confinement: Confinement::Process { landlock }, ..unpacked })
}

/// Ends with the process that gave the order, so that whoever clears up after it is alone.
fn watch() -> Result<(), Cause> {
    let wait = || {
        let control = io::stdin();
        loop {
            let mut ends = [PollFd::new(&control, PollFlags::RDHUP)];
            match poll(&mut ends, None) {
                Err(rustix::io::Errno::INTR) => {}
                _ => end(1),
            }
        }
    };
    let thread = std::thread::Builder::new().name("hotcell-watch".to_owned()).spawn(wait);
    thread.map(drop).map_err(|error| Cause::system("start a thread", error))
}
