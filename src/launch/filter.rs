//! The system call filter that a specification asks for, checked against what the launch still needs.

use std::sync::Arc;

use super::Error;
use crate::bundle::Bundle;
use crate::seccomp::{self, Answer, Architecture, Program};

/// The program that the bundle's `linux.seccomp` stands for; none without it.
pub(super) fn of(bundle: &Bundle) -> Result<Option<Arc<Program>>, Error> {
    let program = bundle.filter().map_err(|error| match error {
        seccomp::Error::Unsupported { place } => {
            Error::Unsupported { field: format!("linux.seccomp.{place}"), detail: String::new() }
        }
        seccomp::Error::Invalid { place, why } => {
            Error::Invalid { field: format!("linux.seccomp.{place}"), why }
        }
        other => Error::Invalid { field: "linux.seccomp".to_owned(), why: other.to_string() },
    })?;
    if let Some(program) = &program {
        check(program)?;
    }
    Ok(program)
}

/// The filter binds the exec of the command, and what tells of its failure.
fn check(program: &Program) -> Result<(), Error> {
    // Pointers: what they are is not known yet, and no sensible rule asks.
    const SOMEWHERE: u64 = 0x7f00_0000_0000;
    let answer = |name, arguments| match seccomp::number(name, Architecture::NATIVE) {
        Some(number) => program.answer(Architecture::NATIVE, number, arguments),
        None => Answer::ENOSYS,
    };
    let pass = |answer| matches!(answer, Answer::Allow | Answer::Log);
    let refused = |why| Err(Error::Invalid { field: "linux.seccomp".to_owned(), why });
    let exec = answer("execve", [SOMEWHERE, SOMEWHERE, SOMEWHERE, 0, 0, 0]);
    // The agent has the listener by then.
    if !pass(exec) && exec != Answer::Notify {
        return refused(format!("execve, which starts the command, is {exec}"));
    }
    if program.notifies() {
        let write = answer("write", [3, SOMEWHERE, 16, 0, 0, 0]);
        if !pass(write) {
            return refused(format!("write, without which no agent gets to listen, is {write}"));
        }
        // Made with the filter in force. The agent may let them pass.
        let calls = ["read", "close", "close_range", "dup3", "fcntl", "rt_sigprocmask"];
        for name in calls {
            let answer = answer(name, [3, 0, 0, 0, 0, 0]);
            if !pass(answer) && answer != Answer::Notify {
                let why =
                    format!("{name}, which comes between listening and the command, is {answer}");
                return refused(why);
            }
        }
    }
    let told = [("write", [3, SOMEWHERE, 16, 0, 0, 0]), ("exit_group", [127, 0, 0, 0, 0, 0])];
    for (name, arguments) in told {
        let answer = answer(name, arguments);
        if !pass(answer) {
            tracing::debug!(%name, %answer, "a command that can't be executed will look as if it ended");
        }
    }
    Ok(())
}

/// The first call that the program refuses of those that a process makes from its birth inside a cell
/// to the execution of its command.
pub(super) fn in_the_way_of_birth(program: &Program) -> Option<&'static str> {
    use crate::sys::abi::CLONE_PARENT;
    const CALLS: &[(&str, u64)] = &[
        ("capget", 0),
        ("capset", 0),
        ("clone", CLONE_PARENT),
        ("getpid", 0),
        ("pidfd_open", 2),
        ("sendmsg", 3),
        ("close", 4),
        ("setsid", 0),
        ("read", 5),
        ("write", 3),
        ("fcntl", 3),
        ("dup3", 5),
        ("close_range", 3),
        ("rt_sigprocmask", 2),
        ("exit_group", 0),
    ];
    in_the_way(program, CALLS)
}

/// The first call that the program refuses of those that running hooks takes, and what comes after.
pub(super) fn in_the_way_of_hooks(program: &Program) -> Option<&'static str> {
    use crate::sys::abi::{CLONE_PIDFD, CLONE_VFORK, SIGCHLD};
    const CALLS: &[(&str, u64)] = &[
        ("capget", 0),
        ("capset", 0),
        ("mmap", 0),
        ("clone", CLONE_VFORK | CLONE_PIDFD | SIGCHLD as u64),
        ("dup3", 4),
        ("close", 4),
        ("close_range", 3),
        ("rt_sigprocmask", 2),
        ("ppoll", 0),
        ("kill", 2),
        ("wait4", 2),
        ("pread64", 4),
        ("write", 3),
        ("exit_group", 127),
    ];
    in_the_way(program, CALLS)
}

/// The first of the calls, each with its first argument, that the program refuses.
fn in_the_way(program: &Program, calls: &[(&'static str, u64)]) -> Option<&'static str> {
    let passes = |name, first| {
        let number = seccomp::number(name, Architecture::NATIVE);
        number.is_some_and(|number| {
            let answer = program.answer(Architecture::NATIVE, number, [first, 0, 0, 0, 0, 0]);
            matches!(answer, Answer::Allow | Answer::Log)
        })
    };
    calls.iter().find(|(name, first)| !passes(name, *first)).map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;

    use super::*;
    use crate::bundle::{CellConfig, Seccomp, spec};
    use crate::seccomp::Profile;

    fn of(spec: &Spec) -> Result<Option<Arc<Program>>, Error> {
        super::of(&Bundle::in_memory(spec.clone()))
    }

    fn of_profile(profile: &str) -> Result<Option<Arc<Program>>, Error> {
        let mut config = CellConfig::new("/srv", ["true"]);
        config.seccomp = Seccomp::Profile(Arc::new(profile.parse().unwrap()));
        of(&spec(&config).unwrap())
    }

    #[test]
    fn no_rules_are_no_filter() {
        let mut config = CellConfig::new("/srv", ["true"]);
        assert!(of(&spec(&config).unwrap()).unwrap().is_some());
        config.seccomp = Seccomp::Unconfined;
        assert!(of(&spec(&config).unwrap()).unwrap().is_none());
    }

    #[test]
    fn a_command_that_could_never_start_is_refused() {
        let error = of_profile(r#"{"defaultAction": "SCMP_ACT_ERRNO"}"#).unwrap_err();
        assert!(error.to_string().contains("linux.seccomp: execve"), "{error}");
        let bare = r#"{"defaultAction": "SCMP_ACT_KILL", "syscalls": [
            {"names": ["execve"], "action": "SCMP_ACT_LOG"}]}"#;
        assert!(of_profile(bare).unwrap().is_some());
    }

    #[test]
    fn what_is_wrong_is_named_as_a_field_of_the_specification() {
        let json = r#"{"ociVersion": "1.0.2", "linux": {"seccomp": {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "errnoRet": 3}]}}}"#;
        let error = of(&serde_json::from_str(json).unwrap()).unwrap_err();
        let expected = "linux.seccomp.syscalls[0].action: SCMP_ACT_ALLOW takes no errno";
        assert!(error.to_string().contains(expected), "{error}");
    }

    fn notifying(name: &str, others: &str) -> Result<Option<Arc<Program>>, Error> {
        let json = format!(
            r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {{
            "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {{"names": ["{name}"], "action": "SCMP_ACT_NOTIFY"}}{others}]}}}}}}"#
        );
        of(&serde_json::from_str(&json).unwrap())
    }

    #[test]
    fn a_flag_for_listeners_goes_where_there_is_one() {
        let flags = |action: &str| {
            let json = format!(
                r#"{{"ociVersion": "1.0.2", "linux": {{"seccomp": {{
                "defaultAction": "SCMP_ACT_ALLOW",
                "flags": ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_TSYNC"],
                "syscalls": [{{"names": ["mkdir"], "action": "{action}"}}]}}}}}}"#
            );
            of(&serde_json::from_str(&json).unwrap()).unwrap().unwrap().flags()
        };
        assert_eq!((flags("SCMP_ACT_NOTIFY"), flags("SCMP_ACT_ERRNO")), (32, 0));
    }

    #[test]
    fn an_agent_decides_about_no_call_that_it_needs_to_get_its_listener() {
        for name in ["mkdir", "sendmsg", "read", "close", "execve"] {
            assert!(notifying(name, "").unwrap().unwrap().notifies(), "{name}");
        }
        let error = notifying("write", "").unwrap_err().to_string();
        assert!(error.contains("linux.seccomp: write, without which"), "{error}");
        let others = r#", {"names": ["dup3"], "action": "SCMP_ACT_ERRNO"}"#;
        let error = notifying("mkdir", others).unwrap_err().to_string();
        assert!(error.contains("dup3, which comes between"), "{error}");
        let json = r#"{"ociVersion": "1.0.2", "linux": {"seccomp": {
            "defaultAction": "SCMP_ACT_NOTIFY"}}}"#;
        let error = of(&serde_json::from_str(json).unwrap()).unwrap_err().to_string();
        assert!(error.contains("linux.seccomp.defaultAction: SCMP_ACT_NOTIFY"), "{error}");
    }

    #[test]
    fn the_same_rules_are_worked_out_once() {
        let mut config = CellConfig::new("/srv", ["true"]);
        let profile: Profile = r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#.parse().unwrap();
        for seccomp in [Seccomp::Default, Seccomp::Profile(Arc::new(profile))] {
            config.seccomp = seccomp;
            let (first, second) = (of(&spec(&config).unwrap()), of(&spec(&config).unwrap()));
            assert!(Arc::ptr_eq(&first.unwrap().unwrap(), &second.unwrap().unwrap()));
            let shared = || super::of(&Bundle::of(&config).unwrap()).unwrap().unwrap();
            assert!(Arc::ptr_eq(&shared(), &shared()));
        }
    }
}
