//! Making a layer once more, from its blob or from the layers that are merged in it.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use super::commit::{Staged, replace_layer};
use super::error::Told;
use super::lock::StoreLock;
use super::merge::merged_of;
use super::place::{Key, TREE, sync, sync_all};
use super::record::{ImageRecord, LayerSource};
use super::tree::{Contents, fingerprint};
use super::{Error, Store};
use crate::image::load::{LayerOf, LoadError, merge_trees, unpack_blob};

/// What has to be whole before: layers count from the lowest up, a merged tree comes after its layers.
pub(super) fn height(image: &ImageRecord, key: &Key) -> (usize, bool) {
    let at = |chain| image.layers.iter().position(|layer| layer.chain == chain).unwrap_or(0);
    match *key {
        Key::Empty => (0, false),
        Key::Layer(chain) => (at(chain), false),
        Key::Merged(chain) => (at(chain), true),
    }
}

/// Makes the layer again and puts it in the place of the damaged one, or says why not.
pub(super) fn replace(store: &Store, image: &ImageRecord, key: &Key) -> Result<(), String> {
    try_replace(store, image, key).map_err(|error| {
        let mut told = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            told = format!("{told}: {error}");
            cause = error.source();
        }
        told
    })
}

fn try_replace(store: &Store, image: &ImageRecord, key: &Key) -> Result<(), LoadError> {
    let mut staged = store.begin()?;
    let source = make(store, &staged, image, key)?;
    staged.add_layer(*key, source)?;
    let from = staged.layer(key);
    sync_all(&from)?;
    let lock = StoreLock::take(store.place().dir())?;
    replace_layer(store.place(), &lock, key, &from)?;
    Ok(sync(&store.place().layers())?)
}

/// Whether what is in the files is something else than what making them again gives. Where they can't
/// be made again nobody can tell.
pub(super) fn differs(
    store: &Store,
    image: &ImageRecord,
    key: &Key,
    tree: &Path,
) -> Result<bool, Error> {
    let staged = store.begin()?;
    if make(store, &staged, image, key).is_err() {
        return Ok(false);
    }
    let again = staged.layer(key).join(TREE);
    let look = |tree: &Path| fingerprint(tree, Contents::Read).told("read", tree);
    Ok(look(tree)? != look(&again)?)
}

/// Makes the layer's tree where a load would.
fn make(
    store: &Store,
    staged: &Staged,
    image: &ImageRecord,
    key: &Key,
) -> Result<Option<LayerSource>, LoadError> {
    let into = staged.new_tree(key)?;
    let tree = |layer: &Key| store.place().layer(layer).join(TREE);
    let trees: Vec<PathBuf> =
        image.layers.iter().map(|layer| tree(&Key::Layer(layer.chain))).collect();
    let (at, _) = height(image, key);
    match key {
        Key::Empty => Ok(None),
        Key::Merged(_) => {
            merge_trees(&trees[..merged_of(trees.len())], &into)?;
            Ok(None)
        }
        Key::Layer(_) => {
            let diff_ids = store.config_of(image)?.diff_ids.clone();
            let (layer, diff_id) = (&image.layers[at], diff_ids[at]);
            let path = store.place().blob(&layer.blob);
            let blob = std::fs::File::open(&path).told("open", &path)?;
            let (number, of) = (at + 1, trees.len());
            let which = LayerOf { number, of, blob: layer.blob, bytes: layer.size };
            unpack_blob(store.options(), blob, &which, &diff_id, &into, &trees[..at])?;
            Ok(Some(LayerSource { diff_id, blob: layer.blob }))
        }
    }
}
