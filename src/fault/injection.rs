//! What waits at the points: set by a test in this process, or by `HOTCELL_FAULT`.

use std::str::FromStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};

use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use super::Point;
use crate::init::fault::{HANG, KILL};
use crate::unpoisoned::lock;

/// The environment variable that sets a fault for the whole life of a process.
pub const ENV: &str = "HOTCELL_FAULT";

/// What happens at a point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// The call is not made, and fails with this errno.
    Fail(Errno),
    /// This process gets SIGKILL; at a step of the init, the init.
    Kill,
    /// This process gets SIGSTOP; at a step of the init, the init waits for ever.
    Stop,
}

/// What happens where, and when.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    point: Point,
    nth: u32,
    later: bool,
    action: Action,
}

impl Fault {
    /// At the first time.
    #[must_use]
    pub fn new(point: Point, action: Action) -> Fault {
        Fault { point, nth: 1, later: false, action }
    }

    /// At the `nth` time from now on, counted from 1.
    #[must_use]
    pub fn nth(self, nth: u32) -> Fault {
        Fault { nth, ..self }
    }

    /// And at every time after that.
    #[must_use]
    pub fn and_later(self) -> Fault {
        Fault { later: true, ..self }
    }

    /// Sets the fault for all threads of this process until what it returns is dropped; one at a
    /// time.
    #[must_use]
    pub fn arm(self) -> Armed {
        *lock(&ARMED) = Some(Waiting { fault: self, reached: 0 });
        Armed { fault: self }
    }
}

/// `POINT[:nth[+]]=ERRNO|kill|stop`
impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Fault, String> {
        let (place, action) = text.split_once('=').ok_or("expected POINT[:nth[+]]=ACTION")?;
        let (name, nth) = place.split_once(':').unwrap_or((place, "1"));
        let point = Point::ALL.iter().find(|point| point.name() == name);
        let point = *point.ok_or_else(|| format!("there is no point {name:?}"))?;
        let (nth, later) = nth.strip_suffix('+').map_or((nth, false), |nth| (nth, true));
        let nth = nth.parse().map_err(|error| format!("{nth:?}: {error}"))?;
        let action = match action {
            "kill" => Action::Kill,
            "stop" => Action::Stop,
            errno => Action::Fail(parse_errno(errno).ok_or(format!("unknown errno {errno:?}"))?),
        };
        Ok(Fault { point, nth, later, action })
    }
}

/// By the name of those that tests use, or by number.
fn parse_errno(text: &str) -> Option<Errno> {
    let named = [
        ("EPERM", Errno::PERM),
        ("ENOENT", Errno::NOENT),
        ("EINTR", Errno::INTR),
        ("EIO", Errno::IO),
        ("EAGAIN", Errno::AGAIN),
        ("ENOMEM", Errno::NOMEM),
        ("EACCES", Errno::ACCESS),
        ("EBUSY", Errno::BUSY),
        ("EEXIST", Errno::EXIST),
        ("EINVAL", Errno::INVAL),
        ("ENFILE", Errno::NFILE),
        ("EMFILE", Errno::MFILE),
        ("ENOSPC", Errno::NOSPC),
        ("EROFS", Errno::ROFS),
        ("ENOSYS", Errno::NOSYS),
    ];
    let by_name = named.iter().find(|(name, _)| *name == text).map(|(_, errno)| *errno);
    by_name.or_else(|| {
        let number = text.parse().ok().filter(|number| (1..4096).contains(number))?;
        Some(Errno::from_raw_os_error(number))
    })
}

/// A set fault; dropping this takes it away.
#[derive(Debug)]
pub struct Armed {
    fault: Fault,
}

impl Armed {
    /// How often its point has been reached since.
    #[must_use]
    pub fn reached(&self) -> u32 {
        lock(&ARMED).as_ref().map_or(0, |waiting| waiting.reached)
    }

    /// Whether it has struck.
    #[must_use]
    pub fn struck(&self) -> bool {
        self.reached() >= self.fault.nth
    }
}

impl Drop for Armed {
    fn drop(&mut self) {
        *lock(&ARMED) = None;
    }
}

struct Waiting {
    fault: Fault,
    reached: u32,
}

#[allow(clippy::panic, reason = "a test that means nothing must not run")]
static ARMED: LazyLock<Mutex<Option<Waiting>>> = LazyLock::new(|| {
    let fault = std::env::var(ENV).ok().map(|text| match text.parse() {
        Ok(fault) => Waiting { fault, reached: 0 },
        Err(why) => panic!("{ENV}={text}: {why}"),
    });
    Mutex::new(fault)
});

static REACHED: [AtomicU32; Point::ALL.len()] = [const { AtomicU32::new(0) }; Point::ALL.len()];

/// How often this process has reached the point.
#[must_use]
pub fn times_reached(point: Point) -> u32 {
    REACHED[point as usize].load(Ordering::Relaxed)
}

/// Counts, and says what happens here now.
fn strike(point: Point) -> Option<Action> {
    REACHED[point as usize].fetch_add(1, Ordering::Relaxed);
    let mut armed = lock(&ARMED);
    let waiting = armed.as_mut().filter(|waiting| waiting.fault.point == point)?;
    waiting.reached += 1;
    let fault = waiting.fault;
    let now = waiting.reached == fault.nth || fault.later && waiting.reached > fault.nth;
    now.then_some(fault.action)
}

pub(super) fn reach(point: Point) -> Result<(), Errno> {
    match strike(point) {
        None => Ok(()),
        Some(Action::Fail(errno)) => Err(errno),
        Some(Action::Kill) => signal_self(Signal::KILL),
        Some(Action::Stop) => signal_self(Signal::STOP),
    }
}

/// Returns only when somebody has sent SIGCONT.
fn signal_self(signal: Signal) -> Result<(), Errno> {
    kill_process(getpid(), signal)
}

pub(super) fn mark(point: Point) -> u32 {
    match strike(point) {
        None => 0,
        Some(Action::Fail(errno)) => errno.raw_os_error().unsigned_abs(),
        Some(Action::Kill) => KILL,
        Some(Action::Stop) => HANG,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_point_has_a_name_of_its_own() {
        let mut names: Vec<_> = Point::ALL.iter().map(|point| point.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Point::ALL.len());
        for point in Point::ALL {
            let fault: Fault = format!("{}=EIO", point.name()).parse().unwrap();
            assert_eq!(fault, Fault::new(*point, Action::Fail(Errno::IO)));
        }
    }

    #[test]
    fn a_fault_says_where_when_and_what() {
        let fault: Fault = "cgroup-write:3+=28".parse().unwrap();
        let same = Fault::new(Point::CgroupWrite, Action::Fail(Errno::NOSPC)).nth(3).and_later();
        assert_eq!(fault, same);
        assert_eq!("clone=kill".parse(), Ok(Fault::new(Point::Clone, Action::Kill)));
        for bad in ["clone", "no-such=EIO", "clone:x=EIO", "clone=EWHAT", "clone=0"] {
            assert!(bad.parse::<Fault>().is_err(), "{bad}");
        }
    }
}
