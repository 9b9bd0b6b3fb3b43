//! `linux.sysctl`: the kernel's parameters that belong to a namespace of the cell's.

use oci_spec::runtime::{LinuxNamespaceType as Kind, Spec};

use super::super::{Error, Step};
use super::namespace_is_own;

/// Those of System V message queues, semaphores and shared memory.
const IPC: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

/// A step for each parameter, in the order of their names. One that is not a namespace's is the
/// host's, and refused.
pub(super) fn compile(spec: &Spec, steps: &mut Vec<Step>) -> Result<(), Error> {
    let given = spec.linux().as_ref().and_then(|linux| linux.sysctl().as_ref());
    let mut given: Vec<_> = given.into_iter().flatten().collect();
    given.sort();
    for (name, value) in given {
        let invalid = |why: String| Error::Invalid { field: format!("linux.sysctl: {name}"), why };
        let path = path(name).ok_or_else(|| invalid("is no name of a parameter".to_owned()))?;
        match namespace(&path) {
            None => {
                return Err(invalid("is no namespace's own; it would be the host's".to_owned()));
            }
            Some(_) if path == "kernel/hostname" => {
                return Err(invalid("is what the field hostname is for".to_owned()));
            }
            Some(kind) if !namespace_is_own(spec, kind) => {
                return Err(invalid(format!("needs a {kind} namespace that is not the host's")));
            }
            // The kernel takes nothing for nothing to do.
            Some(_) if value.is_empty() => return Err(invalid("has an empty value".to_owned())),
            Some(_) => {}
        }
        let path = format!("sys/{path}");
        steps.push(Step::Sysctl { name: name.clone(), path, value: value.clone() });
    }
    Ok(())
}

/// The namespace that a parameter belongs to.
fn namespace(path: &str) -> Option<Kind> {
    match path {
        "kernel/hostname" | "kernel/domainname" => Some(Kind::Uts),
        path if IPC.contains(&path) || path.starts_with("fs/mqueue/") => Some(Kind::Ipc),
        path if path.starts_with("net/") => Some(Kind::Network),
        path if path.starts_with("user/") => Some(Kind::User),
        _ => None,
    }
}

/// The parameter as a path below /proc/sys. Its parts are joined by dots or by slashes, whichever
/// comes first; the other stands in a part for itself, as in the name of an interface.
fn path(name: &str) -> Option<String> {
    let swap = name.find(['.', '/']).is_some_and(|at| name.as_bytes()[at] == b'.');
    let turned = |letter| match letter {
        '.' if swap => '/',
        '/' if swap => '.',
        letter => letter,
    };
    let path: String = name.chars().map(turned).collect();
    path.split('/').all(|part| !["", ".", ".."].contains(&part)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(config: serde_json::Value) -> Result<Vec<String>, String> {
        let spec = serde_json::from_value(config).unwrap();
        let mut steps = Vec::new();
        compile(&spec, &mut steps).map_err(|error| error.to_string())?;
        Ok(steps.iter().map(ToString::to_string).collect())
    }

    fn with(namespaces: &[&str], name: &str, value: &str) -> Result<Vec<String>, String> {
        let namespaces: Vec<_> =
            namespaces.iter().map(|kind| serde_json::json!({"type": kind})).collect();
        steps(serde_json::json!({"ociVersion": "1.2.0",
            "linux": {"namespaces": namespaces, "sysctl": {name: value}}}))
    }

    #[test]
    fn a_parameter_needs_the_namespace_it_belongs_to() {
        for (kind, name) in [
            ("network", "net.ipv4.ip_forward"),
            ("network", "net/ipv4/conf/eth0.1/rp_filter"),
            ("ipc", "kernel.shmmax"),
            ("ipc", "fs.mqueue.msg_max"),
            ("uts", "kernel.domainname"),
            ("user", "user.max_mnt_namespaces"),
        ] {
            let step = format!("set sysctl {name} to \"1\"");
            assert_eq!(with(&[kind], name, "1").unwrap(), [step]);
            let error = with(&["mount"], name, "1").unwrap_err();
            assert!(error.contains(name) && error.contains("namespace"), "{error}");
        }
    }

    #[test]
    fn the_hosts_parameters_are_out_of_reach() {
        let all = ["network", "ipc", "uts", "user"];
        for name in [
            "kernel.core_pattern",
            "kernel.hostname",
            "kernel.shm_next_id",
            "vm.swappiness",
            "net",
            "net..ipv4",
            "net.ipv4./../kernel",
            "net/../kernel/core_pattern",
            "/net/ipv4",
            "fs.mqueue",
            "",
        ] {
            let error = with(&all, name, "1").unwrap_err();
            assert!(error.starts_with(&format!("config.json: linux.sysctl: {name}")), "{error}");
        }
        assert!(with(&all, "net.ipv4.ip_forward", "").unwrap_err().contains("empty"));
    }

    #[test]
    fn dots_and_slashes_stand_for_each_other() {
        assert_eq!(
            path("net.ipv4.conf.eth0/1.rp_filter").unwrap(),
            "net/ipv4/conf/eth0.1/rp_filter"
        );
        assert_eq!(
            path("net/ipv4/conf/eth0.1/rp_filter").unwrap(),
            "net/ipv4/conf/eth0.1/rp_filter"
        );
    }
}
