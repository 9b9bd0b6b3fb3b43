//! What is mounted below the root, and what is hidden.

use std::path::Path;

use oci_spec::runtime::Mount as SpecMount;

use super::super::mount_plan::{Mapped, Mount, Tree};
use super::super::options::{self, Attributes, MountOptions};
use super::super::{Error, IdMaps, Step};
use super::devices::{DEV, Devices};
use super::{Place, annotated, own_ids, target};
use crate::bundle::{Bundle, annotation};
use crate::cgroup::View;
use crate::init::wire::{
    BEHIND_LINKS, COPY_UP, IN_TRAY, KEEP_MODE, MAKE_DIR, MAKE_FILE, NO_SYMLINKS,
};
use crate::sys::abi::*;

/// The steps for `mounts`, `linux.devices`, `linux.maskedPaths` and `linux.readonlyPaths`. What is mounted
/// of cgroups is there when `join` is done, and as long as can be without.
pub(super) fn compile(
    bundle: &Bundle,
    place: &Place,
    mut join: Vec<Step>,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let spec = bundle.spec();
    let linux = spec.linux().as_ref();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let mut devices = Devices::new(mounts, linux)?;
    for (at, mount) in mounts.iter().enumerate() {
        if mount.typ().as_deref().is_some_and(is_of_cgroups) {
            steps.append(&mut join);
        }
        one(mount, bundle, place, steps)?;
        devices.after(Some(at), steps);
    }
    steps.append(&mut join);
    devices.after(None, steps);
    if let Some(linux) = linux {
        for path in linux.masked_paths().iter().flatten() {
            steps.push(Step::Mask(target("linux.maskedPaths", Path::new(path))?));
        }
        steps.extend(linux.readonly_paths().iter().flatten().cloned().map(Step::ReadOnly));
    }
    Ok(())
}

fn is_of_cgroups(kind: &str) -> bool {
    matches!(kind, "cgroup" | "cgroup2")
}

/// Lets what is mounted in the cell reach the host where a bind mount is asked to be shared.
pub(super) fn let_out(steps: &mut [Step]) {
    for step in steps {
        if let Step::Tree { tree, .. } = step {
            tree.peer = tree.propagation & MS_SHARED as u64 != 0;
        }
    }
}

fn one(
    mount: &SpecMount,
    bundle: &Bundle,
    place: &Place,
    steps: &mut Vec<Step>,
) -> Result<(), Error> {
    let target = target("mount destination", mount.destination())?;
    let kind = mount.typ().clone().unwrap_or_default();
    let options = options::parse(&target, &kind, mount.options().as_deref().unwrap_or_default())?;
    only_proc(&target, &kind, options.bind, mount.source().as_deref())?;
    // An image decides what lies at these paths; a link there would redirect what is written to
    // them later.
    let own = ["/proc", "/sys", DEV];
    let strict = own.iter().any(|own| Path::new(&target).starts_with(own));
    // An engine's images have such links, /etc/resolv.conf above all, and other runtimes make what
    // they lead to. In a root of hotcell's own making they are nobody's habit, but an attacker's.
    let engines = annotated(bundle.spec(), annotation::ROOTFS).is_none();
    let how = match strict {
        true => NO_SYMLINKS,
        false if engines => BEHIND_LINKS,
        false => 0,
    };
    if options.remount {
        for (Attributes { set, clear }, recursive) in [(options.own, false), (options.tree, true)] {
            if set | clear != 0 {
                let target = target.clone();
                steps.push(Step::Attributes { target, set, clear, recursive, how });
            }
        }
        return Ok(());
    }
    let ids = own_ids::of_mount(mount, &target)?;
    if options.bind {
        steps.push(bind(mount, bundle, target, &options, ids, how)?);
        return Ok(());
    }
    if ids.is_some() {
        let field = format!("uidMappings and gidMappings of the mount on {target}");
        return Err(Error::Invalid { field, why: "are for a bind mount".to_owned() });
    }
    let how = how | MAKE_DIR;
    if is_of_cgroups(&kind) {
        cgroup_view(target, &kind, &options, place, how, steps);
        return Ok(());
    }
    // A directory of the image's keeps its mode, unless the specification says one.
    let says_mode = options.data.iter().any(|data| data.starts_with("mode="));
    let keep = if kind == "tmpfs" && !says_mode { KEEP_MODE } else { 0 };
    let keep = keep | if options.copy_up { COPY_UP } else { 0 };
    if keep & COPY_UP != 0 && options.superblock != 0 {
        let field = format!("options of the mount on {target}");
        let why = "\"tmpcopyup\" goes with no flag of a whole file system".to_owned();
        return Err(Error::Invalid { field, why });
    }
    let keep = if options.superblock != 0 { 0 } else { keep };
    let source = mount.source().as_ref().map(|source| source.to_string_lossy().into_owned());
    steps.push(Step::Mount(Box::new(Mount {
        source: source.filter(|source| !source.is_empty()).unwrap_or_else(|| kind.clone()),
        target,
        kind,
        flags: options.flags(),
        attributes: options.top().set,
        data: options.data.join(","),
        how: how | keep,
    })));
    Ok(())
}

/// What runtimes allow to be put over a file of /proc: what lxcfs and the like bring.
const IN_PROC: [&str; 10] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
];

/// Refuses a /proc that is none: programs believe what stands there, about their own rights too.
fn only_proc(target: &str, kind: &str, bind: bool, source: Option<&Path>) -> Result<(), Error> {
    const PROC_SUPER_MAGIC: u64 = 0x9fa0;
    let is_proc = |source| {
        rustix::fs::statfs(source).is_ok_and(|found| found.f_type as u64 == PROC_SUPER_MAGIC)
    };
    let why = match target.strip_prefix("/proc") {
        Some("") if bind && !source.is_some_and(is_proc) => "must be a proc file system",
        Some("") if !bind && kind != "proc" => "must be a proc file system",
        Some(below) if below.starts_with('/') && !IN_PROC.contains(&target) => {
            "lies in /proc, where only files such as /proc/meminfo may be replaced"
        }
        _ => return Ok(()),
    };
    Err(Error::Invalid { field: format!("mount on {target}"), why: why.to_owned() })
}

/// A part of the host's tree. A relative source is the bundle's.
fn bind(
    mount: &SpecMount,
    bundle: &Bundle,
    target: String,
    options: &MountOptions,
    ids: Option<IdMaps>,
    how: u16,
) -> Result<Step, Error> {
    let source = mount.source().clone().unwrap_or_default();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let missing =
        |path, error| Error::Missing { what: "volume source", path: text(path), source: error };
    if source.as_os_str().is_empty() {
        return Err(missing(&source, std::io::ErrorKind::InvalidInput.into()));
    }
    let Some(source) = bundle.on_host(&source) else {
        let field = format!("mounts: source {}", source.display());
        let why = "must be absolute: the bundle has no directory".to_owned();
        return Err(Error::Invalid { field, why });
    };
    let metadata = std::fs::metadata(&source).map_err(|error| missing(&source, error))?;
    let how = how | if metadata.is_dir() { MAKE_DIR } else { MAKE_FILE };
    let mut step = attach(text(&source), target, options, how);
    if let (Step::Tree { tree, .. }, Some(_)) = (&mut step, &ids) {
        // To name the ids is to ask for them.
        tree.mapped = if tree.mapped == Mapped::No { Mapped::Top } else { tree.mapped };
        tree.ids = ids;
    }
    Ok(step)
}

/// The step for a bind mount: as few changes to it as say what `options` say.
fn attach(path: String, target: String, options: &MountOptions, how: u16) -> Step {
    let halves = |attributes: Attributes| [attributes.set, attributes.clear];
    let private = (MS_PRIVATE | MS_REC) as u64;
    let propagation = if options.propagation == 0 { private } else { options.propagation };
    let recursive = options.recursive;
    let (own, tree) = match recursive {
        true => (halves(options.own), halves(options.tree)),
        // Nothing comes along, so the mount itself is the whole tree.
        false => ([0, 0], halves(options.top())),
    };
    let propagation = propagation | if recursive { 0 } else { MS_REC as u64 };
    let (mapped, peer) = (options.mapped, false);
    let tree = Tree { path, own, tree, propagation, peer, recursive, mapped, ids: None };
    Step::Tree { tree: Box::new(tree), target, how }
}

/// The cell's own cgroup, where programs look for their limits. On a hybrid host each hierarchy
/// stands in a directory of its own, as programs expect there.
fn cgroup_view(
    target: String,
    kind: &str,
    options: &MountOptions,
    place: &Place,
    how: u16,
    steps: &mut Vec<Step>,
) {
    // What is cleared was never set.
    let tree = Attributes { set: options.top().set, clear: 0 };
    let options = MountOptions { tree, bind: true, ..MountOptions::default() };
    let source = |path: &Path| path.to_string_lossy().into_owned();
    // Whoever asks for version 2 gets that alone.
    let whole = |view: &&View| view.name.is_empty() || kind == "cgroup2" && view.name == "unified";
    if let Some(view) = place.views.iter().find(whole) {
        steps.push(attach(source(&view.path), target, &options, how));
        return;
    }
    let dir = target.clone();
    steps.push(Step::Tray { target, how });
    steps.extend(place.views.iter().map(|view| {
        attach(source(&view.path), view.name.to_string(), &options, MAKE_DIR | IN_TRAY)
    }));
    // Where two controllers share a hierarchy, each of them has its name as well.
    for view in place.views.iter().filter(|view| view.name.contains(',')) {
        steps.extend(view.name.split(',').map(|name| Step::Link {
            dir: dir.clone(),
            name: name.to_owned(),
            content: view.name.to_string(),
        }));
    }
    if options.read_only() {
        steps.push(Step::SealTray);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(words: &[&str]) -> Tree {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let options = options::parse("/b", "bind", &words).unwrap();
        match attach("/a".into(), "/b".into(), &options, 0) {
            Step::Tree { tree, .. } => *tree,
            other => unreachable!("{other}"),
        }
    }

    #[test]
    fn a_bind_is_changed_as_rarely_as_its_options_allow() {
        let (private, all) = (MS_PRIVATE as u64, MS_REC as u64);
        let volume = bound(&["rbind", "rprivate", "rnosuid", "rro"]);
        assert_eq!((volume.own, volume.propagation), ([0, 0], private | all));
        assert_eq!(volume.tree, [MOUNT_ATTR_NOSUID | MOUNT_ATTR_RDONLY, 0]);
        let top_only = bound(&["rbind", "ro", "slave"]);
        assert_eq!((top_only.own, top_only.tree), ([MOUNT_ATTR_RDONLY, 0], [0, 0]));
        assert_eq!(top_only.propagation, MS_SLAVE as u64);
        // Nothing comes along, so one change is enough.
        let single = bound(&["bind", "ro", "rnoexec", "shared"]);
        assert_eq!((single.own, single.propagation), ([0, 0], MS_SHARED as u64 | all));
        assert_eq!(single.tree, [MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOEXEC, 0]);
    }
    #[test]
    fn nothing_but_proc_stands_in_for_proc() {
        let proc = Some(Path::new("/proc"));
        let file = Some(Path::new("/etc"));
        for (target, kind, bind, source) in [
            ("/proc", "proc", false, None),
            ("/proc", "bind", true, proc),
            ("/proc/meminfo", "bind", true, file),
            ("/process", "tmpfs", false, None),
            ("/sys", "bind", true, file),
        ] {
            assert!(only_proc(target, kind, bind, source).is_ok(), "{target} {kind}");
        }
        for (target, kind, bind, source) in [
            ("/proc", "bind", true, file),
            ("/proc", "bind", true, None),
            ("/proc", "tmpfs", false, None),
            ("/proc/sys", "tmpfs", false, None),
            ("/proc/self/attr", "bind", true, file),
            ("/proc/x", "proc", false, None),
        ] {
            assert!(only_proc(target, kind, bind, source).is_err(), "{target} {kind}");
        }
    }
}
