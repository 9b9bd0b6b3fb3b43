//! Where a driver keeps its things, and what it is called in the host's trees.

use std::path::PathBuf;

use crate::bundle::UserNamespace;
use crate::cgroup::OwnPlace;
#[cfg(feature = "pull")]
use crate::image::pull::Settings;
#[cfg(feature = "image")]
use crate::image::unpack::Unpacker;

/// Where a driver keeps its things.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Options {
    /// Small and short-lived: locks, bundles. On a tmpfs, so that a reboot cleans it.
    pub state_dir: PathBuf,
    /// Writable layers on disk. Made when it is needed, removed while it is empty.
    pub data_dir: PathBuf,
    /// The images that a [`NativeDriver`](super::NativeDriver) makes containers of. Made when the first
    /// is asked for; stays.
    pub image_dir: PathBuf,
    /// Where the layers of an image that a driver loads are unpacked: in a process of this program, whose
    /// `main` then calls [`serve_if_asked`](crate::image::unpack::serve_if_asked) first.
    #[cfg(feature = "image")]
    pub unpacker: Unpacker,
    /// How registries are reached. A file of an operator's is read with
    /// [`Settings::from_file`](crate::image::pull::Settings).
    #[cfg(feature = "pull")]
    pub registries: Settings,
    /// The cgroup above all cells, at the root of each hierarchy. The last driver to close removes
    /// it if a driver made it, so drivers that share it must share the state directory.
    pub cgroup_parent: String,
    /// What to do when this process stands in the way of handing controllers down, as in most
    /// containers.
    pub own_place: OwnPlace,
    /// Whose ids the tasks of a [`NativeDriver`](super::NativeDriver) have: the host's, as under
    /// fn's agent, or 65536 of their own for each. A range that is given is that of all tasks. A
    /// cell made of a [`CellConfig`](crate::bundle::CellConfig) says so itself.
    pub user_namespace: UserNamespace,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            state_dir: "/run/hotcell".into(),
            data_dir: "/var/lib/hotcell".into(),
            image_dir: "/var/lib/hotcell/images".into(),
            #[cfg(feature = "image")]
            unpacker: Unpacker::default(),
            #[cfg(feature = "pull")]
            registries: Settings::default(),
            cgroup_parent: "hotcell".to_owned(),
            own_place: OwnPlace::Keep,
            user_namespace: UserNamespace::Host,
        }
    }
}
