//! Memory and swap limits.

use std::io;

use oci_spec::runtime::LinuxMemory;
use rustix::io::Errno;

use super::super::Error;
use super::super::files::Dir;
use super::super::members::is;
use super::super::parent::host_has_swap;
use super::{Target, Tree, Wish, refused};

const V1_LIMIT: &str = "memory.limit_in_bytes";
const V1_BOTH: &str = "memory.memsw.limit_in_bytes";
const V2_LIMIT: &str = "memory.max";
const V2_SWAP: &str = "memory.swap.max";

/// What is asked for, in bytes; `None` leaves a value as it is, -1 is no limit.
struct Asked {
    limit: Option<i64>,
    /// Memory and swap together.
    both: Option<i64>,
    reservation: Option<i64>,
    swappiness: Option<u64>,
    /// A memory limit below what is used is to be refused.
    check: bool,
}

pub(super) fn apply(target: &Target<'_>, memory: &LinuxMemory) -> Result<(), Error> {
    let amount = |field, value: Option<i64>| match value {
        Some(value) if value < -1 => Err(refused(field, value, "neither a size nor -1")),
        value => Ok(value.filter(|value| *value != 0)),
    };
    let asked = Asked {
        limit: amount("memory.limit", memory.limit())?,
        both: amount("memory.swap", memory.swap())?,
        reservation: amount("memory.reservation", memory.reservation())?,
        // Engines send -1, as an unsigned number, for no wish.
        swappiness: memory.swappiness().filter(|value| *value != u64::MAX),
        check: memory.check_before_update() == Some(true),
    };
    let no_killer = memory.disable_oom_killer() == Some(true);
    let first = [
        asked.limit.map(|value| ("memory.limit", value.to_string())),
        asked.both.map(|value| ("memory.swap", value.to_string())),
        asked.reservation.map(|value| ("memory.reservation", value.to_string())),
        asked.swappiness.map(|value| ("memory.swappiness", value.to_string())),
        no_killer.then(|| ("memory.disableOOMKiller", "true".to_owned())),
    ];
    let Some((field, value)) = first.into_iter().flatten().next() else {
        return Ok(());
    };
    if let (Some(limit @ 1..), Some(both @ 1..)) = (asked.limit, asked.both)
        && both < limit
    {
        return Err(refused("memory.swap", both, "less than memory.limit, which it includes"));
    }
    match target.tree("memory", Some("memory"), Wish { field, value: &value })? {
        Tree::V1(dir) => {
            v1_limits(target, dir, &asked)?;
            if let Some(reservation) = asked.reservation {
                target.write(dir, "memory.soft_limit_in_bytes", reservation)?;
            }
            if no_killer {
                target.write(dir, "memory.oom_control", 1)?;
            }
            match asked.swappiness {
                Some(value @ 101..) => Err(refused("memory.swappiness", value, "more than 100")),
                Some(value) => target.write(dir, "memory.swappiness", value),
                None => Ok(()),
            }
        }
        Tree::V2(dir) => v2_limits(target, dir, &asked),
    }
}

/// v1 keeps `limit <= both` at every instant, so what is raised is written from above, what is
/// lowered from below.
fn v1_limits(target: &Target<'_>, dir: &Dir, asked: &Asked) -> Result<(), Error> {
    let both = match (asked.limit, asked.both) {
        // Without a limit on memory, one on both would still limit it.
        (Some(-1), None) if dir.has(V1_BOTH) => Some(-1),
        (_, both) => both,
    };
    let set_both = || match both {
        Some(both) if !dir.has(V1_BOTH) => match both == -1 || !host_has_swap() {
            true => Ok(()),
            false => Err(refused("memory.swap", both, "this kernel does not count swap")),
        },
        Some(both) => target.write(dir, V1_BOTH, both),
        None => Ok(()),
    };
    let set_limit = || match asked.limit {
        Some(limit) => {
            target.write(dir, V1_LIMIT, limit).map_err(|error| in_use(dir, limit, error))
        }
        None => Ok(()),
    };
    let from_above = match (asked.limit, both) {
        (Some(_), Some(-1)) => true,
        (Some(_), Some(both)) => number(dir, V1_LIMIT)?.is_some_and(|now| now < both),
        _ => false,
    };
    match from_above {
        true => set_both().and_then(|()| set_limit()),
        false => set_limit().and_then(|()| set_both()),
    }
}

/// The kernel doesn't lower a limit below what it can't reclaim.
fn in_use(dir: &Dir, limit: i64, error: Error) -> Error {
    match &error {
        Error::Io { source, .. } if is(source, Errno::BUSY) => {
            let now = dir.read("memory.usage_in_bytes").unwrap_or_default();
            let peak = dir.read("memory.max_usage_in_bytes").unwrap_or_default();
            let why = format!(
                "the container uses more ({} bytes now, {} at most)",
                now.trim(),
                peak.trim()
            );
            refused("memory.limit", limit, why)
        }
        _ => error,
    }
}

/// v2 counts swap alone, where the specification counts both together.
fn v2_limits(target: &Target<'_>, dir: &Dir, asked: &Asked) -> Result<(), Error> {
    if asked.check {
        check_usage(dir, asked)?;
    }
    if let Some(swap) = v2_swap(dir, asked)? {
        let text = or_max(swap);
        match target.write_if_there(dir, V2_SWAP, &text)? {
            // There is no swap for it to use.
            false if swap <= 0 || !host_has_swap() => {}
            false => return Err(refused("memory.swap", text, "this kernel does not count swap")),
            true => {}
        }
    }
    if let Some(limit) = asked.limit {
        target.write(dir, V2_LIMIT, or_max(limit))?;
    }
    match asked.reservation {
        Some(reservation) => target.write(dir, "memory.low", or_max(reservation)),
        None => Ok(()),
    }
}

/// The swap that is left of memory and swap together; -1 for no limit, `None` to leave it.
fn v2_swap(dir: &Dir, asked: &Asked) -> Result<Option<i64>, Error> {
    let limit = |both| match asked.limit {
        Some(limit) => Ok(limit),
        // Only an update can have a limit from before.
        None => number(dir, V2_LIMIT)?
            .ok_or_else(|| refused("memory.swap", both, "given without memory.limit")),
    };
    match asked.both {
        Some(-1) => Ok(Some(-1)),
        Some(both) => match limit(both)? {
            -1 => Ok(Some(both)),
            limit if both < limit => {
                Err(refused("memory.swap", both, format!("less than the memory limit {limit}")))
            }
            limit => Ok(Some(both - limit)),
        },
        None => match asked.limit {
            Some(-1) => Ok(Some(-1)),
            Some(limit) => match (number(dir, V2_LIMIT)?, number(dir, V2_SWAP)?) {
                // Both together stay as they were.
                (Some(old), Some(swap)) => Ok(Some((old + swap - limit).max(0))),
                _ => Ok(None),
            },
            None => Ok(None),
        },
    }
}

fn check_usage(dir: &Dir, asked: &Asked) -> Result<(), Error> {
    let Some(used) = number(dir, "memory.current")? else {
        return Ok(());
    };
    for (field, value) in [("memory.swap", asked.both), ("memory.limit", asked.limit)] {
        if let Some(value @ 1..) = value
            && value <= used
        {
            return Err(refused(field, value, format!("the container uses {used} bytes now")));
        }
    }
    Ok(())
}

fn or_max(value: i64) -> String {
    match value {
        -1 => "max".to_owned(),
        value => value.to_string(),
    }
}

/// The number in a file; `None` for "max" or a missing file.
fn number(dir: &Dir, file: &str) -> Result<Option<i64>, Error> {
    match dir.read(file) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        read => Ok(read?.trim().parse().ok()),
    }
}
