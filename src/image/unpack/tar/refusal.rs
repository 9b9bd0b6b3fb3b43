//! Why an entry of an archive is not taken.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// What is wrong with an entry. Programs that read archives disagree on much of this, and where two
/// see different files, neither can be trusted.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// The header's checksum is missing or wrong: this is no header, or a damaged one.
    #[error("its header has no valid checksum")]
    Checksum,
    /// The header is of a form that programs read in different ways.
    #[error("its header is in none of the forms that all programs read alike")]
    Dialect,
    /// A field of the header holds no number, or one that the field can't mean.
    #[error("its {0} is no valid number")]
    Number(Cow<'static, str>),
    /// The type is none of those that images are made of.
    #[error("its type {0:?} is unknown")]
    Type(char),
    /// A link, directory, device or FIFO claims to have content, which some programs skip and others
    /// read as entries.
    #[error("it has {0} bytes of content, which its type can't have")]
    Content(u64),
    /// A header for one entry follows another such, of the same or of another kind.
    #[error("it has extended headers that programs combine differently")]
    Headers,
    /// An extended header with nothing behind it.
    #[error("the archive ends behind its extended header")]
    Dangling,
    /// A record of an extended header that is not of the form all programs share.
    #[error("the record {0:?} of its extended header is malformed")]
    Record(String),
    /// A record, or an attribute, that is there twice.
    #[error("its extended header says {0:?} twice")]
    Twice(String),
    /// A header for all that follows says what only a header for one entry may.
    #[error("a global header sets {0:?}")]
    Global(String),
    /// An extended header, or one of GNU's long names, is larger than any honest one: its bytes, and the
    /// most that are read.
    #[error("its extended header has {0} bytes, more than {1}")]
    Extension(u64, u64),
    /// The header and the extended header give two sizes.
    #[error("it has two sizes, {0} and {1} bytes")]
    TwoSizes(u64, u64),
    /// The pieces of a sparse file overlap, lie behind its end or do not add up.
    #[error("its map of a sparse file is malformed")]
    Sparse,
    /// An extended attribute's name is empty, longer than 255 bytes or no name.
    #[error("{0:?} can't be the name of an extended attribute")]
    AttributeName(String),
    /// An extended attribute's value is larger than Linux takes.
    #[error("its extended attribute {0:?} has {1} bytes, more than 65536")]
    AttributeValue(String, u64),
    /// It has more extended attributes than any honest one.
    #[error("it has more than 128 extended attributes")]
    Attributes,
    /// The name is empty, or ends in a slash though the entry is no directory.
    #[error("that is no name for an entry of its type")]
    Name,
    /// A part of the name, or of the name that a hard link points to, is `..`.
    #[error("its name or the one it links to leads upwards")]
    Upwards,
    /// A part of the name is longer than a file system takes.
    #[error("a part of its name is longer than 255 bytes")]
    LongName,
    /// The top of the image is to become something else than a directory.
    #[error("the root directory can only be a directory")]
    Root,
    /// What should contain it is no directory.
    #[error("what should contain it is no directory")]
    NoDirectory,
    /// More than 40 symbolic links had to be followed.
    #[error("its name leads through too many symbolic links")]
    Loop,
    /// A symbolic link to nothing, or to more than the kernel takes.
    #[error("it is a symbolic link to an empty or overlong path")]
    Target,
    /// A hard link to something that is not there, in this layer or below.
    #[error("it links to {0:?}, which is not there")]
    LinkTarget(String),
    /// A hard link to a directory, to itself or to the root.
    #[error("it links to {0:?}, which can't have another name")]
    LinkKind(String),
    /// A whiteout of no name, of `.` or `..`, of a whiteout, or of a type that whiteouts don't have.
    #[error("it is a malformed whiteout")]
    Whiteout,
    /// What the archive holds behind its end is not zero, and some programs would read on.
    #[error("data follows behind the archive's end")]
    Trailing,
}

impl Refusal {
    pub(super) fn number(field: &'static str) -> Refusal {
        Refusal::Number(Cow::Borrowed(field))
    }

    pub(super) fn record(key: &[u8]) -> Refusal {
        Refusal::Record(super::record::shown(key))
    }
}
