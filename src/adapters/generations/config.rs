//! The configuration of both old generations, and the weight it gives every container.

use oci_spec::runtime::{Linux, Spec};
use serde::{Deserialize, Serialize};

use crate::contract::{Error, ErrorKind, Result};

/// The least and the most shares that the kernel knows.
const SHARES: (u64, u64) = (2, 262_144);

/// What an agent of generation A or B tells its driver, under the same JSON keys. A key that is
/// missing has Go's zero value; [`Config::default`] is [`default_config`].
///
/// ```
/// use hotcell::adapters::generations::{Config, default_config};
///
/// let config: Config = serde_json::from_str(r#"{"cpu_shares": 512}"#)?;
/// assert_eq!((config.docker.as_str(), config.cpu_shares), ("", 512));
/// assert_eq!(default_config().docker, "unix:///var/run/docker.sock");
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default = "Config::zero")]
pub struct Config {
    /// The daemon's address. Accepted and not used: there is no daemon.
    pub docker: String,
    /// What every container weighs against others when CPUs are short, on the scale of cgroup v1
    /// where 1024 is usual; 0: whatever the host gives. The kernel knows 2 to 262144: a weight
    /// outside is moved to the nearer end, as the kernel itself would. One below 0 is refused.
    pub cpu_shares: i64,
}

/// What the old agents pass when their operator sets nothing.
#[must_use]
pub fn default_config() -> Config {
    Config { docker: "unix:///var/run/docker.sock".to_owned(), cpu_shares: 0 }
}

impl Config {
    /// Go's zero value of every field.
    fn zero() -> Config {
        Config { docker: String::new(), cpu_shares: 0 }
    }

    /// The weight to give, if any.
    pub(super) fn shares(&self) -> Result<Option<u64>> {
        match u64::try_from(self.cpu_shares) {
            Ok(0) => Ok(None),
            Ok(shares) => Ok(Some(shares.clamp(SHARES.0, SHARES.1))),
            Err(_) => {
                let message = format!("cpu_shares {}: must not be below 0", self.cpu_shares);
                Err(Error::new(ErrorKind::InvalidConfig, message))
            }
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        default_config()
    }
}

/// Writes the weight where the specification has it, and nothing else.
pub(super) fn set_shares(spec: &mut Spec, shares: u64) {
    let linux = spec.linux_mut().get_or_insert_with(|| {
        // The default of this type asks for namespaces and masked paths.
        let mut linux = Linux::default();
        linux.set_namespaces(None).set_masked_paths(None).set_readonly_paths(None);
        linux.set_resources(None);
        linux
    });
    let resources = linux.resources_mut().get_or_insert_default();
    resources.cpu_mut().get_or_insert_default().set_shares(Some(shares));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_keys_are_fns_and_missing_ones_are_gos_zero_value() {
        let json = serde_json::to_string(&default_config()).unwrap();
        assert_eq!(json, r#"{"docker":"unix:///var/run/docker.sock","cpu_shares":0}"#);
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::zero());
        assert_eq!(Config::default(), default_config());
    }

    #[test]
    fn weights_outside_the_kernels_range_move_to_its_ends() {
        let shares = |cpu_shares| Config { cpu_shares, ..default_config() }.shares();
        for (asked, given) in [(0, None), (1, Some(2)), (512, Some(512)), (i64::MAX, Some(262_144))]
        {
            assert_eq!(shares(asked).unwrap(), given, "{asked}");
        }
        let error = shares(-3).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
        assert_eq!(error.to_string(), "cpu_shares -3: must not be below 0");
    }

    #[test]
    fn the_weight_changes_nothing_else_of_a_specification() {
        let mut bare: Spec = serde_json::from_str(r#"{"ociVersion":"1.0.2"}"#).unwrap();
        set_shares(&mut bare, 512);
        let expected = r#"{"ociVersion":"1.0.2","linux":{"resources":{"cpu":{"shares":512}}}}"#;
        assert_eq!(serde_json::to_string(&bare).unwrap(), expected);

        let json = r#"{"ociVersion":"1.0.2","linux":{"resources":{"cpu":{"quota":5000}}}}"#;
        let mut limited: Spec = serde_json::from_str(json).unwrap();
        set_shares(&mut limited, 2);
        let cpu = serde_json::to_value(&limited).unwrap()["linux"]["resources"]["cpu"].clone();
        assert_eq!(cpu, serde_json::json!({"quota": 5000, "shares": 2}));
    }
}
