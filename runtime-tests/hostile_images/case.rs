//! What a hostile image is: how its bytes are made and what has to come of it.

use super::archive::Archive;
use super::layout::Layout;
use crate::corpus_page::Row;

/// One row of the page: images that try the same thing in several forms.
pub struct Case {
    pub name: &'static str,
    /// The published weakness it stands for, or the class in a few words.
    pub stands_for: &'static str,
    pub forms: Vec<Form>,
}

impl Case {
    /// The case on the page.
    pub fn row(&self) -> Row {
        let expected = self.forms.iter().map(|form| form.expect.word()).collect();
        Row { name: self.name, stands_for: self.stands_for, expected }
    }
}

/// One image.
pub struct Form {
    pub name: String,
    pub make: Box<dyn Fn() -> Made + Sync>,
    pub expect: Expect,
    pub limits: Limited,
    /// Whether `unpack::layer` alone can play it.
    pub of_layers: bool,
}

/// What is loaded.
pub enum Made {
    /// Layers, lowest first, in an image that is right in everything else.
    Layers(Vec<Layer>),
    /// The bytes of an archive.
    Archive(Vec<u8>),
    /// A directory.
    Directory(Box<Layout>),
}

/// A layer's blob, and what its hash has to be when it is unpacked.
#[derive(Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub media_type: &'static str,
    pub diff_id: String,
}

/// What has to come of it.
pub enum Expect {
    /// It is not loaded. The error holds each of these texts.
    Refused(Vec<String>),
    /// It is loaded, nothing reaches outside, and the root looks so.
    Contained(Vec<(&'static str, Is)>),
}

/// What is at a path of the root that comes of it, links not followed.
#[derive(Clone)]
pub enum Is {
    Missing,
    File(&'static str),
    Link(&'static str),
    Directory,
    Mode(u32),
    Owner(u32, u32),
    Time(i64),
    Long(u64),
    Fifo,
    Attribute(&'static str, &'static [u8]),
    NoAttribute(&'static str),
    SameAs(&'static str),
}

/// Which budgets it is loaded under.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Limited {
    /// Those that a user gets.
    ByDefault,
    /// Small ones, so that a test that fails does not fill a disk.
    Tightly,
}

pub fn case(name: &'static str, stands_for: &'static str, forms: Vec<Form>) -> Case {
    Case { name, stands_for, forms }
}

/// Layers that are refused with an error that holds these texts.
pub fn refused(name: &str, layers: impl IntoIterator<Item = Vec<u8>>, says: &[&str]) -> Form {
    let expect = Expect::Refused(says.iter().map(|text| (*text).to_owned()).collect());
    Form { of_layers: true, ..Form::new(name, of_layers(layers), expect) }
}

/// Layers that are taken and come to this.
pub fn contained(
    name: &str,
    layers: impl IntoIterator<Item = Vec<u8>>,
    facts: &[(&'static str, Is)],
) -> Form {
    let expect = Expect::Contained(facts.to_vec());
    Form { of_layers: true, ..Form::new(name, of_layers(layers), expect) }
}

/// An archive or a directory that is refused.
pub fn wrong(name: &str, make: impl Fn() -> Made + Sync + 'static, says: &[&str]) -> Form {
    let expect = Expect::Refused(says.iter().map(|text| (*text).to_owned()).collect());
    Form::new(name, make, expect)
}

/// One that is loaded.
pub fn right(
    name: &str,
    make: impl Fn() -> Made + Sync + 'static,
    facts: &[(&'static str, Is)],
) -> Form {
    Form::new(name, make, Expect::Contained(facts.to_vec()))
}

fn of_layers(layers: impl IntoIterator<Item = Vec<u8>>) -> impl Fn() -> Made + Sync + 'static {
    let layers: Vec<_> = layers.into_iter().map(Layer::plain).collect();
    move || Made::Layers(layers.clone())
}

impl Form {
    fn new(name: &str, make: impl Fn() -> Made + Sync + 'static, expect: Expect) -> Form {
        let name = name.to_owned();
        Form { name, make: Box::new(make), expect, limits: Limited::ByDefault, of_layers: false }
    }

    pub fn tightly(self) -> Form {
        Form { limits: Limited::Tightly, ..self }
    }
}

impl Made {
    /// As an archive in the OCI's layout, unless it is a directory.
    pub fn into_archive(self) -> Result<Vec<u8>, Box<Layout>> {
        match self {
            Made::Layers(layers) => Ok(Archive::of_layers(&layers).bytes()),
            Made::Archive(bytes) => Ok(bytes),
            Made::Directory(layout) => Err(layout),
        }
    }
}

impl Layer {
    pub fn plain(tar: Vec<u8>) -> Layer {
        Layer {
            diff_id: super::archive::digest(&tar),
            blob: tar,
            media_type: super::archive::PLAIN,
        }
    }

    /// A compressed one; `tar` is what it should unpack to.
    pub fn packed(blob: Vec<u8>, media_type: &'static str, tar: &[u8]) -> Layer {
        Layer { blob, media_type, diff_id: super::archive::digest(tar) }
    }
}

impl Expect {
    pub fn word(&self) -> &'static str {
        match self {
            Expect::Refused(_) => "refused",
            Expect::Contained(_) => "contained",
        }
    }
}
