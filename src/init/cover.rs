//! Memory file systems that keep what they cover: its mode, or a copy of all that is in it.
//!
//! What is copied is the image's. Names are looked up one at a time in directories that are open, and
//! no link is followed; what is copied to stands nowhere yet, so nobody else is there.

use super::files;
use super::kernel::{self, Argument, Fault, Fd, Outcome, Text, call};
use super::plan::Plan;
use super::wire::{COPY_UP, KEEP_MODE, Step};
use crate::sys::abi::*;
use crate::sys::raw::{Errno, nr};

/// How deep a copied tree may be: each directory on the way is open, and takes its share of the stack.
const DEEPEST: usize = 48;
/// A name has up to 255 bytes, an option of a file system no more than this.
const LONGEST: usize = 512;
const LISTING: usize = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/// Mounts the file system of the step on the directory, which it keeps the mode or content of.
#[inline(never)]
pub(crate) fn mount(covered: &Fd, plan: &Plan, step: &Step) -> Outcome {
    let context = files::new_file_system(plan.text(step.text[2])?)?;
    if step.flags & KEEP_MODE != 0 {
        let digits = octal(files::look(covered)?.mode);
        let mode = Text::within(&digits).ok_or(Fault::new(nr::fsconfig, Errno::EINVAL))?;
        files::configure(&context, Text::literal(c"mode"), mode)?;
    }
    configure_all(&context, plan.text(step.text[3])?)?;
    let read_only = step.number[1] & MOUNT_ATTR_RDONLY;
    let made = files::create(&context, step.number[1] & !MOUNT_ATTR_RDONLY)?;
    if step.flags & COPY_UP != 0 {
        let from = open(covered, Text::literal(c"."), LISTING, 0)?;
        copy_directory(&from, &made, 0)?;
    }
    if read_only != 0 {
        let attr = MountAttr { attr_set: read_only, ..MountAttr::default() };
        files::set_attributes(&made, &attr, false)?;
    }
    kernel::move_mount(&made, covered)
}

/// Gives the options, which stand between commas.
pub(crate) fn configure_all(context: &Fd, options: Text) -> Outcome {
    options.bytes().split(|byte| *byte == b',').try_for_each(|option| configure(context, option))
}

/// The four digits of a mode, and a NUL.
fn octal(mode: u32) -> [u8; 5] {
    let digit = |shift: u32| b'0' + (mode >> shift & 7) as u8;
    [digit(9), digit(6), digit(3), digit(0), 0]
}

/// Gives one option, `name=value` or a word alone.
fn configure(context: &Fd, option: &[u8]) -> Outcome {
    let too_long = Fault::new(nr::fsconfig, Errno::ENAMETOOLONG);
    if option.is_empty() {
        return Ok(());
    }
    let mut buffer = [0; LONGEST + 1];
    buffer
        .get_mut(..option.len())
        .filter(|_| option.len() < LONGEST)
        .ok_or(too_long)?
        .copy_from_slice(option);
    let mut value = Text::NONE;
    if let Some(at) = option.iter().position(|byte| *byte == b'=') {
        buffer[at] = 0;
        value = Text::within(&buffer[at + 1..]).ok_or(too_long)?;
    }
    files::configure(context, Text::within(&buffer).ok_or(too_long)?, value)
}

fn open(dir: &Fd, name: Text, flags: usize, mode: usize) -> Outcome<Fd> {
    // SAFETY: a NUL-terminated name and numbers.
    unsafe { call(nr::openat, [dir.slot(), name.slot(), flags | O_CLOEXEC, mode]) }
        .map(|fd| Fd(fd as i32))
}

/// Copies all that is in the open directory `from` to `to`.
fn copy_directory(from: &Fd, to: &Fd, depth: usize) -> Outcome {
    // `struct linux_dirent64`: the record's length, and where its name starts.
    const LENGTH_AT: usize = 16;
    const NAME_AT: usize = 19;
    if depth == DEEPEST {
        return Err(Fault::new(nr::getdents64, Errno::ENAMETOOLONG));
    }
    let mut records = [0u8; 2048];
    loop {
        let args = [from.slot(), records.as_mut_ptr() as usize, records.len()];
        // SAFETY: the kernel writes at most the length given.
        let count = unsafe { call(nr::getdents64, args) }?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = records.get(..count).unwrap_or_default();
        while rest.len() > NAME_AT {
            let length = usize::from(u16::from_ne_bytes([rest[LENGTH_AT], rest[LENGTH_AT + 1]]));
            let (record, others) = rest.split_at(length.clamp(NAME_AT, rest.len()));
            let name = Text::within(&record[NAME_AT..]);
            let name = name.ok_or(Fault::new(nr::getdents64, Errno::EINVAL))?;
            if name.bytes() != b"." && name.bytes() != b".." {
                copy(from, to, name, depth)?;
            }
            rest = others;
        }
    }
}

/// Copies one entry, whatever it is, with its mode and its owner.
fn copy(from: &Fd, to: &Fd, name: Text, depth: usize) -> Outcome {
    let file = open(from, name, O_PATH | O_NOFOLLOW, 0)?;
    let look = files::look(&file)?;
    match look.kind.bits {
        S_IFDIR => {
            kernel::mkdir_at(to.0, name, 0o700)?;
            let inner = open(from, name, LISTING, 0)?;
            copy_directory(&inner, &open(to, name, LISTING, 0)?, depth + 1)?;
        }
        S_IFREG => copy_content(from, to, name)?,
        S_IFLNK => copy_link(&file, to, name)?,
        kind => {
            let (major, minor) = look.kind.device;
            let device = u64::from(minor & 0xff)
                | u64::from(major & 0xfff) << 8
                | u64::from(minor & !0xff) << 12
                | u64::from(major & !0xfff) << 32;
            kernel::mknod_at(to.0, name, u64::from(kind | 0o600), device)?;
        }
    }
    kernel::chown_at(to.0, name, look.uid, look.gid)?;
    match look.kind.bits {
        S_IFLNK => Ok(()),
        _ => kernel::chmod_at(to.0, name, look.mode),
    }
}

fn copy_content(from: &Fd, to: &Fd, name: Text) -> Outcome {
    const AT_ONCE: usize = 1 << 30;
    // Somebody may put a FIFO there meanwhile: nothing waits for that.
    let source = open(from, name, O_NOFOLLOW | O_NONBLOCK, 0)?;
    let copy = open(to, name, O_WRONLY | O_CREAT | O_EXCL, 0o600)?;
    // SAFETY: no offset is given, and the rest are numbers.
    while unsafe { call(nr::sendfile, [copy.slot(), source.slot(), 0, AT_ONCE]) }? > 0 {}
    Ok(())
}

fn copy_link(link: &Fd, to: &Fd, name: Text) -> Outcome {
    let mut content = [0u8; 4097];
    let empty = Text::literal(c"");
    let args = [link.slot(), empty.slot(), content.as_mut_ptr() as usize, content.len() - 1];
    // SAFETY: the kernel writes at most the length given, which leaves a NUL behind it.
    unsafe { call(nr::readlinkat, args) }?;
    let content = Text::within(&content).ok_or(Fault::new(nr::readlinkat, Errno::EINVAL))?;
    kernel::symlink_at(content, to.0, name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mode_is_written_in_octal() {
        assert_eq!(&octal(0o1777), b"1777\0");
        assert_eq!(&octal(0o50), b"0050\0");
    }
}
