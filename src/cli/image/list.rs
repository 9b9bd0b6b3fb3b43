//! `hotcell images`: a line for each name, or an object for each image.

use std::cmp::Reverse;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::args::{Format, ImagesArgs};
use super::{open, print_lines, short};
use crate::cli::{Failure, human, print};
use crate::image::Reference;
use crate::image::store::Listed;

/// What stands where a name has nothing to say.
const NONE: &str = "<none>";

/// Prints the images, those that were made last first.
pub(in crate::cli) fn images(args: &ImagesArgs) -> Result<u8, Failure> {
    let wanted = args.name.as_deref().map(Wanted::parse).transpose()?;
    let mut found = open(&args.store)?.images()?;
    if let Some(wanted) = &wanted {
        found.iter_mut().for_each(|image| image.names.retain(|name| wanted.is(name)));
        found.retain(|image| !image.names.is_empty());
    }
    found.sort_by_cached_key(|image| Reverse((created(&image.created), image.loaded)));
    let id = |image: &Listed| match args.no_trunc {
        true => image.id.to_string(),
        false => short(&image.id),
    };
    match args.format {
        _ if args.quiet => {
            print(&found.iter().map(|image| format!("{}\n", id(image))).collect::<String>())?;
        }
        Format::Json => print_lines(found.iter().map(object))?,
        Format::Table => {
            let now = Timestamp::now();
            let rows: Vec<_> = found.iter().flat_map(|it| rows(it, &id(it), now)).collect();
            let head = ["REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE"];
            print(&human::table(head, &rows))?;
        }
    }
    Ok(0)
}

/// A repository, or one of its names.
struct Wanted {
    name: Reference,
    /// Whether a tag or digest was typed, too.
    whole: bool,
}

impl Wanted {
    fn parse(text: &str) -> Result<Wanted, Failure> {
        let name: Reference = text.parse()?;
        let last = text.rsplit('/').next().unwrap_or_default();
        Ok(Wanted { whole: last.contains([':', '@']), name })
    }

    fn is(&self, name: &Reference) -> bool {
        match self.whole {
            true => *name == self.name,
            false => {
                (name.registry(), name.repository())
                    == (self.name.registry(), self.name.repository())
            }
        }
    }
}

/// What scripts read: docs/images.md has the fields.
pub(super) fn object(image: &Listed) -> Value {
    let loaded = i64::try_from(image.loaded).ok().and_then(|at| Timestamp::from_second(at).ok());
    json!({
        "id": image.id.to_string(),
        "names": image.names.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "created": created(&image.created).map(|at| at.to_string()),
        "loaded": loaded.map(|at| at.to_string()),
        "size_bytes": image.size,
        "layer_count": image.layers,
    })
}

fn rows(image: &Listed, id: &str, now: Timestamp) -> Vec<[String; 5]> {
    let row = |repository: String, tag: &str| {
        let age = age(created(&image.created), now);
        [repository, tag.to_owned(), id.to_owned(), age, human::size(image.size)]
    };
    match image.names.as_slice() {
        [] => vec![row(NONE.to_owned(), NONE)],
        names => {
            let row = |name: &Reference| row(name.familiar_name(), name.tag().unwrap_or(NONE));
            names.iter().map(row).collect()
        }
    }
}

/// When it was made, as it says itself, if that can be understood.
fn created(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn age(created: Option<Timestamp>, now: Timestamp) -> String {
    let Some(created) = created else {
        return "unknown".to_owned();
    };
    // What is dated into the future was made now, by a clock that goes ahead.
    human::ago(u64::try_from(now.duration_since(created).as_secs()).unwrap_or(0))
}
