//! Where a path leads in root when part of it is not there yet: links are followed as far as they go,
//! as other runtimes do for what they mount.

use super::files;
use super::kernel::{Argument, EMPTY, Fault, Fd, Outcome, Text, call};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

const PATH_MAX: usize = 4096;
/// As many links as the kernel follows.
const MOST_LINKS: usize = 40;

/// Hands on the path that `path` stands for, free of links. Nothing is opened outside the root,
/// whatever becomes of a link meanwhile: what is handed on is resolved in root once more.
#[cold]
#[inline(never)]
pub(crate) fn resolve<T>(
    root: &Fd,
    path: Text,
    then: impl FnOnce(Text) -> Outcome<T>,
) -> Outcome<T> {
    let mut done = Joined::new();
    let mut rest = Joined::new();
    rest.push(path.bytes())?;
    let (mut at, mut links) = (0, 0);
    while at < rest.length {
        let tail = &rest.bytes[at..rest.length];
        let length = tail.iter().position(|byte| *byte == b'/').unwrap_or(tail.len());
        let part = &tail[..length];
        at += length + 1;
        match part {
            b"" | b"." => continue,
            b".." => {
                done.pop();
                continue;
            }
            part => done.push(part)?,
        }
        let mut content = [0; PATH_MAX];
        let Some(length) = read_link(root, &done, &mut content)? else { continue };
        links += 1;
        if links > MOST_LINKS {
            return Err(Fault::new(nr::readlinkat, Errno::ELOOP));
        }
        match content[0] {
            b'/' => done = Joined::new(),
            _ => done.pop(),
        }
        let mut further = Joined::new();
        further.push(&content[..length])?;
        further.push(rest.bytes.get(at..rest.length).unwrap_or_default())?;
        (rest, at) = (further, 0);
    }
    then(done.text()?)
}

/// The content of the link at `path` in root; `None` for what is no link, or not there.
fn read_link(root: &Fd, path: &Joined, content: &mut [u8; PATH_MAX]) -> Outcome<Option<usize>> {
    let found = match files::open_in_root(root, path.text()?, O_PATH | O_NOFOLLOW, false) {
        Err(fault) if fault.is(Errno::ENOENT) => return Ok(None),
        found => found?,
    };
    if files::kind(&found)?.bits != S_IFLNK {
        return Ok(None);
    }
    let args = [found.slot(), EMPTY.slot(), content.as_mut_ptr() as usize, content.len()];
    // SAFETY: the kernel writes at most the length given.
    unsafe { call(nr::readlinkat, args) }.map(Some)
}

/// A path put together part by part, each with a slash in front.
struct Joined {
    /// All zero behind the path.
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Joined {
    fn new() -> Joined {
        Joined { bytes: [0; PATH_MAX], length: 0 }
    }

    fn push(&mut self, part: &[u8]) -> Outcome {
        let end = self.length + 1 + part.len();
        // One byte stays for the NUL.
        if end >= PATH_MAX {
            return Err(Fault::new(nr::readlinkat, Errno::ENAMETOOLONG));
        }
        self.bytes[self.length] = b'/';
        self.bytes[self.length + 1..end].copy_from_slice(part);
        self.length = end;
        Ok(())
    }

    fn pop(&mut self) {
        let end = self.bytes[..self.length].iter().rposition(|byte| *byte == b'/').unwrap_or(0);
        self.bytes[end..self.length].fill(0);
        self.length = end;
    }

    fn text(&self) -> Outcome<Text> {
        if self.length == 0 {
            return Ok(Text::literal(c"/"));
        }
        Text::within(&self.bytes).ok_or(Fault::new(nr::readlinkat, Errno::ENAMETOOLONG))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::IntoRawFd;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_far_as_they_go_and_never_out() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        std::fs::create_dir_all(at("etc")).unwrap();
        symlink("../run/resolve/conf", at("etc/conf")).unwrap();
        symlink("/run//there/", at("var")).unwrap();
        symlink("../../../../top", at("up")).unwrap();
        symlink("loop", at("loop")).unwrap();
        let fd = Fd(std::fs::File::open(root.path()).unwrap().into_raw_fd());
        let led = |path: &str| {
            let path = format!("{path}\0");
            resolve(&fd, Text::within(path.as_bytes()).unwrap(), |path| Ok(path.bytes().to_vec()))
                .map(|path| String::from_utf8(path).unwrap())
        };
        assert_eq!(led("/etc/conf").unwrap(), "/run/resolve/conf");
        assert_eq!(led("/var/x/../y").unwrap(), "/run/there/y");
        assert_eq!(led("/no/such/../where").unwrap(), "/no/where");
        assert_eq!(led("/up").unwrap(), "/top");
        assert_eq!(led("/etc/../..").unwrap(), "/");
        assert!(led("/loop").unwrap_err().is(Errno::ELOOP));
        assert!(led(&format!("/{}", "a/".repeat(3000))).unwrap_err().is(Errno::ENAMETOOLONG));
    }
}
