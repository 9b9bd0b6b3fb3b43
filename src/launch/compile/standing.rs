//! The process's standing with the kernel: scheduling, I/O priority, memory nodes, execution domain,
//! and its AppArmor profile.

use std::path::Path;

use oci_spec::runtime::{
    IOPriorityClass, LinuxMemoryPolicy, LinuxPersonality, LinuxPersonalityDomain,
    LinuxSchedulerFlag as Flag, LinuxSchedulerPolicy as Policy, MemoryPolicyFlagType,
    MemoryPolicyModeType, Process, Scheduler, Spec,
};

use super::super::{Error, Step};
use crate::sys::abi::SchedAttr;

/// The most CPUs and memory nodes that a list may name: what the kernel can be built for.
const MOST_BITS: usize = 8192;

/// The steps for those of these fields that are set. They need privileges that the rest gives up.
pub(super) fn compile(spec: &Spec, process: &Process, steps: &mut Vec<Step>) -> Result<(), Error> {
    if let Some(linux) = spec.linux() {
        steps.extend(linux.memory_policy().as_ref().map(memory_policy).transpose()?);
        steps.extend(linux.personality().as_ref().map(personality).transpose()?);
    }
    if let Some(priority) = process.io_priority() {
        let class = match priority.class() {
            IOPriorityClass::IoprioClassRt => 1,
            IOPriorityClass::IoprioClassBe => 2,
            IOPriorityClass::IoprioClassIdle => 3,
        };
        let level = u8::try_from(priority.priority()).ok().filter(|level| *level < 8);
        let out = || invalid("process.ioPriority.priority", "must be from 0 to 7");
        steps.push(Step::IoPriority { class, level: level.ok_or_else(out)? });
    }
    steps.extend(process.scheduler().as_ref().map(scheduler).transpose()?);
    // It is for processes that enter the cell later; what is wrong with it is told now.
    exec_affinity(process)?;
    steps.extend(apparmor(process.apparmor_profile().as_deref().unwrap_or_default())?);
    Ok(())
}

/// The CPUs of a process that enters a cell: until it joins the cgroup, and from then on.
pub(super) fn exec_affinity(process: &Process) -> Result<[Option<Step>; 2], Error> {
    let affinity = process.exec_cpu_affinity().as_ref();
    let step = |field, list: Option<&String>| {
        let list = list.filter(|list| !list.is_empty());
        let mask = list.map(|list| bits(&format!("process.execCPUAffinity.{field}"), list));
        mask.transpose().map(|mask| mask.map(Step::Affinity))
    };
    Ok([
        step("initial", affinity.and_then(|affinity| affinity.initial().as_ref()))?,
        step("final", affinity.and_then(|affinity| affinity.cpu_affinity_final().as_ref()))?,
    ])
}

fn invalid(field: &str, why: impl Into<String>) -> Error {
    Error::Invalid { field: field.to_owned(), why: why.into() }
}

fn scheduler(given: &Scheduler) -> Result<Step, Error> {
    let policy = match given.policy() {
        Policy::SchedOther => 0,
        Policy::SchedFifo => 1,
        Policy::SchedRr => 2,
        Policy::SchedBatch => 3,
        Policy::SchedIso => 4,
        Policy::SchedIdle => 5,
        Policy::SchedDeadline => 6,
    };
    let is = |those: &[u32]| those.contains(&policy);
    let nice = given.nice().unwrap_or(0);
    let priority = given.priority().unwrap_or(0);
    let times = [given.runtime(), given.deadline(), given.period()].map(|time| time.unwrap_or(0));
    // The kernel ignores what a policy has no use for.
    let rules = [
        ("nice", nice == 0 || is(&[0, 3]), "is for SCHED_OTHER and SCHED_BATCH alone"),
        ("nice", (-20..=19).contains(&nice), "must be from -20 to 19"),
        ("priority", priority == 0 || is(&[1, 2]), "is for SCHED_FIFO and SCHED_RR alone"),
        (
            "runtime, deadline and period",
            times == [0; 3] || is(&[6]),
            "are for SCHED_DEADLINE alone",
        ),
    ];
    if let Some((field, _, why)) = rules.into_iter().find(|(_, fine, _)| !fine) {
        return Err(invalid(&format!("process.scheduler.{field}"), why));
    }
    let priority = u32::try_from(priority)
        .map_err(|_| invalid("process.scheduler.priority", "must not be negative"))?;
    let flags = given.flags().iter().flatten().fold(0, |flags, flag| flags | flag_bit(*flag));
    let [runtime, deadline, period] = times;
    let size = size_of::<SchedAttr>() as u32;
    Ok(Step::Scheduler(SchedAttr {
        size,
        policy,
        flags,
        nice,
        priority,
        runtime,
        deadline,
        period,
    }))
}

fn flag_bit(flag: Flag) -> u64 {
    match flag {
        Flag::SchedResetOnFork => 0x01,
        Flag::SchedFlagReclaim => 0x02,
        Flag::SchedFlagDLOverrun => 0x04,
        Flag::SchedFlagKeepPolicy => 0x08,
        Flag::SchedFlagKeepParams => 0x10,
        Flag::SchedFlagUtilClampMin => 0x20,
        Flag::SchedFlagUtilClampMax => 0x40,
    }
}

fn memory_policy(given: &LinuxMemoryPolicy) -> Result<Step, Error> {
    let mode = match given.mode() {
        MemoryPolicyModeType::MpolDefault => 0,
        MemoryPolicyModeType::MpolPreferred => 1,
        MemoryPolicyModeType::MpolBind => 2,
        MemoryPolicyModeType::MpolInterleave => 3,
        MemoryPolicyModeType::MpolLocal => 4,
        MemoryPolicyModeType::MpolPreferredMany => 5,
        MemoryPolicyModeType::MpolWeightedInterleave => 6,
    };
    let flags = given.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                MemoryPolicyFlagType::MpolFStaticNodes => 1 << 15,
                MemoryPolicyFlagType::MpolFRelativeNodes => 1 << 14,
                MemoryPolicyFlagType::MpolFNumaBalancing => 1 << 13,
            }
    });
    let nodes = given.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    let nodes = nodes.map_or(Ok(Vec::new()), |nodes| bits("linux.memoryPolicy.nodes", nodes))?;
    Ok(Step::MemoryPolicy { mode: mode | flags, nodes })
}

fn personality(given: &LinuxPersonality) -> Result<Step, Error> {
    if given.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        let field = "linux.personality.flags".to_owned();
        return Err(Error::Unsupported { field, detail: String::new() });
    }
    Ok(Step::Personality(match given.domain() {
        LinuxPersonalityDomain::PerLinux => 0,
        LinuxPersonalityDomain::PerLinux32 => 8,
    }))
}

/// A list such as `0-3,7` as a mask of whole 8-byte words.
fn bits(field: &str, list: &str) -> Result<Vec<u8>, Error> {
    let wrong = || invalid(field, format!("{list:?} is no list of numbers such as 0-3,7"));
    let number = |text: &str| {
        let number = text.trim().parse::<usize>().map_err(|_| wrong())?;
        let above = || invalid(field, format!("{number} is not below {MOST_BITS}"));
        (number < MOST_BITS).then_some(number).ok_or_else(above)
    };
    let mut mask = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(wrong());
        }
        mask.resize(mask.len().max((last / 64 + 1) * 8), 0);
        (first..=last).for_each(|bit| mask[bit / 8] |= 1 << (bit % 8));
    }
    Ok(mask)
}

/// The profile that the command is to be confined by from its execution on.
fn apparmor(profile: &str) -> Result<Option<Step>, Error> {
    const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
    let enabled = || std::fs::read_to_string(ENABLED).is_ok_and(|text| text.starts_with('Y'));
    match profile {
        "" => return Ok(None),
        _ if enabled() => {}
        "unconfined" => return Ok(None),
        _ => {
            let field = format!("process.apparmorProfile {profile:?}");
            return Err(Error::Unsupported { field, detail: ": this host has no AppArmor".into() });
        }
    }
    // Where another module stands in front, the older file is that one's.
    let own = "self/attr/apparmor/exec";
    let path = if Path::new("/proc").join(own).exists() { own } else { "self/attr/exec" };
    Ok(Some(Step::Label { module: "AppArmor", path, value: format!("exec {profile}") }))
}

/// Moves the label that the command is to get before a step with which the init may lose the right to a
/// proc file system of its own, through which it is written: in a user namespace only who sees one whole
/// gets another. The label stays with the process, and with one that it bears.
pub(super) fn label_before(steps: &mut Vec<Step>, gate: impl Fn(&Step) -> bool) {
    let Some(at) = steps.iter().position(gate) else { return };
    let (labels, others): (Vec<_>, Vec<_>) =
        steps.drain(at..).partition(|step| matches!(step, Step::Label { .. }));
    steps.extend(labels.into_iter().chain(others));
}

/// Sees that the init has a proc file system to write to where it has none of its own: in a user namespace
/// only who has a PID namespace of that one's, too, may make one.
pub(super) fn keep_proc(steps: &mut Vec<Step>) {
    if steps.iter().any(|step| matches!(step, Step::Label { .. } | Step::Sysctl { .. })) {
        // Before any namespace is entered, and before the root stands in front of it.
        steps.insert(0, Step::KeepProc);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_label_is_chosen_in_time() {
        let label =
            || Step::Label { module: "AppArmor", path: "attr/exec", value: "exec x".to_owned() };
        let mut steps = vec![Step::Umask(0), Step::Pivot, Step::Umask(1), label(), Step::AllClear];
        label_before(&mut steps, |step| *step == Step::Pivot);
        let wanted = [Step::Umask(0), label(), Step::Pivot, Step::Umask(1), Step::AllClear];
        assert_eq!(steps, wanted);
        keep_proc(&mut steps);
        assert_eq!(steps[..2], [Step::KeepProc, Step::Umask(0)]);
        let mut none = vec![Step::Umask(0)];
        keep_proc(&mut none);
        assert_eq!(none, [Step::Umask(0)]);
    }

    fn steps(process: Value, linux: Value) -> Result<Vec<String>, String> {
        let mut whole = json!({"user": {}, "cwd": "/"});
        whole.as_object_mut().unwrap().extend(process.as_object().unwrap().clone());
        let config = json!({"ociVersion": "1.2.0", "process": whole, "linux": linux});
        let spec: Spec = serde_json::from_value(config).unwrap();
        let mut steps = Vec::new();
        let process = spec.process().as_ref().unwrap();
        compile(&spec, process, &mut steps).map_err(|error| error.to_string())?;
        Ok(steps.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn each_field_is_a_step() {
        let process = json!({
            "scheduler": {"policy": "SCHED_BATCH", "nice": 19},
            "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 7},
            "execCPUAffinity": {"initial": "0", "final": "0-1"},
            "apparmorProfile": "",
        });
        let linux = json!({
            "personality": {"domain": "LINUX32"},
            "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]},
        });
        let expected = [
            "set memory policy 0x8002 for nodes 0",
            "set execution domain 0x8",
            "set I/O priority 2:7",
            "set scheduling policy 3 (nice 19, priority 0)",
        ];
        assert_eq!(steps(process, linux).unwrap(), expected);
        assert!(steps(json!({}), json!({})).unwrap().is_empty());
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (process, part) in [
            (json!({"scheduler": {"policy": "SCHED_FIFO", "nice": 1}}), "scheduler.nice"),
            (json!({"scheduler": {"policy": "SCHED_OTHER", "nice": 20}}), "from -20 to 19"),
            (json!({"scheduler": {"policy": "SCHED_OTHER", "priority": 1}}), "scheduler.priority"),
            (json!({"scheduler": {"policy": "SCHED_RR", "priority": -1}}), "negative"),
            (json!({"scheduler": {"policy": "SCHED_RR", "runtime": 1}}), "SCHED_DEADLINE"),
            (json!({"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": 8}}), "0 to 7"),
            (json!({"ioPriority": {"class": "IOPRIO_CLASS_RT", "priority": -1}}), "0 to 7"),
            (json!({"execCPUAffinity": {"final": "8192"}}), "execCPUAffinity.final"),
        ] {
            let error = steps(process, json!({})).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
        let error = steps(json!({}), json!({"personality": {"domain": "LINUX", "flags": ["X"]}}));
        assert!(error.unwrap_err().contains("linux.personality.flags"));
    }

    #[test]
    fn a_list_of_numbers_is_a_mask() {
        assert_eq!(bits("x", "0-2,65").unwrap()[..9], [7, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!(bits("x", "8191").unwrap().len(), 1024);
        for bad in ["", "8192", "2-1", "1-", "-1", "a", "1,,2", "99999999999999999999"] {
            assert!(bits("x", bad).is_err(), "{bad}");
        }
    }
}
