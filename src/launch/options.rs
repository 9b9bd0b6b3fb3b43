//! The mount options of a specification: an enumeration of the words that mean the same for every
//! file system. What a file system reads itself stands in `data`.

mod data;
#[cfg(test)]
mod tests;

use super::Error;
use super::mount_plan::Mapped;
use crate::sys::abi::*;

/// A change to the attributes of a mount, in `MOUNT_ATTR_*`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Attributes {
    pub(super) set: u64,
    pub(super) clear: u64,
}

impl Attributes {
    /// A later word takes back what an earlier one said.
    fn apply(&mut self, later: Attributes) {
        self.set = self.set & !later.clear | later.set;
        self.clear = self.clear & !later.set | later.clear;
        // Access times are one choice among values: the kernel wants the old one cleared whole.
        if later.clear & MOUNT_ATTR__ATIME != 0 {
            self.clear |= MOUNT_ATTR__ATIME;
        }
    }

    /// The same as `MS_*` for a new file system.
    fn as_mount_flags(self) -> u64 {
        let table = [
            (MOUNT_ATTR_RDONLY, MS_RDONLY),
            (MOUNT_ATTR_NOSUID, MS_NOSUID),
            (MOUNT_ATTR_NODEV, MS_NODEV),
            (MOUNT_ATTR_NOEXEC, MS_NOEXEC),
            (MOUNT_ATTR_NOATIME, MS_NOATIME),
            (MOUNT_ATTR_STRICTATIME, MS_STRICTATIME),
            (MOUNT_ATTR_NODIRATIME, MS_NODIRATIME),
            (MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW),
        ];
        let set = table.iter().filter(|(attribute, _)| self.set & attribute != 0);
        set.fold(0, |flags, (_, flag)| flags | *flag as u64)
    }
}

/// Options sorted by who reads them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct MountOptions {
    /// For the mount itself.
    pub(super) own: Attributes,
    /// For the mount and all that comes along below it; stronger than `own`.
    pub(super) tree: Attributes,
    /// `MS_*` that only a new file system knows.
    pub(super) superblock: u64,
    /// One of `MS_PRIVATE`, …, with `MS_REC` for the whole tree; 0 when nothing was said.
    pub(super) propagation: u64,
    pub(super) bind: bool,
    pub(super) recursive: bool,
    /// Whose ids the files below have, in a cell with ids of its own.
    pub(super) mapped: Mapped,
    /// Whether what is mounted there already gets these attributes, and nothing is mounted.
    pub(super) remount: bool,
    /// Whether a memory file system starts with what it covers.
    pub(super) copy_up: bool,
    /// What the file system reads itself.
    pub(super) data: Vec<String>,
}

impl MountOptions {
    /// What holds for the mount itself.
    pub(super) fn top(&self) -> Attributes {
        let mut all = self.own;
        all.apply(self.tree);
        all
    }

    /// Whether the mount itself is to be read-only.
    pub(super) fn read_only(&self) -> bool {
        self.top().set & MOUNT_ATTR_RDONLY != 0
    }

    /// What doesn't go together.
    fn unfit(&self) -> Option<String> {
        let more = self.superblock | self.propagation != 0
            || self.copy_up
            || self.mapped != Mapped::No
            || !self.data.is_empty();
        let why = "\"remount\" changes the attributes of the mount that is there, and nothing else";
        (self.remount && more).then(|| why.to_owned())
    }

    /// The flags of a new file system.
    pub(super) fn flags(&self) -> u64 {
        self.superblock | self.top().as_mount_flags()
    }
}

/// What a word of the specification's list means.
#[derive(Clone, Copy)]
enum Word {
    Set(u64),
    Clear(u64),
    /// Access times as this value (0 is "relative", the kernel's default), unless they were asked
    /// for as the second.
    Times(u64, Option<u64>),
    /// A flag of the file system, on or off.
    Superblock(usize, bool),
    Propagation(usize),
    Bind,
    Mapped,
    Remount,
    CopyUp,
    Nothing,
}

impl Word {
    /// The meaning of `text`; `None` is for the file system to know.
    fn of(text: &str) -> Option<Word> {
        Some(match text {
            "ro" => Word::Set(MOUNT_ATTR_RDONLY),
            "rw" => Word::Clear(MOUNT_ATTR_RDONLY),
            "nosuid" => Word::Set(MOUNT_ATTR_NOSUID),
            "suid" => Word::Clear(MOUNT_ATTR_NOSUID),
            "nodev" => Word::Set(MOUNT_ATTR_NODEV),
            "dev" => Word::Clear(MOUNT_ATTR_NODEV),
            "noexec" => Word::Set(MOUNT_ATTR_NOEXEC),
            "exec" => Word::Clear(MOUNT_ATTR_NOEXEC),
            "nodiratime" => Word::Set(MOUNT_ATTR_NODIRATIME),
            "diratime" => Word::Clear(MOUNT_ATTR_NODIRATIME),
            "nosymfollow" => Word::Set(MOUNT_ATTR_NOSYMFOLLOW),
            "symfollow" => Word::Clear(MOUNT_ATTR_NOSYMFOLLOW),
            "noatime" => Word::Times(MOUNT_ATTR_NOATIME, None),
            "strictatime" => Word::Times(MOUNT_ATTR_STRICTATIME, None),
            "relatime" => Word::Times(0, None),
            // Each takes back one value and leaves the other.
            "atime" => Word::Times(0, Some(MOUNT_ATTR_STRICTATIME)),
            "nostrictatime" => Word::Times(0, Some(MOUNT_ATTR_NOATIME)),
            "sync" => Word::Superblock(MS_SYNCHRONOUS, true),
            "async" => Word::Superblock(MS_SYNCHRONOUS, false),
            "dirsync" => Word::Superblock(MS_DIRSYNC, true),
            "iversion" => Word::Superblock(MS_I_VERSION, true),
            "noiversion" => Word::Superblock(MS_I_VERSION, false),
            "lazytime" => Word::Superblock(MS_LAZYTIME, true),
            "nolazytime" => Word::Superblock(MS_LAZYTIME, false),
            "mand" => Word::Superblock(MS_MANDLOCK, true),
            "nomand" => Word::Superblock(MS_MANDLOCK, false),
            "silent" => Word::Superblock(MS_SILENT, true),
            "loud" => Word::Superblock(MS_SILENT, false),
            "private" => Word::Propagation(MS_PRIVATE),
            "slave" => Word::Propagation(MS_SLAVE),
            "shared" => Word::Propagation(MS_SHARED),
            "unbindable" => Word::Propagation(MS_UNBINDABLE),
            "bind" => Word::Bind,
            // Relative times can't be switched off without saying what comes in their place.
            "norelatime" => Word::Clear(0),
            "defaults" => Word::Nothing,
            "acl" => Word::Superblock(MS_POSIXACL, true),
            "noacl" => Word::Superblock(MS_POSIXACL, false),
            "remount" => Word::Remount,
            "tmpcopyup" => Word::CopyUp,
            "idmap" => Word::Mapped,
            _ => return None,
        })
    }

    /// Whether it has a recursive form, with an r in front.
    fn is_about_a_tree(self) -> bool {
        matches!(
            self,
            Word::Set(_)
                | Word::Clear(_)
                | Word::Times(..)
                | Word::Propagation(_)
                | Word::Bind
                | Word::Mapped
        )
    }
}

/// The words that have a meaning here, for those who want a list of them.
#[cfg(feature = "cli")]
pub(crate) const MOUNT_OPTIONS: &[&str] = &[
    "acl",
    "async",
    "atime",
    "bind",
    "defaults",
    "dev",
    "diratime",
    "dirsync",
    "exec",
    "idmap",
    "iversion",
    "lazytime",
    "loud",
    "mand",
    "noacl",
    "noatime",
    "nodev",
    "nodiratime",
    "noexec",
    "noiversion",
    "nolazytime",
    "nomand",
    "norelatime",
    "nostrictatime",
    "nosuid",
    "nosymfollow",
    "private",
    "ratime",
    "rbind",
    "rdev",
    "rdiratime",
    "relatime",
    "remount",
    "rexec",
    "ridmap",
    "rnoatime",
    "rnodev",
    "rnodiratime",
    "rnoexec",
    "rnorelatime",
    "rnostrictatime",
    "rnosuid",
    "rnosymfollow",
    "ro",
    "rprivate",
    "rrelatime",
    "rro",
    "rrw",
    "rshared",
    "rslave",
    "rstrictatime",
    "rsuid",
    "rsymfollow",
    "runbindable",
    "rw",
    "shared",
    "silent",
    "slave",
    "strictatime",
    "suid",
    "symfollow",
    "sync",
    "tmpcopyup",
    "unbindable",
];

/// Sorts the options of the mount on `target`.
pub(super) fn parse(target: &str, kind: &str, options: &[String]) -> Result<MountOptions, Error> {
    let mut out = MountOptions { bind: kind == "bind", ..MountOptions::default() };
    // Whether this is a bind mount may be said last.
    out.bind |= options.iter().any(|option| option == "bind" || option == "rbind");
    for option in options {
        one(&mut out, kind, option).map_err(|why| Error::Invalid {
            field: format!("option {option:?} of the mount on {target}"),
            why,
        })?;
    }
    match out.unfit() {
        None => Ok(out),
        Some(why) => {
            Err(Error::Invalid { field: format!("options of the mount on {target}"), why })
        }
    }
}

fn one(out: &mut MountOptions, kind: &str, option: &str) -> Result<(), String> {
    // "relatime" is a word of its own, "rrelatime" the recursive one.
    let whole = Word::of(option).map(|word| (word, false));
    let recursive = || {
        let word = Word::of(option.strip_prefix('r')?)?;
        word.is_about_a_tree().then_some((word, true))
    };
    let Some((word, recursive)) = whole.or_else(recursive) else {
        data::check(kind, out.bind, option)?;
        out.data.push(option.to_owned());
        return Ok(());
    };
    let attributes = if recursive { &mut out.tree } else { &mut out.own };
    match word {
        Word::Set(bit) => attributes.apply(Attributes { set: bit, clear: 0 }),
        Word::Clear(bit) => attributes.apply(Attributes { set: 0, clear: bit }),
        Word::Times(_, Some(kept)) if attributes.set & MOUNT_ATTR__ATIME == kept => {}
        Word::Times(value, _) => {
            attributes.apply(Attributes { set: value, clear: MOUNT_ATTR__ATIME });
        }
        Word::Superblock(_, true) if out.bind => {
            return Err("is the file system's own; a bind mount can't change it".to_owned());
        }
        Word::Superblock(flag, true) => out.superblock |= flag as u64,
        Word::Superblock(flag, false) => out.superblock &= !(flag as u64),
        Word::Propagation(to @ (MS_SHARED | MS_UNBINDABLE)) if !out.bind => {
            let what = if to == MS_SHARED { "shared" } else { "unbindable" };
            return Err(format!("a new file system can't be {what}"));
        }
        Word::Propagation(to) => {
            out.propagation = (to | if recursive { MS_REC } else { 0 }) as u64;
        }
        Word::Bind => out.recursive |= recursive,
        Word::Mapped if !out.bind => {
            return Err("is for a bind mount; a new file system has the cell's ids".to_owned());
        }
        Word::Mapped => out.mapped = if recursive { Mapped::All } else { Mapped::Top },
        Word::Remount => out.remount = true,
        Word::CopyUp if kind != "tmpfs" || out.bind => {
            return Err("is for a memory file system".to_owned());
        }
        Word::CopyUp => out.copy_up = true,
        Word::Nothing => {}
    }
    Ok(())
}

/// `linux.rootfsPropagation`, as `MS_*`.
pub(super) fn root_propagation(text: &str) -> Result<u64, Error> {
    let (word, recursive) = match text.strip_prefix('r') {
        Some(rest) => (Word::of(rest), MS_REC),
        None => (Word::of(text), 0),
    };
    match word {
        Some(Word::Propagation(to)) => Ok((to | recursive) as u64),
        _ => Err(Error::Invalid {
            field: format!("linux.rootfsPropagation {text:?}"),
            why: "must be private, slave, shared or unbindable, with an r in front or without"
                .to_owned(),
        }),
    }
}
