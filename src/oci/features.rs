//! `features`: what this runtime can do, in the specification's shape.

use serde_json::{Value, json};

use super::{Error, OCI_VERSION, print};
use crate::launch::MOUNT_OPTIONS;

/// Prints the features.
pub(super) fn features() -> Result<u8, Error> {
    print(&format!("{:#}\n", describe()))
}

fn describe() -> Value {
    let mut capabilities: Vec<_> = caps::all().iter().map(ToString::to_string).collect();
    capabilities.sort();
    json!({
        "ociVersionMin": "1.0.0",
        "ociVersionMax": OCI_VERSION,
        "hooks": [
            "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"
        ],
        "mountOptions": MOUNT_OPTIONS,
        "linux": {
            "namespaces": ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"],
            "capabilities": capabilities,
            "cgroup": { "v1": true, "v2": true, "systemd": true, "systemdUser": false, "rdma": false },
            "seccomp": {
                "enabled": true,
                "actions": [
                    "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS",
                    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE",
                    "SCMP_ACT_TRAP"
                ],
                "operators": [
                    "SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT",
                    "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE"
                ],
                "archs": [
                    "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_X32", "SCMP_ARCH_X86",
                    "SCMP_ARCH_X86_64"
                ],
                "knownFlags": FLAGS,
                "supportedFlags": FLAGS
            },
            "apparmor": { "enabled": true },
            "selinux": { "enabled": false },
            "intelRdt": { "enabled": false },
            "mountExtensions": { "idmap": { "enabled": true } }
        },
        "annotations": { "dev.hotcell.version": env!("CARGO_PKG_VERSION") }
    })
}

const FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{Arch, Features, LinuxSeccompAction, LinuxSeccompOperator};

    #[test]
    fn every_name_is_one_of_the_specification() {
        let features: Features = serde_json::from_value(describe()).unwrap();
        assert_eq!(features.oci_version_max(), OCI_VERSION);
        let seccomp = &describe()["linux"]["seccomp"];
        let named = |key: &str| seccomp[key].as_array().unwrap().clone();
        for name in named("actions") {
            serde_json::from_value::<LinuxSeccompAction>(name).unwrap();
        }
        for name in named("operators") {
            serde_json::from_value::<LinuxSeccompOperator>(name).unwrap();
        }
        for name in named("archs") {
            serde_json::from_value::<Arch>(name).unwrap();
        }
    }
}
