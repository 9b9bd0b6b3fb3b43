//! Archives of images: what `docker save` writes, old and new, and OCI layouts, opened and written.
//!
//! ```text
//!  Input ──► spool ──► Members ──► layout, docker ──► ArchivedImage (documents read, layers found)
//! ```
//!
//! An archive is a tar file, plain or compressed, from a disk or a stream, or a directory. What is in
//! it is looked up by exact names, and links are not followed, but for those by which old Dockers wrote
//! a layer once. Every document has the digest that leads to it; the bytes of a layer are
//! only found here, and whoever reads them checks them.

mod docker;
mod error;
mod layout;
mod members;
mod names;
mod region;
mod save;
mod spool;
mod tar;

use std::io::Read;
use std::path::PathBuf;

pub use error::Error;
#[cfg(feature = "pull")]
pub(in crate::image) use layout::check;
pub use region::{Region, RegionReader};
pub use save::{Output, save};

use super::unpack::Limits;
use super::{Descriptor, Digest, Document, ImageConfig, Manifest, Platform, Reference};
use members::Members;

/// Where an archive comes from.
pub enum Input {
    /// A file: a tar, plain or compressed with gzip or Zstandard.
    File(PathBuf),
    /// A directory with an OCI layout.
    Directory(PathBuf),
    /// A stream of what a file would hold.
    Reader(Box<dyn Read + Send>),
}

impl Input {
    /// A directory if there is one at the path, else a file.
    #[must_use]
    pub fn path(path: impl Into<PathBuf>) -> Input {
        let path = path.into();
        if path.is_dir() { Input::Directory(path) } else { Input::File(path) }
    }

    /// How messages call it.
    fn shown(&self) -> PathBuf {
        match self {
            Input::File(path) | Input::Directory(path) => path.clone(),
            Input::Reader(_) => "the stream".into(),
        }
    }
}

impl std::fmt::Debug for Input {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Input({})", self.shown().display())
    }
}

/// How an archive is opened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The directory in which a stream, or what a compressed file holds, lies without a name while
    /// the archive is open.
    pub spool: PathBuf,
    /// How many bytes may lie there.
    pub spool_limit: u64,
    /// Of these the ratio and the window bind a compressed archive as they do a compressed layer.
    pub limits: Limits,
    /// For what a list of images for many platforms is asked. The host's if not set.
    pub platform: Platform,
}

impl Options {
    /// Options with this directory, 64 GiB and the host's platform.
    #[must_use]
    pub fn new(spool: impl Into<PathBuf>) -> Options {
        Options {
            spool: spool.into(),
            spool_limit: 64 << 30,
            limits: Limits::default(),
            platform: Platform::host(),
        }
    }
}

/// An open archive.
#[derive(Debug)]
pub struct Archive {
    images: Vec<ArchivedImage>,
}

/// An image in an archive. Its documents are read and checked, its layers are found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchivedImage {
    /// The names that the archive gives it.
    pub names: Vec<Reference>,
    /// Tags without a name, as OCI layouts of one repository have them.
    pub tags: Vec<String>,
    /// The manifest. An archive of Docker's old form has none: then it is made up, and always the same.
    pub manifest: Document<Manifest>,
    /// The configuration, whose digest is the image's id.
    pub config: Document<ImageConfig>,
    /// The layers, lowest first: as many as the configuration has `diff_ids`.
    pub layers: Vec<ArchivedLayer>,
}

impl ArchivedImage {
    /// An image to be [saved](save).
    #[must_use]
    pub fn new(
        names: Vec<Reference>,
        manifest: Document<Manifest>,
        config: Document<ImageConfig>,
        layers: Vec<ArchivedLayer>,
    ) -> ArchivedImage {
        ArchivedImage { names, tags: Vec::new(), manifest, config, layers }
    }
}

/// A layer in an archive.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ArchivedLayer {
    /// What the manifest says of it.
    pub descriptor: Descriptor,
    /// The digest that its bytes must have without compression.
    pub diff_id: Digest,
    /// Where its bytes are, as they stand in the archive. Nobody has hashed them yet.
    pub region: Region,
}

impl ArchivedLayer {
    /// A layer to be [saved](save).
    #[must_use]
    pub fn new(descriptor: Descriptor, diff_id: Digest, region: Region) -> ArchivedLayer {
        ArchivedLayer { descriptor, diff_id, region }
    }
}

impl Archive {
    /// Opens an archive and reads all its documents.
    ///
    /// # Errors
    /// What is wrong with it, by the name of the member; what the file system refuses.
    pub fn open(input: Input, options: &Options) -> Result<Archive, Error> {
        let from = input.shown();
        let members = match input {
            Input::Directory(path) => Members::of_directory(&path)?,
            Input::File(path) => Members::of_tar(spool::file(&path, options)?, &from)?,
            Input::Reader(reader) => {
                Members::of_tar(spool::stream(reader, &from, options)?, &from)?
            }
        };
        Archive::read(&members, &options.platform)
    }

    fn read(members: &Members, platform: &Platform) -> Result<Archive, Error> {
        let layout = members.has(layout::MARK)? || members.has(layout::INDEX)?;
        let saved = docker::list(members)?;
        let images = match (layout, saved) {
            (true, None) => layout::images(members, platform)?.chosen,
            // A newer Docker writes both, and they must speak of the same.
            (true, Some(saved)) => {
                let found = layout::images(members, platform)?;
                docker::compare(&saved, found)?
            }
            (false, Some(saved)) => docker::images(members, &saved)?,
            (false, None) => return Err(docker::unknown(members)?),
        };
        if images.is_empty() {
            return Err(Error::NoImage { from: members.shown() });
        }
        Ok(Archive { images })
    }

    /// The images in the archive, at least one.
    #[must_use]
    pub fn images(&self) -> &[ArchivedImage] {
        &self.images
    }

    /// The same, to keep.
    #[must_use]
    pub fn into_images(self) -> Vec<ArchivedImage> {
        self.images
    }
}

#[cfg(test)]
mod tests;
