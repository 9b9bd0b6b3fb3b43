//! The mounts of a specification: Docker's, memory file systems, volumes.

use std::collections::HashSet;
use std::path::PathBuf;

use oci_spec::runtime::{Mount, MountBuilder};

use super::super::config::{CellConfig, Network, Tmpfs};
use super::super::user_namespace::UserNamespace;
use super::super::volume::Volume;
use super::super::{Error, defaults, path};

/// Docker's mounts, then the caller's; those above come before those below.
pub(super) fn mounts(config: &CellConfig) -> Result<Vec<Mount>, Error> {
    const NO: [&str; 3] = ["nosuid", "noexec", "nodev"];
    let fixed: [(&str, &str, &str, &[&str]); 7] = [
        ("/proc", "proc", "proc", &NO),
        ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        (
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
        ("/sys/fs/cgroup", "cgroup", "cgroup", &["nosuid", "noexec", "nodev", "ro"]),
        ("/dev/mqueue", "mqueue", "mqueue", &NO),
        ("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
    ];
    let mut mounts = Vec::new();
    for (target, kind, source, options) in fixed {
        if target == "/sys" && borrowed_sys(config) {
            // Not what is mounted below: the cell gets its own view of its cgroup there.
            let options = ["bind", "rprivate", "nosuid", "noexec", "nodev", "ro"];
            mounts.push(mount(target, "bind", target, options.map(str::to_owned).into())?);
            continue;
        }
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        mounts.push(mount(target, kind, source, options)?);
    }
    let mut own = Vec::new();
    for tmpfs in &config.tmpfs {
        own.push(mount(&tmpfs.target, "tmpfs", "tmpfs", tmpfs_options(tmpfs))?);
    }
    for volume in &config.volumes {
        own.push(bind(volume, config.user_namespace)?);
    }
    own.sort_by_key(|mount| mount.destination().components().count());
    let mut seen = HashSet::from(["/proc", "/sys", "/dev"].map(PathBuf::from));
    for mount in &own {
        let target: PathBuf = mount.destination().components().collect();
        let text = target.to_string_lossy().into_owned();
        if let Some(hidden) = hidden(config).find(|hidden| target.starts_with(hidden)) {
            let why = format!("lies in {hidden}, which is hidden from cells");
            return Err(Error::invalid("mount target", text, why));
        }
        if !seen.insert(target) {
            return Err(Error::invalid("mount target", text, "is taken"));
        }
    }
    mounts.extend(own);
    Ok(mounts)
}

/// What will be hidden when all is mounted.
fn hidden(config: &CellConfig) -> impl Iterator<Item = &str> {
    let own = config.masked_paths.iter().map(String::as_str);
    defaults::MASKED_PATHS.into_iter().chain([defaults::MASKED_POWER]).chain(own)
}

/// A sysfs of its own needs a network namespace of its own, in the eyes of a user namespace.
fn borrowed_sys(config: &CellConfig) -> bool {
    config.user_namespace != UserNamespace::Host && config.network == Network::Host
}

fn mount(target: &str, kind: &str, source: &str, options: Vec<String>) -> Result<Mount, Error> {
    let target = path::absolute("mount target", target)?;
    Ok(MountBuilder::default()
        .destination(target)
        .typ(kind)
        .source(source)
        .options(options)
        .build()?)
}

fn tmpfs_options(tmpfs: &Tmpfs) -> Vec<String> {
    let mut options: Vec<String> = ["nosuid", "nodev"].map(str::to_owned).into();
    options.extend((!tmpfs.exec).then(|| "noexec".to_owned()));
    options.extend(tmpfs.read_only.then(|| "ro".to_owned()));
    options.push(match tmpfs.copy {
        true => "tmpcopyup".to_owned(),
        false => format!("mode={:o}", tmpfs.mode),
    });
    options.extend(tmpfs.size.map(|size| format!("size={}", size.0)));
    options.extend(tmpfs.inodes.map(|count| format!("nr_inodes={count}")));
    options
}

fn bind(volume: &Volume, user_namespace: UserNamespace) -> Result<Mount, Error> {
    let Some(source) = volume.source.to_str().filter(|path| path.starts_with('/')) else {
        let path = volume.source.to_string_lossy();
        return Err(Error::invalid("volume source", path, "must be an absolute path in UTF-8"));
    };
    let mut options = volume.options();
    if user_namespace != UserNamespace::Host {
        // The cell's ids own there what the same ids own on the host.
        options.push("ridmap".to_owned());
    }
    mount(&volume.target, "bind", source, options)
}
