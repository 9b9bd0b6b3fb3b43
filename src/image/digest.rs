//! Digests: the algorithm and the hash of some bytes, and nothing else fits in.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256, Sha512};

use super::excerpt;

/// How many bytes the longest hash has.
const LONGEST: usize = 64;

/// A hash function.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    /// SHA-256, which nearly all images use.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon, which is also the directory's name in an OCI layout.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha512 => "sha512",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Algorithm::Sha256 => 32,
            Algorithm::Sha512 => 64,
        }
    }
}

/// The hash of some bytes: `sha256:` or `sha512:` and exact lower-case hexadecimal digits. So its
/// parts are safe as names of files.
///
/// ```
/// use hotcell::image::Digest;
///
/// let digest = Digest::sha256(b"hello");
/// assert_eq!(digest.to_string().parse(), Ok(digest));
/// assert!("sha256:../../etc/passwd".parse::<Digest>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest {
    algorithm: Algorithm,
    // The rest is zero.
    hash: [u8; LONGEST],
}

/// Why a text is no digest.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// It has no `:`.
    #[error("the digest {0:?} has no algorithm: sha256:… or sha512:… is wanted")]
    NoAlgorithm(String),
    /// What stands before the `:` is none of the two.
    #[error("the digest {0:?} has an unknown algorithm: sha256 or sha512 is wanted")]
    Algorithm(String),
    /// What stands behind it is too short or too long.
    #[error("the digest {given:?} has {found} characters behind the colon, not {wanted}")]
    Length {
        /// The text.
        given: String,
        /// How many characters follow the algorithm.
        found: usize,
        /// How many hexadecimal digits should.
        wanted: usize,
    },
    /// What stands behind it is not 0 to 9 and a to f.
    #[error("the digest {0:?} is not written in lower-case hexadecimal digits")]
    Digits(String),
}

impl Digest {
    /// The SHA-256 of these bytes.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> Digest {
        Digest::of(Algorithm::Sha256, bytes)
    }

    /// The hash of these bytes.
    #[must_use]
    pub fn of(algorithm: Algorithm, bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(bytes);
        hasher.finish()
    }

    /// Which hash function it is of.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The digits: 64 for SHA-256, 128 for SHA-512.
    #[must_use]
    pub fn hex(&self) -> String {
        let mut hex = String::with_capacity(2 * self.algorithm.bytes());
        // A string takes whatever is written.
        let _ = self.write_hex(&mut hex);
        hex
    }

    fn write_hex(&self, to: &mut impl fmt::Write) -> fmt::Result {
        self.hash[..self.algorithm.bytes()].iter().try_for_each(|byte| write!(to, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        let (name, digits) =
            text.split_once(':').ok_or_else(|| DigestError::NoAlgorithm(excerpt(text)))?;
        let algorithm = [Algorithm::Sha256, Algorithm::Sha512]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
            .ok_or_else(|| DigestError::Algorithm(excerpt(text)))?;
        let wanted = 2 * algorithm.bytes();
        if digits.len() != wanted {
            let found = digits.chars().count();
            return Err(DigestError::Length { given: excerpt(text), found, wanted });
        }
        let mut hash = [0; LONGEST];
        for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let (Some(high), Some(low)) = (nibble(pair[0]), nibble(pair[1])) else {
                return Err(DigestError::Digits(excerpt(text)));
            };
            *byte = high << 4 | low;
        }
        Ok(Digest { algorithm, hash })
    }
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.algorithm.name())?;
        self.write_hex(f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Hashes bytes as they come.
#[derive(Clone, Debug)]
pub struct Hasher(State);

#[derive(Clone, Debug)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Hasher {
    /// A hasher that has seen nothing.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Hasher {
        Hasher(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// The next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(bytes),
            State::Sha512(state) => state.update(bytes),
        }
    }

    /// The digest of all of them.
    #[must_use]
    pub fn finish(self) -> Digest {
        let mut hash = [0; LONGEST];
        let algorithm = match self.0 {
            State::Sha256(state) => {
                hash[..32].copy_from_slice(&state.finalize());
                Algorithm::Sha256
            }
            State::Sha512(state) => {
                hash.copy_from_slice(&state.finalize());
                Algorithm::Sha512
            }
        };
        Digest { algorithm, hash }
    }
}

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                           2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

    #[test]
    fn the_standards_own_vectors_hold() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::sha256(b"").to_string(), empty);
        assert_eq!(Digest::sha256(b"abc").to_string(), ABC);
        assert_eq!(Digest::of(Algorithm::Sha512, b"abc").to_string(), ABC_512);
    }

    #[test]
    fn a_digest_has_parts_that_are_safe_as_names() {
        let digest: Digest = ABC.parse().unwrap();
        assert_eq!((digest.algorithm(), digest.algorithm().name()), (Algorithm::Sha256, "sha256"));
        assert_eq!(digest.hex(), ABC["sha256:".len()..]);
        assert_eq!(format!("{digest:?}"), ABC);
    }

    #[test]
    fn whatever_is_no_digest_is_refused_by_what_is_wrong() {
        let hex = &ABC["sha256:".len()..];
        let refusal = |text: &str| text.parse::<Digest>().unwrap_err().to_string();
        for (text, part) in [
            (String::new(), "has no algorithm"),
            (hex.to_owned(), "has no algorithm"),
            ("sha256:".to_owned(), "0 characters behind the colon, not 64"),
            ("sha256:../../x".to_owned(), "7 characters behind the colon, not 64"),
            (format!("md5:{}", &hex[..32]), "unknown algorithm"),
            (format!("SHA256:{hex}"), "unknown algorithm"),
            (format!("sha384:{hex}"), "unknown algorithm"),
            (format!(" sha256:{hex}"), "unknown algorithm"),
            (format!(":{hex}"), "unknown algorithm"),
            (format!("sha256:{}", &hex[1..]), "63 characters"),
            (format!("sha256:{hex}0"), "65 characters"),
            (format!("sha256:{hex}\n"), "65 characters"),
            (format!("sha512:{hex}"), "64 characters behind the colon, not 128"),
            (ABC.to_uppercase().replace("SHA", "sha"), "lower-case"),
            (format!("sha256:{}/", &hex[1..]), "lower-case"),
            (format!("sha256:{}\0", &hex[1..]), "lower-case"),
            (format!("sha256:{}é", &hex[2..]), "lower-case"),
            (format!("sha256:../../../{}", &hex[9..]), "lower-case"),
        ] {
            let told = refusal(&text);
            assert!(told.contains(part) && !told.contains('\n'), "{text:?}: {told}");
        }
        let huge = refusal(&format!("sha256:{}", "a".repeat(10 << 20)));
        assert!(huge.len() < 600, "{}", huge.len());
    }

    #[test]
    fn serde_writes_the_text_and_reads_only_digests() {
        let digest: Digest = ABC.parse().unwrap();
        let text = serde_json::to_string(&digest).unwrap();
        assert_eq!(text, format!("{ABC:?}"));
        assert_eq!(serde_json::from_str::<Digest>(&text).unwrap(), digest);
        let error = serde_json::from_str::<Digest>("\"sha256:x\"").unwrap_err().to_string();
        assert!(error.contains("1 characters"), "{error}");
        assert!(serde_json::from_str::<Digest>("7").is_err());
    }

    proptest! {
        #[test]
        fn pieces_hash_as_the_whole_and_the_order_is_that_of_the_texts(
            one in proptest::collection::vec(any::<u8>(), 0..300),
            two in proptest::collection::vec(any::<u8>(), 0..300),
            cut in 0..300_usize,
        ) {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let (head, tail) = one.split_at(cut.min(one.len()));
                let mut hasher = Hasher::new(algorithm);
                hasher.update(head);
                hasher.update(tail);
                prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &one));
                let [one, two] = [&one, &two].map(|bytes| Digest::of(algorithm, bytes));
                prop_assert_eq!(one.cmp(&two), one.to_string().cmp(&two.to_string()));
                prop_assert_eq!(one.to_string().parse(), Ok(one));
            }
        }

        #[test]
        fn no_text_panics_and_what_is_read_is_written_the_same(text in "(sha256:)?[0-9a-f:/.]{0,70}") {
            if let Ok(digest) = text.parse::<Digest>() {
                prop_assert_eq!(digest.to_string(), text);
            }
        }
    }
}
