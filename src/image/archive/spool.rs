//! Streams and compressed archives, laid down in a file without a name.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;

use rustix::fs::{AtFlags, Mode, OFlags, open, openat, unlinkat};
use rustix::io::Errno;

use super::region::Region;
use super::{Error, Options};
use crate::image::Compression;

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
    let packed = Rc::new(Cell::new(0));
    let whole = Counted { from: io::Cursor::new(head).chain(from), read: packed.clone() };
    let plain: Box<dyn Read> = match compression {
        Compression::None => Box::new(whole),
        Compression::Gzip => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(PIECE, whole)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::Decoder::new(whole).map_err(read)?;
            decoder.window_log_max(options.limits.zstd_window_log).map_err(read)?;
            Box::new(decoder)
        }
    };
    lay_down(plain, name, options, &|| packed.get())
}

/// Says how many bytes have been read, for whoever doesn't have it any more.
struct Counted<R> {
    from: R,
    read: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

fn lay_down(
    mut from: Box<dyn Read>,
    name: &Path,
    options: &Options,
    packed: &dyn Fn() -> u64,
) -> Result<Region, Error> {
    let limits = &options.limits;
    let too_much = |what, limit| Err(Error::Limit { from: name.into(), what, limit });
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
            return too_much("bytes", options.spool_limit);
        }
        // A bomb ends here, as one in a layer does.
        if len > limits.free_bytes && len > packed().saturating_mul(limits.ratio) {
            return too_much("bytes for each compressed one", limits.ratio);
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
