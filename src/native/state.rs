//! The driver's directories: who owns them, what an instance writes down about itself, and how its
//! things are named after it.
//!
//! ```text
//! STATE/                 0700 root, on tmpfs
//!   .made-PARENT         PARENT is a driver's making, and goes with the last one
//!   .lock                held while an instance opens or closes
//!   names/NAME           locked while a cell has that name
//!   ids/N -> INSTANCE    while a cell of INSTANCE has the range N of ids
//!   INSTANCE/.lock       locked while the instance lives
//!   INSTANCE/.instance.json
//! DATA/INSTANCE/CELL/    writable layers on disk
//! cgroup PARENT/INSTANCE-CELL
//! ```

use std::fs::DirBuilder;
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::Error;
use crate::bundle::CellName;
use crate::fault::{self, Point};

// A cell's name starts with a letter or digit, so none of these can be one.
pub(super) const LOCK: &str = ".lock";
pub(super) const RECORD: &str = ".instance.json";
pub(super) const TRASH: &str = ".trash";
pub(super) const NAMES: &str = "names";
pub(super) const IDS: &str = "ids";
/// A record holds two names and a path.
const RECORD_MAX: u64 = 16 << 10;

/// What drivers of this version write.
const VERSION: u64 = 1;

/// What a sweep has to know about an instance besides its name.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u64,
    /// The cgroup above its cells.
    pub(super) cgroup_parent: String,
    /// Where its writable layers are.
    pub(super) data_dir: PathBuf,
}

/// What is found where an instance's record should be.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Found {
    /// One that makes sense: it names one cgroup component and an absolute path.
    Record(Record),
    /// A newer driver's, which may have made things that this one does not know of.
    Newer,
    /// Nothing, or nothing that makes sense.
    Nothing,
}

impl Record {
    pub(super) fn new(cgroup_parent: String, data_dir: PathBuf) -> Record {
        Record { version: VERSION, cgroup_parent, data_dir }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), Error> {
        let path = dir.join(RECORD);
        let io = |source| Error::io("write", &path, source);
        let text = serde_json::to_vec(self).map_err(|error| io(error.into()))?;
        // Written under another name first: a reader sees all of it or nothing.
        let draft = dir.join(".instance.json.new");
        std::fs::File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&draft)
            .and_then(|mut file| fault::at(Point::RecordDraft, || file.write_all(&text)))
            .and_then(|()| fault::at(Point::RecordRename, || std::fs::rename(&draft, &path)))
            .map_err(io)
    }

    /// The record in `dir`.
    pub(super) fn read(dir: &Path) -> Found {
        let Some(text) = Record::text(dir) else {
            return Found::Nothing;
        };
        let version = |value: serde_json::Value| value.get("version")?.as_u64();
        if serde_json::from_str(&text).ok().and_then(version).is_some_and(|is| is > VERSION) {
            return Found::Newer;
        }
        let record = serde_json::from_str(&text).ok().filter(Record::is_sound);
        record.map_or(Found::Nothing, Found::Record)
    }

    fn text(dir: &Path) -> Option<String> {
        let file = std::fs::File::options()
            .read(true)
            // A FIFO would keep a reader waiting for ever.
            .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32)
            .open(dir.join(RECORD))
            .ok()
            .filter(|file| file.metadata().is_ok_and(|found| found.is_file()))?;
        let mut text = String::new();
        file.take(RECORD_MAX).read_to_string(&mut text).ok()?;
        Some(text)
    }

    fn is_sound(&self) -> bool {
        let climbs = |part| matches!(part, std::path::Component::ParentDir);
        self.version == VERSION
            && self.cgroup_parent.parse::<CellName>().is_ok()
            && self.data_dir.is_absolute()
            && !self.data_dir.components().any(climbs)
    }
}

/// Makes the driver's directory at `path`, or checks the one that is there: what lies in it decides
/// what root removes, so nobody else may write to it.
pub(super) fn private_dir(path: &Path) -> Result<(), Error> {
    fault::at(Point::PrivateDirectory, || {
        DirBuilder::new().recursive(true).mode(0o700).create(path)
    })
    .map_err(|source| Error::io("make", path, source))?;
    let found =
        std::fs::symlink_metadata(path).map_err(|source| Error::io("look at", path, source))?;
    let refuse = |why| Err(Error::Unsafe { path: path.to_owned(), why });
    match () {
        () if !found.is_dir() => refuse("is not a directory"),
        () if found.uid() != rustix::process::geteuid().as_raw() => refuse("has another owner"),
        () if found.mode() & 0o077 != 0 => refuse("must be closed to group and others (mode 700)"),
        () => Ok(()),
    }
}

/// A name nobody else has: 48 random bits in hexadecimal digits.
pub(super) fn random_id() -> Result<String, Error> {
    let bytes: [u8; 6] = random_bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A number to start from.
pub(super) fn random_number() -> Result<u32, Error> {
    Ok(u32::from_ne_bytes(random_bytes()?))
}

fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::io("read", "the kernel's random numbers", errno.into()))?;
    Ok(bytes)
}

/// Whether a directory's name is an instance's.
pub(super) fn is_instance_id(name: &str) -> bool {
    name.len() == 12 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// The cgroup of an instance's cell.
pub(super) fn leaf_name(instance: &str, cell: &str) -> String {
    format!("{instance}-{cell}")
}

/// Whether the leaf is one of the instance's.
pub(super) fn is_leaf_of(leaf: &str, instance: &str) -> bool {
    leaf.strip_prefix(instance).is_some_and(|rest| rest.starts_with('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_recognised_and_leaves_belong_to_one_instance() {
        let id = random_id().unwrap();
        assert!(is_instance_id(&id), "{id}");
        assert!(!is_instance_id("names") && !is_instance_id("../../../etc"));
        assert!(is_leaf_of(&leaf_name(&id, "a"), &id));
        assert!(!is_leaf_of(&format!("{id}0-a"), &id));
    }

    #[test]
    fn a_record_that_points_elsewhere_is_no_record() {
        let at = tempfile::tempdir().unwrap();
        let good = Record::new("hotcell".into(), "/var/lib/hotcell".into());
        good.write(at.path()).unwrap();
        assert_eq!(Record::read(at.path()), Found::Record(good));
        for bad in [
            r#"{"version":1,"cgroup_parent":"../x","data_dir":"/a"}"#,
            r#"{"version":1,"cgroup_parent":"x","data_dir":"a"}"#,
            r#"{"version":1,"cgroup_parent":"x","data_dir":"/a/../../etc"}"#,
            r#"{"version":1,"cgroup_parent":"x","data_dir":"/a","more":1}"#,
            r#"{"version":0,"cgroup_parent":"x","data_dir":"/a"}"#,
            r#"{"version":"2","cgroup_parent":"x","data_dir":"/a"}"#,
            r#"{"cgroup_parent":"x","data_dir":"/a"}"#,
            "[2]",
            "{",
            "",
        ] {
            std::fs::write(at.path().join(RECORD), bad).unwrap();
            assert_eq!(Record::read(at.path()), Found::Nothing, "{bad}");
        }
        std::fs::write(at.path().join(RECORD), r#"{"version":2,"cells":[]}"#).unwrap();
        assert_eq!(Record::read(at.path()), Found::Newer);
    }

    #[test]
    fn what_is_no_file_is_no_record() {
        let at = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        Record::new("hotcell".into(), "/a".into()).write(elsewhere.path()).unwrap();
        let record = at.path().join(RECORD);
        std::os::unix::fs::symlink(elsewhere.path().join(RECORD), &record).unwrap();
        assert_eq!(Record::read(at.path()), Found::Nothing, "a link");
        std::fs::remove_file(&record).unwrap();
        std::fs::create_dir(&record).unwrap();
        assert_eq!(Record::read(at.path()), Found::Nothing, "a directory");
        std::fs::remove_dir(&record).unwrap();
        let fifo = rustix::fs::FileType::Fifo;
        rustix::fs::mknodat(rustix::fs::CWD, &record, fifo, 0o600.into(), 0).unwrap();
        assert_eq!(Record::read(at.path()), Found::Nothing, "a FIFO");
    }

    #[test]
    fn a_directory_open_to_others_is_refused() {
        let at = tempfile::tempdir().unwrap();
        let dir = at.path().join("state");
        private_dir(&dir).unwrap();
        private_dir(&dir).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&dir, mode).unwrap();
        assert!(matches!(private_dir(&dir), Err(Error::Unsafe { .. })));
    }
}
