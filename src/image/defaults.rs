//! An image's configuration as a cell takes it.

use super::ImageConfig;
use crate::bundle::ImageDefaults;

impl From<&ImageConfig> for ImageDefaults {
    fn from(config: &ImageConfig) -> ImageDefaults {
        ImageDefaults {
            entrypoint: config.entrypoint.clone(),
            cmd: config.cmd.clone(),
            env: config.env.clone(),
            user: config.user.clone(),
            working_dir: config.working_dir.clone(),
            volumes: config.volumes.iter().cloned().collect(),
            stop_signal: Some(config.stop_signal.clone()).filter(|signal| !signal.is_empty()),
        }
    }
}
