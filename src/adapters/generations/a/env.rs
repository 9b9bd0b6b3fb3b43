//! Generation A's configuration, as it was read from the environment.

use super::super::{Config, default_config};
use crate::bundle::Bytes;
use crate::contract::{Error, ErrorKind, Result};

/// What holds for every task of a driver of generation A.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvConfig {
    /// `DOCKER`, the daemon's address. Accepted and not used: there is no daemon.
    pub docker: String,
    /// `MEMORY_PER_JOB`, the most memory of a container in bytes; 0: no limit.
    pub memory_per_job: u64,
    /// `CPU_SHARES`, as [`Config::cpu_shares`].
    pub cpu_shares: i64,
}

impl Default for EnvConfig {
    /// 256 MiB and a weight of 2, the least.
    fn default() -> EnvConfig {
        let Config { docker, .. } = default_config();
        EnvConfig { docker, memory_per_job: 256 << 20, cpu_shares: 2 }
    }
}

impl EnvConfig {
    /// From variables that `get` looks up; one it does not know has its default.
    ///
    /// ```
    /// use hotcell::adapters::generations::a::EnvConfig;
    ///
    /// // The process's own: EnvConfig::from_env(|name| std::env::var(name).ok())
    /// let config = EnvConfig::from_env(|name| (name == "MEMORY_PER_JOB").then(|| "128M".into()))?;
    /// assert_eq!((config.memory_per_job, config.cpu_shares), (134_217_728, 2));
    /// # Ok::<(), hotcell::contract::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidConfig`](ErrorKind::InvalidConfig) with the variable and its value.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<EnvConfig> {
        let mut config = EnvConfig::default();
        if let Some(docker) = get("DOCKER") {
            config.docker = docker;
        }
        if let Some(text) = get("MEMORY_PER_JOB") {
            let refuse = |_| bad("MEMORY_PER_JOB", &text, "a size such as 256M");
            config.memory_per_job = text.parse::<Bytes>().map_err(refuse)?.0;
        }
        if let Some(text) = get("CPU_SHARES") {
            let shares = text.parse().ok().filter(|shares| *shares >= 0);
            let refuse = || bad("CPU_SHARES", &text, "a whole number, 0 or more");
            config.cpu_shares = shares.ok_or_else(refuse)?;
        }
        Ok(config)
    }
}

fn bad(name: &str, value: &str, expected: &str) -> Error {
    Error::new(ErrorKind::InvalidConfig, format!("{name} {value:?}: must be {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(pairs: &[(&str, &str)]) -> Result<EnvConfig> {
        let find = |name: &str| pairs.iter().find(|(key, _)| *key == name);
        EnvConfig::from_env(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn what_is_not_set_is_upstreams_default() {
        let config = from(&[]).unwrap();
        assert_eq!(config, EnvConfig::default());
        assert_eq!(config.docker, "unix:///var/run/docker.sock");
        assert_eq!((config.memory_per_job, config.cpu_shares), (268_435_456, 2));
    }

    #[test]
    fn what_is_set_is_read() {
        let set = [("DOCKER", "tcp://d:2375"), ("MEMORY_PER_JOB", "128M"), ("CPU_SHARES", "0")];
        let config = from(&set).unwrap();
        assert_eq!((config.memory_per_job, config.cpu_shares), (134_217_728, 0));
        assert_eq!(config.docker, "tcp://d:2375");
    }

    #[test]
    fn nonsense_is_named_in_one_line() {
        for (name, value, line) in [
            ("MEMORY_PER_JOB", "lots", r#"MEMORY_PER_JOB "lots": must be a size such as 256M"#),
            ("MEMORY_PER_JOB", "", r#"MEMORY_PER_JOB "": must be a size such as 256M"#),
            ("CPU_SHARES", "-1", r#"CPU_SHARES "-1": must be a whole number, 0 or more"#),
            ("CPU_SHARES", "2\n", r#"CPU_SHARES "2\n": must be a whole number, 0 or more"#),
        ] {
            let error = from(&[(name, value)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert_eq!(error.chain(), line);
        }
    }
}
