//! Where a container's cgroup stands in each hierarchy, from the specification's `cgroupsPath`.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::detect::{mount_table, root_of};
use super::{Error, Hierarchies};

/// The directories of one cgroup, by hierarchy: `""` is v2, the others are named after their
/// controllers (`cpu,cpuacct`) or by name (`name=systemd`).
///
/// A relative path means another place for another caller, so what stays between commands is this,
/// not the path.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Places(BTreeMap<String, PathBuf>);

impl Places {
    /// Looks up where a path leads, as runc does: an absolute one below the root of every
    /// hierarchy, as far up as this process can see; a relative one below the cgroup of this
    /// process, or, on a host with cgroup v2 alone, beside it (a cgroup with processes can't hand
    /// controllers down). `..` never leads above the root.
    ///
    /// # Errors
    /// [`Error::BadPath`] for a path that names no cgroup or the root itself, [`Error::Io`] when
    /// this process's own place can't be read.
    pub fn resolve(host: &Hierarchies, path: &Path) -> Result<Places, Error> {
        let inside = clean(path)?;
        let own = match path.is_absolute() {
            true => None,
            false => Some(Own::read()?),
        };
        let mut places = BTreeMap::new();
        let mut place = |hierarchy: String, mount: &Path| {
            let mut base = mount.to_owned();
            if let Some(own) = &own {
                let here = own.below(mount, &hierarchy);
                let beside = hierarchy.is_empty() && !host.is_hybrid() && host.mounted.is_empty();
                base.push(if beside { here.parent().unwrap_or(&here) } else { &here });
            }
            places.insert(hierarchy, base.join(&inside));
        };
        place(String::new(), &host.unified);
        for mounted in &host.mounted {
            place(mounted.controllers.join(","), &mounted.at);
        }
        Ok(Places(places))
    }

    /// The directory in the v2 tree.
    #[must_use]
    pub fn unified(&self) -> &Path {
        self.0.get("").map_or(Path::new(""), PathBuf::as_path)
    }

    /// All directories by hierarchy.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.0.iter().map(|(hierarchy, path)| (hierarchy.as_str(), path.as_path()))
    }

    /// The directories in the v1 hierarchies.
    pub(super) fn v1(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.iter().filter(|(hierarchy, _)| !hierarchy.is_empty())
    }
}

/// The path without what leads nowhere, relative to the root.
fn clean(path: &Path) -> Result<PathBuf, Error> {
    let bad = |why| Error::BadPath { path: path.to_owned(), why };
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                let name = name.to_str().ok_or_else(|| bad("is not UTF-8"))?;
                if name.contains(['\0', '\n']) {
                    return Err(bad("has a zero byte or a line feed in a name"));
                }
                clean.push(name);
            }
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    match clean.as_os_str().is_empty() {
        true => Err(bad("is the root of all cgroups")),
        false => Ok(clean),
    }
}

/// What the kernel says about this process's own cgroups.
struct Own {
    cgroups: String,
    mountinfo: String,
}

impl Own {
    fn read() -> Result<Own, Error> {
        let path = "/proc/self/cgroup";
        let cgroups =
            std::fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
        Ok(Own { cgroups, mountinfo: mount_table()? })
    }

    /// This process's cgroup of a hierarchy, relative to the hierarchy's mount point.
    fn below(&self, mount: &Path, hierarchy: &str) -> PathBuf {
        let mut lines = self.cgroups.lines().map(|line| line.splitn(3, ':').skip(1));
        let own =
            lines.find_map(|mut fields| (fields.next()? == hierarchy).then(|| fields.next())?);
        let own = Path::new(own.unwrap_or("/"));
        // A container without a cgroup namespace sees its own cgroup mounted, and the host's path.
        let root = root_of(mount, &self.mountinfo).unwrap_or_else(|| "/".into());
        let below = own.strip_prefix(&root).unwrap_or(Path::new(""));
        below.components().filter(|part| matches!(part, Component::Normal(_))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Mounted;
    use super::*;

    #[test]
    fn an_absolute_path_is_below_every_root() {
        let mounted = |names: &[&str], at: &str| Mounted {
            controllers: names.iter().map(|name| (*name).to_owned()).collect(),
            at: at.into(),
        };
        let host = Hierarchies {
            unified: "/v2".into(),
            v2: vec![],
            v1: BTreeMap::new(),
            mounted: vec![
                mounted(&["cpu", "cpuacct"], "/v1/cpu,cpuacct"),
                mounted(&["name=systemd"], "/v1/systemd"),
            ],
        };
        let places = Places::resolve(&host, Path::new("/a/./../b//c")).unwrap();
        assert_eq!(places.unified(), Path::new("/v2/b/c"));
        let json = serde_json::to_string(&places).unwrap();
        assert_eq!(
            json,
            r#"{"":"/v2/b/c","cpu,cpuacct":"/v1/cpu,cpuacct/b/c","name=systemd":"/v1/systemd/b/c"}"#
        );
        assert_eq!(serde_json::from_str::<Places>(&json).unwrap(), places);
    }

    #[test]
    fn dots_never_lead_above_the_root_and_the_root_is_no_place() {
        assert_eq!(clean(Path::new("../../a")).unwrap(), Path::new("a"));
        for path in ["", "/", "a/..", "/../.", "a\nb"] {
            assert!(matches!(clean(Path::new(path)), Err(Error::BadPath { .. })), "{path:?}");
        }
    }

    #[test]
    fn a_relative_path_starts_at_the_own_cgroup_as_far_as_it_is_mounted() {
        let own = Own {
            cgroups: "4:memory:/docker/1/sub\n2:cpu,cpuacct:/\n0::/docker/1/sub\n".into(),
            mountinfo: "1 1 0:1 /docker/1 /m rw - cgroup cgroup rw,memory\n\
                        1 1 0:1 / /all rw - cgroup cgroup rw,memory\n\
                        1 1 0:2 /elsewhere /u rw - cgroup2 cgroup2 rw\n"
                .into(),
        };
        assert_eq!(own.below(Path::new("/m"), "memory"), Path::new("sub"));
        assert_eq!(own.below(Path::new("/all"), "memory"), Path::new("docker/1/sub"));
        assert_eq!(own.below(Path::new("/c"), "cpu,cpuacct"), Path::new(""));
        assert_eq!(own.below(Path::new("/u"), ""), Path::new(""));
    }
}
