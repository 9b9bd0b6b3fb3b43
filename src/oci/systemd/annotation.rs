//! Annotations that give a scope properties: `org.systemd.property.NAME`, the value as systemd's tools
//! and runc write it.

use std::collections::{BTreeMap, HashMap};

use super::Error;
use super::message::{Property, Value};

const PREFIX: &str = "org.systemd.property.";

/// What a property's value is.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Bool,
    Int,
    /// A number, or with `Sec` at the end of the name a time in seconds.
    Number,
    Text,
    Texts,
}

/// What a container may choose of its scope; everything else is for the runtime to say.
const KNOWN: [(&str, Kind); 17] = [
    ("After", Kind::Texts),
    ("Before", Kind::Texts),
    ("BindsTo", Kind::Texts),
    ("CollectMode", Kind::Text),
    ("Conflicts", Kind::Texts),
    ("DefaultDependencies", Kind::Bool),
    ("Description", Kind::Text),
    ("KillMode", Kind::Text),
    ("KillSignal", Kind::Int),
    ("PartOf", Kind::Texts),
    ("Requires", Kind::Texts),
    ("Requisite", Kind::Texts),
    ("RuntimeMaxUSec", Kind::Number),
    ("SendSIGHUP", Kind::Bool),
    ("SendSIGKILL", Kind::Bool),
    ("TimeoutStopUSec", Kind::Number),
    ("Wants", Kind::Texts),
];

/// The properties that annotations ask for, sorted by name.
pub(super) fn properties(annotations: &HashMap<String, String>) -> Result<Vec<Property>, Error> {
    let sorted: BTreeMap<_, _> = annotations.iter().collect();
    let named = sorted
        .into_iter()
        .filter_map(|(key, value)| key.strip_prefix(PREFIX).map(|name| (key, name, value.trim())));
    named
        .map(|(key, name, text)| {
            property(name, text).map_err(|why| Error::Annotation {
                name: key.clone(),
                value: text.to_owned(),
                why,
            })
        })
        .collect()
}

fn property(name: &str, text: &str) -> Result<Property, String> {
    let in_seconds = name.strip_suffix("Sec").filter(|stem| !stem.ends_with('U'));
    let name = in_seconds.map_or(name.to_owned(), |stem| format!("{stem}USec"));
    let known = KNOWN.iter().find(|(known, _)| *known == name);
    let (_, kind) = known.ok_or("this property can't be chosen")?;
    let value = match kind {
        Kind::Number if in_seconds.is_some() => Value::Number(micros(untyped(text))?),
        Kind::Number => Value::Number(parsed(text, "a number")?),
        Kind::Int => Value::Int(parsed(text, "a number")?),
        Kind::Bool => Value::Bool(parsed(text, "true or false")?),
        Kind::Text => match quoted(text)? {
            (text, "") => Value::Text(text),
            _ => return Err("there is more behind the text".to_owned()),
        },
        Kind::Texts => Value::Texts(texts(text)?),
    };
    Ok((name, value))
}

/// The text without the type that may stand before it: `uint64 5`, `@as []`.
fn untyped(text: &str) -> &str {
    const TYPES: [&str; 12] = [
        "boolean", "byte", "int16", "uint16", "int32", "uint32", "int64", "uint64", "double", "@t",
        "@i", "@as",
    ];
    let typed = text.split_once(' ').filter(|(first, _)| TYPES.contains(first));
    typed.map_or(text, |(_, rest)| rest.trim_start())
}

fn parsed<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, String> {
    untyped(text).parse().map_err(|_| format!("{what} is expected"))
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and below 2^53"
)]
fn micros(text: &str) -> Result<u64, String> {
    let seconds: f64 = text.parse().map_err(|_| "a time in seconds is expected")?;
    match (0.0..9e9).contains(&seconds) {
        true => Ok((seconds * 1e6) as u64),
        false => Err("a time in seconds is expected".to_owned()),
    }
}

/// `['a', 'b']`
fn texts(text: &str) -> Result<Vec<String>, String> {
    let expected = || "a list is expected: ['one', 'two']".to_owned();
    let inner = untyped(text).strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let mut rest = inner.ok_or_else(expected)?.trim();
    let mut texts = Vec::new();
    while !rest.is_empty() {
        let (text, behind) = quoted(rest)?;
        texts.push(text);
        rest = match behind.strip_prefix(',') {
            Some(next) => next.trim_start(),
            None if behind.is_empty() => behind,
            None => return Err(expected()),
        };
    }
    Ok(texts)
}

/// A text in quotes of either kind, and what stands behind it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let expected = || "a text in quotes is expected".to_owned();
    let mut letters = text.char_indices();
    let quote = letters.next().map(|(_, letter)| letter);
    let quote = quote.filter(|quote| matches!(quote, '\'' | '"')).ok_or_else(expected)?;
    let mut content = String::new();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\0' => return Err("a zero byte is in it".to_owned()),
            '\\' => match letters.next() {
                Some((_, escaped @ ('\\' | '\'' | '"'))) => content.push(escaped),
                _ => return Err("only quotes and \\ can be escaped".to_owned()),
            },
            letter if letter == quote => return Ok((content, text[at + 1..].trim_start())),
            letter => content.push(letter),
        }
    }
    Err(expected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_systemds_tools_write_them() {
        let texts = |all: &[&str]| Value::Texts(all.iter().map(|one| (*one).to_owned()).collect());
        for (name, text, real, value) in [
            ("TimeoutStopUSec", "uint64 30000000", "TimeoutStopUSec", Value::Number(30_000_000)),
            ("TimeoutStopSec", "1.5", "TimeoutStopUSec", Value::Number(1_500_000)),
            ("TimeoutStopSec", "uint32 2", "TimeoutStopUSec", Value::Number(2_000_000)),
            (
                "CollectMode",
                "'inactive-or-failed'",
                "CollectMode",
                Value::Text("inactive-or-failed".to_owned()),
            ),
            ("Description", r#""it's \"x\"""#, "Description", Value::Text("it's \"x\"".to_owned())),
            ("DefaultDependencies", "true", "DefaultDependencies", Value::Bool(true)),
            ("KillSignal", "int32 9", "KillSignal", Value::Int(9)),
            ("After", "['a.service', \"b.service\"]", "After", texts(&["a.service", "b.service"])),
            ("Wants", "@as []", "Wants", texts(&[])),
        ] {
            assert_eq!(property(name, text), Ok((real.to_owned(), value)), "{name}={text}");
        }
    }

    #[test]
    fn what_can_not_be_chosen_or_read_is_refused_by_name() {
        for (name, text) in [
            ("Slice", "'a.slice'"),
            ("PIDs", "[1]"),
            ("MemoryMax", "uint64 1"),
            ("Sec", "1"),
            ("TimeoutStopUSec", "-1"),
            ("TimeoutStopUSec", "'5'"),
            ("TimeoutStopSec", "inf"),
            ("TimeoutStopSec", "-1"),
            ("CollectMode", "inactive"),
            ("CollectMode", "'inactive"),
            ("CollectMode", "'a' 'b'"),
            ("CollectMode", "'a\\n'"),
            ("DefaultDependencies", "yes"),
            ("After", "'a.service'"),
            ("After", "['a' 'b']"),
        ] {
            let annotations = HashMap::from([(format!("{PREFIX}{name}"), text.to_owned())]);
            let refused = properties(&annotations).unwrap_err();
            assert!(refused.to_string().contains(name), "{refused}");
        }
        let other = HashMap::from([("org.systemd.other".to_owned(), String::new())]);
        assert_eq!(properties(&other).unwrap(), []);
    }
}
