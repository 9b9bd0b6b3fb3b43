//! Freezing, thawing and waiting, by re-reading `cgroup.events`.
//!
//! The kernel limits notifications on that file to 100 a second, so waiting for one costs up to
//! 16 ms where the freeze itself takes 17 µs. Reading again at once, then after a yield, then after
//! short sleeps finds the change when it is there.

use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use super::Error;
use super::files::{Dir, keyed};

/// How long a freeze or a thaw may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Re-reads this often before the first sleep: some 200 µs.
const SPINS: u32 = 100;

pub(super) fn freeze(dir: &Dir) -> Result<(), Error> {
    dir.write("cgroup.freeze", "1")?;
    wait_until(dir, "frozen", true, PATIENCE).inspect_err(|_| {
        // A half-frozen cell would be stuck for good; the caller hears of the failed freeze.
        let _ = dir.write("cgroup.freeze", "0");
    })
}

/// As [`freeze`], but never sleeps: `false` if it has not happened after some re-reading.
pub(super) fn try_freeze(dir: &Dir) -> Result<bool, Error> {
    dir.write("cgroup.freeze", "1")?;
    spin_until(dir, "frozen", true)
}

/// As [`thaw`], but never sleeps.
pub(super) fn try_thaw(dir: &Dir) -> Result<bool, Error> {
    dir.write("cgroup.freeze", "0")?;
    spin_until(dir, "frozen", false)
}

fn spin_until(dir: &Dir, key: &str, wanted: bool) -> Result<bool, Error> {
    for _ in 0..SPINS {
        if is(dir, key)? == wanted {
            return Ok(true);
        }
        yield_now();
    }
    Ok(false)
}

pub(super) fn thaw(dir: &Dir) -> Result<(), Error> {
    dir.write("cgroup.freeze", "0")?;
    wait_until(dir, "frozen", false, PATIENCE)
}

/// Whether the event `key` of the cgroup stands at 1.
pub(super) fn is(dir: &Dir, key: &str) -> Result<bool, Error> {
    Ok(keyed(&dir.read("cgroup.events")?, key) == Some(1))
}

/// Waits until the event `key` has the value `wanted`.
pub(super) fn wait_until(
    dir: &Dir,
    key: &str,
    wanted: bool,
    patience: Duration,
) -> Result<(), Error> {
    let start = Instant::now();
    if spin_until(dir, key, wanted)? {
        return Ok(());
    }
    while is(dir, key)? != wanted {
        if start.elapsed() > patience {
            let state = match (key, wanted) {
                ("frozen", true) => "frozen",
                ("frozen", false) => "thawed",
                _ => "empty",
            };
            return Err(Error::TimedOut { state, path: dir.path().to_owned(), waited: patience });
        }
        sleep(Duration::from_micros(200));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture(events: &str) -> (tempfile::TempDir, Dir) {
        let at = tempfile::tempdir().unwrap();
        std::fs::write(at.path().join("cgroup.events"), events).unwrap();
        std::fs::write(at.path().join("cgroup.freeze"), "").unwrap();
        let dir = Dir::open(at.path()).unwrap();
        (at, dir)
    }

    #[test]
    fn a_freeze_that_does_not_come_is_undone_and_reported() {
        let (at, dir) = fixture("populated 1\nfrozen 0\n");
        assert!(matches!(freeze(&dir), Err(Error::TimedOut { state: "frozen", .. })));
        assert_eq!(std::fs::read_to_string(at.path().join("cgroup.freeze")).unwrap(), "0");
    }

    #[test]
    fn a_freeze_that_is_there_returns_at_once() {
        let (at, dir) = fixture("populated 1\nfrozen 1\n");
        freeze(&dir).unwrap();
        assert_eq!(std::fs::read_to_string(at.path().join("cgroup.freeze")).unwrap(), "1");
        assert!(is(&dir, "populated").unwrap());
    }
}
