//! A bundle: a specification, and mostly a directory with it as `config.json`.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

#[cfg(feature = "cli")]
use oci_spec::runtime::Process;
use oci_spec::runtime::{LinuxSeccomp, Spec};

use super::Error;
use super::config::CellConfig;
use super::read::{self, Flaw};
use super::spec::{set_rules, spec_and_rules};
use crate::fault::{self, Point};
use crate::seccomp::{self, Program};

/// The name every runtime looks for.
pub(crate) const CONFIG: &str = "config.json";

/// An OCI bundle: the specification, and the directory it stands in if it was ever written.
#[derive(Clone, Debug)]
pub struct Bundle {
    dir: Option<PathBuf>,
    spec: Spec,
    /// The specification's system call rules, where they do not stand in it.
    rules: Option<Arc<LinuxSeccomp>>,
}

impl Bundle {
    /// A bundle that no other runtime is going to read: nothing is written, and its paths on the
    /// host must be absolute.
    #[must_use]
    pub fn in_memory(spec: Spec) -> Bundle {
        Bundle { dir: None, spec, rules: None }
    }

    /// The bundle of a wish, in memory. Its system call rules are shared with others of the kind.
    ///
    /// # Errors
    /// As [`spec`](super::spec).
    pub(crate) fn of(config: &CellConfig) -> Result<Bundle, Error> {
        let (spec, rules) = spec_and_rules(config)?;
        Ok(Bundle { dir: None, spec, rules })
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
        let unwritable = |error: serde_json::Error| Error::Json {
            path: path.clone(),
            at: ".".to_owned(),
            why: error.to_string(),
        };
        let text = serde_json::to_vec_pretty(&spec).map_err(unwritable)?;
        let open = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        fault::at(Point::BundleFile, open)
            .and_then(|mut file| fault::at(Point::BundleWrite, || file.write_all(&text)))
            .map_err(io("write", &path))?;
        Ok(Bundle { dir: Some(dir.to_owned()), spec, rules: None })
    }

    /// Writes a bundle that is in memory, as [`create`](Bundle::create) does.
    pub(crate) fn keep(self, dir: &Path) -> Result<Bundle, Error> {
        Bundle::create(dir, self.into_spec())
    }

    /// Reads the bundle in `dir`. A capability whose name nobody knows is left out with a warning, as
    /// other runtimes do.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Json`] with the file, and with the field that is wrong.
    pub fn load(dir: &Path) -> Result<Bundle, Error> {
        let path = dir.join(CONFIG);
        let text = std::fs::read(&path).map_err(|source| Error::Io {
            op: "read",
            path: path.clone(),
            source,
        })?;
        Bundle::parse(dir, &text)
    }

    /// The bundle in `dir`, whose `config.json` has been read.
    pub(crate) fn parse(dir: &Path, text: &[u8]) -> Result<Bundle, Error> {
        let wrong = |Flaw { at, why }| Error::Json { path: dir.join(CONFIG), at, why };
        let spec = read::spec(text).map_err(wrong)?;
        Ok(Bundle { dir: Some(dir.to_owned()), spec, rules: None })
    }

    /// What a file of its own tells of a process, as `exec` of engines has it.
    #[cfg(feature = "cli")]
    pub(crate) fn parse_process(path: &Path, text: &[u8]) -> Result<Process, Error> {
        let wrong = |Flaw { at, why }| Error::Json { path: path.to_owned(), at, why };
        read::process(text).map_err(wrong)
    }

    /// A bundle in memory from the text of a `config.json`.
    ///
    /// # Errors
    /// [`Error::Json`] with the field that is wrong.
    pub fn from_json(text: &[u8]) -> Result<Bundle, Error> {
        let invalid = |Flaw { at, why }| Error::Json { path: CONFIG.into(), at, why };
        read::spec(text).map_err(invalid).map(Bundle::in_memory)
    }

    /// The directory, if there is one.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// The specification. In that of a driver's own bundle, which is in memory, `linux.seccomp` is
    /// left out: cells of a kind share it.
    #[must_use]
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    pub(crate) fn spec_mut(&mut self) -> &mut Spec {
        &mut self.spec
    }

    /// The whole specification.
    pub(crate) fn into_spec(self) -> Spec {
        let Bundle { mut spec, rules, .. } = self;
        set_rules(&mut spec, rules);
        spec
    }

    /// The program that the system call rules come to on this machine; none without rules. Worked
    /// out once for all that share them.
    pub(crate) fn filter(&self) -> Result<Option<Arc<Program>>, seccomp::Error> {
        if let Some(rules) = &self.rules {
            return seccomp::shared_program(rules).map(Some);
        }
        let written = self.spec.linux().as_ref().and_then(|linux| linux.seccomp().as_ref());
        written.map(seccomp::program).transpose()
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
