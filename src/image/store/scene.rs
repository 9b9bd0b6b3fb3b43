//! Images for tests, made of a few files each, without an archive.

use std::collections::BTreeMap;
use std::path::Path;

use super::commit::Staged;
use super::image::chain_ids;
use super::merge::{merge, merged_of};
use super::place::Key;
use super::record::{ImageRecord, LayerOfImage, LayerSource};
use super::{Error, Image, Store, StoreOptions, Taken};
use crate::image::Digest;

/// Paths and texts; a path that ends in a slash is a directory.
pub(super) type Files = BTreeMap<&'static str, &'static str>;

pub(super) fn files<const N: usize>(list: [(&'static str, &'static str); N]) -> Files {
    list.into()
}

/// A store in a temporary directory.
pub(super) struct Scene {
    pub(super) store: Store,
    at: tempfile::TempDir,
}

impl Scene {
    pub(super) fn new() -> Scene {
        let at = tempfile::tempdir().unwrap();
        Scene { store: open(&at.path().join("store")), at }
    }

    /// The same store, as another process would open it.
    pub(super) fn again(&self) -> Store {
        open(&self.at.path().join("store"))
    }

    /// Loads an image with these layers, the lowest first, and one name.
    pub(super) fn load(&self, name: &str, layers: &[Files]) -> Image {
        load(&self.store, name, layers, Taken::Replaced).unwrap()
    }

    /// Everything below a directory of the store, by name.
    pub(super) fn list(&self, dir: &str) -> Vec<String> {
        let mut names = super::place::list(&self.store.dir().join(dir)).unwrap();
        names.sort();
        names
    }
}

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

pub(super) fn load(
    store: &Store,
    name: &str,
    layers: &[Files],
    taken: Taken,
) -> Result<Image, Error> {
    let mut staged = store.begin()?;
    let diff_ids: Vec<_> =
        layers.iter().map(|files| Digest::sha256(format!("{files:?}").as_bytes())).collect();
    let ids: Vec<_> = diff_ids.iter().map(Digest::to_string).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let [id, manifest] = [config.to_string(), format!("{{\"config\":{config}}}")]
        .map(|text| add_blob(&mut staged, text.as_bytes()).unwrap());
    let mut image = ImageRecord { id, manifest, layers: Vec::new(), size: 0, loaded: 0 };
    let mut trees = Vec::new();
    for ((files, diff_id), chain) in layers.iter().zip(&diff_ids).zip(chain_ids(&diff_ids)) {
        let blob = format!("{files:?}");
        let digest = Digest::sha256(blob.as_bytes());
        match store.blob(&digest, blob.len() as u64)? {
            Some(lease) => staged.add_lease(lease),
            None if staged.has_blob(&digest) => {}
            None => assert_eq!(add_blob(&mut staged, blob.as_bytes())?, digest),
        }
        let key = Key::Layer(chain);
        let (record, tree) = match store.layer(&key)? {
            Some(held) => {
                staged.add_lease(held.lease);
                (held.record, held.tree)
            }
            None => {
                let tree = staged.new_tree(&key)?;
                write(&tree, files);
                let source = Some(LayerSource { diff_id: *diff_id, blob: digest });
                (staged.add_layer(key, source)?, tree)
            }
        };
        trees.push(tree);
        image.size += record.tree.bytes;
        image.layers.push(LayerOfImage { chain, blob: digest, size: blob.len() as u64 });
    }
    let merged = merged_of(trees.len());
    if let Some(top) = image.layers[..merged].last() {
        let key = Key::Merged(top.chain);
        match store.layer(&key)? {
            Some(held) => staged.add_lease(held.lease),
            None => {
                merge(&trees[..merged], &staged.new_tree(&key)?).unwrap();
                staged.add_layer(key, None)?;
            }
        }
    }
    if trees.is_empty() && store.layer(&Key::Empty)?.is_none() {
        staged.new_tree(&Key::Empty)?;
        staged.add_layer(Key::Empty, None)?;
    }
    staged.add_image(image);
    let name = name.parse().unwrap();
    staged.add_names([super::names::name_record(&name, id, manifest)?]);
    Ok(store.commit(staged, taken)?.remove(0))
}

fn add_blob(staged: &mut Staged, bytes: &[u8]) -> Result<Digest, Error> {
    let digest = Digest::sha256(bytes);
    std::io::Write::write_all(&mut staged.new_blob(&digest)?, bytes).unwrap();
    staged.add_blob(digest);
    Ok(digest)
}

fn write(tree: &Path, files: &Files) {
    for (path, text) in files {
        let path = tree.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        match path.to_string_lossy().ends_with('/') {
            true => std::fs::create_dir_all(path).unwrap(),
            false => std::fs::write(path, text).unwrap(),
        }
    }
}
