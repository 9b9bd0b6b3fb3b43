//! What is no HTTP, or too much of it.

use crate::pull::case::{Case, Form, Scene, case, late, refused};
use crate::pull::place::Place;
use crate::registry::{Answer, On, Rule};

pub fn cases() -> Vec<Case> {
    vec![
        case("headers without end", "header bombs", headers()),
        case("what is no HTTP", "strict parsing", no_http()),
        case("lengths that disagree", "request smuggling's other side", lengths()),
    ]
}

fn raw(
    once: impl Into<Vec<u8>>,
    again: impl Into<Vec<u8>>,
) -> impl Fn(&Place, &mut Scene) + Send + Sync {
    let (once, again) = (once.into(), again.into());
    move |_, scene| {
        let (once, again) = (once.clone(), again.clone());
        scene.when(Rule::new(On::Any, move |_, _| Answer::raw(once.clone(), again.clone())));
        scene.at_most(On::Any, 8);
    }
}

fn headers() -> Vec<Form> {
    let all = |header: &str, times: usize| {
        format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", header.repeat(times))
    };
    vec![
        refused(
            "without end",
            &["message head is too large"],
            raw("HTTP/1.1 200 OK\r\n", "X-More: and more\r\n".repeat(100)),
        ),
        refused(
            "one without end",
            &["message head is too large"],
            raw("HTTP/1.1 200 OK\r\nX-More: ", vec![b'x'; 0x4000]),
        ),
        refused(
            "100,000 of them",
            &["message head is too large"],
            raw(all("X-More: and more\r\n", 100_000), ""),
        ),
        refused(
            "one of 10 MB",
            &["message head is too large"],
            raw(all(&format!("X-More: {}\r\n", "x".repeat(10_000_000)), 1), ""),
        ),
        refused(
            "a status line without end",
            &["message head is too large"],
            raw("HTTP/1.1 200 ", vec![b'x'; 0x4000]),
        ),
        late("please continue, without end", raw("", "HTTP/1.1 100 Continue\r\n\r\n".repeat(100))),
        late(
            "early hints without end",
            raw("", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n".repeat(100)),
        ),
    ]
}

fn no_http() -> Vec<Form> {
    vec![
        refused("nothing", &["broke"], raw("", "")),
        refused("another protocol", &["is no HTTP: invalid"], raw("SSH-2.0-OpenSSH_9.2\r\n", "")),
        refused("zeros", &["is no HTTP: invalid"], raw([0; 1000], "")),
        refused(
            "noise without end",
            &["is no HTTP: invalid"],
            raw("", crate::pull::image::noise(9, 0x4000)),
        ),
        refused("HTTP/0.9", &["is no HTTP: invalid"], raw("<html>", "")),
        refused(
            "HTTP/2 without asking",
            &["is no HTTP: invalid"],
            raw("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ""),
        ),
        refused(
            "a status of four digits",
            &["is no HTTP: invalid"],
            raw("HTTP/1.1 2000 OK\r\n\r\n", ""),
        ),
        refused("no status", &["is no HTTP: invalid"], raw("HTTP/1.1  OK\r\n\r\n", "")),
        refused(
            "a header without a name",
            &["is no HTTP: invalid"],
            raw("HTTP/1.1 200 OK\r\n: x\r\n\r\n", ""),
        ),
        refused(
            "other protocols from now on",
            &["answered 101"],
            raw("HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", ""),
        ),
    ]
}

fn lengths() -> Vec<Form> {
    let with =
        |headers: &str, body: &str| raw(format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n{body}"), "");
    let chunked = |body: &str| with("Transfer-Encoding: chunked", body);
    vec![
        refused(
            "two",
            &["is no HTTP: invalid"],
            with("Content-Length: 5\r\nContent-Length: 6", "12345"),
        ),
        refused("below nothing", &["is no HTTP: invalid"], with("Content-Length: -5", "12345")),
        refused("no number", &["is no HTTP: invalid"], with("Content-Length: five", "12345")),
        refused(
            "beyond all numbers",
            &["is no HTTP: invalid"],
            with("Content-Length: 99999999999999999999999", "12345"),
        ),
        refused(
            "a length and chunks",
            &["does not say what its manifest is"],
            with("Content-Length: 3\r\nTransfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
        ),
        refused(
            "a chunk beyond all numbers",
            &["invalid chunk size"],
            chunked("fffffffffffffffff\r\nxx"),
        ),
        refused("a chunk of no number", &["Invalid chunk size"], chunked("zz\r\nxx\r\n")),
        refused(
            "a chunk's extension without end",
            &["chunk extensions"],
            raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;", vec![b'x'; 0x4000]),
        ),
        refused(
            "trailers without end",
            &["chunk trailers"],
            raw(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
                "X-More: and more\r\n".repeat(100),
            ),
        ),
        refused(
            "an unknown encoding of the transfer",
            &["broke"],
            with("Transfer-Encoding: gzip", "12345"),
        ),
    ]
}
