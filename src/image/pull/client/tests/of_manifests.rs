//! Manifests: what is asked, what is taken, and from whom.

use super::*;
use crate::image::DOCUMENT_LIMIT;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

async fn latest(server: &Server) -> Result<Found, Error> {
    app(&client(), server, &Credentials::Anonymous).manifest(Which::Tag("latest")).await
}

#[tokio::test]
async fn a_manifest_is_asked_for_by_tag_with_what_it_may_be() {
    let reply =
        Reply::ok("{}").header("Content-Type", "Application/Vnd.OCI.image.manifest.v1+json; a=b");
    let server = Server::new(move |_| reply.clone()).await;
    let found = latest(&server).await.unwrap();
    assert_eq!((&*found.bytes, found.media_type.as_deref()), (&b"{}"[..], Some(OCI)));
    assert_eq!(found.from, format!("http://{}", server.authority()));
    let got = &server.got()[0];
    assert_eq!((&*got.method, &*got.target), ("GET", "/v2/app/manifests/latest"));
    assert_eq!(got.header("host"), Some(&*server.authority()));
    assert_eq!(
        (got.header("authorization"), got.header("accept-encoding")),
        (None, Some("identity"))
    );
    let accept = got.header("accept").unwrap();
    for wanted in [
        "application/vnd.oci.image.index.v1+json",
        OCI,
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    ] {
        assert!(accept.split(", ").any(|one| one == wanted), "{wanted}");
    }
}

#[tokio::test]
async fn a_manifest_by_digest_has_the_digest_whatever_the_headers_say() {
    let body = b"{\"schemaVersion\":2}";
    let digest = Digest::sha256(body);
    let told = digest.to_string();
    let server = Server::new(move |got| match got.path().ends_with(&told) {
        true => Reply::ok(body.to_vec()).header("Docker-Content-Digest", "sha256:00"),
        false => Reply::ok("{}").header("Docker-Content-Digest", &told),
    })
    .await;
    let repository = app(&client(), &server, &Credentials::Anonymous);
    let found = repository.manifest(Which::Digest(&digest)).await.unwrap();
    assert_eq!(&*found.bytes, body);
    let other = Digest::sha256(b"other");
    let error = repository.manifest(Which::Digest(&other)).await.unwrap_err();
    let Error::Registry { failure, .. } = &error else { panic!("{error:?}") };
    assert!(matches!(**failure, Failure::Digest { .. }), "{error:?}");
    assert!(!error.is_transient());
}

#[tokio::test]
async fn schema_1_is_refused_by_name() {
    for media_type in ["v1+json", "v1+prettyjws; charset=utf-8"] {
        let full = format!("application/vnd.docker.distribution.manifest.{media_type}");
        let server = Server::new(move |_| Reply::ok("{}").header("Content-Type", &full)).await;
        let error = latest(&server).await.unwrap_err();
        assert!(chain(&error).contains("Docker's schema 1"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn what_the_registry_says_of_an_error_is_told_with_what_was_asked() {
    let body = r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
    let server = Server::new(move |_| Reply::status(404).body(body)).await;
    let error = latest(&server).await.unwrap_err();
    let registry = server.authority();
    assert_eq!(
        chain(&error),
        format!(
            "the registry {registry} did not give app's manifest latest: \
             {registry} answered 404: \"manifest unknown\""
        )
    );
    assert_eq!((error.status(), error.is_transient()), (Some(404), false));
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn trouble_of_the_registry_is_told_at_once() {
    for status in [500, 502, 503, 429] {
        let server = Server::new(move |_| Reply::status(status).body("<html>")).await;
        let error = latest(&server).await.unwrap_err();
        assert_eq!((error.status(), error.is_transient()), (Some(status), true));
        assert_eq!(server.got().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_says_when_to_come_back_is_waited_for() {
    let server = Server::new(|got| match got.connection {
        0 => Reply::status(429).header("Retry-After", "1").cut(0),
        1 => Reply::status(503).header("Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT").cut(0),
        _ => Reply::ok("{}"),
    })
    .await;
    let begin = std::time::Instant::now();
    latest(&server).await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.got().len(), 3);
}

#[tokio::test]
async fn a_registry_that_wants_us_to_wait_too_long_or_too_often_is_not_waited_for() {
    for (after, asked) in [("86400", 1), ("99999999999999999999", 1), ("0", 4)] {
        let server = Server::new(move |_| Reply::status(429).header("Retry-After", after)).await;
        assert_eq!(latest(&server).await.unwrap_err().status(), Some(429));
        assert_eq!(server.got().len(), asked, "{after}");
    }
}

#[tokio::test]
async fn a_manifest_has_a_limit_whether_its_length_is_told_or_not() {
    let long = "a".repeat(DOCUMENT_LIMIT + 1);
    let chunk = format!("{:x}\r\n{long}\r\n", long.len());
    let chunked = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}");
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{long}");
    for reply in [Reply::ok(long.clone()), Reply::raw(chunked), Reply::raw(endless)] {
        let server = Server::new(move |_| reply.clone()).await;
        let error = latest(&server).await.unwrap_err();
        assert!(
            chain(&error).contains("a manifest of more than 4194304 bytes"),
            "{}",
            chain(&error)
        );
    }
    let fits = Reply::ok("a".repeat(DOCUMENT_LIMIT));
    let server = Server::new(move |_| fits.clone()).await;
    assert_eq!(latest(&server).await.unwrap().bytes.len(), DOCUMENT_LIMIT);
}

#[tokio::test]
async fn headers_have_a_limit() {
    let many = (0..1000).fold(Reply::ok("{}"), |reply, at| reply.header(&format!("X-{at}"), "a"));
    let long = Reply::ok("{}").header("X-Long", &"a".repeat(1 << 20));
    for reply in [many, long] {
        let server = Server::new(move |_| reply.clone()).await;
        let error = latest(&server).await.unwrap_err();
        assert!(chain(&error).contains("what is no HTTP"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    for text in ["SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"] {
        let server = Server::new(move |_| Reply::raw(text)).await;
        let error = latest(&server).await.unwrap_err();
        assert!(chain(&error).contains("what is no HTTP"), "{}", chain(&error));
    }
}

#[tokio::test]
async fn silence_ends_with_a_time_out() {
    let soon = Duration::from_millis(50);
    let (mut first, mut later) = (settings(), settings());
    (first.timeouts.first_byte, later.timeouts.stall) = (soon, soon);
    for (settings, reply, what) in [
        (first, Reply::raw("").stall(0), "an answer"),
        (later, Reply::ok("{    }").stall(1), "bytes"),
    ] {
        let server = Server::new(move |_| reply.clone()).await;
        let client = Client::new(settings).unwrap();
        let repository = app(&client, &server, &Credentials::Anonymous);
        let error = repository.manifest(Which::Tag("latest")).await.unwrap_err();
        assert!(error.is_timeout() && error.is_transient());
        let wanted = format!("let {what} wait for more than 0.05 s");
        assert!(chain(&error).contains(&wanted), "{}", chain(&error));
    }
}

#[tokio::test]
async fn a_connection_is_kept_and_a_closed_one_is_no_trouble() {
    let server = Server::new(|got| match got.path().ends_with("last") {
        true => Reply::ok("{}").cut(2),
        false => Reply::ok("{}"),
    })
    .await;
    let repository = app(&client(), &server, &Credentials::Anonymous);
    for tag in ["a", "b", "last", "c"] {
        repository.manifest(Which::Tag(tag)).await.unwrap();
    }
    let connections: Vec<_> = server.got().iter().map(|got| got.connection).collect();
    assert_eq!(connections, [0, 0, 0, 1]);
}

#[tokio::test]
async fn nobody_at_home_is_told() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap().to_string();
    drop(listener);
    let repository = app_at(&client(), &registry, &Credentials::Anonymous);
    let error = repository.manifest(Which::Tag("latest")).await.unwrap_err();
    assert!(chain(&error).contains(&format!("no connection to {registry}")), "{}", chain(&error));
    assert!(error.is_transient() && !error.is_timeout());
}

fn with_mirrors(registry: &str, mirrors: Vec<Endpoint>) -> Client {
    let mut settings = settings();
    let own = RegistrySettings { mirrors, ..RegistrySettings::default() };
    settings.registries.insert(registry.to_owned(), own);
    Client::new(settings).unwrap()
}

fn mirror(server: &Server, prefix: &str) -> Endpoint {
    format!("http://{}{prefix}", server.authority()).parse().unwrap()
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_never_sees_the_registrys_credentials() {
    let basic = |got: &Got| match got.header("authorization") {
        None => Reply::status(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        Some(_) => Reply::ok("{}"),
    };
    let (registry, first, second) =
        (Server::new(basic).await, Server::new(basic).await, Server::new(basic).await);
    let bob = Credentials::Basic { username: "bob".to_owned(), password: Secret::new("word") };
    let mirrors = vec![mirror(&first, ""), mirror(&second, "/hub/").with_credentials(bob)];
    let client = with_mirrors(&registry.authority(), mirrors.clone());
    let found = app(&client, &registry, &ali()).manifest(Which::Tag("latest")).await.unwrap();
    assert_eq!(found.from, format!("http://{}", second.authority()));
    let shown = |server: &Server| -> Vec<_> {
        server
            .got()
            .iter()
            .filter_map(|got| got.header("authorization").map(str::to_owned))
            .collect()
    };
    assert_eq!(shown(&first), [""; 0], "a mirror without credentials of its own");
    assert_eq!(shown(&second), ["Basic Ym9iOndvcmQ="]);
    assert_eq!(second.got()[0].target, "/v2/hub/app/manifests/latest");
    assert_eq!(registry.got().len(), 0);

    let elsewhere = with_mirrors("other.example", mirrors);
    let found = app(&elsewhere, &registry, &ali()).manifest(Which::Tag("latest")).await.unwrap();
    assert_eq!(
        found.from,
        format!("http://{}", registry.authority()),
        "another registry's mirrors"
    );
    assert_eq!(shown(&registry), [ALI]);
}

#[tokio::test]
async fn a_mirror_that_fails_or_lies_is_passed_over() {
    let digest = Digest::sha256(b"{}");
    for reply in [
        Reply::status(404),
        Reply::status(500),
        Reply::ok("lie"),
        Reply::ok("{}").cut(1),
        Reply::status(307).header("Location", "http://169.254.169.254/"),
    ] {
        let lying = Server::new(move |_| reply.clone()).await;
        let registry = Server::new(|_| Reply::ok("{}")).await;
        let client = with_mirrors(&registry.authority(), vec![mirror(&lying, "")]);
        let repository = app(&client, &registry, &Credentials::Anonymous);
        let found = repository.manifest(Which::Digest(&digest)).await.unwrap();
        assert_eq!(found.from, format!("http://{}", registry.authority()));
        assert_eq!(lying.got().len(), 1);
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let refused = |names: &[&str], own: RegistrySettings| {
        let mut settings = settings();
        let pairs = names.iter().map(|name| ((*name).to_owned(), own.clone()));
        settings.registries.extend(pairs);
        Client::new(settings).unwrap_err().to_string()
    };
    let plain = RegistrySettings::default();
    assert!(refused(&["https://a"], plain.clone()).contains("\"https://a\" has no"));
    assert!(refused(&["user@a"], plain.clone()).contains("has a user"));
    assert!(refused(&["a.example", "A.example"], plain.clone()).contains("another spelling"));
    let both = RegistrySettings { plain_http: true, ca: vec!["/ca.pem".into()], ..plain };
    assert!(refused(&["a.example"], both).contains("authorities"));
}
