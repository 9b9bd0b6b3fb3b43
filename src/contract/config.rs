//! A driver's configuration, with fn's keys, and the log sink of a task.

use serde::{Deserialize, Serialize};

/// What fn's agent tells a driver, under the same JSON keys. A key that is missing has Go's zero
/// value; [`Config::default`] is what the agent passes when its operator sets nothing. Through serde
/// it is as lenient as fn; [`Config::from_json`] is strict.
///
/// ```
/// use hotcell::contract::Config;
///
/// let config: Config = serde_json::from_str(r#"{"max_tmpfs_inodes": 1024}"#)?;
/// assert!(!config.enable_readonly_rootfs && Config::default().enable_readonly_rootfs);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default = "Config::zero")]
pub struct Config {
    /// The daemon's address. Accepted and not used: there is no daemon.
    pub docker: String,
    /// Networks to spread containers over, separated by white space.
    pub docker_networks: String,
    /// An image archive to load at start-up.
    pub docker_load_file: String,
    /// The oldest daemon that will do. Accepted and not used: there is no daemon.
    pub server_version: String,
    /// How many network namespaces are kept ready; 0: none.
    pub pre_fork_pool_size: u64,
    /// The image that keeps them.
    pub pre_fork_image: String,
    /// The command that keeps them.
    pub pre_fork_cmd: String,
    /// Not 0: each is used once.
    pub pre_fork_use_once: u64,
    /// The networks they are spread over, separated by white space.
    pub pre_fork_networks: String,
    /// The most files on a sized `/tmp`; 0: no limit.
    pub max_tmpfs_inodes: u64,
    /// Whether a container's root is read-only.
    pub enable_readonly_rootfs: bool,
    /// The value of the label that says whose containers these are; empty: no labels.
    pub container_label_tag: String,
    /// The value of the label that says which process made them; empty: a random one.
    pub instance_id: String,
    /// How many bytes of images may stay; 0: any.
    pub image_clean_max_size: u64,
    /// Image tags that always stay, separated by white space.
    pub image_clean_exempt_tags: String,
    /// Whether images that declare volumes are allowed.
    pub image_enable_volume: bool,
    /// Whether containers run as the image says instead of as 1000:1000 without capabilities.
    pub disable_unprivileged_containers: bool,
}

impl Config {
    /// Go's zero value of every field.
    fn zero() -> Config {
        Config {
            docker: String::new(),
            docker_networks: String::new(),
            docker_load_file: String::new(),
            server_version: String::new(),
            pre_fork_pool_size: 0,
            pre_fork_image: String::new(),
            pre_fork_cmd: String::new(),
            pre_fork_use_once: 0,
            pre_fork_networks: String::new(),
            max_tmpfs_inodes: 0,
            enable_readonly_rootfs: false,
            container_label_tag: String::new(),
            instance_id: String::new(),
            image_clean_max_size: 0,
            image_clean_exempt_tags: String::new(),
            image_enable_volume: false,
            disable_unprivileged_containers: false,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config { enable_readonly_rootfs: true, ..Config::zero() }
    }
}

/// Where a task's log goes.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct LoggerConfig {
    /// The address of a syslog server; empty: nowhere.
    pub url: String,
    /// What is said of the task in each line.
    pub tags: Vec<LoggerTag>,
}

/// One tag of a log line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LoggerTag {
    /// What it tells, such as `app_id`.
    pub name: String,
    /// The value.
    pub value: String,
}

impl std::fmt::Debug for LoggerConfig {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoggerConfig").field("tags", &self.tags).finish_non_exhaustive()
    }
}

impl LoggerConfig {
    /// The tags as they stand in the log: `app_id=a,fn_id=f`.
    #[must_use]
    pub fn tag_text(&self) -> String {
        let tags = self.tags.iter().map(|tag| format!("{}={}", tag.name, tag.value));
        tags.collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seventeen_keys_are_fns() {
        let value = serde_json::to_value(Config::default()).unwrap();
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        let mut expected = [
            "docker",
            "docker_networks",
            "docker_load_file",
            "server_version",
            "pre_fork_pool_size",
            "pre_fork_image",
            "pre_fork_cmd",
            "pre_fork_use_once",
            "pre_fork_networks",
            "max_tmpfs_inodes",
            "enable_readonly_rootfs",
            "container_label_tag",
            "instance_id",
            "image_clean_max_size",
            "image_clean_exempt_tags",
            "image_enable_volume",
            "disable_unprivileged_containers",
        ];
        expected.sort_unstable();
        assert_eq!(keys, expected);
    }

    #[test]
    fn an_empty_object_is_gos_zero_value() {
        assert_eq!(serde_json::from_str::<Config>("{}").unwrap(), Config::zero());
        let full = serde_json::to_string(&Config::default()).unwrap();
        assert_eq!(serde_json::from_str::<Config>(&full).unwrap(), Config::default());
    }

    #[test]
    fn tags_are_joined_in_their_order() {
        let tag = |name: &str, value: &str| LoggerTag { name: name.into(), value: value.into() };
        let tags = vec![tag("fn_id", "f"), tag("app_id", "a")];
        assert_eq!(LoggerConfig { url: String::new(), tags }.tag_text(), "fn_id=f,app_id=a");
        assert_eq!(LoggerConfig::default().tag_text(), "");
    }
}
