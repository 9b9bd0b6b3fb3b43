//! What later commands have to know about a container: `state.json` in its directory.
//!
//! It is written before what it tells of is made, so that whatever a killed command left can be
//! found. What is read back is believed only as far as it makes sense.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Spec;
use serde::{Deserialize, Serialize};

use super::id::Id;
use super::process::Process;
use super::systemd::is_scope;
use crate::cgroup::Places;

/// What this version writes.
const VERSION: u32 = 1;

/// One container.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    pub(super) id: String,
    /// The `ociVersion` of its specification.
    pub(super) oci_version: String,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// RFC 3339.
    pub(super) created: String,
    pub(super) annotations: BTreeMap<String, String>,
    /// Whether its specification has hooks for when it has been started or is gone.
    pub(super) hooks: bool,
    /// Its cgroup in each hierarchy.
    pub(super) cgroup: Places,
    /// The unit whose cgroup that is, if systemd made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) scope: Option<String>,
    /// Its first process; none as long as it is being made.
    pub(super) process: Option<Process>,
}

impl Record {
    /// A container that is about to be made.
    pub(super) fn new(
        id: &Id,
        spec: &Spec,
        bundle: &Path,
        rootfs: PathBuf,
        cgroup: Places,
    ) -> Record {
        Record {
            version: VERSION,
            id: id.to_string(),
            oci_version: spec.version().clone(),
            bundle: bundle.to_owned(),
            rootfs,
            created: jiff::Timestamp::now().to_string(),
            annotations: spec.annotations().iter().flatten().map(own).collect(),
            hooks: spec.hooks().is_some(),
            cgroup,
            scope: None,
            process: None,
        }
    }

    /// Reads what should be the record of `id`; `Err` says what is wrong with it.
    pub(super) fn parse(text: &[u8], id: &Id) -> Result<Record, String> {
        let record: Record = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let wrong = match &record {
            r if r.version != VERSION => "is of another version of this program",
            r if r.id != id.as_str() => "is another container's",
            r if !r.bundle.is_absolute() || !r.rootfs.is_absolute() => "names no absolute path",
            r if !r.cgroup.iter().all(|(_, path)| is_below(path)) => {
                "names no cgroup below the root"
            }
            r if r.scope.as_deref().is_some_and(|unit| !is_scope(unit)) => "names no scope",
            r if r.process.is_some_and(|process| process.pid < 2) => "names no process",
            _ => return Ok(record),
        };
        Err(wrong.to_owned())
    }
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// Whether a path leads to a place below the root, and to nowhere else.
fn is_below(path: &Path) -> bool {
    let named = path.components().filter(|part| matches!(part, Component::Normal(_))).count() > 0;
    named && path.is_absolute() && path.components().all(|part| part != Component::ParentDir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_and_one_that_makes_no_sense_is_not() {
        let id: Id = "c1".parse().unwrap();
        let places = serde_json::from_str(r#"{"":"/v2/a/c1","cpu,cpuacct":"/cpu/a/c1"}"#).unwrap();
        let rootfs = PathBuf::from("/b/rootfs");
        let record = Record::new(&id, &Spec::default(), Path::new("/b"), rootfs, places);
        let json = serde_json::to_value(&record).unwrap();
        let parse = |json: &serde_json::Value| Record::parse(json.to_string().as_bytes(), &id);
        assert_eq!(parse(&json), Ok(record));
        for (key, value) in [
            ("version", "2"),
            ("id", "\"c2\""),
            ("bundle", "\"b\""),
            ("rootfs", "\"\""),
            ("cgroup", r#"{"":""}"#),
            ("cgroup", r#"{"":"/"}"#),
            ("cgroup", r#"{"":"/a/../.."}"#),
            ("cgroup", r#"{"":"a"}"#),
            ("scope", "\"a.service\""),
            ("scope", "\"../a.scope\""),
            ("process", r#"{"pid":-1,"start":1}"#),
            ("process", r#"{"pid":1,"start":1}"#),
            ("process", r#"{"pid":2,"start":1,"more":1}"#),
            ("more", "1"),
        ] {
            let mut bad = json.clone();
            bad[key] = serde_json::from_str(value).unwrap();
            assert!(parse(&bad).is_err(), "{key} = {value}");
        }
        for bad in ["", "{", "[]", "null"] {
            assert!(Record::parse(bad.as_bytes(), &id).is_err(), "{bad}");
        }
    }
}
