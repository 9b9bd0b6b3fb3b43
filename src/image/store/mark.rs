//! What tells a file from one that took its place, and from itself before it was changed.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A file as it was when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
}

/// Within this time a file may take another's inode and its time too: the clock of file systems goes in
/// steps.
const STEP: Duration = Duration::from_secs(2);

impl Mark {
    pub(super) fn of(file: &Metadata) -> Mark {
        let changed = (file.ctime(), file.ctime_nsec());
        Mark { device: file.dev(), inode: file.ino(), size: file.size(), changed }
    }

    /// Of what is at the path; `None` if there is nothing.
    pub(super) fn at(path: &Path) -> io::Result<Option<Mark>> {
        match std::fs::symlink_metadata(path) {
            Ok(found) => Ok(Some(Mark::of(&found))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether both are of the same file, changed or not.
    pub(super) fn is_of_same_file(&self, other: &Mark) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether whatever takes the file's place from now on will have another mark.
    pub(super) fn is_settled(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let (seconds, nanoseconds) = self.changed;
        let changed = (u64::try_from(seconds).ok()).zip(u32::try_from(nanoseconds).ok());
        changed
            .is_some_and(|(seconds, nanoseconds)| Duration::new(seconds, nanoseconds) + STEP < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_and_another_file_in_its_place_are_told() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("file");
        let mark = || Mark::at(&path).unwrap();
        assert_eq!(mark(), None);
        std::fs::write(&path, "one").unwrap();
        let first = mark().unwrap();
        assert_eq!(mark(), Some(first));
        std::fs::write(&path, "longer").unwrap();
        let changed = mark().unwrap();
        assert!(changed != first && changed.is_of_same_file(&first));
        let other = at.path().join("other");
        std::fs::write(&other, "another").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!mark().unwrap().is_of_same_file(&first));
    }

    #[test]
    fn a_file_is_settled_when_its_time_is_past() {
        let at = tempfile::tempdir().unwrap();
        let fresh = Mark::at(at.path()).unwrap().unwrap();
        assert!(!fresh.is_settled());
        let (seconds, nanoseconds) = fresh.changed;
        assert!(Mark { changed: (seconds - 3, nanoseconds), ..fresh }.is_settled());
        assert!(!Mark { changed: (seconds + 60, nanoseconds), ..fresh }.is_settled());
        assert!(!Mark { changed: (-1, 0), ..fresh }.is_settled());
    }
}
