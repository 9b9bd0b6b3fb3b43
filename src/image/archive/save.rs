//! Images written as an OCI layout, with the list that `docker load` reads beside it in a tar file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RawDir, mkdirat, open, openat};
use rustix::io::Errno;
use serde_json::json;

use super::layout::{INDEX, MARK, blob};
use super::region::{Region, RegionReader};
use super::{ArchivedImage, Error, docker, names, tar};
use crate::image::{Algorithm, Descriptor, Digest, Hasher, Index, Reference};

/// Where images are written to.
pub enum Output<'a> {
    /// A tar file, without compression.
    Writer(&'a mut dyn Write),
    /// A directory, which must be empty or not there.
    Directory(&'a Path),
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Output::Writer(_) => "Output::Writer",
            Output::Directory(_) => "Output::Directory",
        })
    }
}

/// Writes images as an OCI layout. The same images give the same bytes.
///
/// Each name stands in the notes of the index as `org.opencontainers.image.ref.name` and
/// `io.containerd.image.name`, in full. A blob that images share is written once, and each is hashed
/// on the way.
///
/// # Errors
/// [`Error::Changed`] if a layer's bytes are not what its descriptor says, and what the system refuses.
/// What has been written until then stays.
pub fn save(images: &[ArchivedImage], to: Output<'_>) -> Result<(), Error> {
    match to {
        Output::Writer(writer) => {
            let mut tar = Tar { writer: tar::Writer::new(writer) };
            write(images, &mut tar)?;
            file(&mut tar, docker::LIST, &docker_list(images))?;
            tar.writer.finish().map_err(failed)
        }
        Output::Directory(path) => write(images, &mut Directory::new(path)?),
    }
}

fn write(images: &[ArchivedImage], to: &mut impl Sink) -> Result<(), Error> {
    file(to, MARK, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    to.directory("blobs")?;
    let mut written = Written::default();
    for image in images {
        for (digest, bytes) in [
            (image.manifest.digest(), image.manifest.bytes()),
            (image.config.digest(), image.config.bytes()),
        ] {
            if written.wants(digest, to)? {
                file(to, &blob(digest), bytes)?;
            }
        }
        for layer in &image.layers {
            if written.wants(&layer.descriptor.digest, to)? {
                copy(to, &layer.descriptor.digest, &layer.region)?;
            }
        }
    }
    file(to, INDEX, &Index::new(entries(images)).to_json())
}

/// Where files go.
trait Sink {
    fn directory(&mut self, name: &str) -> Result<(), Error>;

    /// A file of so many bytes.
    fn put(&mut self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), Error>;
}

/// What has been written. Directories are made when something goes there.
#[derive(Default)]
struct Written {
    algorithms: BTreeSet<Algorithm>,
    blobs: BTreeSet<Digest>,
}

impl Written {
    fn wants(&mut self, digest: &Digest, to: &mut impl Sink) -> Result<bool, Error> {
        if self.algorithms.insert(digest.algorithm()) {
            to.directory(&format!("blobs/{}", digest.algorithm().name()))?;
        }
        Ok(self.blobs.insert(*digest))
    }
}

fn file(to: &mut impl Sink, name: &str, mut bytes: &[u8]) -> Result<(), Error> {
    to.put(name, bytes.len() as u64, &mut bytes)
}

/// Copies a layer, and looks whether it is the one.
fn copy(to: &mut impl Sink, wanted: &Digest, region: &Region) -> Result<(), Error> {
    let mut from = Hashed { from: region.reader(), hasher: Hasher::new(wanted.algorithm()) };
    to.put(&blob(wanted), region.len, &mut from)?;
    match from.hasher.finish() {
        found if found == *wanted => Ok(()),
        found => Err(Error::Changed { wanted: (*wanted).into(), found: found.into() }),
    }
}

struct Hashed {
    from: RegionReader,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

/// An entry for each name; one for an image without names.
fn entries(images: &[ArchivedImage]) -> Vec<Descriptor> {
    let mut entries = Vec::new();
    for image in images {
        let manifest = &image.manifest;
        let size = manifest.bytes().len() as u64;
        let mut entry = Descriptor::new(manifest.media_type.clone(), *manifest.digest(), size);
        let platform = &image.config.platform;
        entry.platform = (!platform.os.is_empty()).then(|| platform.clone());
        for name in tagged(image) {
            let mut entry = entry.clone();
            for note in [names::FULL, names::SHORT] {
                entry.annotations.insert(note.to_owned(), name.to_string());
            }
            entries.push(entry);
        }
        if tagged(image).next().is_none() {
            entries.push(entry);
        }
    }
    entries
}

/// A name with a digest alone says nothing that the archive does not say.
fn tagged(image: &ArchivedImage) -> impl Iterator<Item = Reference> {
    image.names.iter().filter(|name| name.tag().is_some()).map(Reference::without_digest)
}

fn docker_list(images: &[ArchivedImage]) -> Vec<u8> {
    let list = images.iter().map(|image| {
        json!({
            "Config": blob(image.config.digest()),
            "RepoTags": tagged(image).map(|name| name.familiar()).collect::<Vec<_>>(),
            "Layers": image.layers.iter().map(|it| blob(&it.descriptor.digest)).collect::<Vec<_>>(),
        })
    });
    serde_json::Value::from_iter(list).to_string().into_bytes()
}

struct Tar<'a> {
    writer: tar::Writer<&'a mut dyn Write>,
}

fn failed(error: io::Error) -> Error {
    Error::io("write", "the archive", error)
}

impl Sink for Tar<'_> {
    fn directory(&mut self, name: &str) -> Result<(), Error> {
        self.writer.directory(&format!("{name}/")).map_err(failed)
    }

    fn put(&mut self, name: &str, len: u64, from: &mut dyn Read) -> Result<(), Error> {
        self.writer.file(name, len, from).map_err(failed)
    }
}

struct Directory {
    path: PathBuf,
    dir: OwnedFd,
}

impl Directory {
    fn new(path: &Path) -> Result<Directory, Error> {
        let failed = |op| move |errno: Errno| Error::io(op, path, errno);
        match mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(failed("make")(errno)),
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let dir = open(path, flags, Mode::empty()).map_err(failed("open"))?;
        let mut buffer = Vec::with_capacity(1 << 10);
        let mut entries = RawDir::new(&dir, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed("read"))?;
            if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
                return Err(failed("write an OCI layout in")(Errno::NOTEMPTY));
            }
        }
        Ok(Directory { path: path.to_owned(), dir })
    }
}

impl Sink for Directory {
    fn directory(&mut self, name: &str) -> Result<(), Error> {
        let made = mkdirat(&self.dir, name, Mode::from_raw_mode(0o755));
        made.map_err(|errno| Error::io("make", self.path.join(name), errno))
    }

    fn put(&mut self, name: &str, _: u64, from: &mut dyn Read) -> Result<(), Error> {
        let failed = |error: io::Error| Error::io("write", self.path.join(name), error);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let file = openat(&self.dir, name, flags, Mode::from_raw_mode(0o644));
        let mut file = File::from(file.map_err(|errno| failed(errno.into()))?);
        io::copy(from, &mut file).map(drop).map_err(failed)
    }
}
