//! Where everything of a store lies, and making files and directories there that nobody else can open.

use std::fmt;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::Error;
use super::error::Told;
use crate::image::{Algorithm, Digest};

/// What a store of this version says of itself.
const FORMAT: &str = "hotcell images 1\n";
/// The longest document or record that is ever read.
pub(super) const DOCUMENT_MAX: u64 = 4 << 20;

/// What is unpacked under one name in `layers`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(in crate::image) enum Key {
    /// One layer, by its chain identifier.
    Layer(Digest),
    /// This layer and all below it.
    Merged(Digest),
    /// A directory with nothing in it: the root of an image without layers.
    Empty,
}

const MERGED: &str = "-merged";
const EMPTY: &str = "empty";

impl Key {
    fn parse(name: &str) -> Option<Key> {
        match name.strip_suffix(MERGED) {
            _ if name == EMPTY => Some(Key::Empty),
            Some(name) => digest_of(name).map(Key::Merged),
            None => digest_of(name).map(Key::Layer),
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Layer(chain) => f.write_str(&file_name(chain)),
            Key::Merged(chain) => write!(f, "{}{MERGED}", file_name(chain)),
            Key::Empty => f.write_str(EMPTY),
        }
    }
}

/// A digest as one component of a path.
fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

fn digest_of(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

/// The store's directory.
#[derive(Debug)]
pub(super) struct Place {
    dir: PathBuf,
}

impl Place {
    /// Makes the store at `dir`, or checks the one that is there.
    pub(super) fn open(dir: &Path) -> Result<Place, Error> {
        if let Some(above) = dir.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(above).told("make", above)?;
        }
        new_dir_or_old(dir)?;
        check_private(dir)?;
        // What is mounted later must not depend on what a link says then.
        let place = Place { dir: dir.canonicalize().told("find", dir)? };
        place.check_format()?;
        let algorithms = [Algorithm::Sha256, Algorithm::Sha512].map(Algorithm::name);
        new_dir_or_old(&place.dir.join("blobs"))?;
        let blobs = algorithms.map(|name| place.dir.join("blobs").join(name));
        let others = [place.layers(), place.images(), place.names(), place.work(), place.trash()];
        blobs.iter().chain(&others).try_for_each(|dir| new_dir_or_old(dir))?;
        Ok(place)
    }

    /// A store says that it is one. What says nothing must be empty, lest a sweep deletes what
    /// somebody keeps there.
    fn check_format(&self) -> Result<(), Error> {
        if self.has_format()? {
            return Ok(());
        }
        // A draft is what is left of somebody who was killed in the lines below.
        let foreign = |name: &String| !name.starts_with(".format-") && name != "format";
        if list(&self.dir)?.iter().any(foreign) {
            // Others may have made the store meanwhile: it has said so before it had anything else.
            return match self.has_format()? {
                true => Ok(()),
                false => {
                    let why = "is no store, and there is something in it";
                    Err(Error::Unsafe { path: self.dir.clone(), why })
                }
            };
        }
        let path = self.dir.join("format");
        let draft = self.dir.join(format!(".format-{}", random_name()?));
        write_new(&draft, FORMAT.as_bytes())?;
        let put = sync(&draft).and_then(|()| std::fs::rename(&draft, &path).told("write", &path));
        match put {
            // Whoever checks a store that others have made meanwhile takes a draft for a stray.
            Err(_) if self.has_format()? => Ok(()),
            put => put.and_then(|()| sync(&self.dir)),
        }
    }

    /// Whether it says that it is a store, of this version.
    fn has_format(&self) -> Result<bool, Error> {
        let path = self.dir.join("format");
        match read_bounded(&path, 64) {
            Ok(found) if found == FORMAT.as_bytes() => Ok(true),
            Ok(found) => {
                let found = String::from_utf8_lossy(&found).trim_end().to_owned();
                Err(Error::Format { path: self.dir.clone(), found })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("read", path, error)),
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(super) fn blobs(&self, algorithm: Algorithm) -> PathBuf {
        self.dir.join("blobs").join(algorithm.name())
    }

    pub(super) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs(digest.algorithm()).join(digest.hex())
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    /// A layer: its record and its tree are below.
    pub(super) fn layer(&self, key: &Key) -> PathBuf {
        self.layers().join(key.to_string())
    }

    pub(super) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    pub(super) fn image(&self, id: &Digest) -> PathBuf {
        self.images().join(file_name(id))
    }

    pub(super) fn names(&self) -> PathBuf {
        self.dir.join("names")
    }

    /// The file of a name in its full form. A name can be longer than a file's may, and has slashes.
    pub(super) fn name(&self, canonical: &str) -> PathBuf {
        self.names().join(Digest::sha256(canonical.as_bytes()).hex())
    }

    pub(super) fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    pub(super) fn trash(&self) -> PathBuf {
        self.dir.join("trash")
    }

    /// All images' identifiers.
    pub(super) fn image_ids(&self) -> Result<Vec<Digest>, Error> {
        Ok(list(&self.images())?.iter().filter_map(|name| digest_of(name)).collect())
    }

    pub(super) fn layer_keys(&self) -> Result<Vec<Key>, Error> {
        Ok(list(&self.layers())?.iter().filter_map(|name| Key::parse(name)).collect())
    }

    /// Whatever has a name that nothing in a store has.
    pub(super) fn strays(&self) -> Result<Vec<PathBuf>, Error> {
        let hex = |name: &str, digits| {
            name.len() == digits && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        };
        let top = ["format", "blobs", "layers", "images", "names", "work", "trash"];
        type Belongs<'a> = &'a dyn Fn(&str) -> bool;
        let sorts: [(PathBuf, Belongs<'_>); 7] = [
            (self.dir.clone(), &|name| top.contains(&name)),
            (self.dir.join("blobs"), &|name| ["sha256", "sha512"].contains(&name)),
            (self.blobs(Algorithm::Sha256), &|name| hex(name, 64)),
            (self.blobs(Algorithm::Sha512), &|name| hex(name, 128)),
            (self.layers(), &|name| Key::parse(name).is_some()),
            (self.images(), &|name| digest_of(name).is_some()),
            (self.names(), &|name| hex(name, 64)),
        ];
        let mut strays = Vec::new();
        for (dir, belongs) in sorts {
            let names = list(&dir)?.into_iter().filter(|name| !belongs(name));
            strays.extend(names.map(|name| dir.join(name)));
        }
        Ok(strays)
    }

    pub(super) fn blob_digests(&self) -> Result<Vec<Digest>, Error> {
        let mut all = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let parse = |hex: &String| format!("{}:{hex}", algorithm.name()).parse::<Digest>().ok();
            all.extend(list(&self.blobs(algorithm))?.iter().filter_map(parse));
        }
        Ok(all)
    }
}

/// The record of a layer, and its tree.
pub(super) const RECORD: &str = "record";
pub(super) const TREE: &str = "fs";

/// What lies in it decides what root deletes and runs, so nobody else may write or even look.
fn check_private(path: &Path) -> Result<(), Error> {
    let found = std::fs::symlink_metadata(path).told("look at", path)?;
    let refuse = |why| Err(Error::Unsafe { path: path.to_owned(), why });
    match () {
        () if !found.is_dir() => refuse("is not a directory"),
        () if found.uid() != rustix::process::geteuid().as_raw() => refuse("has another owner"),
        () if found.mode() & 0o077 != 0 => refuse("must be closed to group and others (mode 700)"),
        () => Ok(()),
    }
}

/// Makes the directory, with mode 700 whatever the umask is.
pub(super) fn new_dir(path: &Path) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).told("make", path)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).told("make", path)
}

fn new_dir_or_old(path: &Path) -> Result<(), Error> {
    match new_dir(path) {
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Makes a file that was not there, with mode 600 whatever the umask is.
pub(super) fn new_file(path: &Path) -> Result<File, Error> {
    let mut options = File::options();
    let file = options.read(true).write(true).create_new(true).mode(0o600).open(path);
    let file = file.told("make", path)?;
    file.set_permissions(Permissions::from_mode(0o600)).told("make", path)?;
    Ok(file)
}

pub(super) fn write_new(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    new_file(path)?.write_all(bytes).told("write", path)
}

/// Opens what must be there itself and not a link to it, and never waits for a FIFO.
pub(super) fn open_plain(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits() as i32).open(path)
}

/// All of a regular file, unless it is longer than `most`.
pub(super) fn read_bounded(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    read_all(&open_plain(path)?, most)
}

pub(super) fn read_all(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let found = file.metadata()?;
    if !found.is_file() || found.len() > most {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no file, or too long a one"));
    }
    let mut bytes = Vec::with_capacity(found.len() as usize);
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Everything that was done to the file or directory is on the disk.
pub(super) fn sync(path: &Path) -> Result<(), Error> {
    open_plain(path).and_then(|file| file.sync_all()).told("sync", path)
}

/// Everything below the directory's file system is on the disk.
pub(super) fn sync_all(path: &Path) -> Result<(), Error> {
    let dir = open_plain(path).told("open", path)?;
    rustix::fs::syncfs(dir.as_fd()).told("sync the file system of", path)
}

/// The names in a directory that are text; nothing in a store has others.
pub(super) fn list(dir: &Path) -> Result<Vec<String>, Error> {
    let entries = std::fs::read_dir(dir).told("list", dir)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name().into_string().ok()));
    let names: io::Result<Vec<Option<String>>> = names.collect();
    Ok(names.told("list", dir)?.into_iter().flatten().collect())
}

/// A name that nothing else has.
pub(super) fn random_name() -> Result<String, Error> {
    let mut bytes = [0_u8; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .told("read", Path::new("the kernel's random numbers"))?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}
