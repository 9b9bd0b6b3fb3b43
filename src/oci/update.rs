//! `update`: other limits for a container that is there.

use std::fs::File;
use std::io::{self, Read};

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value, json};

use super::args::UpdateArgs;
use super::status::Status;
use super::store::Store;
use super::{Error, place};

/// The largest file that is read.
const LARGEST: u64 = 1 << 20;

/// Changes the limits that are given; zero and what is left out change nothing.
pub(super) fn update(store: &Store, args: &UpdateArgs) -> Result<u8, Error> {
    let wanted = match args.resources.as_deref() {
        Some("-") => read("standard input", io::stdin())?,
        Some(path) => {
            read(path, File::open(path).map_err(|error| Error::io("open", path, error))?)?
        }
        None => args.limits.resources()?,
    };
    let resources = resources(wanted)?;
    let home = store.lock(&args.id.parse()?)?;
    let record = home.record()?;
    match Status::of(&home, &record)? {
        Status::Stopped | Status::Creating => Err(Error::NotRunning),
        _ => place::update(&record, &resources).map(|()| 0),
    }
}

fn read(name: &str, from: impl Read) -> Result<Value, Error> {
    let mut text = Vec::new();
    from.take(LARGEST).read_to_end(&mut text).map_err(|error| Error::io("read", name, error))?;
    serde_json::from_slice(&text).map_err(|error| Error::Resources(error.to_string()))
}

/// The specification's resources without what changes nothing. Devices stay as they are.
fn resources(mut wanted: Value) -> Result<LinuxResources, Error> {
    if let Some(fields) = wanted.as_object_mut() {
        fields.remove("devices");
        prune(fields);
    }
    serde_json::from_value(wanted).map_err(|error| Error::Resources(error.to_string()))
}

/// Takes out what is null, zero, false or empty: engines send every field, whether it is meant or not.
fn prune(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| {
        if let Some(inner) = value.as_object_mut() {
            prune(inner);
        }
        match value {
            Value::Null | Value::Bool(false) => false,
            Value::Number(number) => number.as_f64() != Some(0.0),
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::Object(inner) => !inner.is_empty(),
            Value::Bool(true) => true,
        }
    });
}

impl super::args::Limits {
    /// The flags in the specification's words.
    fn resources(&self) -> Result<Value, Error> {
        if self.l3_cache_schema.is_some() || self.mem_bw_schema.is_some() {
            return Err(Error::NotSupported { what: "intelRdt" });
        }
        Ok(json!({
            "memory": {
                "limit": bytes("--memory", self.memory.as_deref())?,
                "reservation": bytes("--memory-reservation", self.memory_reservation.as_deref())?,
                "swap": bytes("--memory-swap", self.memory_swap.as_deref())?,
            },
            "cpu": {
                "shares": self.cpu_share,
                "quota": self.cpu_quota,
                "burst": self.cpu_burst,
                "period": self.cpu_period,
                "realtimeRuntime": self.cpu_rt_runtime,
                "realtimePeriod": self.cpu_rt_period,
                "idle": self.cpu_idle,
                "cpus": self.cpuset_cpus,
                "mems": self.cpuset_mems,
            },
            "pids": { "limit": self.pids_limit },
            "blockIO": { "weight": self.blkio_weight },
        }))
    }
}

/// Bytes, with a unit or without; -1 is no limit.
fn bytes(flag: &str, text: Option<&str>) -> Result<Option<i64>, Error> {
    let Some(text) = text else { return Ok(None) };
    if text == "-1" {
        return Ok(Some(-1));
    }
    let wrong = |why: String| Error::Usage(format!("{flag} {text:?}: {why}"));
    let bytes: crate::bundle::Bytes =
        text.parse().map_err(|error: crate::bundle::Error| wrong(error.to_string()))?;
    i64::try_from(bytes.0).map(Some).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_no_wish() {
        let docker = json!({
            "memory": { "limit": 1048576, "swap": 0, "kernel": 0 },
            "cpu": { "shares": 0, "quota": 0, "period": 0, "cpus": "", "realtimeRuntime": 0 },
            "pids": {}, "blockIO": { "weight": 0 }, "devices": [{ "allow": true }], "network": null,
        });
        let resources = resources(docker).unwrap();
        assert_eq!(resources.memory().as_ref().unwrap().limit(), Some(1048576));
        assert_eq!(resources.memory().as_ref().unwrap().swap(), None);
        let others = (resources.cpu(), resources.pids(), resources.block_io(), resources.devices());
        assert_eq!(others, (&None, &None, &None, &None));
        assert!(super::resources(json!([1])).is_err());
    }

    #[test]
    fn sizes_have_units_or_none() {
        let flag = |text| bytes("--memory", Some(text));
        assert_eq!(flag("-1").unwrap(), Some(-1));
        assert_eq!(flag("64m").unwrap(), Some(64 << 20));
        assert_eq!(flag("4096").unwrap(), Some(4096));
        assert!(flag("-2").is_err() && flag("x").is_err());
    }
}
