//! Limits as files: what a specification's `linux.resources` becomes on each kind of host. Pure.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};

use super::detect::Controller;
use super::{Error, Hierarchies};

/// One value for one file of one controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Setting {
    pub(super) controller: Controller,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// About swap alone: without the file and without swap there is nothing to limit.
    pub(super) about_swap: bool,
}

impl Setting {
    fn new(controller: Controller, file: &'static str, value: impl ToString) -> Setting {
        Setting { controller, file, value: value.to_string(), about_swap: false }
    }
}

/// The default length of a CPU bandwidth period in both versions of cgroups, in microseconds.
const DEFAULT_PERIOD_US: u64 = 100_000;

/// The files to write, in the order in which the kernel takes them.
///
/// Fails when a controller is missing, when a field is set that hotcell doesn't control, or when a
/// value makes no sense. `-1` and absence both mean "no limit".
pub(super) fn settings(
    resources: &LinuxResources,
    host: &Hierarchies,
) -> Result<Vec<Setting>, Error> {
    refuse_unsupported(resources)?;
    let mut settings = Vec::new();
    let v1 = |controller| host.v1.contains_key(&controller);
    if let Some(memory) = resources.memory() {
        memory_settings(memory, v1(Controller::Memory), &mut settings)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu_settings(cpu, v1(Controller::Cpu), &mut settings)?;
    }
    if let Some(pids) = resources.pids() {
        match pids.limit() {
            limit @ 1.. => settings.push(Setting::new(Controller::Pids, "pids.max", limit)),
            -1 | 0 => {}
            value => return Err(bad("pids.limit", value, "neither a count nor -1")),
        }
    }
    match settings.iter().find(|setting| !host.offers(setting.controller)) {
        None => Ok(settings),
        Some(setting) => Err(Error::NoController {
            controller: setting.controller.v2_name(),
            file: setting.file.into(),
            value: setting.value.clone(),
            why: format!(
                "neither in {}/cgroup.controllers nor mounted as a v1 hierarchy",
                host.unified.display()
            ),
        }),
    }
}

fn bad(field: &'static str, value: i64, why: &'static str) -> Error {
    Error::BadValue { field, value, why }
}

/// A field that is silently ignored would be a lie about a limit.
fn refuse_unsupported(resources: &LinuxResources) -> Result<(), Error> {
    let memory = resources.memory().as_ref();
    let cpu = resources.cpu().as_ref();
    let asked = [
        ("blockIO", resources.block_io().is_some()),
        ("hugepageLimits", resources.hugepage_limits().as_ref().is_some_and(|l| !l.is_empty())),
        ("network", resources.network().is_some()),
        ("rdma", resources.rdma().as_ref().is_some_and(|r| !r.is_empty())),
        ("unified", resources.unified().as_ref().is_some_and(|u| !u.is_empty())),
        ("memory.kernel", memory.is_some_and(|m| m.kernel().is_some())),
        ("memory.kernelTCP", memory.is_some_and(|m| m.kernel_tcp().is_some())),
        ("memory.swappiness", memory.is_some_and(|m| m.swappiness().is_some())),
        ("memory.disableOOMKiller", memory.is_some_and(|m| m.disable_oom_killer() == Some(true))),
        ("cpu.burst", cpu.is_some_and(|c| c.burst().is_some())),
        ("cpu.realtimeRuntime", cpu.is_some_and(|c| c.realtime_runtime().is_some())),
        ("cpu.realtimePeriod", cpu.is_some_and(|c| c.realtime_period().is_some())),
        ("cpu.cpus", cpu.is_some_and(|c| c.cpus().as_ref().is_some_and(|s| !s.is_empty()))),
        ("cpu.mems", cpu.is_some_and(|c| c.mems().as_ref().is_some_and(|s| !s.is_empty()))),
        ("cpu.idle", cpu.is_some_and(|c| c.idle().is_some())),
    ];
    match asked.into_iter().find(|(_, set)| *set) {
        Some((field, _)) => Err(Error::Unsupported { field }),
        None => Ok(()),
    }
}

/// `swap` of the specification is memory and swap together, as in v1; v2 counts swap alone.
fn memory_settings(memory: &LinuxMemory, v1: bool, out: &mut Vec<Setting>) -> Result<(), Error> {
    let limit = memory.limit().filter(|limit| *limit != -1 && *limit != 0);
    let both = memory.swap().filter(|both| *both != -1 && *both != 0);
    let set = |file, value: i64| Setting::new(Controller::Memory, file, value);
    if let Some(limit) = limit {
        if limit < 0 {
            return Err(bad("memory.limit", limit, "neither a size nor -1"));
        }
        out.push(set(if v1 { "memory.limit_in_bytes" } else { "memory.max" }, limit));
        if !v1 {
            // One process killed leaves a broken task behind; the whole cell is the unit.
            out.push(set("memory.oom.group", 1));
        }
    }
    if let Some(both) = both {
        let Some(limit) = limit else {
            return Err(bad("memory.swap", both, "given without memory.limit"));
        };
        if both < limit {
            return Err(bad("memory.swap", both, "less than memory.limit, which it includes"));
        }
        let setting = match v1 {
            true => set("memory.memsw.limit_in_bytes", both),
            false => set("memory.swap.max", both - limit),
        };
        out.push(Setting { about_swap: true, ..setting });
    }
    if let Some(reservation) = memory.reservation().filter(|value| *value > 0) {
        out.push(set(if v1 { "memory.soft_limit_in_bytes" } else { "memory.low" }, reservation));
    }
    Ok(())
}

fn cpu_settings(cpu: &LinuxCpu, v1: bool, out: &mut Vec<Setting>) -> Result<(), Error> {
    let period = cpu.period().filter(|period| *period != 0);
    let quota = cpu.quota().filter(|quota| *quota != 0 && *quota != -1);
    if let Some(quota) = quota.filter(|quota| *quota < 0) {
        return Err(bad("cpu.quota", quota, "neither a time in microseconds nor -1"));
    }
    let set = |file, value: String| Setting::new(Controller::Cpu, file, value);
    if v1 {
        if let Some(period) = period.filter(|period| *period != DEFAULT_PERIOD_US) {
            out.push(set("cpu.cfs_period_us", period.to_string()));
        }
        out.extend(quota.map(|quota| set("cpu.cfs_quota_us", quota.to_string())));
    } else if quota.is_some() || period.is_some() {
        let quota = quota.map_or_else(|| "max".to_owned(), |quota| quota.to_string());
        out.push(set("cpu.max", format!("{quota} {}", period.unwrap_or(DEFAULT_PERIOD_US))));
    }
    if let Some(shares) = cpu.shares().filter(|shares| *shares != 0) {
        out.push(match v1 {
            true => set("cpu.shares", shares.to_string()),
            false => set("cpu.weight", weight(shares).to_string()),
        });
    }
    Ok(())
}

/// Shares (2 to 262144, default 1024) on the scale of weights (1 to 10000, default 100), by the
/// straight line that runc and systemd use.
fn weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn host(v1: bool) -> Hierarchies {
        let at = |c: Controller| (c, PathBuf::from("/v1").join(c.v1_name()));
        Hierarchies {
            unified: "/v2".into(),
            v2: if v1 { vec![] } else { Controller::ALL.to_vec() },
            v1: if v1 { Controller::ALL.map(at).into() } else { [].into() },
            mounted: vec![],
        }
    }

    fn resources(json: &str) -> LinuxResources {
        serde_json::from_str(json).unwrap()
    }

    fn files(json: &str, v1: bool) -> Vec<String> {
        let settings = settings(&resources(json), &host(v1)).unwrap();
        settings.iter().map(|s| format!("{}={}", s.file, s.value)).collect()
    }

    const LIMITED: &str = r#"{"memory":{"limit":67108864,"swap":67108864},
        "cpu":{"quota":50000,"period":100000},"pids":{"limit":32}}"#;

    #[test]
    fn v2_limits() {
        assert_eq!(
            files(LIMITED, false),
            [
                "memory.max=67108864",
                "memory.oom.group=1",
                "memory.swap.max=0",
                "cpu.max=50000 100000",
                "pids.max=32"
            ]
        );
    }

    #[test]
    fn v1_limits_set_memory_before_memory_and_swap() {
        assert_eq!(
            files(LIMITED, true),
            [
                "memory.limit_in_bytes=67108864",
                "memory.memsw.limit_in_bytes=67108864",
                "cpu.cfs_quota_us=50000",
                "pids.max=32"
            ]
        );
    }

    #[test]
    fn no_limit_writes_nothing() {
        assert_eq!(files("{}", true), [""; 0]);
        assert_eq!(files(r#"{"memory":{"limit":-1},"pids":{"limit":-1}}"#, false), [""; 0]);
    }

    #[test]
    fn a_missing_controller_fails_closed_and_is_named() {
        let mut host = host(true);
        host.v1.remove(&Controller::Pids);
        let error = settings(&resources(LIMITED), &host).unwrap_err().to_string();
        assert!(error.contains("pids.max=32") && error.contains("\"pids\""), "{error}");
    }

    #[test]
    fn what_is_not_controlled_is_refused_by_name() {
        let error = settings(&resources(r#"{"cpu":{"cpus":"0-1"}}"#), &host(true)).unwrap_err();
        assert_eq!(error.to_string(), "linux.resources.cpu.cpus is not supported");
    }

    #[test]
    fn senseless_values_are_refused() {
        for json in [
            r#"{"memory":{"limit":-7}}"#,
            r#"{"memory":{"limit":100,"swap":50}}"#,
            r#"{"memory":{"swap":50}}"#,
            r#"{"cpu":{"quota":-9}}"#,
            r#"{"pids":{"limit":-2}}"#,
        ] {
            let result = settings(&resources(json), &host(false));
            assert!(matches!(result, Err(Error::BadValue { .. })), "{json}");
        }
    }

    #[test]
    fn shares_keep_their_ends_and_default() {
        assert_eq!([weight(2), weight(1024), weight(262_144)], [1, 39, 10_000]);
    }
}
