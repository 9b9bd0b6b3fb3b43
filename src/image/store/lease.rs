//! Leases: what somebody has one on is not removed; what somebody is removing gives none.

use std::fs::File;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use super::Error;
use super::error::Told;
use super::lock::Flock;
use super::mark::Mark;
use super::place::open_plain;

/// A shared lease on a file or directory of the store. Dropping it gives it back.
#[derive(Debug)]
pub(in crate::image) struct Lease {
    held: Flock,
    /// As it was when it was leased.
    mark: Mark,
}

impl Lease {
    /// Takes the lease, then looks whether what it is on is still in its place: `None` if there is
    /// nothing. So from here on nobody removes it.
    pub(super) fn take(path: &Path) -> Result<Option<Lease>, Error> {
        loop {
            let file = match open_plain(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if is_a_stray(&error) => {
                    return Err(Error::damaged(path, "it is no file or directory"));
                }
                opened => opened.told("open", path)?,
            };
            let held = Flock::shared(file).told("lease", path)?;
            if let Some(mark) = mark_if_at(held.file(), path).told("look at", path)? {
                return Ok(Some(Lease { held, mark }));
            }
        }
    }

    pub(in crate::image) fn file(&self) -> &File {
        self.held.file()
    }

    pub(super) fn mark(&self) -> Mark {
        self.mark
    }
}

/// What asking for something to be removed finds.
#[derive(Debug)]
pub(super) enum Claim {
    /// It is ours to remove; nobody gets a lease on it before this is dropped. On something that no
    /// store makes nobody gets one anyway.
    Mine(Option<Flock>),
    /// Somebody has a lease on it.
    InUse,
    /// There is no such thing.
    Gone,
}

impl Claim {
    /// Asked for with the store's lock held: so nobody else removes or replaces it meanwhile.
    pub(super) fn on(path: &Path) -> Result<Claim, Error> {
        let file = match open_plain(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Claim::Gone),
            Err(error) if is_a_stray(&error) => return Ok(Claim::Mine(None)),
            opened => opened.told("open", path)?,
        };
        match Flock::exclusive(file) {
            Ok(held) => Ok(Claim::Mine(Some(held))),
            Err(Errno::WOULDBLOCK) => Ok(Claim::InUse),
            Err(errno) => Err(Error::io("claim", path, errno.into())),
        }
    }
}

/// What was opened is a link, or a socket.
fn is_a_stray(error: &io::Error) -> bool {
    let strays = [Errno::LOOP, Errno::NXIO].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|errno| strays.contains(&errno))
}

/// The file's mark, if the path leads to this very file.
fn mark_if_at(file: &File, path: &Path) -> io::Result<Option<Mark>> {
    let held = Mark::of(&file.metadata()?);
    let there = Mark::at(path)?;
    Ok(there.filter(|there| there.is_of_same_file(&held)).map(|_| held))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_leased_is_nobodys_to_remove() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("thing");
        assert!(Lease::take(&path).unwrap().is_none());
        assert!(matches!(Claim::on(&path).unwrap(), Claim::Gone));
        std::fs::write(&path, "").unwrap();
        let one = Lease::take(&path).unwrap().unwrap();
        let two = Lease::take(&path).unwrap().unwrap();
        drop(one);
        assert!(matches!(Claim::on(&path).unwrap(), Claim::InUse));
        drop(two);
        assert!(matches!(Claim::on(&path).unwrap(), Claim::Mine(_)));
    }

    #[test]
    fn a_lease_that_comes_while_the_thing_goes_finds_nothing() {
        let at = tempfile::tempdir().unwrap();
        let (path, trash) = (at.path().join("thing"), at.path().join("trash"));
        for directory in [false, true] {
            match directory {
                true => std::fs::create_dir(&path).unwrap(),
                false => std::fs::write(&path, "").unwrap(),
            }
            let claim = Claim::on(&path).unwrap();
            assert!(matches!(claim, Claim::Mine(_)));
            std::thread::scope(|scope| {
                let waiting = scope.spawn(|| Lease::take(&path));
                std::thread::sleep(std::time::Duration::from_millis(20));
                std::fs::rename(&path, &trash).unwrap();
                drop(claim);
                assert!(waiting.join().unwrap().unwrap().is_none());
            });
            let _ = std::fs::remove_file(&trash);
        }
    }

    #[test]
    fn a_lease_that_waited_gets_what_came_in_its_place() {
        let at = tempfile::tempdir().unwrap();
        let (path, other) = (at.path().join("thing"), at.path().join("other"));
        std::fs::write(&path, "old").unwrap();
        let claim = Claim::on(&path).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| Lease::take(&path));
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::write(&other, "new").unwrap();
            std::fs::rename(&other, &path).unwrap();
            drop(claim);
            let lease = waiting.join().unwrap().unwrap().unwrap();
            assert_eq!(std::io::read_to_string(lease.file()).unwrap(), "new");
        });
    }
}
