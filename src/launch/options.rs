//! The mount options of a specification, as an enumeration: what isn't known is an error on a bind
//! mount and the file system's own business on the others.

use super::Error;
use crate::sys::abi::*;

/// Options sorted by who reads them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct MountOptions {
    /// `MS_*` for a new file system.
    pub(super) flags: u64,
    /// `MOUNT_ATTR_*` to set and to clear on a bind mount.
    pub(super) set: u64,
    pub(super) clear: u64,
    /// One of `MS_PRIVATE`, …, or 0.
    pub(super) propagation: u64,
    pub(super) bind: bool,
    pub(super) recursive: bool,
    /// `idmap`: ids inside stand for the same ids below the source.
    pub(super) mapped: bool,
    /// `ridmap`: and below what is mounted there.
    pub(super) mapped_below: bool,
    /// What the file system reads itself.
    pub(super) data: Vec<String>,
}

impl MountOptions {
    /// Whether the mount is to be read-only.
    pub(super) fn read_only(&self) -> bool {
        self.set & MOUNT_ATTR_RDONLY != 0
    }
}

/// Sorts the options of the mount on `target`.
pub(super) fn parse(target: &str, kind: &str, options: &[String]) -> Result<MountOptions, Error> {
    let mut out = MountOptions { bind: kind == "bind", ..MountOptions::default() };
    for option in options {
        one(&mut out, option);
    }
    if out.mapped && out.recursive != out.mapped_below {
        let field = format!("mounts: idmap with rbind, or ridmap with bind, on {target}");
        return Err(Error::Unsupported { field, detail: String::new() });
    }
    if let Some(option) = out.data.first().filter(|_| out.bind) {
        let field = format!("mount option {option:?} of the bind mount on {target}");
        return Err(Error::Unsupported { field, detail: String::new() });
    }
    Ok(out)
}

fn one(out: &mut MountOptions, option: &str) {
    let mut attribute = |ms: usize, attr: u64, on: bool| {
        if on {
            (out.flags, out.set, out.clear) =
                (out.flags | ms as u64, out.set | attr, out.clear & !attr);
        } else {
            (out.flags, out.set, out.clear) =
                (out.flags & !(ms as u64), out.set & !attr, out.clear | attr);
        }
    };
    match option {
        "ro" | "rro" => attribute(MS_RDONLY, MOUNT_ATTR_RDONLY, true),
        "rw" => attribute(MS_RDONLY, MOUNT_ATTR_RDONLY, false),
        "nosuid" | "rnosuid" => attribute(MS_NOSUID, MOUNT_ATTR_NOSUID, true),
        "suid" => attribute(MS_NOSUID, MOUNT_ATTR_NOSUID, false),
        "nodev" | "rnodev" => attribute(MS_NODEV, MOUNT_ATTR_NODEV, true),
        "dev" => attribute(MS_NODEV, MOUNT_ATTR_NODEV, false),
        "noexec" | "rnoexec" => attribute(MS_NOEXEC, MOUNT_ATTR_NOEXEC, true),
        "exec" => attribute(MS_NOEXEC, MOUNT_ATTR_NOEXEC, false),
        "nodiratime" => attribute(MS_NODIRATIME, MOUNT_ATTR_NODIRATIME, true),
        "noatime" | "strictatime" | "relatime" => {
            let (ms, attr) = match option {
                "noatime" => (MS_NOATIME, MOUNT_ATTR_NOATIME),
                "strictatime" => (MS_STRICTATIME, MOUNT_ATTR_STRICTATIME),
                // The kernel's default has no attribute bit of its own.
                _ => (MS_RELATIME, 0),
            };
            // Access times are a choice among values: the kernel wants the old one cleared whole.
            (out.flags, out.set) = (out.flags | ms as u64, out.set & !MOUNT_ATTR__ATIME | attr);
            out.clear |= MOUNT_ATTR__ATIME;
        }
        "sync" => out.flags |= MS_SYNCHRONOUS as u64,
        "dirsync" => out.flags |= MS_DIRSYNC as u64,
        "async" | "defaults" | "atime" | "diratime" => {}
        "idmap" => out.mapped = true,
        "ridmap" => (out.mapped, out.mapped_below) = (true, true),
        "bind" => out.bind = true,
        "rbind" => (out.bind, out.recursive) = (true, true),
        "private" | "rprivate" => out.propagation = MS_PRIVATE as u64,
        "slave" | "rslave" => out.propagation = MS_SLAVE as u64,
        "shared" | "rshared" => out.propagation = MS_SHARED as u64,
        "unbindable" | "runbindable" => out.propagation = MS_UNBINDABLE as u64,
        other => out.data.push(other.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(kind: &str, options: &[&str]) -> Result<MountOptions, Error> {
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        parse("/x", kind, &options)
    }

    #[test]
    fn a_tmpfs_keeps_its_own_options() {
        let options = parsed("tmpfs", &["nosuid", "strictatime", "mode=755", "size=1k"]).unwrap();
        assert_eq!(options.flags, (MS_NOSUID | MS_STRICTATIME) as u64);
        assert_eq!(options.data, ["mode=755", "size=1k"]);
        assert!(!options.bind);
    }

    #[test]
    fn the_last_of_two_opposites_wins() {
        let options = parsed("bind", &["ro", "rw", "suid", "nosuid"]).unwrap();
        assert!(!options.read_only());
        assert_eq!((options.set, options.clear), (MOUNT_ATTR_NOSUID, MOUNT_ATTR_RDONLY));
    }

    #[test]
    fn an_unknown_option_of_a_bind_mount_is_refused() {
        let error = parsed("none", &["rbind", "bind-propagation=../.."]).unwrap_err();
        assert!(error.to_string().contains("bind-propagation=../.."), "{error}");
    }
}
