//! A cgroup's part in the v1 hierarchies: there from the start, or made while its first process builds
//! itself. That process joins them by itself, so nothing but that needs them before.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock};

use super::Error;
use super::detect::Controller;
use super::files::Dir;
use super::leaf::Enforced;
use crate::unpoisoned::lock;

/// Its directories, and the limits that hold, those of the v2 tree included.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Those of the controllers that hotcell uses.
    pub(super) controllers: BTreeMap<Controller, Dir>,
    /// Its place in every v1 hierarchy, if it is part of all; then `controllers` are some of these.
    pub(super) everywhere: Vec<Joined>,
    pub(super) enforced: Vec<Enforced>,
}

/// A cgroup's directory in one v1 hierarchy.
#[derive(Debug)]
pub(super) struct Joined {
    /// The hierarchy's controllers, or its name, with commas between.
    pub(super) hierarchy: String,
    /// The name of the hierarchy's mount point.
    pub(super) view: String,
    pub(super) dir: Dir,
}

/// The same before it is made.
#[derive(Clone, Debug)]
pub(super) struct Seat {
    pub(super) hierarchy: Cow<'static, str>,
    pub(super) view: Cow<'static, str>,
    pub(super) path: PathBuf,
}

static NONE: Part =
    Part { controllers: BTreeMap::new(), everywhere: Vec::new(), enforced: Vec::new() };

/// The part, or what makes it.
#[derive(Debug)]
pub(super) struct Old {
    part: OnceLock<Part>,
    pending: Mutex<Option<Make>>,
    seats: Vec<Seat>,
    /// What has been made above its first directory, outermost first.
    above: Vec<PathBuf>,
}

struct Make(Box<dyn FnOnce() -> Result<Part, Error> + Send>);

impl fmt::Debug for Make {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Make")
    }
}

impl From<Part> for Old {
    fn from(part: Part) -> Old {
        let (pending, seats, above) = Default::default();
        Old { part: part.into(), pending, seats, above }
    }
}

impl Old {
    /// One that is going to stand there. Of a failure `make` leaves nothing, or nothing but empty directories
    /// that are removed with the cgroup's first one.
    pub(super) fn later(
        seats: Vec<Seat>,
        above: Vec<PathBuf>,
        make: impl FnOnce() -> Result<Part, Error> + Send + 'static,
    ) -> Old {
        let pending = Mutex::new(Some(Make(Box::new(make))));
        Old { part: OnceLock::new(), pending, seats, above }
    }

    pub(super) fn above(&self) -> &[PathBuf] {
        &self.above
    }

    /// What there is of it by now.
    pub(super) fn part(&self) -> &Part {
        self.part.get().unwrap_or(&NONE)
    }

    pub(super) fn part_mut(&mut self) -> Option<&mut Part> {
        self.part.get_mut()
    }

    pub(super) fn into_part(self) -> Part {
        self.part.into_inner().unwrap_or_default()
    }

    pub(super) fn is_made(&self) -> bool {
        self.part.get().is_some()
    }

    /// Where it is going to stand.
    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// Makes it, if that has not been done. What failed once is not tried again: the cell has come to
    /// nothing.
    pub(super) fn complete(&self) -> Result<(), Error> {
        let mut pending = lock(&self.pending);
        match pending.take() {
            Some(Make(make)) => {
                let _ = self.part.set(make()?);
                Ok(())
            }
            None if self.is_made() => Ok(()),
            None => {
                let path = self.seats.first().map(|seat| seat.path.clone()).unwrap_or_default();
                Err(Error::Unfit { path, why: "it could not be made before".to_owned() })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_once() {
        let made = std::sync::Arc::new(Mutex::new(0));
        let old = Old::later(Vec::new(), Vec::new(), {
            let made = std::sync::Arc::clone(&made);
            move || {
                *lock(&made) += 1;
                let enforced = vec![Enforced { file: "pids.max".into(), value: "7".into() }];
                Ok(Part { enforced, ..Part::default() })
            }
        });
        assert!(!old.is_made() && old.part().enforced.is_empty());
        for _ in 0..2 {
            old.complete().unwrap();
            assert!(old.is_made() && old.part().enforced.len() == 1);
        }
        assert_eq!(*lock(&made), 1);
    }

    #[test]
    fn what_failed_is_never_taken_for_made() {
        let path = PathBuf::from("/c");
        let seat = Seat { hierarchy: "pids".into(), view: "pids".into(), path: path.clone() };
        let old = Old::later(vec![seat], Vec::new(), move || {
            Err(Error::Unfit { path, why: "the first time".to_owned() })
        });
        for why in ["the first time", "it could not be made before"] {
            let error = old.complete().unwrap_err().to_string();
            assert!(error.contains("/c") && error.ends_with(why), "{error}");
            assert!(!old.is_made());
        }
    }
}
