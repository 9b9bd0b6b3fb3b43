//! Manifests and indexes: which blobs make an image, and which images there are.

use std::collections::BTreeMap;

use serde::Serialize;

use super::descriptor::{Descriptor, annotations};
use super::json::{Field, Flaw, Object, maybe};
use super::media_type::{Family, MediaType};
use super::{Content, Sealed};

/// What an image is made of: a configuration and layers, lowest first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Manifest {
    #[serde(rename = "schemaVersion")]
    version: Two,
    /// Whose words it uses.
    pub media_type: MediaType,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// The only version there is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Two;

impl Serialize for Two {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(2)
    }
}

impl Manifest {
    /// A manifest in OCI's words.
    #[must_use]
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Manifest {
        let media_type = MediaType::Manifest(Family::Oci);
        Manifest { version: Two, media_type, config, layers, annotations: BTreeMap::new() }
    }

    /// The document's bytes, the same for the same manifest.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        written(self)
    }
}

impl Sealed for Manifest {}
impl Content for Manifest {
    const WHAT: &'static str = "the manifest";

    fn check(media_type: &MediaType) -> bool {
        matches!(media_type, MediaType::Manifest(_))
    }

    fn read(field: Field, promised: Option<&MediaType>) -> Result<Manifest, Flaw> {
        let mut object = field.object()?;
        let media_type = head(&mut object, promised, MediaType::Manifest(Family::Oci))?;
        let config = Descriptor::read(object.wanted("config")?)?;
        if !matches!(config.media_type, MediaType::Config(_)) {
            let why = format!("is no image's configuration but {:?}", config.media_type.as_str());
            return Err(Flaw { at: "config.mediaType".into(), why });
        }
        let layers = object.wanted("layers")?.list()?.into_iter().map(Descriptor::read);
        let layers = layers.collect::<Result<Vec<_>, _>>()?;
        for (number, layer) in layers.iter().enumerate() {
            if !matches!(layer.media_type, MediaType::Layer(..) | MediaType::ForeignLayer(..)) {
                let why = format!("is no layer but {:?}", layer.media_type.as_str());
                return Err(Flaw { at: format!("layers[{number}].mediaType"), why });
            }
        }
        let annotations = annotations(object.field("annotations"))?;
        object.finish()?;
        Ok(Manifest { version: Two, media_type, config, layers, annotations })
    }
}

/// A list of manifests, or of further lists.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Index {
    #[serde(rename = "schemaVersion")]
    version: Two,
    /// Whose words it uses.
    pub media_type: MediaType,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// An index in OCI's words.
    #[must_use]
    pub fn new(manifests: Vec<Descriptor>) -> Index {
        let media_type = MediaType::Index(Family::Oci);
        Index { version: Two, media_type, manifests, annotations: BTreeMap::new() }
    }

    /// The document's bytes, the same for the same index.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        written(self)
    }
}

impl Sealed for Index {}
impl Content for Index {
    const WHAT: &'static str = "the index";

    fn check(media_type: &MediaType) -> bool {
        matches!(media_type, MediaType::Index(_))
    }

    fn read(field: Field, promised: Option<&MediaType>) -> Result<Index, Flaw> {
        let mut object = field.object()?;
        let media_type = head(&mut object, promised, MediaType::Index(Family::Oci))?;
        let manifests = object.wanted("manifests")?.list()?.into_iter().map(Descriptor::read);
        let manifests = manifests.collect::<Result<_, _>>()?;
        let annotations = annotations(object.field("annotations"))?;
        object.finish()?;
        Ok(Index { version: Two, media_type, manifests, annotations })
    }
}

/// What both begin with. The document's shape, its own media type and the one that was promised must
/// all say the same.
fn head(
    object: &mut Object,
    promised: Option<&MediaType>,
    wanted: MediaType,
) -> Result<MediaType, Flaw> {
    let version = object.wanted("schemaVersion")?.number()?;
    if version != 2 {
        return Err(Flaw { at: "schemaVersion".into(), why: format!("must be 2, not {version}") });
    }
    let index = matches!(wanted, MediaType::Index(_));
    let others: &[_] = match index {
        true => &["config", "layers", "fsLayers"],
        false => &["manifests", "fsLayers"],
    };
    if let Some(other) = others.iter().find(|other| object.has(other)) {
        let (what, is) = if index { ("an index", "manifests") } else { ("a manifest", "layers") };
        return Err(object.flaw(format!("{what} with {is} can't have {other} too")));
    }
    let own: Option<MediaType> = maybe(object.field("mediaType"), Field::parsed)?;
    let kind = std::mem::discriminant(&wanted);
    for said in own.iter().chain(promised) {
        if std::mem::discriminant(said) != kind {
            let why = format!("is {:?}, and the document is another", said.as_str());
            return Err(Flaw { at: "mediaType".into(), why });
        }
    }
    match (own, promised) {
        (Some(own), Some(promised)) if own != *promised => {
            let why = format!("is {:?}, and {:?} was promised", own.as_str(), promised.as_str());
            Err(Flaw { at: "mediaType".into(), why })
        }
        (Some(own), _) => Ok(own),
        (None, Some(promised)) => Ok(promised.clone()),
        (None, None) => Ok(wanted),
    }
}

fn written(document: &impl Serialize) -> Vec<u8> {
    // Texts, numbers and maps of texts always can be written.
    serde_json::to_vec(document).unwrap_or_default()
}
