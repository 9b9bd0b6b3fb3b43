//! The server itself: it is right unless it is told to be wrong, and then it is wrong as it is told.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::{Answer, Content, Door, On, Registry, Rule, Setting, Tokens};
use crate::bed::Bed;
use crate::{Test, test};

pub fn tests() -> Vec<Test> {
    vec![
        test!(what_is_there_is_given_whole_and_in_parts),
        test!(a_rule_counts_and_is_used_up),
        test!(an_answer_goes_wrong_as_it_is_told),
        test!(a_door_opens_to_whom_it_knows),
    ]
}

const BYTES: &[u8] = b"0123456789";

/// A registry with one blob, and the blob's path.
fn registry() -> (Registry, String) {
    let mut content = Content::default();
    let digest = content.blob("a/b", BYTES);
    (Registry::plain(content), format!("/v2/a/b/blobs/{digest}"))
}

/// Everything that is said to one request on a connection that is closed behind it.
fn ask(registry: &Registry, first: &str, more: &str) -> String {
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(format!("{first} HTTP/1.1\r\nHost: here\r\n{more}\r\n").as_bytes()).unwrap();
    let mut all = Vec::new();
    let mut some = [0; 4096];
    while let Ok(read @ 1..) = stream.read(&mut some) {
        all.extend_from_slice(&some[..read]);
        let text = String::from_utf8_lossy(&all);
        // Whole, as its length says: the connection would stay.
        let whole = text.split_once("\r\n\r\n").is_some_and(|(head, body)| {
            head.contains(&format!("Content-Length: {}", body.len())) && !first.contains("HEAD")
        });
        if whole {
            break;
        }
    }
    String::from_utf8(all).unwrap()
}

fn what_is_there_is_given_whole_and_in_parts(_: &Bed) {
    let (registry, path) = registry();
    let whole = ask(&registry, &format!("GET {path}"), "");
    assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\n0123456789"), "{whole}");
    let part = ask(&registry, &format!("GET {path}"), "Range: bytes=4-\r\n");
    assert!(part.starts_with("HTTP/1.1 206 ") && part.ends_with("\r\n\r\n456789"), "{part}");
    assert!(part.contains("Content-Range: bytes 4-9/10\r\n"), "{part}");
    let beyond = ask(&registry, &format!("GET {path}"), "Range: bytes=10-\r\n");
    assert!(beyond.starts_with("HTTP/1.1 416 "), "{beyond}");
    let none = ask(&registry, "GET /v2/a/b/manifests/none", "");
    assert!(none.starts_with("HTTP/1.1 404 ") && none.contains("MANIFEST_UNKNOWN"), "{none}");
    assert_eq!((registry.count(&On::Blob), registry.count(&On::Any)), (3, 4));
}

fn a_rule_counts_and_is_used_up(_: &Bed) {
    let (registry, path) = registry();
    registry.when(Rule::new(On::Blob, |_, right| right.status(500)).after(1).times(2));
    let all: String = (0..5).map(|_| ask(&registry, &format!("GET {path}"), "")).collect();
    let statuses: Vec<_> = all.split("HTTP/1.1 ").skip(1).map(|answer| &answer[..3]).collect();
    assert_eq!(statuses, ["200", "500", "500", "200", "200"]);
}

fn an_answer_goes_wrong_as_it_is_told(_: &Bed) {
    type Wrong = fn(Answer) -> Answer;
    let wrongs: [(Wrong, &str); 7] = [
        (|right| right.cut(3), "Content-Length: 10\r\n\r\n012"),
        (|right| right.stall(3), "Content-Length: 10\r\n\r\n012"),
        (|right| right.flip(0), "\r\n\r\n1123456789"),
        (|right| right.chunked(), "chunked\r\n\r\na\r\n0123456789\r\n0\r\n\r\n"),
        (|right| right.with("Content-Length", "12"), "Content-Length: 12\r\n\r\n0123456789"),
        (|_| Answer::raw("nonsense", ""), "nonsense"),
        (|right| right.silence(), ""),
    ];
    for (wrong, ends) in wrongs {
        let (registry, path) = registry();
        registry.when(Rule::new(On::Any, move |_, right| wrong(right)));
        let said = ask(&registry, &format!("GET {path}"), "");
        assert!(said.ends_with(ends), "{ends:?}: {said:?}");
        assert!(!ends.is_empty() || said.is_empty(), "{said:?}");
    }
    let (registry, path) = registry();
    registry.when(Rule::new(On::Any, |_, right| right.reset(3)));
    let mut stream = TcpStream::connect(registry.address()).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\n\r\n").as_bytes()).unwrap();
    let ended = stream.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::ConnectionReset);
}

fn a_door_opens_to_whom_it_knows(_: &Bed) {
    let mut content = Content::default();
    let path = format!("GET /v2/a/b/blobs/{}", content.blob("a/b", BYTES));
    let tokens = Tokens::for_user("me", "secret");
    let door = Door::Bearer { realm: "http://there/token".to_owned(), tokens: tokens.clone() };
    let setting = Setting { content, door, tls: None };
    let registry = Registry::start(([127, 0, 0, 1], 0), setting);
    let closed = ask(&registry, &path, "");
    let wanted =
        r#"Bearer realm="http://there/token",service="the registry",scope="repository:a/b:pull""#;
    assert!(closed.starts_with("HTTP/1.1 401 ") && closed.contains(wanted), "{closed}");
    let token = "GET /token?service=x&scope=repository%3Aa%2Fb%3Apull";
    let refused = ask(&registry, token, "Authorization: Basic bWU6d3Jvbmc=\r\n");
    assert!(refused.starts_with("HTTP/1.1 401 "), "{refused}");
    let given = ask(&registry, token, "Authorization: Basic bWU6c2VjcmV0\r\n");
    let token = given.split("\"token\":\"").nth(1).unwrap().split('"').next().unwrap();
    let shown = format!("Authorization: Bearer {token}\r\n");
    assert!(ask(&registry, &path, &shown).ends_with("0123456789"));
    tokens.forget();
    assert!(ask(&registry, &path, &shown).starts_with("HTTP/1.1 401 "));
}
