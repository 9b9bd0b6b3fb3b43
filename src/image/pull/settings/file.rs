//! The settings file: JSON, read strictly, so that what is misspelt is told and not passed over.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Endpoint, RegistrySettings, Settings, Timeouts};
use crate::image::document::json::{self, Field, Flaw, Object, maybe};
use crate::image::pull::{Keyring, KeyringError};
use crate::image::{DOCUMENT_LIMIT, Reference};

/// Why a settings file was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// It can't be read.
    #[error("reading the settings of registries from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// It is not as it should be.
    #[error("the settings of registries in {}: {at}: {why}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// Where in it, as a path of fields; `.` is the whole.
        at: String,
        /// What is wrong there.
        why: String,
    },
}

impl Settings {
    /// Where the program looks for them, if nobody says otherwise.
    pub const FILE: &str = "/etc/hotcell/registries.json";

    /// Reads settings from a file. What it does not say is as in the default.
    ///
    /// # Errors
    /// [`SettingsError`]: for a file that isn't there, too.
    pub fn from_file(path: &Path) -> Result<Settings, SettingsError> {
        let failed = |source| SettingsError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let mut text = Vec::new();
        file.take(DOCUMENT_LIMIT as u64 + 1).read_to_end(&mut text).map_err(failed)?;
        if text.len() > DOCUMENT_LIMIT {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
        let wrong = |Flaw { at, why }| SettingsError::Content { path: path.to_owned(), at, why };
        json::read(&text).and_then(settings).map_err(wrong)
    }

    /// Has the mirrors of a registry see what the keyring has for their own hosts. May ask a helper,
    /// as [`Keyring::for_registry`].
    ///
    /// # Errors
    /// [`KeyringError::Helper`].
    pub fn introduce(&mut self, registry: &str, keyring: &Keyring) -> Result<(), KeyringError> {
        let Some(settings) = self.registries.get_mut(registry) else { return Ok(()) };
        for mirror in &mut settings.mirrors {
            let credentials = keyring.for_registry(&mirror.host())?;
            *mirror = mirror.clone().with_credentials(credentials);
        }
        Ok(())
    }
}

fn settings(field: Field) -> Result<Settings, Flaw> {
    let mut object = field.object()?;
    let mut settings = Settings::default();
    if let Some(registries) = object.field("registries") {
        for (name, field) in registries.map()? {
            check_name(&name).map_err(|why| field.flaw(why))?;
            settings.registries.insert(name, registry(field.object()?)?);
        }
    }
    if let Some(field) = object.field("certs-dirs") {
        settings.certs_dirs = paths(field)?;
    }
    if let Some(field) = object.field("timeouts") {
        settings.timeouts = timeouts(field.object()?)?;
    }
    object.finish_known()?;
    Ok(settings)
}

fn registry(mut object: Object) -> Result<RegistrySettings, Flaw> {
    let mirrors = maybe(object.field("mirrors"), Field::list)?.unwrap_or_default();
    let settings = RegistrySettings {
        mirrors: mirrors.into_iter().map(Field::parsed::<Endpoint>).collect::<Result<_, _>>()?,
        plain_http: maybe(object.field("plain-http"), Field::truth)?.unwrap_or_default(),
        ca: maybe(object.field("ca"), paths)?.unwrap_or_default(),
    };
    if settings.plain_http && !settings.ca.is_empty() {
        return Err(object.flaw("has plain-http, which has no use for a ca"));
    }
    object.finish_known()?;
    Ok(settings)
}

fn timeouts(mut object: Object) -> Result<Timeouts, Flaw> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let mut time = |name, default| match object.field(name) {
        None => Ok(default),
        Some(field) => {
            let wrong = field.flaw("must be from 1 ms to a day");
            let time = Duration::from_millis(field.number()?);
            if time.is_zero() || time > LONGEST { Err(wrong) } else { Ok(time) }
        }
    };
    let default = Timeouts::default();
    let timeouts = Timeouts {
        connect: time("connect-ms", default.connect)?,
        first_byte: time("first-byte-ms", default.first_byte)?,
        stall: time("stall-ms", default.stall)?,
    };
    object.finish_known()?;
    Ok(timeouts)
}

fn paths(field: Field) -> Result<Vec<PathBuf>, Flaw> {
    let path = |field: Field| {
        let wrong = field.flaw("must be an absolute path");
        let path = PathBuf::from(field.text()?);
        if path.is_absolute() { Ok(path) } else { Err(wrong) }
    };
    field.list()?.into_iter().map(path).collect()
}

/// A registry must be called as in a reference, or nothing would be looked up under the name.
fn check_name(name: &str) -> Result<(), String> {
    let found = format!("{name}/x").parse::<Reference>().map_err(|error| error.to_string())?;
    match found.registry() {
        registry if registry == name => Ok(()),
        // A host without a dot and a port is Docker Hub's user to references.
        "docker.io" if !name.starts_with("index.") => {
            Err("is no registry: a host has a dot or a port, or is localhost".to_owned())
        }
        registry => Err(format!("is called {registry} here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("registries.json");
        std::fs::write(&path, text).unwrap();
        Settings::from_file(&path).map_err(|error| {
            let line = error.to_string();
            let start = format!("the settings of registries in {}: ", path.display());
            line.strip_prefix(&start).unwrap_or(&line).to_owned()
        })
    }

    #[test]
    fn everything_that_can_be_said_is_understood() {
        let settings = read(
            r#"{
                "registries": {
                    "docker.io": {"mirrors": ["https://m.example/hub", "http://localhost:5000"]},
                    "registry.local:5000": {"plain-http": true},
                    "[::1]:5000": {"ca": ["/etc/ssl/own.pem"]}
                },
                "certs-dirs": ["/etc/certs.d"],
                "timeouts": {"connect-ms": 1500, "stall-ms": 60000}
            }"#,
        )
        .unwrap();
        let mirrors: Vec<_> =
            settings.registries["docker.io"].mirrors.iter().map(ToString::to_string).collect();
        assert_eq!(mirrors, ["https://m.example/hub", "http://localhost:5000"]);
        assert!(settings.registries["registry.local:5000"].plain_http);
        assert_eq!(settings.registries["[::1]:5000"].ca, [PathBuf::from("/etc/ssl/own.pem")]);
        assert_eq!(settings.certs_dirs, [PathBuf::from("/etc/certs.d")]);
        let Timeouts { connect, first_byte, stall } = settings.timeouts;
        assert_eq!([connect, first_byte, stall].map(|time| time.as_millis()), [1500, 30000, 60000]);

        let nothing = read("{}").unwrap();
        assert!(nothing.registries.is_empty());
        assert_eq!(nothing.certs_dirs, Settings::default().certs_dirs);
        assert_eq!(nothing.timeouts, Timeouts::default());
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, wrong) in [
            ("", ".: EOF"),
            ("[]", ".: must be an object, not a list"),
            (
                r#"{"mirrors":[]}"#,
                "mirrors: is unknown here: there are registries, certs-dirs, timeouts",
            ),
            (
                r#"{"registries":{"r.example":{"mirror":[]}}}"#,
                "registries.r.example.mirror: is unknown",
            ),
            (r#"{"registries":{"r.example":{},"r.example":{}}}"#, "stands there twice"),
            (
                r#"{"registries":{"r.example":{"plain-http":"no"}}}"#,
                "plain-http: must be true or false",
            ),
            (
                r#"{"registries":{"r.example":{"ca":["own.pem"]}}}"#,
                "ca[0]: must be an absolute path",
            ),
            (
                r#"{"registries":{"r.example":{"ca":["/x"],"plain-http":true}}}"#,
                "registries.r.example: has plain-http",
            ),
            (r#"{"registries":{"r.example":{"mirrors":["m.example"]}}}"#, "mirrors[0]: the mirror"),
            (
                r#"{"registries":{"r.example":{"mirrors":["ftp://m.example"]}}}"#,
                "mirrors[0]: the mirror",
            ),
            (r#"{"registries":{"example":{}}}"#, "registries.example: is no registry"),
            (r#"{"registries":{"":{}}}"#, "registries.: "),
            (r#"{"registries":{"https://r.example":{}}}"#, "registries.https://r.example: "),
            (r#"{"registries":{"index.docker.io":{}}}"#, "is called docker.io here"),
            (r#"{"timeouts":{"connect-ms":0}}"#, "timeouts.connect-ms: must be from 1 ms to a day"),
            (r#"{"timeouts":{"connect-ms":-1}}"#, "timeouts.connect-ms: must be a whole number"),
            (r#"{"timeouts":{"stall-ms":86400001}}"#, "timeouts.stall-ms: must be from 1 ms"),
            (r#"{"timeouts":{"read-ms":1}}"#, "timeouts.read-ms: is unknown here"),
            (r#"{"certs-dirs":"/x"}"#, "certs-dirs: must be a list, not a text"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wrong), "{text}: {error}");
        }
        let missing = Settings::from_file(Path::new("/nonexistent/registries.json")).unwrap_err();
        assert!(matches!(missing, SettingsError::Read { .. }));
    }
}
