//! A tree of files as data: everything that an image says about each of them, to compare and to hash.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::archive::hex;

/// What is at one path. Links are never followed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Node {
    pub kind: Kind,
    pub mode: u32,
    pub owner: (u32, u32),
    /// Seconds and nanoseconds.
    pub time: (i64, i64),
    /// Of a file its length, of a link that of its target.
    pub long: u64,
    /// Of a file its hash, of a link its target, of a device its numbers.
    pub what: String,
    /// Of a small file what it holds.
    pub text: Option<String>,
    /// By name, in hexadecimal digits.
    pub attributes: BTreeMap<String, String>,
    /// The first path of the same file, if it has several.
    pub same_as: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    File,
    Directory,
    Link,
    Fifo,
    Socket,
    Character,
    Block,
}

/// By path below the top, bytes that are no text escaped; the top is `.`.
pub type Tree = BTreeMap<String, Node>;

/// Overlayfs' own, which it hides where it uses them.
const OVERLAYS: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Everything below `top` and `top` itself.
pub fn tree(top: &Path) -> Tree {
    let (mut tree, mut first) = (Tree::new(), BTreeMap::new());
    walk(top, ".", &mut tree);
    // The first path by name, whatever order the directories had.
    let mut groups = Vec::new();
    for path in tree.keys() {
        let meta = top.join(unescaped(path)).symlink_metadata().unwrap();
        if !meta.is_dir() && meta.nlink() > 1 {
            groups.push((path.clone(), meta.ino()));
            first.entry(meta.ino()).or_insert_with(|| path.clone());
        }
    }
    for (path, inode) in &groups {
        // A link to what is outside of the tree is none here.
        if groups.iter().filter(|(_, other)| other == inode).count() > 1 {
            tree.get_mut(path).unwrap().same_as = Some(first[inode].clone());
        }
    }
    tree
}

fn walk(dir: &Path, name: &str, tree: &mut Tree) {
    tree.insert(name.to_owned(), node(dir));
    let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let escaped = escaped(entry.file_name().as_bytes());
        let below = if name == "." { escaped } else { format!("{name}/{escaped}") };
        if entry.file_type().unwrap().is_dir() {
            walk(&entry.path(), &below, tree);
        } else {
            tree.insert(below, node(&entry.path()));
        }
    }
}

fn node(path: &Path) -> Node {
    let meta = path.symlink_metadata().unwrap();
    let kind = meta.file_type();
    let mut node = Node {
        kind: match kind {
            _ if kind.is_dir() => Kind::Directory,
            _ if kind.is_symlink() => Kind::Link,
            _ if kind.is_fifo() => Kind::Fifo,
            _ if kind.is_socket() => Kind::Socket,
            _ if kind.is_char_device() => Kind::Character,
            _ if kind.is_block_device() => Kind::Block,
            _ => Kind::File,
        },
        mode: meta.mode() & 0o7777,
        owner: (meta.uid(), meta.gid()),
        time: (meta.mtime(), meta.mtime_nsec()),
        long: 0,
        what: String::new(),
        text: None,
        attributes: attributes(path),
        same_as: None,
    };
    match node.kind {
        Kind::File => {
            let bytes = fs::read(path).unwrap();
            node.long = meta.len();
            node.what = hex(&bytes);
            let small = bytes.len() <= 64;
            node.text = small.then(|| String::from_utf8_lossy(&bytes).into_owned());
        }
        Kind::Link => {
            node.what = escaped(fs::read_link(path).unwrap().as_os_str().as_bytes());
            node.long = meta.len();
        }
        Kind::Character | Kind::Block => {
            let (major, minor) = (rustix::fs::major(meta.rdev()), rustix::fs::minor(meta.rdev()));
            node.what = format!("{major}:{minor}");
        }
        _ => {}
    }
    node
}

fn attributes(path: &Path) -> BTreeMap<String, String> {
    let mut list = vec![0; 64 << 10];
    let length = rustix::fs::llistxattr(path, &mut list[..]).unwrap_or(0);
    let names = list[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut found = BTreeMap::new();
    for name in names {
        let text = escaped(name);
        if OVERLAYS.iter().any(|own| text.starts_with(own)) {
            continue;
        }
        let mut value = vec![0; 64 << 10];
        let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap_or(0);
        found.insert(text, bytes_as_hex(&value[..length]));
    }
    found
}

pub fn bytes_as_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As it is, but for bytes that are no printable ASCII.
pub fn escaped(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

fn unescaped(text: &str) -> std::ffi::OsString {
    use std::os::unix::ffi::OsStringExt;
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (byte, taken) = match &bytes[at..] {
            [b'\\', b'x', high, low, ..] => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap(), 4)
            }
            [b'\\', b'n', ..] => (b'\n', 2),
            [b'\\', b't', ..] => (b'\t', 2),
            [b'\\', b'r', ..] => (b'\r', 2),
            [b'\\', other, ..] => (*other, 2),
            [other, ..] => (*other, 1),
            [] => break,
        };
        out.push(byte);
        at += taken;
    }
    std::ffi::OsString::from_vec(out)
}

/// One hash of a whole tree.
pub fn hash(tree: &Tree) -> String {
    hex(&serde_json::to_vec(tree).unwrap())
}

/// What differs, a line for each path.
pub fn differences(ours: &Tree, theirs: &Tree) -> Vec<String> {
    let mut paths: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    paths.sort();
    paths.dedup();
    let differ = paths.into_iter().filter(|path| ours.get(*path) != theirs.get(*path));
    let tell = |path: &String| match (ours.get(path), theirs.get(path)) {
        (Some(_), None) => format!("{path}: only here"),
        (None, Some(_)) => format!("{path}: only there"),
        (ours, theirs) => format!("{path}: {ours:?} here, {theirs:?} there"),
    };
    differ.map(tell).collect()
}
