//! Extended headers of POSIX: what their records say that a header's fields can't, read strictly.

use super::record::{decimal, from_base64, from_percent, id, records, shown, text, time};
use super::{Refusal, Time};

/// The longest name of an extended attribute that Linux takes.
const LONGEST_ATTRIBUTE: usize = 255;
/// The largest value of one.
const LARGEST_VALUE: usize = 64 << 10;
/// The most attributes of one entry, each of which is compared with all before it.
const MOST_ATTRIBUTES: usize = 128;

/// An extended attribute: name and value.
pub(crate) type Attribute = (Vec<u8>, Vec<u8>);

/// What the records of one extended header say, as far as it matters here.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<Time>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) sparse: SparseRecords,
}

/// GNU's three ways to write down a sparse file in records.
#[derive(Default, PartialEq, Eq, Debug)]
pub(super) struct SparseRecords {
    pub(super) major: Option<u64>,
    pub(super) minor: Option<u64>,
    pub(super) name: Option<Vec<u8>>,
    /// `GNU.sparse.size`, of versions 0.0 and 0.1.
    pub(super) size: Option<u64>,
    /// `GNU.sparse.realsize`, of version 1.0.
    pub(super) real_size: Option<u64>,
    pub(super) count: Option<u64>,
    /// Version 0.1's.
    pub(super) map: Option<Vec<u64>>,
    /// Version 0.0's: offsets and lengths by turns.
    pub(super) pieces: Vec<u64>,
}

impl Pax {
    pub(super) fn parse(text: &[u8]) -> Result<Pax, Refusal> {
        let mut pax = Pax::default();
        let mut more = Attributes::default();
        for record in records(text) {
            let (key, value) = record?;
            pax.take(key, value, &mut more)?;
        }
        pax.attributes = more.agree()?;
        Ok(pax)
    }

    fn take(&mut self, key: &[u8], value: &[u8], more: &mut Attributes) -> Result<(), Refusal> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            return attribute(&mut more.raw, name.to_vec(), value.to_vec());
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let malformed = || Refusal::record(key);
            let name = from_percent(name).ok_or_else(malformed)?;
            return attribute(&mut more.encoded, name, from_base64(value).ok_or_else(malformed)?);
        }
        if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
            return self.sparse.take(name, key, value);
        }
        match key {
            b"path" => once(&mut self.path, key, text(key, value)?),
            b"linkpath" => once(&mut self.link, key, text(key, value)?),
            b"size" => once(&mut self.size, key, decimal(key, value)?),
            b"uid" => once(&mut self.uid, key, id(key, value)?),
            b"gid" => once(&mut self.gid, key, id(key, value)?),
            b"mtime" => once(&mut self.mtime, key, time(key, value)?),
            // Names are bytes here; a promise about them changes nothing, another encoding would.
            b"hdrcharset" => match value {
                b"BINARY" | b"ISO-IR 10646 2000 UTF-8" => Ok(()),
                _ => Err(Refusal::record(key)),
            },
            // star's word for a sparse file.
            b"SCHILY.realsize" => Err(Refusal::record(key)),
            _ => Ok(()),
        }
    }
}

impl SparseRecords {
    pub(super) fn is_empty(&self) -> bool {
        *self == SparseRecords::default()
    }

    fn take(&mut self, name: &[u8], key: &[u8], value: &[u8]) -> Result<(), Refusal> {
        match name {
            b"major" => once(&mut self.major, key, decimal(key, value)?),
            b"minor" => once(&mut self.minor, key, decimal(key, value)?),
            b"name" => once(&mut self.name, key, text(key, value)?),
            b"size" => once(&mut self.size, key, decimal(key, value)?),
            b"realsize" => once(&mut self.real_size, key, decimal(key, value)?),
            b"numblocks" => once(&mut self.count, key, decimal(key, value)?),
            b"map" => {
                let numbers = value.split(|byte| *byte == b',');
                let numbers = numbers.filter(|_| !value.is_empty());
                let map = numbers.map(|number| decimal(key, number)).collect::<Result<_, _>>()?;
                once(&mut self.map, key, map)
            }
            // By turns: another order would pair what does not belong together.
            b"offset" | b"numbytes" => match (name, self.pieces.len() % 2) {
                (b"offset", 0) | (b"numbytes", 1) => {
                    self.pieces.push(decimal(key, value)?);
                    Ok(())
                }
                _ => Err(Refusal::record(key)),
            },
            _ => Err(Refusal::record(key)),
        }
    }
}

/// What matters in a header for all that follows: programs disagree on whom it binds.
pub(super) fn refuse_global(text: &[u8]) -> Result<(), Refusal> {
    for record in records(text) {
        let (key, _) = record?;
        let known: [&[u8]; 7] =
            [b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime", b"hdrcharset"];
        let families: [&[u8]; 3] = [b"SCHILY.", b"LIBARCHIVE.", b"GNU.sparse."];
        if known.contains(&key) || families.iter().any(|family| key.starts_with(family)) {
            return Err(Refusal::Global(shown(key)));
        }
    }
    Ok(())
}

fn once<T>(place: &mut Option<T>, key: &[u8], value: T) -> Result<(), Refusal> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Refusal::Twice(shown(key))),
    }
}

/// Attributes as two families of programs write them, often both.
#[derive(Default)]
struct Attributes {
    raw: Vec<Attribute>,
    encoded: Vec<Attribute>,
}

impl Attributes {
    /// Each attribute once; where both families name it, they must say the same.
    fn agree(self) -> Result<Vec<Attribute>, Refusal> {
        let Attributes { raw: mut all, encoded } = self;
        for (name, value) in encoded {
            match all.iter().find(|(known, _)| *known == name) {
                None => all.push((name, value)),
                Some((_, known)) if *known == value => {}
                Some(_) => return Err(Refusal::Twice(shown(&name))),
            }
        }
        Ok(all)
    }
}

fn attribute(all: &mut Vec<Attribute>, name: Vec<u8>, value: Vec<u8>) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > LONGEST_ATTRIBUTE || name.contains(&0) {
        return Err(Refusal::AttributeName(shown(&name)));
    }
    if value.len() > LARGEST_VALUE {
        return Err(Refusal::AttributeValue(shown(&name), value.len() as u64));
    }
    if all.len() >= MOST_ATTRIBUTES {
        return Err(Refusal::Attributes);
    }
    if all.iter().any(|(known, _)| *known == name) {
        return Err(Refusal::Twice(shown(&name)));
    }
    all.push((name, value));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, value: &[u8]) -> Vec<u8> {
        let body = key.len() + value.len() + 3;
        let mut length = body;
        while body + length.to_string().len() != length {
            length = body + length.to_string().len();
        }
        let mut record = format!("{length} {key}=").into_bytes();
        record.extend_from_slice(value);
        record.push(b'\n');
        record
    }

    fn parse(records: &[(&str, &str)]) -> Result<Pax, Refusal> {
        let text: Vec<u8> =
            records.iter().flat_map(|(key, value)| line(key, value.as_bytes())).collect();
        Pax::parse(&text)
    }

    #[test]
    fn records_say_names_numbers_times_and_attributes() {
        let pax = parse(&[
            ("path", "a/b=c\nd"),
            ("linkpath", "x"),
            ("size", "8589934592"),
            ("uid", "70000"),
            ("gid", "0"),
            ("mtime", "1700000000.123456789123"),
            ("comment", "anything"),
            ("SCHILY.xattr.user.a", "one"),
            ("LIBARCHIVE.xattr.user.a", "b25l"),
            ("LIBARCHIVE.xattr.user.b%3d", "AAECAw"),
            ("SCHILY.xattr.user.empty", ""),
        ])
        .unwrap();
        assert_eq!(pax.path.as_deref(), Some(&b"a/b=c\nd"[..]));
        assert_eq!((pax.size, pax.uid, pax.gid), (Some(1 << 33), Some(70000), Some(0)));
        assert_eq!(pax.mtime, Some(Time { seconds: 1_700_000_000, nanoseconds: 123_456_789 }));
        let attributes: Vec<(&[u8], &[u8])> =
            pax.attributes.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(
            attributes,
            [(&b"user.a"[..], &b"one"[..]), (b"user.empty", b""), (b"user.b=", &[0, 1, 2, 3]),]
        );
    }

    #[test]
    fn whatever_programs_read_differently_is_refused() {
        for records in [
            &[("path", "")][..],
            &[("path", "a\0b")],
            &[("path", "a"), ("path", "b")],
            &[("size", "")],
            &[("size", "-1")],
            &[("size", "+1")],
            &[("size", " 1")],
            &[("size", "0x10")],
            &[("size", "9223372036854775808")],
            &[("size", "1"), ("size", "1")],
            &[("uid", "4294967295")],
            &[("uid", "4294967296")],
            &[("mtime", "1.")],
            &[("mtime", ".5")],
            &[("mtime", "1e9")],
            &[("mtime", "1.2.3")],
            &[("hdrcharset", "KOI8-R")],
            &[("SCHILY.realsize", "1")],
            &[("SCHILY.xattr.", "x")],
            &[("SCHILY.xattr.user.a", "1"), ("SCHILY.xattr.user.a", "1")],
            &[("SCHILY.xattr.user.a", "1"), ("LIBARCHIVE.xattr.user.a", "AAAA")],
            &[("LIBARCHIVE.xattr.user.a", "A")],
            &[("LIBARCHIVE.xattr.user.a", "A!==")],
            &[("LIBARCHIVE.xattr.user.%zz", "AAAA")],
            &[("GNU.sparse.numbytes", "1")],
            &[("GNU.sparse.offset", "1"), ("GNU.sparse.offset", "2")],
            &[("GNU.sparse.map", "1,,2")],
            &[("GNU.sparse.new", "1")],
        ] {
            assert!(parse(records).is_err(), "{records:?}");
        }
        let long = "x".repeat(256);
        let key = format!("SCHILY.xattr.{long}");
        assert!(matches!(parse(&[(&key, "")]), Err(Refusal::AttributeName(_))));
        let large = "x".repeat((64 << 10) + 1);
        let refused = parse(&[("SCHILY.xattr.user.a", &large)]);
        assert!(matches!(refused, Err(Refusal::AttributeValue(_, 65537))));
    }

    #[test]
    fn a_header_for_all_that_follows_may_only_comment() {
        assert_eq!(refuse_global(&line("comment", b"0123456789abcdef")), Ok(()));
        for key in ["path", "size", "mtime", "SCHILY.xattr.user.a", "GNU.sparse.major"] {
            assert!(matches!(refuse_global(&line(key, b"1")), Err(Refusal::Global(_))), "{key}");
        }
    }
}
