//! What a registry wants to see: `WWW-Authenticate`, read strictly.

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;

/// How many bytes all of it may have, how many challenges there may be, and parameters of one.
const LONGEST: usize = 8 << 10;
const CHALLENGES: usize = 16;
const PARAMETERS: usize = 32;

/// One way to prove who one is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Challenge {
    /// In lower case.
    pub(super) scheme: String,
    /// Names in lower case, none twice.
    parameters: Vec<(String, String)>,
}

impl Challenge {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut named = self.parameters.iter().filter(|(own, _)| own == name);
        named.next().map(|(_, value)| &**value)
    }
}

/// All challenges of an answer.
pub(super) fn challenges(headers: &HeaderMap) -> Result<Vec<Challenge>, &'static str> {
    let mut all = Vec::new();
    let values = headers.get_all(WWW_AUTHENTICATE);
    if values.iter().map(|value| value.len()).sum::<usize>() > LONGEST {
        return Err("in more than 8 KiB");
    }
    for value in values {
        let text = value.to_str().map_err(|_| "with letters that are not ASCII")?;
        parse(text, &mut all)?;
    }
    Ok(all)
}

/// Reads `scheme [token68 | name=value, ...], ...`.
fn parse(text: &str, all: &mut Vec<Challenge>) -> Result<(), &'static str> {
    let mut rest = Rest(text);
    loop {
        rest.skip_blanks_and_commas();
        if rest.0.is_empty() {
            return Ok(());
        }
        let scheme = rest.token().ok_or("that don't start with a scheme")?.to_ascii_lowercase();
        if all.len() == CHALLENGES {
            return Err("of more than 16 kinds");
        }
        let parameters = match rest.blanks() {
            0 => Vec::new(),
            _ if rest.skip_token68() => Vec::new(),
            _ => rest.parameters()?,
        };
        rest.blanks();
        if !(rest.0.is_empty() || rest.0.starts_with(',')) {
            return Err("that are not separated by commas");
        }
        all.push(Challenge { scheme, parameters });
    }
}

/// What is left to read.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn take_while(&mut self, wanted: fn(u8) -> bool) -> &'a str {
        self.take(self.0.bytes().take_while(|byte| wanted(*byte)).count())
    }

    fn blanks(&mut self) -> usize {
        self.take_while(|byte| matches!(byte, b' ' | b'\t')).len()
    }

    fn skip_blanks_and_commas(&mut self) {
        self.take_while(|byte| matches!(byte, b' ' | b'\t' | b','));
    }

    fn token(&mut self) -> Option<&'a str> {
        let token = self
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte));
        (!token.is_empty()).then_some(token)
    }

    /// Whether a token follows that stands alone, as some schemes have; then it is passed over.
    fn skip_token68(&mut self) -> bool {
        let mut ahead = Rest(self.0);
        let word =
            ahead.take_while(|byte| byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte));
        ahead.take_while(|byte| byte == b'=');
        let alone =
            matches!(ahead.0.trim_start_matches([' ', '\t']).bytes().next(), None | Some(b','));
        if word.is_empty() || !alone {
            return false;
        }
        *self = ahead;
        true
    }

    /// The parameters up to the next scheme or the end.
    fn parameters(&mut self) -> Result<Vec<(String, String)>, &'static str> {
        let mut all: Vec<(String, String)> = Vec::new();
        loop {
            let mut ahead = Rest(self.0);
            ahead.skip_blanks_and_commas();
            let name = ahead.token().map(str::to_ascii_lowercase);
            ahead.blanks();
            let (Some(name), true) = (name, ahead.0.starts_with('=')) else {
                // The next scheme, the end, or nonsense: the caller looks.
                return Ok(all);
            };
            ahead.take(1);
            ahead.blanks();
            let value = ahead.value()?;
            *self = ahead;
            if all.iter().any(|(own, _)| *own == name) {
                return Err("with a parameter that stands twice");
            }
            if all.len() == PARAMETERS {
                return Err("with more than 32 parameters");
            }
            all.push((name, value));
            self.blanks();
            if !self.0.starts_with(',') {
                return Ok(all);
            }
        }
    }

    fn value(&mut self) -> Result<String, &'static str> {
        if !self.0.starts_with('"') {
            return self.token().map(str::to_owned).ok_or("with a parameter that has no value");
        }
        let mut letters = self.0.char_indices().skip(1);
        let mut value = String::new();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '"' => {
                    self.take(at + 1);
                    return Ok(value);
                }
                '\\' => value.push(letters.next().ok_or("with a quote that does not end")?.1),
                letter if letter.is_ascii_control() && letter != '\t' => {
                    return Err("with a control character");
                }
                letter => value.push(letter),
            }
        }
        Err("with a quote that does not end")
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<Challenge>, &'static str> {
        let mut all = Vec::new();
        parse(text, &mut all).map(|()| all)
    }

    fn told(text: &str) -> String {
        let Ok(all) = read(text) else { return "refused".to_owned() };
        let one = |challenge: &Challenge| {
            let pairs = challenge.parameters.iter().map(|(name, value)| format!(" {name}={value}"));
            format!("{}{}", challenge.scheme, pairs.collect::<String>())
        };
        all.iter().map(one).collect::<Vec<_>>().join(" | ")
    }

    #[test]
    fn challenges_of_registries_are_read() {
        for (text, wanted) in [
            (
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/busybox:pull""#,
                "bearer realm=https://auth.docker.io/token service=registry.docker.io \
                 scope=repository:library/busybox:pull",
            ),
            (r#"Basic realm="Registry Realm""#, "basic realm=Registry Realm"),
            (r#"BEARER Realm = "r" , SCOPE="a b""#, "bearer realm=r scope=a b"),
            (
                r#"Basic realm="b", Bearer realm="r",service=s"#,
                "basic realm=b | bearer realm=r service=s",
            ),
            (
                r#"Negotiate, Basic realm="a, Bearer realm=\"x\"""#,
                r#"negotiate | basic realm=a, Bearer realm="x""#,
            ),
            (r#"NTLM TlRMTVNTUAAC==, Basic realm="""#, "ntlm | basic realm="),
            (r#",, Basic realm="a",,"#, "basic realm=a"),
            ("Negotiate", "negotiate"),
            ("", ""),
            (r#"Bearer realm="a" service="b""#, "refused"),
            (r#"Bearer realm="a"#, "refused"),
            (r#"Bearer realm="a\"#, "refused"),
            ("Bearer realm=", "bearer"),
            ("Bearer realm=,x=y", "refused"),
            (r#"Bearer realm=https://auth.example/token"#, "refused"),
            (r#"Bearer realm="a",realm="b""#, "refused"),
            (r#"Bearer realm="a",REALM="b""#, "refused"),
            ("Bearer realm=\"a\u{1}\"", "refused"),
            (r#"="a""#, "refused"),
            (r#"Bearer ="a""#, "refused"),
        ] {
            assert_eq!(told(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_header_is_read_only_as_far_as_it_makes_sense_to() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=a"));
        headers.append(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=b"));
        assert_eq!(challenges(&headers).unwrap().len(), 2, "each line counts");
        let long = format!("Basic realm={}", "a".repeat(LONGEST));
        headers.append(WWW_AUTHENTICATE, long.parse().unwrap());
        assert!(challenges(&headers).is_err());
        assert!(read(&"a,".repeat(CHALLENGES)).is_ok());
        assert!(read(&"a,".repeat(CHALLENGES + 1)).is_err());
        let many = |count: usize| (0..count).map(|n| format!("p{n}=v,")).collect::<String>();
        assert!(read(&format!("a {}", many(PARAMETERS))).is_ok());
        assert!(read(&format!("a {}", many(PARAMETERS + 1))).is_err());
        let mut latin = HeaderMap::new();
        latin.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(b"Basic realm=\"\xe9\"").unwrap());
        assert!(challenges(&latin).is_err());
    }

    fn quoted(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn nothing_makes_the_reader_fall_over(text in "[ -~\t]{0,200}") {
            let _ = read(&text);
        }

        #[test]
        fn shreds_of_challenges_are_no_trouble(
            shreds in prop::collection::vec(
                prop::sample::select(vec![
                    "Bearer", "Basic", " ", ",", "=", "\"", "\\", "realm", "a", "==", "\t", "é",
                ]),
                0..40,
            )
        ) {
            let _ = read(&shreds.concat());
        }

        #[test]
        fn what_is_written_is_what_is_read(
            challenges in prop::collection::vec(
                ("[a-z]{1,8}", prop::collection::btree_map("[a-z]{1,6}", "[ -~]{0,20}", 1..4)),
                1..4,
            )
        ) {
            let one = |(scheme, pairs): &(String, std::collections::BTreeMap<String, String>)| {
                let pairs = pairs.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
                format!("{scheme} {}", pairs.collect::<Vec<_>>().join(", "))
            };
            let text = challenges.iter().map(one).collect::<Vec<_>>().join(", ");
            let wanted: Vec<Challenge> = challenges
                .into_iter()
                .map(|(scheme, pairs)| Challenge { scheme, parameters: pairs.into_iter().collect() })
                .collect();
            prop_assert_eq!(read(&text), Ok(wanted));
        }
    }
}
