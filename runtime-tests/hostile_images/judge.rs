//! What is wrong about what came of an image, if anything is.

use super::case::{Expect, Is};
use super::memory::{MOST_KIB, Peak};
use super::play::Played;
use super::tree::{Kind, Node, Tree, bytes_as_hex, escaped};

pub fn judge(played: &Played, expect: &Expect, least: Peak) -> Option<String> {
    let beyond = played.peak.beyond(least);
    if beyond > MOST_KIB {
        return Some(format!("took {beyond} KiB more than the least: {:?}", played.peak));
    }
    match (&played.error, expect) {
        (None, Expect::Refused(_)) => {
            let paths: Vec<_> = played.tree.keys().take(20).collect();
            Some(format!("was loaded: {paths:?}"))
        }
        (Some(error), Expect::Contained(_)) => Some(format!("was refused: {error}")),
        (Some(error), Expect::Refused(says)) => refusal(error, says, played),
        (None, Expect::Contained(facts)) => {
            let wrong = facts.iter().find_map(|(path, is)| fact(&played.tree, path, is));
            wrong.or_else(|| devices(&played.tree))
        }
    }
}

fn refusal(error: &str, says: &[String], played: &Played) -> Option<String> {
    if !played.left.is_empty() {
        return Some(format!("left {:?}", played.left));
    }
    if error.contains(char::is_control) {
        return Some(format!("the error has control characters: {error:?}"));
    }
    if error.is_empty() || error.len() > 2000 {
        return Some(format!("the error has {} bytes: {:.200}", error.len(), error));
    }
    let missing: Vec<_> = says.iter().filter(|text| !error.contains(text.as_str())).collect();
    (!missing.is_empty()).then(|| format!("the error does not say {missing:?}: {error}"))
}

fn devices(tree: &Tree) -> Option<String> {
    let mut nodes =
        tree.iter().filter(|(_, node)| matches!(node.kind, Kind::Block | Kind::Character));
    nodes.next().map(|(path, node)| format!("{path} is a device: {node:?}"))
}

fn fact(tree: &Tree, path: &str, is: &Is) -> Option<String> {
    let key = escaped(path.as_bytes());
    let Some(node) = tree.get(&key) else {
        return match is {
            Is::Missing => None,
            _ => Some(format!("{path} is missing: {:?}", tree.keys().take(20).collect::<Vec<_>>())),
        };
    };
    let holds = |node: &Node| match is {
        Is::Missing => false,
        Is::File(text) => node.kind == Kind::File && node.text.as_deref() == Some(text),
        Is::Link(to) => node.kind == Kind::Link && node.what == escaped(to.as_bytes()),
        Is::Directory => node.kind == Kind::Directory,
        Is::Mode(mode) => node.mode == *mode,
        Is::Owner(uid, gid) => node.owner == (*uid, *gid),
        Is::Time(seconds) => node.time.0 == *seconds,
        Is::Long(length) => node.long == *length,
        Is::Fifo => node.kind == Kind::Fifo,
        Is::Attribute(name, value) => {
            node.attributes.get(*name).is_some_and(|found| *found == bytes_as_hex(value))
        }
        Is::NoAttribute(name) => !node.attributes.contains_key(*name),
        Is::SameAs(other) => {
            let other = tree.get(&escaped(other.as_bytes()));
            node.same_as.is_some() && other.is_some_and(|other| other.same_as == node.same_as)
        }
    };
    (!holds(node)).then(|| format!("{path} is {node:?}"))
}
