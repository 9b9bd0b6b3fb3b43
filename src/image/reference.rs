//! References: names of images as people type them, checked and in one form.

use std::fmt;
use std::str::FromStr;

use super::digest::{Algorithm, Digest, DigestError};
use super::excerpt;
use crate::contract::parse_image;

/// Docker Hub, where a name without a registry belongs.
const HUB: &str = "docker.io";
/// Its name of old.
const OLD_HUB: &str = "index.docker.io";
/// How many characters a repository may have, and a tag.
const LONGEST: usize = 255;
const LONGEST_TAG: usize = 128;

/// The name of an image: a registry, a repository, and a tag or a digest or both. Every way to write
/// the same name gives the same reference.
///
/// It is taken apart by the rules of [`parse_image`]; then each part must be what registries allow.
///
/// ```
/// use hotcell::image::Reference;
///
/// let short: Reference = "busybox".parse()?;
/// assert_eq!(short, "docker.io/library/busybox:latest".parse()?);
/// assert_eq!(short.to_string(), "docker.io/library/busybox:latest");
/// assert_eq!(short.familiar(), "busybox:latest");
/// # Ok::<(), hotcell::image::ReferenceError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is no reference.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReferenceError {
    /// A part is not what registries allow.
    #[error("the image name {given:?} has the {part} {value:?}: {why}")]
    Part {
        /// The text.
        given: String,
        /// Which part: `registry`, `repository` or `tag`.
        part: &'static str,
        /// What stands there.
        value: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The whole is none.
    #[error("the image name {given:?} {why}")]
    Whole {
        /// The text.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What stands behind the `@` is no digest.
    #[error("the image name {given:?} has no digest behind the @")]
    Digest {
        /// The text.
        given: String,
        /// Why it is none.
        #[source]
        source: DigestError,
    },
}

impl Reference {
    /// The registry's host, with its port if it has one: `docker.io` where none was given.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The path in the registry, such as `library/busybox`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag: `latest` where neither a tag nor a digest was given.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest of the manifest, if one was given.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same name without a digest. What had no tag gets `latest`.
    #[must_use]
    pub fn without_digest(&self) -> Reference {
        let tag = Some(self.tag.clone().unwrap_or_else(latest));
        Reference { tag, digest: None, ..self.clone() }
    }

    /// The same name without its tag, if it has a digest: that alone says which image is meant.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn without_idle_tag(&self) -> Reference {
        let tag = self.tag.clone().filter(|_| self.digest.is_none());
        Reference { tag, ..self.clone() }
    }

    /// The name as Docker shows it: without Docker Hub's registry and its `library/`.
    #[must_use]
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    /// That without tag and digest, such as `busybox`.
    #[must_use]
    pub fn familiar_name(&self) -> String {
        let full = || format!("{}/{}", self.registry, self.repository);
        if self.registry != HUB {
            return full();
        }
        match self.repository.split_once('/') {
            Some(("library", name)) if !name.contains('/') => name.to_owned(),
            // Alone it would name another registry.
            Some((first, _)) if first.contains('.') || first == "localhost" => full(),
            _ => self.repository.clone(),
        }
    }

    fn suffix(&self) -> String {
        let tag = self.tag.iter().map(|tag| format!(":{tag}"));
        tag.chain(self.digest.iter().map(|digest| format!("@{digest}"))).collect()
    }
}

fn latest() -> String {
    "latest".to_owned()
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Reference, ReferenceError> {
        let whole = |why| Err(ReferenceError::Whole { given: excerpt(text), why });
        let (name, digest) = match text.split_once('@') {
            None => (text, None),
            Some((_, after)) if after.contains('@') => return whole("has more than one @"),
            Some((name, after)) => {
                let wrong = |source| ReferenceError::Digest { given: excerpt(text), source };
                (name, Some(after.parse().map_err(wrong)?))
            }
        };
        let parts = parse_image(name);
        let (path, tag) = match name.rsplit_once(':') {
            Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
            _ => (name, None),
        };
        if path.is_empty() {
            return whole("has no repository");
        }
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return whole("has the form of an image's id");
        }
        let (registry, mut repository) = (&*parts.registry, parts.repo);
        let registry = if matches!(registry, "" | OLD_HUB) { HUB } else { registry };
        if registry == HUB && !repository.contains('/') {
            repository.insert_str(0, "library/");
        }
        if registry == HUB && is_algorithm(&repository) {
            return whole("has the form of a digest");
        }
        let check = |part, value: &str, check: Check| {
            let (given, shown) = (excerpt(text), excerpt(value));
            check(value).map_err(|why| ReferenceError::Part { given, part, value: shown, why })
        };
        check("registry", registry, check_registry)?;
        check("repository", &repository, check_repository)?;
        tag.map_or(Ok(()), |tag| check("tag", tag, check_tag))?;
        let tag = tag.map(str::to_owned).or_else(|| digest.is_none().then(latest));
        Ok(Reference { registry: registry.to_owned(), repository, tag, digest })
    }
}

/// A name such as `sha256:0` would mean an image to some programs, and the beginning of its id to others.
fn is_algorithm(repository: &str) -> bool {
    let all = [Algorithm::Sha256, Algorithm::Sha512];
    all.iter().any(|one| repository.strip_prefix("library/") == Some(one.name()))
}

type Check = fn(&str) -> Result<(), &'static str>;

/// Labels of letters, digits and inner dashes with dots between them, or an IPv6 address in brackets;
/// and a port.
fn check_registry(registry: &str) -> Result<(), &'static str> {
    let inside = registry.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, port) = match (inside, registry.split_once(':')) {
        (Some((_, "")), _) => (registry, None),
        (Some((_, port)), _) => {
            (registry, Some(port.strip_prefix(':').ok_or("a port follows a colon")?))
        }
        (None, Some((host, port))) => (host, Some(port)),
        (None, None) => (registry, None),
    };
    if let Some(port) = port
        && (port.bytes().any(|byte| !byte.is_ascii_digit()) || port.parse::<u16>().is_err())
    {
        return Err("the port is a number from 0 to 65535");
    }
    if let Some((address, _)) = inside {
        return match address.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err("what stands in brackets is no IPv6 address"),
        };
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    match host.len() <= LONGEST && host.split('.').all(label) {
        true => Ok(()),
        false => Err("a host is made of letters, digits, inner dashes, and dots between them"),
    }
}

/// Components of lower-case letters and digits with separators between them: a dot, one or two
/// underscores, any number of dashes.
fn check_repository(repository: &str) -> Result<(), &'static str> {
    if repository.len() > LONGEST {
        return Err("it is longer than 255 characters");
    }
    if repository.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("it must be in lower case");
    }
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    for component in repository.split('/') {
        let bytes = component.as_bytes();
        if !bytes.first().is_some_and(|byte| word(*byte)) || !bytes.last().is_some_and(|b| word(*b))
        {
            return Err("each component starts and ends with a letter or a digit");
        }
        let separators = component.split(|letter: char| u8::try_from(letter).is_ok_and(word));
        for separator in separators.filter(|separator| !separator.is_empty()) {
            let dashes = separator.bytes().all(|byte| byte == b'-');
            if !dashes && !matches!(separator, "." | "_" | "__") {
                return Err(
                    "a component has letters and digits, with a dot, one or two underscores \
                            or dashes between them",
                );
            }
        }
    }
    Ok(())
}

fn check_tag(tag: &str) -> Result<(), &'static str> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = tag.bytes().next().ok_or("nothing follows the colon")?;
    if tag.len() > LONGEST_TAG {
        return Err("it is longer than 128 characters");
    }
    match word(first) && tag.bytes().all(|byte| word(byte) || matches!(byte, b'.' | b'-')) {
        true => Ok(()),
        false => {
            Err("it has letters, digits, underscores, dots and dashes, the last two not first")
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
#[path = "reference_tests.rs"]
mod tests;
