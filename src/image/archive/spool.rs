//! Streams and compressed archives, laid down in a file without a name.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, unlinkat};
use rustix::io::Errno;

use super::region::Region;
use super::{Error, Options};
use crate::image::Compression;

/// How large a window Zstandard may ask for, as a power of two: 32 MiB, four times what every decoder
/// must take.
const WINDOW: u32 = 25;
/// How much is copied at a time.
const PIECE: usize = 256 << 10;

/// The archive in a file: the file itself if it is one with a plain tar.
pub(super) fn file(path: &Path, options: &Options) -> Result<Region, Error> {
    let failed = |source: io::Error| Error::io("open", path, source);
    let file = File::open(path).map_err(failed)?;
    let kind = file.metadata().map_err(failed)?.file_type();
    if kind.is_dir() {
        return Err(failed(Errno::ISDIR.into()));
    }
    if !kind.is_file() {
        return stream(Box::new(file), path, options);
    }
    let region = Region::whole(file).map_err(failed)?;
    let head = region.head::<4>().map_err(failed)?;
    match Compression::of(&head) {
        Compression::None => Ok(region),
        _ => stream(Box::new(region.reader()), path, options),
    }
}

/// What a stream holds, without compression.
pub(super) fn stream(
    mut from: Box<dyn Read + Send>,
    name: &Path,
    options: &Options,
) -> Result<Region, Error> {
    let read = |source: io::Error| Error::io("read", name, source);
    let mut head = Vec::with_capacity(4);
    from.by_ref().take(4).read_to_end(&mut head).map_err(read)?;
    let compression = Compression::of(&head);
    let whole = io::Cursor::new(head).chain(from);
    let plain: Box<dyn Read> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(PIECE, whole)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(whole).map_err(read)?;
            decoder.window_log_max(WINDOW).map_err(read)?;
            Box::new(decoder)
        }
    };
    lay_down(plain, name, options)
}

fn lay_down(mut from: Box<dyn Read>, name: &Path, options: &Options) -> Result<Region, Error> {
    let written =
        |source: io::Error| Error::io("write a temporary file in", &options.spool, source);
    let mut to = nameless(&options.spool).map_err(|errno| written(errno.into()))?;
    let mut piece = vec![0; PIECE];
    let mut len = 0;
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::io("read", name, error)),
        };
        len += read as u64;
        if len > options.spool_limit {
            let limit = options.spool_limit;
            return Err(Error::Limit { from: name.into(), what: "bytes", limit });
        }
        to.write_all(&piece[..read]).map_err(written)?;
    }
    Ok(Region { file: to.into(), offset: 0, len })
}

/// A file that nobody else can open, gone when it is closed.
fn nameless(dir: &Path) -> Result<File, Errno> {
    let dir = open(dir, OFlags::DIRECTORY | OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let owner = Mode::RUSR | Mode::WUSR;
    match openat(&dir, ".", flags | OFlags::TMPFILE, owner) {
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => named_then_not(&dir, flags, owner),
        other => Ok(File::from(other?)),
    }
}

/// The same on a file system that has no nameless files.
fn named_then_not(dir: &OwnedFd, flags: OFlags, mode: Mode) -> Result<File, Errno> {
    let mut random = [0; 16];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let name = format!(".spool-{:032x}", u128::from_ne_bytes(random));
    let file = openat(dir, &name, flags | OFlags::CREATE | OFlags::EXCL, mode)?;
    unlinkat(dir, &name, AtFlags::empty())?;
    Ok(File::from(file))
}
