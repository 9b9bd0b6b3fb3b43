//! A cgroup inside a container's own, which somebody in there has made: for processes that enter the
//! container and are to live apart.

use std::path::{Component, Path, PathBuf};

use super::Error;
use super::files::Dir;
use super::leaf::Cgroup;
use super::old::Joined;

/// Where inside a container's cgroup a process goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inner {
    /// The controller of the v1 hierarchy that this is about, or its name (`name=systemd`); `None` for
    /// all hierarchies and the v2 tree.
    pub controller: Option<String>,
    /// The cgroup's path below the container's.
    pub path: PathBuf,
}

impl Cgroup {
    /// The same container, entered at these places. Where nothing is said it is the container's own
    /// cgroup.
    ///
    /// # Errors
    /// [`Error::Inner`] for a path that leads elsewhere and for a controller that the container has
    /// no hierarchy of; [`Error::Io`] for a cgroup that is not there.
    pub fn at_inner(self, places: &[Inner]) -> Result<Cgroup, Error> {
        let mut cgroup = self;
        let mut none = Vec::new();
        let everywhere = cgroup.old.part_mut().map_or(&mut none, |part| &mut part.everywhere);
        for place in places {
            let Some(controller) = &place.controller else {
                cgroup.unified = descend(&cgroup.unified, &place.path)?;
                for joined in &mut *everywhere {
                    joined.dir = descend(&joined.dir, &place.path)?;
                }
                continue;
            };
            let is_its = |joined: &&mut Joined| {
                let mut names = joined.hierarchy.split(',');
                names.any(|name| {
                    name == controller || name.strip_prefix("name=") == Some(controller)
                })
            };
            let why = "the container has no hierarchy of this controller";
            let unknown = || Error::Inner { path: PathBuf::from(controller), why };
            let joined = everywhere.iter_mut().find(is_its).ok_or_else(unknown)?;
            joined.dir = descend(&joined.dir, &place.path)?;
        }
        Ok(cgroup)
    }
}

/// A cgroup below another, by the names on the way.
fn descend(from: &Dir, path: &Path) -> Result<Dir, Error> {
    let mut dir = Dir::open(from.path())?;
    for part in path.components() {
        match part {
            Component::Normal(name) => dir = dir.enter(name)?,
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let why = "must not hold \"..\"";
                return Err(Error::Inner { path: path.to_owned(), why });
            }
        }
    }
    Ok(dir)
}
