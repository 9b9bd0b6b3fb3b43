//! The task's terminal: opened in the cell, its one end made the streams, its other end sent out.
//!
//! Everything is taken from the cell's own devpts, a file system in which nobody can make anything, and
//! from descriptors: no name that an image could have chosen is followed, and the end that the caller
//! gets is never open in the task.

use core::mem::ManuallyDrop;

use super::cell::Cell;
use super::files::{self, Kind};
use super::kernel::{self, Fault, Fd, Outcome, Text};
use super::plan::Plan;
use super::wire::{BORN_LATER, ON_CONSOLE, Step};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

const PTMX: Kind = Kind { bits: S_IFCHR, device: (5, 2) };
/// What receivers take for the name of the descriptor that comes along.
const NAME: &[u8] = b"/dev/ptmx";

/// What the step says of the terminal, and that it controls the task's session.
pub(crate) fn give(cell: &mut Cell, plan: &Plan, step: &Step) -> Outcome {
    let [socket, uid, size] = step.number;
    let console = step.flags & ON_CONSOLE != 0;
    open(cell, &Fd(socket as i32), uid as u32, [(size >> 32) as u16, size as u16], console)?;
    cell.terminal = true;
    // One that is born later has a session of its own.
    if plan.header.birth & BORN_LATER == 0 { control() } else { Ok(()) }
}

/// Opens a terminal of `uid`'s with so many `rows` and `columns`, 0 for as many as the kernel says,
/// makes it the streams and sends its master through `socket`. With `console` it stands on
/// /dev/console too.
fn open(cell: &Cell, socket: &Fd, uid: u32, size: [u16; 2], console: bool) -> Outcome {
    let master = open_master(cell)?;
    kernel::unlock_terminal(&master)?;
    let terminal = kernel::terminal_of(&master)?;
    if size != [0, 0] {
        kernel::set_window_size(&terminal, size)?;
    }
    // The group is the file system's: its gid option says who may write to terminals.
    kernel::chown_open(&terminal, uid, u32::MAX)?;
    if console {
        on_console(cell, &terminal)?;
    }
    for stream in 0..3 {
        kernel::duplicate_onto(&terminal, stream)?;
    }
    kernel::send_with(socket, NAME, &master)
}

/// Makes the terminal that is the streams by now the one that controls this process's session.
pub(crate) fn control() -> Outcome {
    kernel::control_terminal(&ManuallyDrop::new(Fd(0)))
}

/// A new pair of the cell's own. An image without a devpts on /dev/pts may have anything there.
fn open_master(cell: &Cell) -> Outcome<Fd> {
    let pts = cell.locate(Text::literal(c"/dev/pts"), true)?;
    if files::file_system(&pts)? != DEVPTS_SUPER_MAGIC {
        return Err(Fault::new(nr::fstatfs, Errno::ENODEV));
    }
    let master = files::open_in_root(&pts, Text::literal(c"ptmx"), O_RDWR | O_NOCTTY, true)?;
    match files::kind(&master)? {
        PTMX => Ok(master),
        _ => Err(Fault::new(nr::statx, Errno::ENXIO)),
    }
}

/// Puts the terminal on /dev/console, where a link is refused: an image may have put one there.
fn on_console(cell: &Cell, terminal: &Fd) -> Outcome {
    let path = Text::literal(c"/dev/console");
    let target = match cell.locate(path, true) {
        Err(fault) if fault.is(Errno::ENOENT) => {
            cell.make_file(path)?;
            cell.locate(path, true)?
        }
        found => found?,
    };
    let tree = files::clone_tree(terminal.0, Text::literal(c""), false)?;
    kernel::move_mount(&tree, &target)
}
