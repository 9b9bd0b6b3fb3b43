//! Docker's file of credentials: what stands there, read strictly and without telling of it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

use super::helper::Helper;
use super::matching::Key;
use super::{Credentials, KeyringError, Secret};
use crate::image::DOCUMENT_LIMIT;
use crate::image::document::json::{self, Field, Flaw, Object, maybe};

/// With padding or without.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where credentials stand.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Place {
    Variable(&'static str),
    File(PathBuf),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Variable(name) => f.write_str(name),
            Place::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// What a file says.
#[derive(Clone, Default, Debug)]
pub(super) struct Contents {
    /// Entries with credentials.
    pub(super) entries: Vec<(Key, Credentials)>,
    /// Those without: a helper has them.
    pub(super) elsewhere: Vec<Key>,
    /// Helpers for one registry each; none where the file itself has the entry.
    pub(super) helpers: Vec<(Key, Option<Helper>)>,
    /// The helper for all others.
    pub(super) store: Option<Helper>,
}

/// The bytes of a file; `None` if there is none.
pub(super) fn bytes(path: &Path) -> Result<Option<Vec<u8>>, KeyringError> {
    let failed = |source| KeyringError::Read { place: path.display().to_string(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let mut bytes = Vec::new();
    file.take(DOCUMENT_LIMIT as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() > DOCUMENT_LIMIT {
        true => Err(failed(io::ErrorKind::FileTooLarge.into())),
        false => Ok(Some(bytes)),
    }
}

/// Reads a text. The old form, entries alone, only where it was ever used.
pub(super) fn read(text: &[u8], place: &Place, old_form: bool) -> Result<Contents, KeyringError> {
    let wrong = |Flaw { at, why }| KeyringError::Content { place: place.to_string(), at, why };
    json::read(text).and_then(|field| contents(field, old_form)).map_err(wrong)
}

fn contents(field: Field, old_form: bool) -> Result<Contents, Flaw> {
    const NEW: [&str; 3] = ["auths", "credHelpers", "credsStore"];
    let mut contents = Contents::default();
    let whole = field.into_value();
    let new_form = |object: &Map<String, Value>| NEW.iter().any(|key| object.contains_key(*key));
    let new_form = !old_form || whole.as_object().is_some_and(new_form);
    let field = Field::whole(whole);
    if !new_form {
        entries(field, &mut contents)?;
        return Ok(contents);
    }
    let mut object = field.object()?;
    if let Some(auths) = object.field("auths") {
        entries(auths, &mut contents)?;
    }
    for (key, name) in object.field("credHelpers").map_or(Ok(BTreeMap::new()), Field::map)? {
        let helper = name.text_or_empty()?.map(Field::parsed).transpose()?;
        contents.helpers.push((Key::new(&key), helper));
    }
    if let Some(field) = maybe(object.field("credsStore"), Field::text_or_empty)?.flatten() {
        contents.store = Some(field.parsed()?);
    }
    object.finish()?;
    Ok(contents)
}

fn entries(field: Field, contents: &mut Contents) -> Result<(), Flaw> {
    for (name, field) in field.map()? {
        let key = Key::new(&name);
        match entry(field.object()?)? {
            Some(credentials) => contents.entries.push((key, credentials)),
            None => contents.elsewhere.push(key),
        }
    }
    Ok(())
}

fn entry(mut object: Object) -> Result<Option<Credentials>, Flaw> {
    let mut text =
        |name| Ok(maybe(object.field(name), Field::text)?.filter(|text| !text.is_empty()));
    let (identity, token) = (text("identitytoken")?, text("registrytoken")?);
    let (username, password) = (text("username")?, text("password")?);
    let auth = text("auth")?;
    let decoded = match &auth {
        Some(auth) => Some(decode(auth).map_err(|why| object.flaw(format!("auth {why}")))?),
        None => None,
    };
    object.finish()?;
    Ok(match (token, identity, decoded, username) {
        (Some(token), ..) => Some(Credentials::RegistryToken(Secret::new(token))),
        (None, Some(token), ..) => Some(Credentials::IdentityToken(Secret::new(token))),
        (None, None, Some(basic), _) => Some(basic),
        (None, None, None, Some(username)) => {
            let password = Secret::new(password.unwrap_or_default());
            Some(Credentials::Basic { username, password })
        }
        (None, None, None, None) => None,
    })
}

/// `user:password` in Base64.
fn decode(auth: &str) -> Result<Credentials, &'static str> {
    let bytes = BASE64.decode(auth).or(Err("is no Base64"))?;
    let text = String::from_utf8(bytes).or(Err("is no UTF-8"))?;
    let (username, password) =
        text.split_once(':').ok_or("has no colon between user and password")?;
    // Some programs encoded a buffer as a whole.
    let password = Secret::new(password.trim_end_matches('\0'));
    Ok(Credentials::Basic { username: username.to_owned(), password })
}
