//! Which cell has which ids of the host: a range of 65536 for each cell with ids of its own.
//!
//! Taking one is making a link named after it that says which instance has it; so it is taken whole
//! or not at all, whoever else is at it, and a sweep finds it. It is free again when the last process
//! of the cell has gone.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::{Error, state};
use crate::bundle::IdRange;
use crate::fault::{self, Point};

/// Far above users and what `useradd` hands to them, within what systemd leaves to containers
/// (524288 to 1879048191).
const FIRST: u32 = 1 << 30;
/// As every image expects.
const COUNT: u32 = 1 << 16;
/// How many cells can have ids of their own at once: up to 1610612735.
const RANGES: u32 = 8192;

/// Takes a range that no cell of any driver with this state directory has. The path is what gives
/// it back.
pub(super) fn claim(state_dir: &Path, instance: &str) -> Result<(IdRange, PathBuf), Error> {
    let dir = state_dir.join(state::IDS);
    state::private_dir(&dir)?;
    // Anywhere: drivers that all start at the first would meet at every step.
    let start = state::random_number()?;
    for step in 0..RANGES {
        let number = start.wrapping_add(step) % RANGES;
        let path = dir.join(number.to_string());
        match fault::at(Point::IdsLink, || symlink(instance, &path)) {
            Ok(()) => return Ok((IdRange { first: FIRST + number * COUNT, count: COUNT }, path)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::io("make", path, source)),
        }
    }
    Err(Error::NoIds { most: RANGES })
}

/// Gives back what the instance still had. Its cells must have gone.
pub(super) fn sweep(state_dir: &Path, instance: &str) -> io::Result<()> {
    let entries = match std::fs::read_dir(state_dir.join(state::IDS)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if std::fs::read_link(&path).is_ok_and(|owner| owner == Path::new(instance)) {
            fault::at(Point::SweepRemoval, || std::fs::remove_file(&path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_cells_have_an_id_in_common_and_a_sweep_frees_one_instances_alone() {
        let at = tempfile::tempdir().unwrap();
        let dir = at.path().join("state");
        let taken: Vec<_> = (0..20)
            .map(|at| claim(&dir, if at % 2 == 0 { "even" } else { "odd" }).unwrap())
            .collect();
        let mut firsts: Vec<_> = taken.iter().map(|(range, _)| range.first).collect();
        firsts.sort_unstable();
        assert!(firsts.windows(2).all(|pair| pair[1] - pair[0] >= COUNT));
        for (range, _) in &taken {
            assert_eq!(IdRange::new(range.first, range.count).unwrap(), *range);
        }
        sweep(&dir, "even").unwrap();
        let left = taken.iter().filter(|(_, path)| path.symlink_metadata().is_ok()).count();
        assert_eq!(left, 10);
    }

    #[test]
    fn when_all_are_taken_that_is_said() {
        let at = tempfile::tempdir().unwrap();
        let dir = at.path().join("state");
        state::private_dir(&dir).unwrap();
        state::private_dir(&dir.join(state::IDS)).unwrap();
        (0..RANGES).for_each(|at| symlink("x", dir.join(state::IDS).join(at.to_string())).unwrap());
        assert!(matches!(claim(&dir, "y"), Err(Error::NoIds { .. })));
    }
}
