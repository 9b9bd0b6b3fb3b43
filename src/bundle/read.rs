//! `config.json` to a specification: what is wrong is told with its place, and what other runtimes let
//! pass, passes.

use std::fmt::Write;

#[cfg(any(feature = "cli", test))]
use oci_spec::runtime::Process;
use oci_spec::runtime::{Capability, Spec};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Why a text is no specification.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Flaw {
    /// Where, as a path of fields; `.` is the whole.
    pub(super) at: String,
    /// What the parser says.
    pub(super) why: String,
}

/// Reads a specification.
pub(super) fn spec(text: &[u8]) -> Result<Spec, Flaw> {
    read(text, |config| config.get_mut("process").map_or((), soften))
}

/// Reads the part of one that tells of a process.
#[cfg(any(feature = "cli", test))]
pub(super) fn process(text: &[u8]) -> Result<Process, Flaw> {
    read(text, soften)
}

fn read<T: DeserializeOwned>(text: &[u8], soften: fn(&mut Value)) -> Result<T, Flaw> {
    // A list would do for the reader: its parts in the order of the fields.
    if text.trim_ascii_start().first() == Some(&b'[') {
        return Err(Flaw {
            at: ".".to_owned(),
            why: "is a list, and must be an object".to_owned(),
        });
    }
    let mut reader = serde_json::Deserializer::from_slice(text);
    let strict = typed(&mut reader).and_then(|value| match reader.end() {
        Ok(()) => Ok(value),
        Err(error) => Err(flaw(".", &error)),
    });
    let Err(found) = strict else { return strict };
    // What is softened below is read anew, and there the last of two would count.
    if found.why.starts_with("duplicate field") {
        return Err(found);
    }
    // What is no JSON at all can't be made better.
    let Ok(mut value) = serde_json::from_slice(text) else { return Err(found) };
    soften(&mut value);
    typed(value)
}

fn typed<'de, T, D>(text: D) -> Result<T, Flaw>
where
    T: DeserializeOwned,
    D: Deserializer<'de, Error = serde_json::Error>,
{
    let track = |error: serde_path_to_error::Error<serde_json::Error>| {
        flaw(&error.path().to_string(), error.inner())
    };
    serde_path_to_error::deserialize(text).map_err(track)
}

fn flaw(at: &str, error: &serde_json::Error) -> Flaw {
    Flaw { at: shown(at), why: shown(&error.to_string()) }
}

/// The text in one line, without its middle if it is long: a value of 10 MB is no part of a message.
fn shown(text: &str) -> String {
    const ENDS: [usize; 2] = [160, 80];
    let mut line = String::new();
    let count = text.chars().count();
    for (at, letter) in text.chars().enumerate() {
        match letter {
            _ if count > ENDS[0] + ENDS[1] && at == ENDS[0] => line.push_str(" ... "),
            _ if at >= ENDS[0] && at + ENDS[1] < count => {}
            letter if letter.is_control() => {
                let _ = write!(line, "{}", letter.escape_default());
            }
            letter => line.push(letter),
        }
    }
    line
}

/// Changes what the reader is too strict about in a process.
fn soften(process: &mut Value) {
    if let Some(Value::Object(sets)) = process.get_mut("capabilities") {
        for (set, list) in sets {
            let Value::Array(list) = list else { continue };
            list.retain(|name| {
                let known = !name.is_string() || Capability::deserialize(name).is_ok();
                if !known {
                    let name = shown(&name.to_string());
                    tracing::warn!(%set, %name, "an unknown capability is left out");
                }
                known
            });
        }
    }
    if let Some(Value::Array(flags)) = process.pointer_mut("/scheduler/flags") {
        for flag in flags {
            // The reader has names of its own for two of them.
            let name = match flag.as_str() {
                Some("SCHED_FLAG_RESET_ON_FORK") => "SCHED_RESET_ON_FORK",
                Some("SCHED_FLAG_DL_OVERRUN") => "SCHED_FLAG_D_L_OVERRUN",
                _ => continue,
            };
            *flag = name.into();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(config: &Value) -> Result<Spec, Flaw> {
        spec(config.to_string().as_bytes())
    }

    #[test]
    fn what_is_wrong_has_a_place() {
        for (config, at, part) in [
            (json!({"process": {"user": {"uid": -1}, "cwd": "/"}}), "process.user.uid", "-1"),
            (json!({"process": {"cwd": "/", "args": "x"}}), "process.args", "sequence"),
            (
                json!({"mounts": [{"destination": "/a"}, {"source": "x"}]}),
                "mounts[1]",
                "destination",
            ),
            (
                json!({"linux": {"namespaces": [{"type": "moon"}]}}),
                "linux.namespaces[0].type",
                "moon",
            ),
            (json!({"linux": {"sysctl": {"a": 1}}}), "linux.sysctl.a", "string"),
            (json!({"annotations": {"a\nb": 1}}), "annotations.a\\nb", "string"),
            (json!([]), ".", "list"),
            (json!("x"), ".", "map"),
        ] {
            let flaw = read(&config).unwrap_err();
            assert!(flaw.at == at && !flaw.why.contains('\n'), "{flaw:?}");
            assert!(flaw.why.contains(part) || at == ".", "{flaw:?}");
        }
        let cut = spec(br#"{"ociVersion": "1.2.0", "root": {"path": "roo"#).unwrap_err();
        assert!(cut.at == "root.path" && cut.why.contains("EOF"), "{cut:?}");
        let twice = spec(br#"{"hostname": "a", "hostname": "b"}"#).unwrap_err();
        assert!(twice.why.starts_with("duplicate field"), "{twice:?}");
        assert!(spec(b"{} {}").unwrap_err().why.contains("trailing"));
        assert!(spec(b"").is_err() && spec(b"\0").is_err() && spec(&[0xff; 9]).is_err());
    }

    #[test]
    fn a_huge_value_is_not_repeated() {
        let huge = "A".repeat(10 << 20);
        let flaw = read(&json!({"process": {"user": {"uid": huge}, "cwd": "/"}})).unwrap_err();
        assert!(flaw.at == "process.user.uid" && flaw.why.len() < 300, "{flaw:?}");
        let flaw = read(&json!({"annotations": {huge: 1}})).unwrap_err();
        assert!(flaw.at.len() < 300, "{}", flaw.at.len());
        assert_eq!(spec("[".repeat(100_000).as_bytes()).unwrap_err().at, ".");
    }

    #[test]
    fn a_capability_that_nobody_knows_is_left_out() {
        let sets = json!({"bounding": ["CAP_KILL", "CAP_MOON"], "ambient": ["moon"]});
        let process = json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "capabilities": sets});
        let spec = read(&json!({"process": process})).unwrap();
        let sets = spec.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!(sets.bounding(), &Some([Capability::Kill].into()));
        assert_eq!(sets.ambient(), &Some([].into()));
        let number = json!({"user": {}, "cwd": "/", "capabilities": {"bounding": [1]}});
        let alone = super::process(number.to_string().as_bytes()).unwrap_err();
        assert_eq!(alone.at, "capabilities.bounding[0]");
        let flaw = read(&json!({"process": number})).unwrap_err();
        assert_eq!(flaw.at, "process.capabilities.bounding[0]");
    }

    #[test]
    fn every_flag_of_a_scheduler_has_the_specifications_name() {
        let flags = json!([
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX"
        ]);
        let scheduler = json!({"policy": "SCHED_OTHER", "flags": flags});
        let process = json!({"user": {}, "cwd": "/", "scheduler": scheduler});
        let spec = read(&json!({"process": process})).unwrap();
        let scheduler = spec.process().as_ref().unwrap().scheduler().clone().unwrap();
        assert_eq!(scheduler.flags().as_ref().unwrap().len(), 7);
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = spec(&bytes).is_ok();
        }
    }
}
