//! JSON that can be read in one way only: each key once, in one spelling, and no more values than
//! memory allows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::image::excerpt;

/// How many values a document may have, lists and objects included. A value costs about 60 bytes.
const VALUES: usize = 100_000;

/// What is wrong with a document, and where in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flaw {
    /// A path of fields; `.` is the whole.
    pub(in crate::image) at: String,
    pub(in crate::image) why: String,
}

/// Reads a whole text.
pub(in crate::image) fn read(text: &[u8]) -> Result<Field, Flaw> {
    let wrong = |error: serde_json::Error| Flaw { at: ".".to_owned(), why: error.to_string() };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let mut left = VALUES;
    let value = Once(&mut left).deserialize(&mut reader).map_err(wrong)?;
    reader.end().map_err(wrong)?;
    Ok(Field { at: String::new(), value })
}

/// Reads a value in which no object has a key twice.
struct Once<'a>(&'a mut usize);

impl<'de> DeserializeSeed<'de> for Once<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        *self.0 = self.0.checked_sub(1).ok_or_else(|| {
            D::Error::custom(format_args!("the document has more than {VALUES} values"))
        })?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Once<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Once(self.0))? {
            values.push(value);
        }
        Ok(values.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            if values.contains_key(&key) {
                let key = excerpt(&key);
                return Err(A::Error::custom(format_args!("the key {key:?} stands there twice")));
            }
            let value = map.next_value_seed(Once(self.0))?;
            values.insert(key, value);
        }
        Ok(values.into())
    }
}

/// A value, with its place in the document.
#[derive(Debug)]
pub struct Field {
    at: String,
    value: Value,
}

impl Field {
    pub(in crate::image) fn flaw(&self, why: impl Into<String>) -> Flaw {
        Flaw { at: place(&self.at), why: why.into() }
    }

    fn must_be(&self, wanted: &str) -> Flaw {
        let found = match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) if wanted.contains("number") => "another number",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.flaw(format!("must be {wanted}, not {found}"))
    }

    /// An object with keys that the reader knows.
    pub(in crate::image) fn object(mut self) -> Result<Object, Flaw> {
        match self.value.take() {
            Value::Object(fields) => Ok(Object { at: self.at, fields, known: Vec::new() }),
            value => Err(Field { value, ..self }.must_be("an object")),
        }
    }

    /// An object with keys that may be any.
    pub(in crate::image) fn map(mut self) -> Result<BTreeMap<String, Field>, Flaw> {
        match self.value.take() {
            Value::Object(fields) => fields
                .into_iter()
                .map(|(key, value)| {
                    let field = Field { at: below(&self.at, &key), value };
                    match key.contains('\0') {
                        true => Err(field.flaw("the key has a NUL")),
                        false => Ok((key, field)),
                    }
                })
                .collect(),
            value => Err(Field { value, ..self }.must_be("an object")),
        }
    }

    pub(in crate::image) fn list(mut self) -> Result<Vec<Field>, Flaw> {
        match self.value.take() {
            Value::Array(values) => Ok(values
                .into_iter()
                .enumerate()
                .map(|(number, value)| Field { at: format!("{}[{number}]", self.at), value })
                .collect()),
            value => Err(Field { value, ..self }.must_be("a list")),
        }
    }

    /// A text without NULs, which the kernel could not take.
    pub(in crate::image) fn text(mut self) -> Result<String, Flaw> {
        match self.value.take() {
            Value::String(text) if text.contains('\0') => Err(self.flaw("the text has a NUL")),
            Value::String(text) => Ok(text),
            value => Err(Field { value, ..self }.must_be("a text")),
        }
    }

    pub(in crate::image) fn number(self) -> Result<u64, Flaw> {
        match self.value.as_u64().filter(|number| i64::try_from(*number).is_ok()) {
            Some(number) => Ok(number),
            None => Err(self.must_be("a whole number from 0 to 2^63-1")),
        }
    }

    pub(in crate::image) fn truth(self) -> Result<bool, Flaw> {
        self.value.as_bool().ok_or_else(|| self.must_be("true or false"))
    }

    pub(in crate::image) fn parsed<T: FromStr<Err: fmt::Display>>(self) -> Result<T, Flaw> {
        let at = self.at.clone();
        let wrong = |error: T::Err| Flaw { at: place(&at), why: error.to_string() };
        self.text()?.parse().map_err(wrong)
    }

    /// A value that was read as a whole.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn whole(value: Value) -> Field {
        Field { at: String::new(), value }
    }

    /// `None` for the empty text, by which some programs say that there is none.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn text_or_empty(self) -> Result<Option<Field>, Flaw> {
        match self.value.as_str() {
            Some("") => Ok(None),
            Some(_) => Ok(Some(self)),
            None => Err(self.must_be("a text")),
        }
    }

    /// The value as it is.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn into_value(self) -> Value {
        self.value
    }

    pub(in crate::image) fn texts(self) -> Result<Vec<String>, Flaw> {
        self.list()?.into_iter().map(Field::text).collect()
    }

    pub(in crate::image) fn text_map(self) -> Result<BTreeMap<String, String>, Flaw> {
        self.map()?.into_iter().map(|(key, field)| Ok((key, field.text()?))).collect()
    }
}

/// An object whose fields are taken out one by one.
#[derive(Debug)]
pub(in crate::image) struct Object {
    at: String,
    fields: Map<String, Value>,
    known: Vec<&'static str>,
}

impl Object {
    pub(in crate::image) fn flaw(&self, why: impl Into<String>) -> Flaw {
        Flaw { at: place(&self.at), why: why.into() }
    }

    /// Whether there is such a field, even if it is `null`.
    pub(in crate::image) fn has(&self, name: &str) -> bool {
        self.fields.contains_key(name)
    }

    /// A field that may be missing or `null`.
    pub(in crate::image) fn field(&mut self, name: &'static str) -> Option<Field> {
        self.known.push(name);
        match self.fields.remove(name)? {
            Value::Null => None,
            value => Some(Field { at: below(&self.at, name), value }),
        }
    }

    /// A field that may be neither.
    pub(in crate::image) fn wanted(&mut self, name: &'static str) -> Result<Field, Flaw> {
        self.field(name).ok_or_else(|| Flaw { at: below(&self.at, name), why: "is missing".into() })
    }

    /// Ends the reading of what nobody else reads: what is unknown is refused.
    #[cfg(feature = "pull")]
    pub(in crate::image) fn finish_known(self) -> Result<(), Flaw> {
        match self.fields.keys().next() {
            None => Ok(()),
            Some(key) => {
                let why = format!("is unknown here: there are {}", self.known.join(", "));
                Err(Flaw { at: below(&self.at, key), why })
            }
        }
    }

    /// Ends the reading. What is unknown is let pass, but not in the spelling of what is known: there
    /// are readers for which upper and lower case are the same, and they would read another document.
    pub(in crate::image) fn finish(self) -> Result<(), Flaw> {
        let known: Vec<_> = self.known.iter().map(|known| (known, folded(known))).collect();
        for key in self.fields.keys() {
            let spelling = folded(key);
            if let Some((known, _)) = known.iter().find(|(_, other)| *other == spelling) {
                return Err(Flaw {
                    at: below(&self.at, key),
                    why: format!("is another spelling of {known}"),
                });
            }
        }
        Ok(())
    }
}

/// The key as those readers compare it: Go's take two letters beyond ASCII for `s` and `k`.
fn folded(key: &str) -> String {
    let plain = |letter| match letter {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        letter => letter.to_ascii_lowercase(),
    };
    key.chars().map(plain).collect()
}

fn below(at: &str, key: &str) -> String {
    let key = excerpt(key).escape_default().to_string();
    if at.is_empty() { key } else { format!("{at}.{key}") }
}

fn place(at: &str) -> String {
    if at.is_empty() { ".".to_owned() } else { at.to_owned() }
}

/// Reads a field that may be missing.
pub(in crate::image) fn maybe<T>(
    field: Option<Field>,
    read: impl FnOnce(Field) -> Result<T, Flaw>,
) -> Result<Option<T>, Flaw> {
    field.map(read).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flaw(text: &str) -> String {
        let Flaw { at, why } = read(text.as_bytes()).unwrap_err();
        format!("{at}: {why}")
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_not_read() {
        for (text, part) in [
            (r#"{"a":1,"a":1}"#, "the key \"a\" stands there twice"),
            (r#"{"x":[{"a":1,"\u0061":2}]}"#, "the key \"a\" stands there twice"),
            ("{} {}", "trailing"),
            ("{}\0", "trailing"),
            ("", "EOF"),
            ("{\"a\":", "EOF"),
            ("\u{feff}{}", "expected value"),
            ("{'a':1}", "key must be a string"),
            (r#"{"a":1,}"#, "trailing comma"),
            (r#"{"a":01}"#, "invalid number"),
            (r#"{"a":"\ud800"}"#, "hex escape"),
            (r#"{"a":NaN}"#, "expected"),
        ] {
            assert!(flaw(text).contains(part), "{text}: {}", flaw(text));
        }
        assert!(read(b"{\"a\":\"\xff\"}").is_err());
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        assert!(flaw(&"[".repeat(1 << 20)).contains("recursion limit"));
        assert!(flaw(&format!("[{}0]", "0,".repeat(1 << 20))).contains("more than 100000 values"));
        assert!(read(format!("[{}0]", "0,".repeat(90_000)).as_bytes()).is_ok());
        let long = flaw(&format!("{{\"{0}\":1,\"{0}\":1}}", "k".repeat(1 << 20)));
        assert!(long.len() < 300, "{}", long.len());
    }

    #[test]
    fn fields_have_places_and_types() {
        let mut object = read(br#"{"a":[{"b":7}],"c":null,"d":-1,"e":1.0,"f":"x\u0000"}"#)
            .unwrap()
            .object()
            .unwrap();
        assert!(object.field("c").is_none() && object.field("z").is_none());
        assert_eq!(object.wanted("y").unwrap_err().at, "y");
        let number = "must be a whole number from 0 to 2^63-1, not another number";
        for name in ["d", "e"] {
            assert_eq!(object.field(name).unwrap().number().unwrap_err().why, number);
        }
        assert_eq!(object.field("f").unwrap().text().unwrap_err().why, "the text has a NUL");
        let first = object.field("a").unwrap().list().unwrap().remove(0);
        let inner = first.object().unwrap().field("b").unwrap();
        let flaw = inner.text().unwrap_err();
        assert_eq!((&*flaw.at, &*flaw.why), ("a[0].b", "must be a text, not a number"));
    }

    #[test]
    fn unknown_fields_pass_but_no_other_spelling_of_a_known_one() {
        for (key, passes) in [
            ("other", true),
            ("MediaType", false),
            ("MEDIATYPE", false),
            ("mediatype", false),
            ("di\u{17f}", false),
            ("\u{212a}ey", false),
            ("mediaTyp", true),
        ] {
            let text = serde_json::json!({ key: 1 }).to_string();
            let mut object = read(text.as_bytes()).unwrap().object().unwrap();
            for known in ["mediaType", "dis", "key"] {
                assert!(object.field(known).is_none());
            }
            assert_eq!(object.finish().is_ok(), passes, "{key}");
        }
    }
}
