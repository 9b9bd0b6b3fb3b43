//! An image's configuration: what to start in it, and which layers its files come from.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::json::{Field, Flaw, Object, maybe};
use super::media_type::MediaType;
use super::{Content, Platform, Sealed};
use crate::image::Digest;

/// An image's configuration. All of it is data: no label changes what is done on the host.
///
/// No text in it has a NUL. An empty text or list means that the image says nothing.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ImageConfig {
    /// Variables, mostly as `NAME=value`, in order.
    pub env: Vec<String>,
    /// What starts, before the arguments.
    pub entrypoint: Vec<String>,
    /// The arguments, or what starts if there is no entrypoint.
    pub cmd: Vec<String>,
    /// Who it runs as: `name`, `uid`, `name:group`, `uid:gid`.
    pub user: String,
    /// Where it starts.
    pub working_dir: String,
    /// Paths that want to be volumes.
    pub volumes: BTreeSet<String>,
    /// Ports that it listens at, such as `80/tcp`.
    pub exposed_ports: BTreeSet<String>,
    /// The signal that ends it gently, such as `SIGTERM`.
    pub stop_signal: String,
    /// Notes.
    pub labels: BTreeMap<String, String>,
    /// The digests of the layers without compression, lowest first.
    pub diff_ids: Vec<Digest>,
    /// What it is for.
    pub platform: Platform,
    /// When it was made, in RFC 3339's form; not checked.
    pub created: String,
    /// Who made it.
    pub author: String,
    /// How it was made, first step first.
    pub history: Vec<History>,
}

/// A step in which an image was made.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct History {
    /// When, in RFC 3339's form; not checked.
    pub created: String,
    /// The command.
    pub created_by: String,
    /// Who did it.
    pub author: String,
    /// What they said.
    pub comment: String,
    /// Whether the step made no layer.
    pub empty_layer: bool,
}

impl Sealed for ImageConfig {}
impl Content for ImageConfig {
    const WHAT: &'static str = "the image's configuration";

    fn check(media_type: &MediaType) -> bool {
        matches!(media_type, MediaType::Config(_))
    }

    fn read(field: Field, _: Option<&MediaType>) -> Result<ImageConfig, Flaw> {
        let mut object = field.object()?;
        if let Some(other) = ["manifests", "layers", "fsLayers"].iter().find(|key| object.has(key))
        {
            return Err(object.flaw(format!("a configuration can't have {other}")));
        }
        let mut config = match object.field("config") {
            Some(field) => process(field)?,
            None => ImageConfig::default(),
        };
        config.platform = Platform {
            architecture: text(&mut object, "architecture")?,
            os: text(&mut object, "os")?,
            variant: text(&mut object, "variant")?,
        };
        config.created = text(&mut object, "created")?;
        config.author = text(&mut object, "author")?;
        config.diff_ids = diff_ids(object.wanted("rootfs")?)?;
        if let Some(steps) = object.field("history") {
            config.history = steps.list()?.into_iter().map(step).collect::<Result<_, _>>()?;
        }
        object.finish()?;
        Ok(config)
    }
}

/// What there is to start.
fn process(field: Field) -> Result<ImageConfig, Flaw> {
    let mut object = field.object()?;
    let config = ImageConfig {
        env: texts(&mut object, "Env")?,
        entrypoint: texts(&mut object, "Entrypoint")?,
        cmd: texts(&mut object, "Cmd")?,
        user: text(&mut object, "User")?,
        working_dir: text(&mut object, "WorkingDir")?,
        volumes: keys(&mut object, "Volumes")?,
        exposed_ports: keys(&mut object, "ExposedPorts")?,
        stop_signal: text(&mut object, "StopSignal")?,
        labels: maybe(object.field("Labels"), Field::text_map)?.unwrap_or_default(),
        ..ImageConfig::default()
    };
    object.finish()?;
    Ok(config)
}

fn diff_ids(field: Field) -> Result<Vec<Digest>, Flaw> {
    let mut object = field.object()?;
    let kind = object.wanted("type")?.text()?;
    if kind != "layers" {
        let why = format!("must be \"layers\", not {:?}", crate::image::excerpt(&kind));
        return Err(Flaw { at: "rootfs.type".into(), why });
    }
    let list = maybe(object.field("diff_ids"), Field::list)?.unwrap_or_default();
    let ids = list.into_iter().map(Field::parsed).collect::<Result<_, _>>()?;
    object.finish()?;
    Ok(ids)
}

fn step(field: Field) -> Result<History, Flaw> {
    let mut object = field.object()?;
    let history = History {
        created: text(&mut object, "created")?,
        created_by: text(&mut object, "created_by")?,
        author: text(&mut object, "author")?,
        comment: text(&mut object, "comment")?,
        empty_layer: maybe(object.field("empty_layer"), Field::truth)?.unwrap_or_default(),
    };
    object.finish()?;
    Ok(history)
}

fn text(object: &mut Object, name: &'static str) -> Result<String, Flaw> {
    maybe(object.field(name), Field::text).map(Option::unwrap_or_default)
}

fn texts(object: &mut Object, name: &'static str) -> Result<Vec<String>, Flaw> {
    maybe(object.field(name), Field::texts).map(Option::unwrap_or_default)
}

/// A set as Go writes it: an object whose values say nothing.
fn keys(object: &mut Object, name: &'static str) -> Result<BTreeSet<String>, Flaw> {
    let map = maybe(object.field(name), Field::map)?.unwrap_or_default();
    Ok(map.into_keys().collect())
}
