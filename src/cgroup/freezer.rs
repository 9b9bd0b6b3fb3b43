//! Freezing, thawing and waiting, by re-reading `cgroup.events`.
//!
//! The kernel limits notifications on that file to 100 a second, so waiting for one costs up to
//! 16 ms where the freeze itself takes 17 µs. Reading again at once, then after a yield, then after
//! short sleeps finds the change when it is there.

use std::hint::spin_loop;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use rustix::fs::OFlags;

use super::Error;
use super::files::{Dir, keyed, read_page, write_value};

/// How long a freeze or a thaw may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// For this long it is read again at once. A thread of an async runtime waits no longer: on a busy
/// host a yield may cost it a time slice of every other task.
const SPIN: Duration = Duration::from_micros(100);

/// Then, until this long after the start, after a yield; and after a sleep from there on.
const YIELD: Duration = Duration::from_micros(300);

const NAP: Duration = Duration::from_micros(200);

const FREEZE: &str = "cgroup.freeze";
const EVENTS: &str = "cgroup.events";

/// What a cgroup can be waited for: a key of its events, whether it stands at 1, and a name.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    key: &'static str,
    value: bool,
    name: &'static str,
}

pub(super) const FROZEN: State = State { key: "frozen", value: true, name: "frozen" };
const THAWED: State = State { key: "frozen", value: false, name: "thawed" };
/// No process lives in it.
pub(super) const EMPTY: State = State { key: "populated", value: false, name: "empty" };

/// The file that tells a cgroup's state, opened once and read again and again.
#[derive(Debug)]
pub(super) struct Events {
    file: OwnedFd,
    /// The cgroup's.
    path: PathBuf,
}

impl Events {
    pub(super) fn open(dir: &Dir) -> Result<Events, Error> {
        Ok(Events { file: dir.file(EVENTS, OFlags::RDONLY)?, path: dir.path().to_owned() })
    }

    /// Whether the cgroup is in this state now.
    pub(super) fn tell(&self, state: State) -> Result<bool, Error> {
        let text = read_page(self.file.as_fd())
            .map_err(|error| Error::io("read", self.path.join(EVENTS), error))?;
        Ok((keyed(&text, state.key) == Some(1)) == state.value)
    }

    /// Waits until the cgroup is in this state.
    pub(super) fn wait(&self, state: State, patience: Duration) -> Result<(), Error> {
        match self.watch(state, patience)? {
            true => Ok(()),
            false => {
                let path = self.path.clone();
                Err(Error::TimedOut { state: state.name, path, waited: patience })
            }
        }
    }

    /// The same, but `false` when the patience is at its end. Neither sleeps nor yields for one of
    /// [`SPIN`].
    fn watch(&self, state: State, patience: Duration) -> Result<bool, Error> {
        let start = Instant::now();
        loop {
            // The time comes before the reading, so that the last reading is one after the end of
            // the patience, even if this thread was kept from running all along.
            let waited = start.elapsed();
            if self.tell(state)? {
                return Ok(true);
            }
            match waited {
                _ if waited >= patience => return Ok(false),
                _ if waited < SPIN => spin_loop(),
                _ if waited < YIELD => yield_now(),
                _ => sleep(NAP),
            }
        }
    }
}

/// The files of a cell's freezer, opened before anything is written and kept: a process that has no
/// descriptor left can't freeze a cell, but neither can it lose one in the middle of that, nor fail
/// to thaw what it froze.
#[derive(Debug)]
pub(super) struct Freezer {
    freeze: OwnedFd,
    events: Events,
}

impl Freezer {
    pub(super) fn open(dir: &Dir) -> Result<Freezer, Error> {
        Ok(Freezer { freeze: dir.file(FREEZE, OFlags::WRONLY)?, events: Events::open(dir)? })
    }

    pub(super) fn freeze(&self) -> Result<(), Error> {
        self.write("1")?;
        self.events.wait(FROZEN, PATIENCE).inspect_err(|_| self.undo())
    }

    /// As [`freeze`](Freezer::freeze), but gives up after [`SPIN`] with `false`; the cell may then
    /// freeze at any time.
    pub(super) fn try_freeze(&self) -> Result<bool, Error> {
        self.write("1")?;
        self.events.watch(FROZEN, SPIN).inspect_err(|_| self.undo())
    }

    pub(super) fn thaw(&self) -> Result<(), Error> {
        self.write("0")?;
        self.events.wait(THAWED, PATIENCE)
    }

    /// As [`thaw`](Freezer::thaw), but gives up after [`SPIN`] with `false`.
    pub(super) fn try_thaw(&self) -> Result<bool, Error> {
        self.write("0")?;
        self.events.watch(THAWED, SPIN)
    }

    /// A cell of which nobody knows that it is frozen, or half frozen, would be stuck for good.
    fn undo(&self) {
        // The caller hears of the failed freeze, which is the cause of all the rest.
        let _ = self.write("0");
    }

    fn write(&self, value: &str) -> Result<(), Error> {
        write_value(self.freeze.as_fd(), value).map_err(|error| {
            Error::io(format!("write {value:?} to"), self.events.path.join(FREEZE), error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUNNING: &str = "populated 1\nfrozen 0\n";
    const STOPPED: &str = "populated 1\nfrozen 1\n";

    struct Fixture(tempfile::TempDir);

    impl Fixture {
        fn new(events: &str) -> Fixture {
            let fixture = Fixture(tempfile::tempdir().unwrap());
            fixture.set(events);
            std::fs::write(fixture.0.path().join(FREEZE), "").unwrap();
            fixture
        }

        fn set(&self, events: &str) {
            std::fs::write(self.0.path().join(EVENTS), events).unwrap();
        }

        fn remove_events(&self) {
            std::fs::remove_file(self.0.path().join(EVENTS)).unwrap();
        }

        fn open(&self) -> Result<Freezer, Error> {
            Freezer::open(&Dir::open(self.0.path()).unwrap())
        }

        fn written(&self) -> String {
            std::fs::read_to_string(self.0.path().join(FREEZE)).unwrap()
        }
    }

    #[test]
    fn a_freeze_that_does_not_come_is_undone_and_reported() {
        let fixture = Fixture::new(RUNNING);
        let error = fixture.open().unwrap().freeze().unwrap_err();
        assert!(matches!(error, Error::TimedOut { state: "frozen", .. }), "{error}");
        assert_eq!(fixture.written(), "0");
    }

    #[test]
    fn a_freeze_that_is_there_returns_at_once() {
        let fixture = Fixture::new(STOPPED);
        let freezer = fixture.open().unwrap();
        freezer.freeze().unwrap();
        assert!(freezer.try_freeze().unwrap());
        assert_eq!(fixture.written(), "1");
        assert!(!freezer.events.tell(EMPTY).unwrap());
    }

    #[test]
    fn a_try_that_does_not_come_in_time_is_left_standing() {
        let fixture = Fixture::new(RUNNING);
        let freezer = fixture.open().unwrap();
        let start = Instant::now();
        assert!(!freezer.try_freeze().unwrap());
        assert!(start.elapsed() >= SPIN);
        assert_eq!(fixture.written(), "1");
        assert!(freezer.try_thaw().unwrap());
        assert_eq!(fixture.written(), "0");
    }

    #[test]
    fn what_can_not_be_opened_changes_nothing() {
        let fixture = Fixture::new(RUNNING);
        fixture.remove_events();
        assert!(fixture.open().is_err());
        assert_eq!(fixture.written(), "");
    }

    #[test]
    fn a_freeze_whose_state_can_not_be_read_is_undone() {
        let fixture = Fixture::new(STOPPED);
        fixture.remove_events();
        // A directory can be opened, but not read.
        std::fs::create_dir(fixture.0.path().join(EVENTS)).unwrap();
        let freezer = fixture.open().unwrap();
        assert!(matches!(freezer.try_freeze(), Err(Error::Io { .. })));
        assert_eq!(fixture.written(), "0");
        assert!(matches!(freezer.freeze(), Err(Error::Io { .. })));
        assert_eq!(fixture.written(), "0");
    }

    #[test]
    fn the_files_are_kept_and_a_thaw_can_be_tried_again() {
        let fixture = Fixture::new(STOPPED);
        let freezer = fixture.open().unwrap();
        freezer.freeze().unwrap();
        assert!(matches!(freezer.thaw(), Err(Error::TimedOut { state: "thawed", .. })));
        fixture.set(RUNNING);
        fixture.remove_events();
        freezer.thaw().unwrap();
        assert_eq!(fixture.written(), "0");
    }
}
