//! Names become numbers: what a root's own `/etc/passwd` and `/etc/group` say.
//!
//! The files are the image's, and hostile. They are found below the root and nowhere else, opened
//! only if they are regular files, and read a line at a time within fixed sizes. A line without a
//! proper number is never taken for one with number 0.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};
use rustix::io::Errno;

use super::user::number;
use super::{Error, Principal, User, UserSpec, merged};

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";

/// The largest file and the longest line that are read, in bytes.
const LARGEST_FILE: u64 = 10 << 20;
const LONGEST_LINE: u64 = 1 << 20;

/// A user with all that an account brings along.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// User and group.
    pub user: User,
    /// Supplementary groups, those of the account first, each once.
    pub groups: Vec<u32>,
    /// The home directory, when the account has one.
    pub home: Option<String>,
}

impl Account {
    /// Who `who` is in the root `rootfs`, and with `more` supplementary groups. As under Docker:
    ///
    /// * A number needs no account; one that has none belongs to group 0.
    /// * Without a group in `who`, the group is the account's, and the supplementary groups are
    ///   those that list its name. With one there are none but `more`.
    /// * Of several accounts with one name or number, the first counts.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that the root does not know, for an account without proper
    /// numbers, and for a file that is not regular, too large, or linked to nowhere in the root.
    pub fn look_up(rootfs: &Path, who: &UserSpec, more: &[Principal]) -> Result<Account, Error> {
        Account::in_root(&Root::Directory(open_root(rootfs)?), who, more)
    }

    /// The same in a root of several `layers`, topmost first, as the cell sees them:
    /// [`CellConfig::layer_dirs`](super::CellConfig::layer_dirs).
    ///
    /// # Errors
    /// As [`look_up`](Account::look_up).
    pub fn look_up_in_layers(
        layers: &[PathBuf],
        who: &UserSpec,
        more: &[Principal],
    ) -> Result<Account, Error> {
        let open =
            |layer: &PathBuf| merged::open_layer(layer).map_err(|errno| io_error(layer, errno));
        match layers {
            [rootfs] => Account::look_up(rootfs, who, more),
            layers => {
                let root = Root::Layers(layers.iter().map(open).collect::<Result<_, _>>()?);
                Account::in_root(&root, who, more)
            }
        }
    }

    fn in_root(root: &Root, who: &UserSpec, more: &[Principal]) -> Result<Account, Error> {
        let entry = root.user(&who.user)?;
        let (uid, own_gid) = match (&who.user, &entry) {
            (_, Some(entry)) => (entry.uid, entry.gid),
            (Principal::Id(id), None) => (*id, 0),
            (Principal::Name(name), None) => return Err(unknown("user", name, PASSWD)),
        };
        let member = entry.as_ref().map(|entry| entry.name.as_slice());
        let found = root.groups(member.filter(|_| who.group.is_none()), |name| {
            who.group.iter().chain(more).any(|wanted| is_name(wanted, name))
        })?;
        let gid = who.group.as_ref().map(|group| found.resolve(group)).transpose()?;
        let more = more.iter().map(|group| found.resolve(group)).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        let groups = found.memberships.into_iter().chain(more);
        let groups = groups.filter(|gid| seen.insert(*gid)).collect();
        let home = entry.and_then(|entry| entry.home);
        Ok(Account { user: User { uid, gid: gid.unwrap_or(own_gid) }, groups, home })
    }
}

fn is_name(principal: &Principal, name: &[u8]) -> bool {
    matches!(principal, Principal::Name(wanted) if wanted.as_bytes() == name)
}

fn unknown(what: &'static str, name: &str, file: &str) -> Error {
    Error::invalid(what, name, format!("is not in the root's {file}"))
}

/// What a line of `/etc/passwd` says.
struct Entry {
    name: Vec<u8>,
    uid: u32,
    gid: u32,
    home: Option<String>,
}

/// What was found in `/etc/group`.
#[derive(Default)]
struct Groups {
    memberships: Vec<u32>,
    named: Vec<(Vec<u8>, u32)>,
}

impl Groups {
    fn resolve(&self, group: &Principal) -> Result<u32, Error> {
        match group {
            Principal::Id(id) => Ok(*id),
            Principal::Name(name) => {
                let named = self.named.iter().find(|(known, _)| known == name.as_bytes());
                named.map(|(_, gid)| *gid).ok_or_else(|| unknown("group", name, GROUP))
            }
        }
    }
}

/// A root, open.
enum Root {
    Directory(OwnedFd),
    /// Topmost first.
    Layers(Vec<OwnedFd>),
}

fn open_root(rootfs: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    open(rootfs, flags, Mode::empty()).map_err(|errno| io_error(rootfs, errno))
}

impl Root {
    /// The first account with this name or number.
    fn user(&self, who: &Principal) -> Result<Option<Entry>, Error> {
        let mut found = None;
        self.each_line(PASSWD, |at, line| {
            let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
            let field = |index: usize| fields.get(index).copied().unwrap_or_default();
            let (name, uid) = (field(0), number(field(2)));
            let is_it = match who {
                Principal::Id(id) => uid == Some(*id),
                Principal::Name(_) => is_name(who, name),
            };
            if !is_it || found.is_some() {
                return Ok(());
            }
            let (Some(uid), Some(gid)) = (uid, number(field(3))) else {
                return Err(malformed(PASSWD, at));
            };
            // A relative one would mean something else in each directory.
            let home = String::from_utf8(field(5).to_vec()).ok();
            let home = home.filter(|home| home.starts_with('/') && !home.contains('\0'));
            found = Some(Entry { name: name.to_vec(), uid, gid, home });
            Ok(())
        })?;
        Ok(found)
    }

    /// The groups that list `member`, and those whose name is `wanted`.
    fn groups(
        &self,
        member: Option<&[u8]>,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Groups, Error> {
        let mut found = Groups::default();
        self.each_line(GROUP, |at, line| {
            let mut fields = line.split(|byte| *byte == b':');
            let (name, gid) = (fields.next().unwrap_or_default(), fields.nth(1));
            let mut members = fields.next().unwrap_or_default().split(|byte| *byte == b',');
            let is_in = member.is_some_and(|member| members.any(|name| name == member));
            let is_wanted = wanted(name);
            if is_in || is_wanted {
                let gid = gid.and_then(number).ok_or_else(|| malformed(GROUP, at))?;
                found.memberships.extend(is_in.then_some(gid));
                found.named.extend(is_wanted.then(|| (name.to_vec(), gid)));
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// Shows `visit` every line that may hold an entry, with its number. A file that is not there
    /// has none.
    fn each_line(
        &self,
        path: &'static str,
        mut visit: impl FnMut(usize, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(file) = self.regular_file(path)? else {
            return Ok(());
        };
        // The size may change, or be a lie, while it is read.
        let mut reader = BufReader::new(file.take(LARGEST_FILE + 1));
        let (mut line, mut total) = (Vec::new(), 0);
        for at in 1.. {
            line.clear();
            let mut part = reader.by_ref().take(LONGEST_LINE + 1);
            let count =
                part.read_until(b'\n', &mut line).map_err(|e| io_error(Path::new(path), e))?;
            total += count as u64;
            if total > LARGEST_FILE {
                return Err(too_large(path));
            }
            if count as u64 > LONGEST_LINE {
                let why = format!("line {at} is longer than {LONGEST_LINE} bytes");
                return Err(Error::invalid(FILE, path, why));
            }
            if count == 0 {
                return Ok(());
            }
            let line = line.trim_ascii();
            if !line.is_empty() && line[0] != b'#' {
                visit(at, line)?;
            }
        }
        Ok(())
    }

    /// Opens the file below the root, if it is there. Nothing but a regular file is ever opened: to
    /// open a device or a FIFO may already do something.
    fn regular_file(&self, path: &'static str) -> Result<Option<File>, Error> {
        let failed = |errno| io_error(Path::new(path), errno);
        let place = match self.find(path, false) {
            Ok(place) => place,
            Err(Errno::NOENT) => {
                return match self.find(path, true) {
                    Ok(_) => Err(Error::invalid(FILE, path, "is a link to nowhere in the root")),
                    Err(Errno::NOENT) => Ok(None),
                    Err(errno) => Err(failed(errno)),
                };
            }
            Err(errno) => return Err(failed(errno)),
        };
        let status = fstat(&place).map_err(failed)?;
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return Err(Error::invalid(FILE, path, "is not a regular file"));
        }
        if u64::try_from(status.st_size).map_or(true, |size| size > LARGEST_FILE) {
            return Err(too_large(path));
        }
        // The very file that was looked at, whatever has its name by now.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = open(format!("/proc/self/fd/{}", place.as_raw_fd()), flags, Mode::empty());
        let file = file.map_err(|errno| match errno {
            // The file is there, or it would not have been found.
            Errno::NOENT => {
                let op = "open (through /proc/self/fd: is /proc mounted?) the root's";
                Error::Io { op, path: path.into(), source: errno.into() }
            }
            errno => failed(errno),
        })?;
        Ok(Some(File::from(file)))
    }

    fn find(&self, path: &str, no_follow: bool) -> Result<OwnedFd, Errno> {
        match self {
            Root::Directory(root) => find_in(root, path, no_follow),
            Root::Layers(layers) => merged::find(layers, path, no_follow),
        }
    }
}

fn find_in(root: &OwnedFd, path: &str, no_follow: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH | OFlags::CLOEXEC;
    flags.set(OFlags::NOFOLLOW, no_follow);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        match openat2(root, path, flags, Mode::empty(), resolve) {
            // The kernel gives up when a rename elsewhere may have raced with "..".
            Err(Errno::AGAIN) if tries < 128 => tries += 1,
            other => return other,
        }
    }
}

const FILE: &str = "the root's file";

fn too_large(path: &str) -> Error {
    Error::invalid(FILE, path, format!("is larger than {LARGEST_FILE} bytes"))
}

fn malformed(path: &str, at: usize) -> Error {
    Error::invalid(FILE, path, format!("line {at} has no proper number"))
}

fn io_error(path: &Path, source: impl Into<io::Error>) -> Error {
    let source = source.into();
    let op = match Errno::from_io_error(&source) {
        Some(Errno::NOSYS) => {
            "openat2 (hotcell needs Linux 5.14; on a newer one a system call filter around this \
             process refuses the call) of the root's"
        }
        _ => "read the root's",
    };
    Error::Io { op, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
