//! Addresses of the web, read strictly and printed without secrets.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// How many bytes an address may have. Those that clouds sign have some 2000.
const LONGEST: usize = 16 << 10;

/// Who answers: scheme, host and port. Two that differ in any of them are strangers.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(in crate::image::pull) struct Origin {
    pub(in crate::image::pull) tls: bool,
    /// In lower case; an IPv6 address without brackets.
    pub(in crate::image::pull) host: String,
    pub(in crate::image::pull) port: u16,
}

/// An address of the web. Printing it, or debugging, leaves out the query: what is signed stands there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in crate::image::pull) struct Url {
    pub(in crate::image::pull) origin: Origin,
    /// Path and query.
    pub(in crate::image::pull) target: String,
}

/// Why a text is no address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::image::pull) struct UrlError(pub(in crate::image::pull) &'static str);

impl Origin {
    /// Host and port, as they stand in references: the port only where the scheme does not imply it.
    pub(in crate::image::pull) fn authority(&self) -> String {
        let Origin { tls, host, port } = self;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let implied = if *tls { 443 } else { 80 };
        if *port == implied { host } else { format!("{host}:{port}") }
    }

    /// Reads `host`, `host:port` and `[address]:port`.
    pub(in crate::image::pull) fn parse(tls: bool, authority: &str) -> Result<Origin, UrlError> {
        if authority.contains('@') {
            return Err(UrlError("has a user in it"));
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']').ok_or(UrlError("lacks a bracket"))?;
                let address: Ipv6Addr =
                    address.parse().map_err(|_| UrlError("has no IPv6 address in its brackets"))?;
                let port = match port {
                    "" => None,
                    port => Some(port.strip_prefix(':').ok_or(UrlError("has no port"))?),
                };
                (address.to_string(), port)
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host.to_ascii_lowercase(), Some(port)),
                None => (authority.to_ascii_lowercase(), None),
            },
        };
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
        let bracketed = authority.starts_with('[');
        // What starts with a dot would be another directory among those of certificates.
        let named = host.bytes().all(known) && !host.starts_with('.');
        if host.is_empty() || host.len() > 255 || !(bracketed || named) {
            return Err(UrlError("has no host of letters, digits, dashes and dots"));
        }
        let port = match port {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                port.parse().map_err(|_| UrlError("has no port from 1 to 65535"))?
            }
            Some(_) => return Err(UrlError("has no port from 1 to 65535")),
        };
        if port == 0 {
            return Err(UrlError("has no port from 1 to 65535"));
        }
        Ok(Origin { tls, host, port })
    }
}

impl Url {
    pub(in crate::image::pull) fn new(origin: Origin, target: impl Into<String>) -> Url {
        Url { origin, target: target.into() }
    }

    /// Where a `Location` leads that was found here: an address, or a path here.
    pub(in crate::image::pull) fn join(&self, location: &str) -> Result<Url, UrlError> {
        match location.strip_prefix("//") {
            Some(rest) => {
                let scheme = if self.origin.tls { "https" } else { "http" };
                format!("{scheme}://{rest}").parse()
            }
            None if location.starts_with('/') => {
                Ok(Url::new(self.origin.clone(), check_target(location)?))
            }
            None => location.parse(),
        }
    }
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Url, UrlError> {
        let (scheme, rest) =
            text.split_once("://").ok_or(UrlError("starts with neither https:// nor http://"))?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError("starts with neither https:// nor http://")),
        };
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(at);
        let origin = Origin::parse(tls, authority)?;
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok(Url { origin, target: check_target(&format!("{slash}{target}"))? })
    }
}

/// Path and query, without the fragment, which is nobody's business but ours.
fn check_target(target: &str) -> Result<String, UrlError> {
    let target = target.split_once('#').map_or(target, |(target, _)| target);
    if target.len() > LONGEST {
        return Err(UrlError("is longer than 16 KiB"));
    }
    match target.bytes().all(|byte| byte.is_ascii_graphic()) {
        true => Ok(target.to_owned()),
        false => Err(UrlError("has a blank, a control character or a letter that is not ASCII")),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", if self.tls { "https" } else { "http" }, self.authority())
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.target.split_once('?').map_or(&*self.target, |(path, _)| path);
        write!(f, "{}{}", self.origin, crate::image::excerpt(path))
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> String {
        match text.parse::<Url>() {
            Ok(url) => format!("{} {}", url.origin, url.target),
            Err(UrlError(why)) => why.to_owned(),
        }
    }

    #[test]
    fn addresses_have_one_form() {
        for (text, wanted) in [
            ("https://A.Example/b?c=d#e", "https://a.example /b?c=d"),
            ("https://a.example:443", "https://a.example /"),
            ("http://a.example:443?b", "http://a.example:443 /?b"),
            ("HTTP://127.0.0.1:80/", "http://127.0.0.1 /"),
            ("https://[::1]:5000/", "https://[::1]:5000 /"),
            ("https://[0:0::1]", "https://[::1] /"),
            ("https://a.example\\@b.example/", "has a user in it"),
            ("https://a.example:b@c.example/", "has a user in it"),
            ("https://a.example:+1/", "has no port from 1 to 65535"),
            ("https://a.example:/", "has no port from 1 to 65535"),
            ("https://a.example:0/", "has no port from 1 to 65535"),
            ("https://a.example:65536/", "has no port from 1 to 65535"),
            ("https://[::1/", "lacks a bracket"),
            ("https://[a.example]/", "has no IPv6 address in its brackets"),
            ("https://::1/", "has no host of letters, digits, dashes and dots"),
            ("https:///a", "has no host of letters, digits, dashes and dots"),
            ("https://a%2eexample/", "has no host of letters, digits, dashes and dots"),
            ("https://exämple/", "has no host of letters, digits, dashes and dots"),
            ("https:/a.example", "starts with neither https:// nor http://"),
            ("file:///etc/passwd", "starts with neither https:// nor http://"),
        ] {
            assert_eq!(read(text), wanted, "{text}");
        }
        let control = "has a blank, a control character or a letter that is not ASCII";
        assert_eq!(read("https://a.example/b\r\nX-Evil: 1"), control);
        assert_eq!(
            read(&format!("https://a.example/{}", "a".repeat(LONGEST))),
            "is longer than 16 KiB"
        );
    }

    #[test]
    fn no_query_is_printed() {
        let url: Url = "https://a.example/b?sig=secret".parse().unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://a.example/b https://a.example/b");
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_again(text in "(https?://)?[a-z0-9.:@/?#\\[\\]%-]{0,60}") {
            if let Ok(url) = text.parse::<Url>() {
                let again = format!("{}{}", url.origin, url.target).parse::<Url>();
                prop_assert_eq!(again, Ok(url));
            }
        }
    }
}
