//! Docker's file of credentials as it is changed: one entry, and nothing else of it.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use rustix::fs::{FlockOperation, flock};
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Serializer, Value, json};

use super::file::{self, BASE64, Place};
use super::matching::{Key, key_of};
use super::{Keyring, KeyringError, Secret};
use crate::image::document::json::{self, Flaw};

/// A file with credentials that can be changed, in Docker's form.
#[derive(Clone, Debug)]
pub struct DockerFile {
    path: PathBuf,
}

/// What a change is made on.
struct Opened {
    /// The file itself, not a link to it.
    path: PathBuf,
    keyring: Keyring,
    whole: Map<String, Value>,
    /// One change after the other, as far as this program makes them.
    _lock: File,
}

impl DockerFile {
    /// The file at a path. There need not be one.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> DockerFile {
        DockerFile { path: path.into() }
    }

    /// The file that this process's environment names: `$REGISTRY_AUTH_FILE`,
    /// `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`.
    ///
    /// # Errors
    /// [`KeyringError::NoPlace`].
    pub fn from_environment() -> Result<DockerFile, KeyringError> {
        let variable = |name| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
        let path = variable("REGISTRY_AUTH_FILE")
            .or_else(|| Some(variable("DOCKER_CONFIG")?.join("config.json")))
            .or_else(|| Some(variable("HOME")?.join(".docker/config.json")));
        Ok(DockerFile::new(path.ok_or(KeyringError::NoPlace)?))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps a user's password for a registry, which is named as in [`Keyring::for_registry`]: in the
    /// file, which only its owner may read, or with the helper that the file names. Gives the helper.
    ///
    /// # Errors
    /// All of [`KeyringError`]. The file is then as it was.
    pub fn store(
        &self,
        registry: &str,
        username: &str,
        password: &Secret,
    ) -> Result<Option<String>, KeyringError> {
        let mut opened = self.open()?;
        let name = opened.keyring.name_in_store(registry).to_owned();
        let helper = opened.keyring.helper(registry).cloned();
        let entry = match &helper {
            Some(helper) => {
                helper.store(&name, username, password)?;
                json!({})
            }
            None => {
                let text = format!("{username}:{}", password.reveal());
                json!({ "auth": BASE64.encode(text) })
            }
        };
        let auths = opened.auths();
        auths.retain(|key, _| !Key::new(key).is(registry));
        let key = if helper.is_some() { name } else { key_of(registry).to_owned() };
        auths.insert(key, entry);
        opened.write()?;
        Ok(helper.map(|helper| helper.program()))
    }

    /// Forgets the credentials for a registry, wherever they are. Says whether there were any.
    ///
    /// # Errors
    /// All of [`KeyringError`].
    pub fn erase(&self, registry: &str) -> Result<bool, KeyringError> {
        if !self.path.exists() {
            return Ok(false);
        }
        let mut opened = self.open()?;
        let mut found = false;
        if let Some(helper) = opened.keyring.helper(registry) {
            let name = opened.keyring.name_in_store(registry);
            found = helper.get(name)?.is_some();
            helper.erase(name)?;
        }
        let auths = opened.auths();
        let before = auths.len();
        auths.retain(|key, _| !Key::new(key).is(registry));
        if auths.len() != before {
            found = true;
            opened.write()?;
        }
        Ok(found)
    }

    fn failed(&self) -> impl Fn(io::Error) -> KeyringError {
        let place = self.path.display().to_string();
        move |source| KeyringError::Write { place: place.clone(), source }
    }

    fn open(&self) -> Result<Opened, KeyringError> {
        let path = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let directory = match path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(self.failed())?;
        let lock = File::open(directory).map_err(self.failed())?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|errno| self.failed()(errno.into()))?;
        let text = file::bytes(&path)?.unwrap_or_else(|| b"{}".to_vec());
        let place = Place::File(self.path.clone());
        let keyring = Keyring::from(file::read(&text, &place, false)?);
        let wrong = |at: &str, why: &str| KeyringError::Content {
            place: place.to_string(),
            at: at.to_owned(),
            why: why.to_owned(),
        };
        let whole = json::read(&text).map_err(|Flaw { at, why }| wrong(&at, &why))?.into_value();
        let Value::Object(whole) = whole else { return Err(wrong(".", "must be an object")) };
        Ok(Opened { path, keyring, whole, _lock: lock })
    }
}

impl Opened {
    fn auths(&mut self) -> &mut Map<String, Value> {
        let auths = self.whole.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            // It was `null`: anything else was refused when it was read.
            *auths = json!({});
        }
        match auths {
            Value::Object(auths) => auths,
            _ => unreachable!("an object stands there"),
        }
    }

    /// A new file takes the place of the old one, and its owner.
    fn write(&self) -> Result<(), KeyringError> {
        let place = self.path.display().to_string();
        self.replace().map_err(|source| KeyringError::Write { place, source })
    }

    fn replace(&self) -> io::Result<()> {
        let mut text = Vec::new();
        let mut writer = Serializer::with_formatter(&mut text, PrettyFormatter::with_indent(b"\t"));
        serde::Serialize::serialize(&self.whole, &mut writer)?;
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}", std::process::id()));
        let new = self.path.with_file_name(name);
        let written = (|| {
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
            if let Ok(old) = self.path.metadata() {
                // Root keeps another user's file that user's.
                let mine = file.metadata()?;
                if (mine.uid(), mine.gid()) != (old.uid(), old.gid()) {
                    std::os::unix::fs::fchown(&file, Some(old.uid()), Some(old.gid()))?;
                }
            }
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        })();
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::super::Credentials;
    use super::*;

    fn file(text: Option<&str>) -> (tempfile::TempDir, DockerFile) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config.json");
        if let Some(text) = text {
            fs::write(&path, text).unwrap();
        }
        (directory, DockerFile::new(path))
    }

    fn content(file: &DockerFile) -> Value {
        serde_json::from_slice(&fs::read(file.path()).unwrap()).unwrap()
    }

    #[test]
    fn what_is_stored_is_found_and_what_is_erased_is_not() {
        let (_directory, file) = file(None);
        let password = Secret::new("p:w");
        for registry in ["docker.io", "r.example:5000"] {
            assert_eq!(file.store(registry, "me", &password).unwrap(), None);
            let keyring = Keyring::from_file(file.path()).unwrap();
            let basic = Credentials::Basic { username: "me".into(), password: password.clone() };
            assert_eq!(keyring.for_registry(registry).unwrap(), basic);
        }
        let auth = json!({ "auth": "bWU6cDp3" });
        let both = json!({"auths": {"https://index.docker.io/v1/": auth, "r.example:5000": auth}});
        assert_eq!(content(&file), both);
        assert!(file.erase("docker.io").unwrap());
        assert!(!file.erase("docker.io").unwrap());
        assert!(!file.erase("r.example").unwrap());
        assert_eq!(content(&file), json!({"auths": {"r.example:5000": auth}}));
    }

    #[test]
    fn everything_else_in_the_file_stays_and_only_its_owner_reads_it() {
        let before = r#"{"HttpHeaders":{"a":"b"},"n":18446744073709551615,"auths":{
            "https://r.example/v2/":{"auth":"eDp5"},"r.example":{"auth":"eDp5"},
            "r.example/team":{"auth":"eDp5"},"a.r.example":{"auth":"eDp5"}},"psFormat":"x"}"#;
        let (directory, file) = file(Some(before));
        file.store("r.example", "me", &Secret::new("p")).unwrap();
        let mut expected: Value = serde_json::from_str(before).unwrap();
        expected["auths"].as_object_mut().unwrap().remove("https://r.example/v2/");
        expected["auths"]["r.example"] = json!({"auth": "bWU6cA=="});
        assert_eq!(content(&file), expected);
        assert_eq!(file.path().metadata().unwrap().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(file.path()).unwrap().starts_with("{\n\t\"HttpHeaders\""));
        let names: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
    }

    #[test]
    fn a_link_to_the_file_stays_one() {
        let (directory, file) = file(Some("{}"));
        let link = DockerFile::new(directory.path().join("link"));
        std::os::unix::fs::symlink(file.path(), link.path()).unwrap();
        link.store("r.example", "me", &Secret::new("p")).unwrap();
        assert!(link.path().is_symlink() && !file.path().is_symlink());
        assert_eq!(content(&file)["auths"]["r.example"]["auth"], "bWU6cA==");
    }

    #[test]
    fn a_file_that_is_not_understood_is_left_alone() {
        for text in ["", "[]", "{\"auths\":7}", "{\"auths\":{},\"auths\":{}}", "{\"Auths\":{}}"] {
            let (_directory, file) = file(Some(text));
            let error = file.store("r.example", "me", &Secret::new("p")).unwrap_err();
            assert!(matches!(error, KeyringError::Content { .. }), "{text}: {error}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), text);
        }
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let (_directory, file) = file(None);
        std::thread::scope(|scope| {
            for number in 0..8 {
                let file = &file;
                let registry = format!("r{number}.example");
                scope.spawn(move || file.store(&registry, "me", &Secret::new("p")).unwrap());
            }
        });
        assert_eq!(content(&file)["auths"].as_object().unwrap().len(), 8);
    }
}
