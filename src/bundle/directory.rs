//! A bundle: a specification, and mostly a directory with it as `config.json`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;

use super::Error;
use crate::fault::{self, Point};

/// The name every runtime looks for.
pub(crate) const CONFIG: &str = "config.json";

/// An OCI bundle: the specification, and the directory it stands in if it was ever written.
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: Option<PathBuf>,
    spec: Spec,
}

impl Bundle {
    /// A bundle that no other runtime is going to read: nothing is written, and its paths on the
    /// host must be absolute.
    #[must_use]
    pub fn in_memory(spec: Spec) -> Bundle {
        Bundle { dir: None, spec }
    }

    /// Writes `config.json` into `dir`, which is made when missing. Only the owner can read it:
    /// the environment may hold secrets. A bundle that is there already is not overwritten.
    ///
    /// # Errors
    /// [`Error::Io`] with the file or directory.
    pub fn create(dir: &Path, spec: Spec) -> Result<Bundle, Error> {
        let io = |op, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { op, path, source }
        };
        fault::at(Point::BundleDirectory, || {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)
        })
        .map_err(io("make", dir))?;
        let path = dir.join(CONFIG);
        let text = serde_json::to_vec_pretty(&spec)
            .map_err(|source| Error::Json { path: path.clone(), source })?;
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        fault::at(Point::BundleFile, open)
            .and_then(|mut file| fault::at(Point::BundleWrite, || file.write_all(&text)))
            .map_err(io("write", &path))?;
        Ok(Bundle { dir: Some(dir.to_owned()), spec })
    }

    /// Reads the bundle in `dir`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Json`] with the file.
    pub fn load(dir: &Path) -> Result<Bundle, Error> {
        let path = dir.join(CONFIG);
        let text = std::fs::read(&path).map_err(|source| Error::Io {
            op: "read",
            path: path.clone(),
            source,
        })?;
        let spec = serde_json::from_slice(&text).map_err(|source| Error::Json { path, source })?;
        Ok(Bundle { dir: Some(dir.to_owned()), spec })
    }

    /// The directory, if there is one.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The specification.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// `root.path` as an absolute path.
    #[must_use]
    pub fn rootfs(&self) -> Option<PathBuf> {
        self.on_host(self.spec.root().as_ref()?.path())
    }

    /// A path of the specification on the host: a relative one starts at the bundle's directory, and
    /// leads nowhere without one.
    #[must_use]
    pub fn on_host(&self, path: &Path) -> Option<PathBuf> {
        match &self.dir {
            Some(dir) => Some(dir.join(path)),
            None => path.is_absolute().then(|| path.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{CellConfig, spec};

    #[test]
    fn a_bundle_is_read_back_as_written_and_never_overwritten() {
        let at = tempfile::tempdir().unwrap();
        let dir = at.path().join("bundle");
        let spec = spec(&CellConfig::new("/srv/rootfs", ["true"])).unwrap();
        Bundle::create(&dir, spec.clone()).unwrap();
        let read = Bundle::load(&dir).unwrap();
        assert_eq!(read.spec(), &spec);
        assert_eq!(read.rootfs().unwrap(), Path::new("/srv/rootfs"));
        assert!(Bundle::create(&dir, spec).is_err());
        assert_eq!(read.on_host(Path::new("a")).unwrap(), dir.join("a"));
    }

    #[test]
    fn without_a_directory_a_relative_path_leads_nowhere() {
        let bundle = Bundle::in_memory(Spec::default());
        assert_eq!((bundle.dir(), bundle.on_host(Path::new("a"))), (None, None));
        assert_eq!(bundle.on_host(Path::new("/a")).unwrap(), Path::new("/a"));
    }
}
