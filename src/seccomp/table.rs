//! System calls by name: their number on each architecture, up to Linux 7.0.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::architecture::{Architecture, X32_BIT};

/// One line a call: its name, then its number on x86-64, x32 (without the marking bit), i386,
/// aarch64 and arm, empty where there is none. Calls of other architectures alone have no number.
const CSV: &str = include_str!("syscalls.csv");

const COLUMNS: usize = Architecture::ALL.len();

type Row = [Option<u32>; COLUMNS];

fn rows() -> &'static HashMap<&'static str, Row> {
    static ROWS: OnceLock<HashMap<&'static str, Row>> = OnceLock::new();
    ROWS.get_or_init(|| CSV.lines().skip(1).filter_map(row).collect())
}

fn row(line: &'static str) -> Option<(&'static str, Row)> {
    let mut cells = line.split(',');
    let name = cells.next()?;
    let mut row = [None; COLUMNS];
    for (slot, cell) in row.iter_mut().zip(cells) {
        *slot = cell.parse().ok();
    }
    Some((name, row))
}

/// The number of the call `name` as `architecture` knows it; `None` when it has no such call.
#[must_use]
pub fn number(name: &str, architecture: Architecture) -> Option<u32> {
    let number = rows().get(name)?[architecture as usize]?;
    Some(if architecture == Architecture::X32 { number | X32_BIT } else { number })
}

/// Whether any architecture has a call of this name.
#[must_use]
pub(super) fn is_known(name: &str) -> bool {
    rows().contains_key(name)
}

/// Every name there is.
#[cfg(test)]
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    rows().keys().copied()
}

/// The two old calls of i386 that stand for many: which of them `name` can be made through, and the
/// first argument that then stands for it.
pub(super) fn through_old_door(name: &str) -> Option<(&'static str, u64)> {
    const SOCKETCALL: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    let socket = SOCKETCALL.iter().zip(1..).find(|(known, _)| **known == name);
    if let Some((_, number)) = socket {
        return Some(("socketcall", number));
    }
    IPC.iter().find(|(known, _)| *known == name).map(|(_, number)| ("ipc", *number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_name_and_numbers() {
        let mut before = "";
        for line in CSV.lines().skip(1) {
            let cells: Vec<_> = line.split(',').collect();
            assert_eq!(cells.len(), 1 + COLUMNS, "{line}");
            assert!(before < cells[0], "{line} is out of order");
            assert!(cells[1..].iter().all(|c| c.is_empty() || c.parse::<u32>().is_ok()), "{line}");
            before = cells[0];
        }
        assert_eq!(rows().len(), CSV.lines().count() - 1);
    }

    #[test]
    fn no_number_has_two_names() {
        for (column, architecture) in Architecture::ALL.into_iter().enumerate() {
            let mut seen = HashMap::new();
            for (name, row) in rows() {
                if let Some(number) = row[column] {
                    let other = seen.insert(number, *name);
                    // Two names that the kernel itself has for one call.
                    let twins = ["arm_sync_file_range", "sync_file_range2"];
                    let twin = twins.contains(name) && other.is_none_or(|o| twins.contains(&o));
                    assert!(other.is_none() || twin, "{architecture:?} {number}: {name} {other:?}");
                }
            }
        }
    }

    #[test]
    fn x32_numbers_carry_their_bit() {
        assert_eq!(number("read", Architecture::X86_64), Some(0));
        assert_eq!(number("read", Architecture::X32), Some(0x4000_0000));
        assert_eq!(number("execve", Architecture::X32), Some(0x4000_0208));
        assert_eq!(number("fork", Architecture::Aarch64), None);
        assert!(is_known("riscv_hwprobe") && !is_known("frobnicate"));
    }

    #[test]
    fn the_old_doors_of_i386() {
        assert_eq!(through_old_door("socket"), Some(("socketcall", 1)));
        assert_eq!(through_old_door("sendmmsg"), Some(("socketcall", 20)));
        assert_eq!(through_old_door("shmctl"), Some(("ipc", 24)));
        assert_eq!(through_old_door("read"), None);
    }
}
