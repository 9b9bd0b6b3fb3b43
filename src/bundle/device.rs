//! Devices of the host inside a cell: the node that is made and the accesses that are granted.

use std::fmt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;
use std::str::FromStr;

use oci_spec::runtime::{
    LinuxDevice, LinuxDeviceBuilder, LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType,
};

use super::Error;
use super::path::absolute;

/// A device by its number. The cell gets a node of its own for it; only one with ids of its own,
/// which can make none, gets the host's, with the host's mode and owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Where the node stands in the cell: absolute.
    pub target: String,
    /// Character or block device.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Mode of the node.
    pub mode: u32,
    /// Owner of the node.
    pub uid: u32,
    /// Group of the node.
    pub gid: u32,
    /// What the cell may do with it.
    pub access: DeviceAccess,
}

/// The two kinds of devices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeviceKind {
    /// A character device.
    Char,
    /// A block device.
    Block,
}

/// What may be done with a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceAccess {
    /// Opening it for reading.
    pub read: bool,
    /// Opening it for writing.
    pub write: bool,
    /// Making nodes for it. Every cell may do that for any device, as in Docker.
    pub mknod: bool,
}

impl DeviceAccess {
    /// Everything.
    pub const ALL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };
}

impl FromStr for DeviceAccess {
    type Err = Error;

    /// `r`, `w` and `m`, each at most once, at least one.
    fn from_str(text: &str) -> Result<DeviceAccess, Error> {
        let mut access = DeviceAccess { read: false, write: false, mknod: false };
        let refuse = || Error::invalid("device access", text, "must be made of r, w and m");
        for letter in text.chars() {
            let asked = match letter {
                'r' => &mut access.read,
                'w' => &mut access.write,
                'm' => &mut access.mknod,
                _ => return Err(refuse()),
            };
            if std::mem::replace(asked, true) {
                return Err(refuse());
            }
        }
        if text.is_empty() { Err(refuse()) } else { Ok(access) }
    }
}

impl fmt::Display for DeviceAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters = [(self.read, "r"), (self.write, "w"), (self.mknod, "m")];
        letters
            .into_iter()
            .filter(|(asked, _)| *asked)
            .try_for_each(|(_, letter)| f.write_str(letter))
    }
}

impl DeviceKind {
    fn typ(self) -> LinuxDeviceType {
        match self {
            DeviceKind::Char => LinuxDeviceType::C,
            DeviceKind::Block => LinuxDeviceType::B,
        }
    }
}

impl Device {
    /// The node, as the specification has it.
    pub(super) fn node(&self) -> Result<LinuxDevice, Error> {
        let target = absolute("device target", &self.target)?;
        if self.mode > 0o7777 {
            let mode = format!("{:o}", self.mode);
            return Err(Error::invalid("device mode", mode, "must be at most 7777"));
        }
        Ok(LinuxDeviceBuilder::default()
            .path(target)
            .typ(self.kind.typ())
            .major(i64::from(self.major))
            .minor(i64::from(self.minor))
            .file_mode(self.mode)
            .uid(self.uid)
            .gid(self.gid)
            .build()?)
    }

    /// The rule that goes with the node.
    pub(super) fn rule(&self) -> DeviceRule {
        DeviceRule {
            kind: Some(self.kind),
            major: Some(self.major),
            minor: Some(self.minor),
            access: self.access,
        }
    }
}

/// Devices that a cell may use; `None` is any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeviceRule {
    /// Character or block devices.
    pub kind: Option<DeviceKind>,
    /// Major number.
    pub major: Option<u32>,
    /// Minor number.
    pub minor: Option<u32>,
    /// What may be done with them.
    pub access: DeviceAccess,
}

impl DeviceRule {
    /// The rule, as the specification has it.
    pub(super) fn entry(&self) -> Result<LinuxDeviceCgroup, Error> {
        let mut entry = LinuxDeviceCgroupBuilder::default()
            .allow(true)
            .typ(self.kind.map_or(LinuxDeviceType::A, DeviceKind::typ))
            .access(self.access.to_string());
        // A number that is left out means any.
        if let Some(major) = self.major {
            entry = entry.major(major);
        }
        if let Some(minor) = self.minor {
            entry = entry.minor(minor);
        }
        Ok(entry.build()?)
    }
}

impl FromStr for DeviceRule {
    type Err = Error;

    /// `TYPE MAJOR:MINOR ACCESS`, for example `c 10:229 rw`: the type is `c`, `b` or `a` for both,
    /// a number may be `*` for any.
    fn from_str(text: &str) -> Result<DeviceRule, Error> {
        let refuse = |why: &str| Error::invalid("device rule", text, why);
        let form = || refuse("must be TYPE MAJOR:MINOR ACCESS, for example \"c 10:229 rw\"");
        let mut words = text.split(' ');
        let (Some(kind), Some(numbers), Some(access), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(form());
        };
        let kind = match kind {
            "a" => None,
            "b" => Some(DeviceKind::Block),
            "c" => Some(DeviceKind::Char),
            _ => return Err(refuse("the type must be a, b or c")),
        };
        let number = |text: &str| match text {
            "*" => Ok(None),
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map(Some).map_err(|_| refuse("holds no device number"))
            }
            _ => Err(refuse("a number must be decimal digits or *")),
        };
        let (major, minor) = numbers.split_once(':').ok_or_else(form)?;
        Ok(DeviceRule {
            kind,
            major: number(major)?,
            minor: number(minor)?,
            access: access.parse()?,
        })
    }
}

/// A device of the host by its path: the short form.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceFlag {
    /// On the host.
    pub source: PathBuf,
    /// In the cell.
    pub target: String,
    /// What the cell may do with it.
    pub access: DeviceAccess,
}

impl FromStr for DeviceFlag {
    type Err = Error;

    /// `SRC`, `SRC:DST`, `SRC:ACCESS` or `SRC:DST:ACCESS`; the target is the source's path and the
    /// access `rwm` when not given.
    fn from_str(text: &str) -> Result<DeviceFlag, Error> {
        let refuse = |why: &str| Error::invalid("device", text, why);
        let parts: Vec<_> = text.split(':').collect();
        let (source, target, access) = match parts[..] {
            [source] => (source, source, None),
            [source, target] if target.starts_with('/') => (source, target, None),
            [source, access] => (source, source, Some(access)),
            [source, target, access] => (source, target, Some(access)),
            _ => return Err(refuse("must be SRC, SRC:DST or SRC:DST:ACCESS")),
        };
        if !source.starts_with('/') {
            return Err(refuse("the source must be an absolute path"));
        }
        Ok(DeviceFlag {
            source: source.into(),
            target: absolute("device target", target)?,
            access: access.map_or(Ok(DeviceAccess::ALL), str::parse)?,
        })
    }
}

impl DeviceFlag {
    /// The device that the host has at the source now, with its mode and owner.
    ///
    /// # Errors
    /// [`Error::Io`] when nothing is there, [`Error::Invalid`] when it is no device.
    pub fn look_up(&self) -> Result<Device, Error> {
        let metadata = std::fs::metadata(&self.source).map_err(|source| Error::Io {
            op: "look at device",
            path: self.source.clone(),
            source,
        })?;
        let file_type = metadata.file_type();
        let kind = if file_type.is_char_device() {
            DeviceKind::Char
        } else if file_type.is_block_device() {
            DeviceKind::Block
        } else {
            let why = if file_type.is_dir() { "is a directory" } else { "is no device" };
            return Err(Error::invalid("device", self.source.to_string_lossy(), why));
        };
        Ok(Device {
            target: self.target.clone(),
            kind,
            major: rustix::fs::major(metadata.rdev()),
            minor: rustix::fs::minor(metadata.rdev()),
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            access: self.access,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_short_form_of_a_device() {
        let flag = |text: &str| text.parse::<DeviceFlag>().unwrap();
        let parts = |text: &str| (flag(text).target, flag(text).access.to_string());
        assert_eq!(parts("/dev/sda"), ("/dev/sda".into(), "rwm".into()));
        assert_eq!(parts("/dev/sda:r"), ("/dev/sda".into(), "r".into()));
        assert_eq!(parts("/dev/sda:/dev/x"), ("/dev/x".into(), "rwm".into()));
        assert_eq!(parts("/dev/sda:/dev/x:mr"), ("/dev/x".into(), "rm".into()));
        for bad in [
            "",
            "sda",
            "/dev/sda:",
            "/dev/sda:x",
            "/dev/sda:rr",
            "/dev/sda:/x:",
            "/a:/b:r:w",
            "/a:/..",
        ] {
            assert!(bad.parse::<DeviceFlag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_device_is_what_the_host_has() {
        let null: DeviceFlag = "/dev/null:/dev/other:rw".parse().unwrap();
        let device = null.look_up().unwrap();
        assert_eq!((device.kind, device.major, device.minor), (DeviceKind::Char, 1, 3));
        assert_eq!(device.rule().entry().unwrap().to_string(), "c 1:3 rw");
        for (path, part) in
            [("/dev", "is a directory"), ("/proc/self/exe", "is no device"), ("/none", "/none")]
        {
            let error = path.parse::<DeviceFlag>().unwrap().look_up().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn rules_are_type_numbers_and_access() {
        let text = |rule: &str| rule.parse::<DeviceRule>().unwrap().entry().unwrap().to_string();
        assert_eq!(text("c 10:229 rw"), "c 10:229 rw");
        assert_eq!(text("b 8:* r"), "b 8:* r");
        assert_eq!(text("a *:* rwm"), "a *:* rwm");
        for bad in [
            "",
            "c",
            "c 1:3",
            "c 1:3 x",
            "c 1:3 ",
            "c 1 r",
            "p 1:3 r",
            "c -1:3 r",
            "c 1:3 rr",
            "c  1:3 r",
            "c 1:3 r w",
            "c 1:4294967296 r",
            "c :3 r",
            "C 1:3 r",
        ] {
            assert!(bad.parse::<DeviceRule>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[abc] ?[0-9*]{0,11}:?[0-9*]{0,11} ?[rwmx]{0,4}") {
            if let Ok(rule) = text.parse::<DeviceRule>() {
                prop_assert!(rule.entry().is_ok());
            }
            let _ = text.parse::<DeviceFlag>().is_ok();
        }
    }
}
