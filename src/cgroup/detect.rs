//! What control groups this host has: read once from the mount table, never by kernel version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::Error;

/// More than the mount tables of most hosts, in bytes.
const TABLE: usize = 16 << 10;

/// The controllers that hotcell uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Controller {
    /// Memory and swap.
    Memory,
    /// CPU bandwidth and weight.
    Cpu,
    /// The number of processes and threads.
    Pids,
    /// Block I/O: `blkio` of v1, `io` of v2.
    Io,
}

impl Controller {
    /// All of them.
    pub const ALL: [Controller; 4] =
        [Controller::Memory, Controller::Cpu, Controller::Pids, Controller::Io];

    /// The name in `cgroup.controllers` of v2.
    #[must_use]
    pub fn v2_name(self) -> &'static str {
        match self {
            Controller::Memory => "memory",
            Controller::Cpu => "cpu",
            Controller::Pids => "pids",
            Controller::Io => "io",
        }
    }

    /// The name among the mount options of a v1 hierarchy.
    #[must_use]
    pub fn v1_name(self) -> &'static str {
        match self {
            Controller::Io => "blkio",
            other => other.v2_name(),
        }
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.v2_name())
    }
}

/// The cgroup file systems of this host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hierarchies {
    /// Where the v2 tree is mounted.
    pub unified: PathBuf,
    /// The controllers that the v2 tree offers.
    pub v2: Vec<Controller>,
    /// Where the v1 hierarchies are mounted that hotcell uses; empty on a unified host.
    pub v1: BTreeMap<Controller, PathBuf>,
    /// Every v1 hierarchy that is mounted, whatever it controls.
    pub mounted: Vec<Mounted>,
}

/// A v1 hierarchy and where it is mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mounted {
    /// Its controllers, or its one name: `name=systemd`.
    pub controllers: Vec<String>,
    /// The mount point.
    pub at: PathBuf,
}

impl Hierarchies {
    /// Reads the mount table of this process.
    ///
    /// # Errors
    /// [`Error::NoUnifiedTree`] without a v2 tree, [`Error::Io`] when the table can't be read.
    pub fn detect() -> Result<Hierarchies, Error> {
        let mut found = Hierarchies::from_mountinfo(&mount_table()?)?;
        found.v1.retain(|controller, mount| *controller != Controller::Io || counts_disk(mount));
        Ok(found)
    }

    /// The same from the text of a mount table, as `/proc/PID/mountinfo` gives it.
    ///
    /// # Errors
    /// As for [`Hierarchies::detect`].
    pub fn from_mountinfo(text: &str) -> Result<Hierarchies, Error> {
        let mut unified = None;
        let mut v1 = BTreeMap::new();
        let mut mounted: Vec<Mounted> = Vec::new();
        let table: Vec<_> = text.lines().filter_map(Mount::parse).collect();
        for mount in &table {
            match mount.kind {
                "cgroup" | "cgroup2" if mount.is_hidden(&table) => {}
                "cgroup2" if unified.is_none() => unified = Some(mount.at()),
                "cgroup" => {
                    let controllers = Controller::ALL.into_iter();
                    for controller in controllers.filter(|c| mount.has_option(c.v1_name())) {
                        v1.entry(controller).or_insert_with(|| mount.at());
                    }
                    let controllers = mount.controllers();
                    if !mounted.iter().any(|other| other.controllers == controllers) {
                        mounted.push(Mounted { controllers, at: mount.at() });
                    }
                }
                _ => {}
            }
        }
        let unified = unified.ok_or(Error::NoUnifiedTree)?;
        let file = unified.join("cgroup.controllers");
        let offered =
            std::fs::read_to_string(&file).map_err(|error| Error::io("read", &file, error))?;
        let offers = |c: &Controller| offered.split_whitespace().any(|name| name == c.v2_name());
        let v2 = Controller::ALL.into_iter().filter(offers).collect();
        Ok(Hierarchies { unified, v2, v1, mounted })
    }

    /// Whether v1 hierarchies do part of the work.
    #[must_use]
    pub fn is_hybrid(&self) -> bool {
        !self.v1.is_empty()
    }

    /// Whether some tree of this host offers the controller.
    #[must_use]
    pub fn offers(&self, controller: Controller) -> bool {
        self.v2.contains(&controller) || self.v1.contains_key(&controller)
    }
}

/// The mount table of this process. Any user may mount something at a path that is no UTF-8: what is
/// wrong with it is replaced.
pub(super) fn mount_table() -> Result<String, Error> {
    let table = Path::new("/proc/self/mountinfo");
    // The kernel writes the table anew for each piece of it that is read.
    let mut text = Vec::with_capacity(TABLE);
    File::open(table)
        .and_then(|mut file| file.read_to_end(&mut text))
        .map_err(|error| Error::io("read", table, error))?;
    Ok(String::from_utf8(text)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
}

/// The cgroup that stands at the root of a mount of this process, as its cgroup namespace names it.
pub(super) fn root_of(mount_point: &Path, mountinfo: &str) -> Option<PathBuf> {
    let mut mounts = mountinfo.lines().filter_map(Mount::parse);
    let here = |mount: &Mount<'_>| {
        matches!(mount.kind, "cgroup" | "cgroup2") && Path::new(&*mount.target) == mount_point
    };
    mounts.find(here).map(|mount| PathBuf::from(mount.root.as_ref()))
}

/// Whether a `blkio` hierarchy counts the bytes of every cgroup. From Linux 6.10 on it does so only
/// where a limit of its kind was ever set: then nothing has been counted since boot, and joining it
/// would cost a start two directories to learn nothing.
fn counts_disk(mount: &Path) -> bool {
    std::fs::read_to_string(mount.join("blkio.throttle.io_service_bytes_recursive"))
        .is_ok_and(|text| text.lines().any(|line| line != "Total 0"))
}

/// The options of a v1 hierarchy that are no controllers.
const FLAGS: [&str; 9] = [
    "rw",
    "ro",
    "all",
    "none",
    "xattr",
    "noprefix",
    "clone_children",
    "cpuset_v2_mode",
    "favordynmods",
];

/// The part of a mount table line that matters here. Hosts with many containers have thousands of
/// lines, and a program that starts one cell reads them all: nothing is copied.
struct Mount<'a> {
    id: u32,
    /// The mount that it stands on.
    parent: u32,
    /// The directory of its file system that stands there.
    root: Cow<'a, str>,
    target: Cow<'a, str>,
    kind: &'a str,
    options: &'a str,
}

impl<'a> Mount<'a> {
    /// `36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (before, after) = line.split_once(" - ")?;
        let mut before = before.split(' ');
        let (id, parent) = (before.next()?.parse().ok()?, before.next()?.parse().ok()?);
        let (root, target) = (before.nth(1)?, before.next()?);
        let mut after = after.split(' ');
        let kind = after.next()?;
        let options = after.nth(1)?;
        Some(Mount { id, parent, root: unescape(root), target: unescape(target), kind, options })
    }

    fn at(&self) -> PathBuf {
        PathBuf::from(self.target.as_ref())
    }

    /// Whether another mount stands in front of it: right on top of it, or above it on one that it
    /// stands on.
    fn is_hidden(&self, table: &[Mount<'_>]) -> bool {
        let on_top = |other: &Mount<'_>| other.parent == self.id && other.target == self.target;
        let below = |mount: &Mount<'_>| table.iter().find(|other| other.id == mount.parent);
        // No deeper than the table is long, whatever the text says.
        let down = std::iter::successors(Some(self), |mount| below(mount)).take(table.len());
        table.iter().any(on_top) || down.into_iter().any(|mount| mount.is_cut_off(table))
    }

    /// Whether a mount beside it covers a directory on the way to it.
    fn is_cut_off(&self, table: &[Mount<'_>]) -> bool {
        table.iter().any(|other| other.parent == self.parent && self.is_below(&other.target))
    }

    /// Whether it stands somewhere in the directory. Both are as the kernel writes them: absolute, each
    /// name parted from the next by one separator.
    fn is_below(&self, directory: &str) -> bool {
        let rest = self.target.strip_prefix(directory.trim_end_matches('/'));
        self.target != directory && rest.is_some_and(|rest| rest.starts_with('/'))
    }

    fn has_option(&self, name: &str) -> bool {
        self.options.split(',').any(|option| option == name)
    }

    /// The options that name what a v1 hierarchy controls.
    fn controllers(&self) -> Vec<String> {
        let names = self.options.split(',').filter(|option| {
            option.starts_with("name=") || !option.contains('=') && !FLAGS.contains(option)
        });
        names.map(str::to_owned).collect()
    }
}

/// Undoes the table's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return text.into();
    }
    ["\\040", "\\011", "\\012", "\\134"]
        .into_iter()
        .zip([" ", "\t", "\n", "\\"])
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(controllers: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("cgroup.controllers"), controllers).unwrap();
        dir
    }

    #[test]
    fn a_hybrid_host_has_both() {
        let v2 = tree("hugetlb\n");
        let text = format!(
            "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
             31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n\
             32 25 0:28 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
             34 25 0:28 / /elsewhere rw - cgroup cgroup rw,devices\n\
             35 25 0:30 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/a,name=systemd\n\
             33 25 0:29 / {} rw - cgroup2 cgroup2 rw,nsdelegate\n",
            v2.path().display()
        );
        let found = Hierarchies::from_mountinfo(&text).unwrap();
        assert!(found.is_hybrid());
        assert_eq!(found.v1[&Controller::Cpu], Path::new("/sys/fs/cgroup/cpu,cpuacct"));
        assert!(found.offers(Controller::Memory) && !found.offers(Controller::Pids));
        assert_eq!(found.v2, []);
        let mounted: Vec<_> = found.mounted.iter().map(|m| m.controllers.join(",")).collect();
        assert_eq!(mounted, ["memory", "cpu,cpuacct", "devices", "name=systemd"]);
        assert_eq!(found.mounted[2].at, Path::new("/sys/fs/cgroup/devices"));
    }

    #[test]
    fn a_unified_host_has_v2_alone() {
        let v2 = tree("cpuset cpu io memory pids\n");
        let text = format!("33 25 0:29 / {} rw - cgroup2 cgroup rw\n", v2.path().display());
        let found = Hierarchies::from_mountinfo(&text).unwrap();
        assert!(!found.is_hybrid());
        assert_eq!(found.v2, Controller::ALL);
    }

    #[test]
    fn v1_alone_is_refused() {
        let text = "30 25 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        assert!(matches!(Hierarchies::from_mountinfo(text), Err(Error::NoUnifiedTree)));
    }

    #[test]
    fn what_another_mount_hides_is_not_there() {
        let v2 = tree("cpu\n");
        let at = v2.path().display();
        let hybrid = format!(
            "20 1 0:5 / / rw - ext4 disk rw\n\
             24 20 0:24 / {at} rw - tmpfs tmpfs rw\n\
             30 24 0:26 / {at}/memory rw - cgroup cgroup rw,memory\n\
             31 24 0:27 / {at}/unified rw - cgroup2 cgroup2 rw\n"
        );
        let above = format!("{hybrid}40 24 0:27 / {at} rw - cgroup2 cgroup2 rw\n");
        let found = Hierarchies::from_mountinfo(&above).unwrap();
        assert_eq!((found.unified.as_path(), found.is_hybrid()), (v2.path(), false));
        // As the whole of /sys would, mounted anew.
        let further = format!("{above}41 20 0:30 / {} rw - tmpfs tmpfs rw\n", "/");
        assert!(matches!(Hierarchies::from_mountinfo(&further), Err(Error::NoUnifiedTree)));
        let on_top = format!("{above}42 40 0:31 / {at} rw - tmpfs tmpfs rw\n");
        assert!(matches!(Hierarchies::from_mountinfo(&on_top), Err(Error::NoUnifiedTree)));
    }

    #[test]
    fn what_only_begins_alike_hides_nothing() {
        let v2 = tree("cpu\n");
        let at = v2.path().display();
        let beginning = at.to_string();
        let beginning = &beginning[..beginning.len() - 1];
        let text = format!(
            "20 1 0:5 / / rw - ext4 disk rw\n\
             31 20 0:27 / {at} rw - cgroup2 cgroup2 rw\n\
             32 20 0:28 / {beginning} rw - tmpfs tmpfs rw\n\
             33 20 0:28 / {at}/inside rw - tmpfs tmpfs rw\n"
        );
        assert_eq!(Hierarchies::from_mountinfo(&text).unwrap().unified, v2.path());
    }

    #[test]
    fn escaped_paths_are_understood() {
        let line = "1 1 0:1 / /a\\040b\\134c rw - cgroup2 none rw";
        assert_eq!(Mount::parse(line).unwrap().target, "/a b\\c");
    }
}
