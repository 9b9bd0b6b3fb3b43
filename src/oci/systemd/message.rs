//! D-Bus messages as bytes: what a call is made of, and what an answer says. Little-endian.
//!
//! ```text
//! order kind flags version | length of the body, serial | header fields | body
//! ```
//!
//! Only the types that systemd's interface needs are here. What is read comes from another program:
//! every length is checked.

/// A value of a property, as its type has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Value {
    Bool(bool),
    Int(i32),
    Number(u64),
    Text(String),
    Texts(Vec<String>),
    Bytes(Vec<u8>),
    Numbers(Vec<u32>),
    /// Devices, and a number for each.
    Rates(Vec<(String, u64)>),
}

impl Value {
    fn signature(&self) -> &'static str {
        match self {
            Value::Bool(_) => "b",
            Value::Int(_) => "i",
            Value::Number(_) => "t",
            Value::Text(_) => "s",
            Value::Texts(_) => "as",
            Value::Bytes(_) => "ay",
            Value::Numbers(_) => "au",
            Value::Rates(_) => "a(st)",
        }
    }
}

/// A property of a unit.
pub(super) type Property = (String, Value);

/// An argument of a method.
#[derive(Clone, Copy, Debug)]
pub(super) enum Argument<'a> {
    Text(&'a str),
    Bool(bool),
    Properties(&'a [Property]),
    /// No further units beside the one that is meant.
    NoMoreUnits,
}

impl Argument<'_> {
    fn signature(self) -> &'static str {
        match self {
            Argument::Text(_) => "s",
            Argument::Bool(_) => "b",
            Argument::Properties(_) => "a(sv)",
            Argument::NoMoreUnits => "a(sa(sv))",
        }
    }
}

/// A method and whose it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method {
    pub(super) destination: &'static str,
    pub(super) path: &'static str,
    pub(super) interface: &'static str,
    pub(super) name: &'static str,
}

// The specification's numbers.
const CALL: u8 = 1;
const ANSWER: u8 = 2;
const FAILURE: u8 = 3;
const SIGNAL: u8 = 4;
const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const ERROR_NAME: u8 = 4;
const REPLY_SERIAL: u8 = 5;
const DESTINATION: u8 = 6;
const SENDER: u8 = 7;
const SIGNATURE: u8 = 8;

/// How many bytes tell how long a message is.
pub(super) const PREFIX: usize = 16;
/// Far more than systemd says to us; the specification allows 128 MiB.
const LARGEST: usize = 4 << 20;

/// A call as bytes.
pub(super) fn call(serial: u32, method: Method, arguments: &[Argument<'_>]) -> Vec<u8> {
    let mut body = Writer::default();
    for argument in arguments {
        body.argument(*argument);
    }
    let signature: String = arguments.iter().map(|argument| argument.signature()).collect();
    let mut writer = Writer::default();
    writer.bytes.extend([b'l', CALL, 0, 1]);
    writer.number(body.bytes.len() as u32);
    writer.number(serial);
    writer.array(8, |writer| {
        for (field, kind, text) in [
            (PATH, "o", method.path),
            (INTERFACE, "s", method.interface),
            (MEMBER, "s", method.name),
            (DESTINATION, "s", method.destination),
            (SIGNATURE, "g", signature.as_str()),
        ] {
            writer.align(8);
            writer.bytes.push(field);
            writer.signature(kind);
            match kind {
                "g" => writer.signature(text),
                _ => writer.text(text),
            }
        }
    });
    writer.align(8);
    writer.bytes.extend(body.bytes);
    writer.bytes
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, number: u32) {
        self.align(4);
        self.bytes.extend(number.to_le_bytes());
    }

    fn long(&mut self, number: u64) {
        self.align(8);
        self.bytes.extend(number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    /// An array of elements that are aligned to so many bytes.
    fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Writer)) {
        self.number(0);
        let length_at = self.bytes.len() - 4;
        // The padding before the first does not count.
        self.align(alignment);
        let start = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - start) as u32;
        self.bytes[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }

    fn argument(&mut self, argument: Argument<'_>) {
        match argument {
            Argument::Text(text) => self.text(text),
            Argument::Bool(yes) => self.number(yes.into()),
            Argument::NoMoreUnits => self.array(8, |_| {}),
            Argument::Properties(properties) => self.array(8, |writer| {
                for (name, value) in properties {
                    writer.align(8);
                    writer.text(name);
                    writer.signature(value.signature());
                    writer.value(value);
                }
            }),
        }
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Bool(yes) => self.number((*yes).into()),
            Value::Int(number) => self.number(number.cast_unsigned()),
            Value::Number(number) => self.long(*number),
            Value::Text(text) => self.text(text),
            Value::Texts(texts) => self.array(4, |w| texts.iter().for_each(|text| w.text(text))),
            Value::Bytes(bytes) => self.array(1, |w| w.bytes.extend(bytes)),
            Value::Numbers(all) => self.array(4, |w| all.iter().for_each(|one| w.number(*one))),
            Value::Rates(rates) => self.array(8, |writer| {
                for (device, rate) in rates {
                    writer.align(8);
                    writer.text(device);
                    writer.long(*rate);
                }
            }),
        }
    }
}

/// How long the message is that begins with these bytes; `None` for one that makes no sense.
pub(super) fn length(prefix: &[u8; PREFIX]) -> Option<usize> {
    let mut reader = Reader { bytes: prefix, at: 4 };
    if prefix[0] != b'l' || prefix[3] != 1 {
        return None;
    }
    let body = reader.number()? as usize;
    let fields = prefix.get(12..16)?.try_into().map(u32::from_le_bytes).ok()? as usize;
    let whole = PREFIX.checked_add(fields)?.checked_next_multiple_of(8)?.checked_add(body)?;
    (whole <= LARGEST).then_some(whole)
}

/// What somebody says to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// What a call came to: the texts that its answer begins with.
    Answer { serial: u32, sender: String, texts: Vec<String> },
    /// It failed: the failure's name, and its text.
    Failure { serial: u32, name: String, text: String },
    /// `JobRemoved` and its like: the body's texts, the numbers between left out.
    Signal { sender: String, member: String, texts: Vec<String> },
    /// Nothing that matters here.
    Other,
}

/// Reads a whole message; `None` for one that makes no sense.
pub(super) fn parse(message: &[u8]) -> Option<Heard> {
    let kind = *message.get(1)?;
    let mut reader = Reader { bytes: message, at: 12 };
    let end = (reader.number()? as usize).checked_add(PREFIX)?;
    let mut serial = 0;
    // Fields that a later version has are none of ours, but are no mistake.
    let mut texts: Vec<String> = vec![String::new(); 256];
    while reader.at < end {
        reader.align(8);
        let field = usize::from(reader.byte()?);
        match reader.signature()? {
            "s" | "o" => {
                let text = reader.text()?.to_owned();
                *texts.get_mut(field)? = text;
            }
            "g" => {
                let text = reader.signature()?.to_owned();
                *texts.get_mut(field)? = text;
            }
            "u" => {
                let number = reader.number()?;
                serial = if field == usize::from(REPLY_SERIAL) { number } else { serial };
            }
            _ => return None,
        }
    }
    reader.align(8);
    let signature = std::mem::take(&mut texts[usize::from(SIGNATURE)]);
    let body = reader.texts(&signature)?;
    let mut field = |field: u8| std::mem::take(&mut texts[usize::from(field)]);
    Some(match kind {
        ANSWER => Heard::Answer { serial, sender: field(SENDER), texts: body },
        FAILURE => {
            let text = body.into_iter().next().unwrap_or_default();
            Heard::Failure { serial, name: field(ERROR_NAME), text }
        }
        SIGNAL => Heard::Signal { sender: field(SENDER), member: field(MEMBER), texts: body },
        _ => Heard::Other,
    })
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    fn number(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().map(u32::from_le_bytes).ok()
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.number()? as usize;
        let text = self.take(length)?;
        (self.byte()? == 0).then(|| str::from_utf8(text).ok())?
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = usize::from(self.byte()?);
        let text = self.take(length)?;
        (self.byte()? == 0).then(|| str::from_utf8(text).ok())?
    }

    /// The texts that a body begins with, numbers between left out; up to what is neither.
    fn texts(&mut self, signature: &str) -> Option<Vec<String>> {
        let mut texts = Vec::new();
        for kind in signature.chars() {
            match kind {
                's' | 'o' => texts.push(self.text()?.to_owned()),
                'u' | 'i' | 'b' => drop(self.number()?),
                _ => break,
            }
        }
        Some(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const METHOD: Method = Method { destination: "a.b", path: "/p", interface: "a.i", name: "Do" };

    #[test]
    fn a_call_is_laid_out_as_the_specification_says() {
        let properties = [
            ("S".to_owned(), Value::Text("x".to_owned())),
            ("T".to_owned(), Value::Number(5)),
            ("P".to_owned(), Value::Numbers(vec![7])),
        ];
        let arguments = [Argument::Text("u"), Argument::Properties(&properties)];
        let message = call(9, METHOD, &arguments);
        let mut want = vec![b'l', 1, 0, 1];
        let body: &[u8] = &[
            &[1, 0, 0, 0, b'u', 0, 0, 0, 58, 0, 0, 0, 0, 0, 0, 0][..],
            &[1, 0, 0, 0, b'S', 0, 1, b's', 0, 0, 0, 0, 1, 0, 0, 0, b'x', 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, b'T', 0, 1, b't', 0, 0, 0, 0, 0, 0, 0, 0],
            &[5, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, b'P', 0, 2, b'a', b'u', 0],
        ]
        .concat();
        // The last property's array, behind its padding.
        let body = [body, &[0, 0, 4, 0, 0, 0, 7, 0, 0, 0]].concat();
        let fields: &[u8] = &[
            &[1, 1, b'o', 0, 2, 0, 0, 0, b'/', b'p', 0, 0, 0, 0, 0, 0][..],
            &[2, 1, b's', 0, 3, 0, 0, 0, b'a', b'.', b'i', 0, 0, 0, 0, 0],
            &[3, 1, b's', 0, 2, 0, 0, 0, b'D', b'o', 0, 0, 0, 0, 0, 0],
            &[6, 1, b's', 0, 3, 0, 0, 0, b'a', b'.', b'b', 0, 0, 0, 0, 0],
            &[8, 1, b'g', 0, 6, b's', b'a', b'(', b's', b'v', b')', 0],
        ]
        .concat();
        want.extend((body.len() as u32).to_le_bytes());
        want.extend([9, 0, 0, 0]);
        want.extend((fields.len() as u32).to_le_bytes());
        want.extend(fields);
        want.resize(want.len().next_multiple_of(8), 0);
        let mut body = body;
        let listed = (body.len() - 16) as u32;
        body[8..12].copy_from_slice(&listed.to_le_bytes());
        want.extend(body);
        assert_eq!(message, want);
        assert_eq!(length(message[..PREFIX].try_into().unwrap()), Some(message.len()));
    }

    /// A message as somebody else would send it.
    fn told(kind: u8, fields: &[(u8, &str, &str)], serial: u32, body: &[u8]) -> Vec<u8> {
        let mut writer = Writer::default();
        writer.bytes.extend([b'l', kind, 0, 1]);
        writer.number(body.len() as u32);
        writer.number(1);
        writer.array(8, |writer| {
            for (field, kind, text) in fields {
                writer.align(8);
                writer.bytes.push(*field);
                writer.signature(kind);
                if *kind == "g" { writer.signature(text) } else { writer.text(text) }
            }
            writer.align(8);
            writer.bytes.push(REPLY_SERIAL);
            writer.signature("u");
            writer.number(serial);
        });
        writer.align(8);
        writer.bytes.extend(body);
        writer.bytes
    }

    fn job_removed() -> Vec<u8> {
        let mut body = Writer::default();
        body.number(3);
        ["/job/3", "a.scope", "done"].iter().for_each(|text| body.text(text));
        let fields = [(SENDER, "s", ":1.0"), (MEMBER, "s", "JobRemoved"), (SIGNATURE, "g", "uoss")];
        told(SIGNAL, &fields, 0, &body.bytes)
    }

    #[test]
    fn answers_failures_and_signals_are_understood() {
        let texts = ["/job/3", "a.scope", "done"].map(str::to_owned).to_vec();
        let signal =
            Heard::Signal { sender: ":1.0".to_owned(), member: "JobRemoved".to_owned(), texts };
        assert_eq!(parse(&job_removed()), Some(signal));
        let mut body = Writer::default();
        body.text("why");
        let fields = [(ERROR_NAME, "s", "a.Error"), (SIGNATURE, "g", "s")];
        let failure =
            Heard::Failure { serial: 4, name: "a.Error".to_owned(), text: "why".to_owned() };
        assert_eq!(parse(&told(FAILURE, &fields, 4, &body.bytes)), Some(failure));
        let answer = Heard::Answer { serial: 5, sender: String::new(), texts: vec![] };
        assert_eq!(parse(&told(ANSWER, &[], 5, &[])), Some(answer));
    }

    #[test]
    fn no_bytes_are_too_wild_to_be_read() {
        let message = job_removed();
        for end in 0..message.len() {
            assert_eq!(parse(&message[..end]), None, "{end}");
        }
        for at in 0..message.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut wild = message.clone();
                wild[at] = byte;
                let _ = parse(&wild);
                let _ = length(wild[..PREFIX].try_into().unwrap());
            }
        }
        let mut long = message[..PREFIX].to_vec();
        long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(length(long[..].try_into().unwrap()), None);
    }
}
