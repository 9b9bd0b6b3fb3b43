//! What archives have beside the documents of images: the mark of an OCI layout, Docker's list.

use super::json::{Field, Flaw, maybe};
use super::media_type::MediaType;
use super::{Content, Sealed};

/// `oci-layout`: that this is an OCI layout of a version that is known.
#[derive(Debug)]
pub(crate) struct LayoutMark;

impl Sealed for LayoutMark {}
impl Content for LayoutMark {
    const WHAT: &'static str = "the layout's mark";

    fn check(_: &MediaType) -> bool {
        false
    }

    fn read(field: Field, _: Option<&MediaType>) -> Result<LayoutMark, Flaw> {
        let mut object = field.object()?;
        let version = object.wanted("imageLayoutVersion")?.text()?;
        object.finish()?;
        match version.starts_with("1.") {
            true => Ok(LayoutMark),
            false => {
                let why = format!("must be 1.0.0, not {:?}", crate::image::excerpt(&version));
                Err(Flaw { at: "imageLayoutVersion".into(), why })
            }
        }
    }
}

/// `manifest.json`: the images that `docker save` wrote.
#[derive(Debug)]
pub(crate) struct SavedList(pub(crate) Vec<Saved>);

/// One of them. Its parts are names of members.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) config: String,
    pub(crate) names: Vec<String>,
    pub(crate) layers: Vec<String>,
}

impl Sealed for SavedList {}
impl Content for SavedList {
    const WHAT: &'static str = "the list of images";

    fn check(_: &MediaType) -> bool {
        false
    }

    fn read(field: Field, _: Option<&MediaType>) -> Result<SavedList, Flaw> {
        field.list()?.into_iter().map(saved).collect::<Result<_, _>>().map(SavedList)
    }
}

fn saved(field: Field) -> Result<Saved, Flaw> {
    let mut object = field.object()?;
    let saved = Saved {
        config: object.wanted("Config")?.text()?,
        names: maybe(object.field("RepoTags"), Field::texts)?.unwrap_or_default(),
        layers: maybe(object.field("Layers"), Field::texts)?.unwrap_or_default(),
    };
    object.finish()?;
    Ok(saved)
}
