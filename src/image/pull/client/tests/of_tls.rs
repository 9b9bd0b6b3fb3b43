//! Whom we believe to be a host, and when TLS is left out.
//!
//! The certificates in `tls/` are for 127.0.0.1 and localhost, from an authority whose key was thrown
//! away; they end in 2126.

use std::path::PathBuf;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::*;

const AUTHORITY: &str = include_str!("tls/ca.crt");
const SERVER: [&str; 2] = [include_str!("tls/server.crt"), include_str!("tls/server.key")];
const CLIENT: [&str; 2] = [include_str!("tls/client.crt"), include_str!("tls/client.key")];

fn acceptor(wants_client: bool) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(AUTHORITY.as_bytes()).unwrap()).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    let builder = match wants_client {
        true => builder.with_client_cert_verifier(verifier.build().unwrap()),
        false => builder.with_no_client_auth(),
    };
    let chain = vec![CertificateDer::from_pem_slice(SERVER[0].as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(SERVER[1].as_bytes()).unwrap();
    TlsAcceptor::from(Arc::new(builder.with_single_cert(chain, key).unwrap()))
}

async fn server(wants_client: bool) -> Server {
    Server::with(Some(acceptor(wants_client)), |_| Reply::ok("{}")).await
}

/// A directory of certificates for a host, which lives as long as the first of the pair.
fn certs(host: &str, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join(host)).unwrap();
    for (name, text) in files {
        std::fs::write(dir.path().join(host).join(name), text).unwrap();
    }
    let path = dir.path().to_owned();
    (dir, path)
}

async fn latest(server: &Server, certs_dirs: Vec<PathBuf>) -> Result<Found, Error> {
    let client = Client::new(Settings { certs_dirs, ..settings() }).unwrap();
    app(&client, server, &Credentials::Anonymous).manifest(Which::Tag("latest")).await
}

#[tokio::test]
async fn an_authority_of_a_hosts_directory_is_believed_for_that_host() {
    let server = server(false).await;
    let files = [("own.crt", AUTHORITY), ("README", "no certificate")];
    let (_kept, dir) = certs(&server.authority(), &files);
    let nowhere = PathBuf::from("/nowhere/at/all");
    let found = latest(&server, vec![nowhere, dir]).await.unwrap();
    assert_eq!(found.from, format!("https://{}", server.authority()));
}

#[tokio::test]
async fn a_host_is_not_believed_without_its_authority() {
    let server = server(false).await;
    // An empty directory is enough to say that it speaks TLS.
    let (_kept, dir) = certs(&server.authority(), &[]);
    let error = latest(&server, vec![dir]).await.unwrap_err();
    let wanted = format!("no TLS with {}: invalid peer certificate", server.authority());
    assert!(chain(&error).contains(&wanted), "{}", chain(&error));
    assert!(!error.is_transient());
    assert_eq!(server.got().len(), 0);
}

#[tokio::test]
async fn a_host_without_tls_is_told_in_plain_words() {
    let client = client();
    let origin = Origin::parse(true, "plain.example").unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut plain, _) = listener.accept().await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut plain, b"HTTP/1.1 400 Bad\r\n\r\n").await.unwrap();
    let limit = Duration::from_secs(20);
    let failure =
        client.inner.asker.wire.tls.handshake(to, &origin, true, limit).await.unwrap_err();
    let Failure::Tls { source, .. } = failure else { panic!("{failure:?}") };
    assert!(source.to_string().contains("does not speak TLS"), "{source}");
}

#[tokio::test]
async fn an_authority_of_the_settings_is_believed_for_its_registry_alone() {
    let (server, other) = (server(false).await, server(false).await);
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, AUTHORITY).unwrap();
    let mut settings = settings();
    let own = RegistrySettings { ca: vec![ca], ..RegistrySettings::default() };
    settings.registries.insert(server.authority(), own);
    let (_kept, certs_dir) = certs(&other.authority(), &[]);
    settings.certs_dirs = vec![certs_dir];
    let client = Client::new(settings).unwrap();
    let latest = async |server| {
        app(&client, server, &Credentials::Anonymous).manifest(Which::Tag("latest")).await
    };
    latest(&server).await.unwrap();
    let error = latest(&other).await.unwrap_err();
    assert!(chain(&error).contains("invalid peer certificate"), "{}", chain(&error));
}

#[tokio::test]
async fn a_certificate_is_for_the_names_that_stand_in_it() {
    let server = server(false).await;
    let host = format!("127.0.0.2:{}", server.port);
    let (_kept, dir) = certs(&host, &[("own.crt", AUTHORITY)]);
    let client = Client::new(Settings { certs_dirs: vec![dir], ..settings() }).unwrap();
    let origin = Origin::parse(true, &host).unwrap();
    let to = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await.unwrap();
    let limit = Duration::from_secs(20);
    let failure =
        client.inner.asker.wire.tls.handshake(to, &origin, true, limit).await.unwrap_err();
    let Failure::Tls { source, .. } = failure else { panic!("{failure:?}") };
    assert!(source.to_string().contains("not valid for"), "{source}");
}

#[tokio::test]
async fn a_client_shows_the_certificate_that_its_host_wants() {
    let server = server(true).await;
    let pair = [("own.crt", AUTHORITY), ("me.cert", CLIENT[0]), ("me.key", CLIENT[1])];
    let (_kept, dir) = certs(&server.authority(), &pair);
    latest(&server, vec![dir]).await.unwrap();
    let (_kept, dir) = certs(&server.authority(), &pair[..1]);
    assert!(latest(&server, vec![dir]).await.is_err());
    assert_eq!(server.got().len(), 1);
}

#[tokio::test]
async fn nobody_is_led_to_where_the_hosts_certificate_opens_doors() {
    let inside = server(true).await;
    let pair = [("own.crt", AUTHORITY), ("me.cert", CLIENT[0]), ("me.key", CLIENT[1])];
    let (_kept, dir) = certs(&inside.authority(), &pair);
    let client = Client::new(Settings { certs_dirs: vec![dir], ..settings() }).unwrap();
    let there = format!("https://{}/v2/app/manifests/latest", inside.authority());
    let sends = Server::new(move |_| Reply::status(307).header("Location", &there)).await;
    let realm = format!("Bearer realm=\"https://{}/token\"", inside.authority());
    let asks = Server::new(move |_| Reply::status(401).header("WWW-Authenticate", &realm)).await;
    for server in [&sends, &asks] {
        // By another name it is another host, and its own is the place that knows us.
        for (registry, opens) in [("localhost", false), ("127.0.0.1", true)] {
            let before = inside.got().len();
            let registry = format!("{registry}:{}", server.port);
            let app = app_at(&client, &registry, &Credentials::Anonymous);
            let _ = app.manifest(Which::Tag("latest")).await;
            assert_eq!(inside.got().len() > before, opens, "{registry}");
        }
    }
}

#[tokio::test]
async fn files_that_are_no_certificates_are_told() {
    let server = server(false).await;
    let unread = |files: &'static [(&'static str, &'static str)]| {
        let (kept, dir) = certs(&server.authority(), files);
        let latest = latest(&server, vec![dir]);
        async move {
            let error = latest.await.unwrap_err();
            drop(kept);
            chain(&error)
        }
    };
    let told = unread(&[("own.crt", "nonsense")]).await;
    assert!(told.ends_with("own.crt has no certificate"), "{told}");
    let told = unread(&[("me.cert", CLIENT[0])]).await;
    assert!(told.ends_with("me.key has no private key that can be read"), "{told}");
    assert_eq!(server.got().len(), 0);
}

#[tokio::test]
async fn no_redirection_leaves_tls() {
    let plain = Server::new(|_| Reply::ok("{}")).await;
    let location = format!("http://{}/", plain.authority());
    let answer = move |_: &Got| Reply::status(307).header("Location", &location);
    let server = Server::with(Some(acceptor(false)), answer).await;
    let (_kept, dir) = certs(&server.authority(), &[("own.crt", AUTHORITY)]);
    let error = latest(&server, vec![dir]).await.unwrap_err();
    assert!(chain(&error).contains("that would go without TLS"), "{}", chain(&error));
    assert_eq!(plain.got().len(), 0);
}

#[tokio::test]
async fn no_realm_leaves_tls_not_even_at_home() {
    let plain = Server::new(|_| Reply::ok(r#"{"token":"t"}"#)).await;
    let challenge = format!("Bearer realm=\"http://{}/token\"", plain.authority());
    let answer = move |_: &Got| Reply::status(401).header("WWW-Authenticate", &challenge);
    let server = Server::with(Some(acceptor(false)), answer).await;
    let (_kept, dir) = certs(&server.authority(), &[("own.crt", AUTHORITY)]);
    let client = Client::new(Settings { certs_dirs: vec![dir], ..settings() }).unwrap();
    let error = client.check(&server.authority(), &ali()).await.unwrap_err();
    assert!(chain(&error).contains("does not speak TLS"), "{}", chain(&error));
    assert_eq!(plain.got().len(), 0);
}

#[tokio::test]
async fn plain_http_is_for_this_host_and_for_registries_that_are_named() {
    let mut settings = settings();
    let plain = RegistrySettings { plain_http: true, ..RegistrySettings::default() };
    settings.registries.insert("plain.example:5000".to_owned(), plain);
    let client = Client::new(settings).unwrap();
    for (registry, wanted, reach) in [
        ("localhost:5000", "http://localhost:5000", Reach::Here),
        ("a.localhost", "http://a.localhost", Reach::Here),
        ("127.1.2.3:5000", "http://127.1.2.3:5000", Reach::Here),
        ("[::1]:5000", "http://[::1]:5000", Reach::Here),
        ("plain.example:5000", "http://plain.example:5000", Reach::Anywhere),
        ("PLAIN.example:5000", "http://plain.example:5000", Reach::Anywhere),
        ("plain.example", "https://plain.example", Reach::Anywhere),
        ("10.0.0.1:5000", "https://10.0.0.1:5000", Reach::Anywhere),
        ("localhost.example", "https://localhost.example", Reach::Anywhere),
        ("docker.io", "https://registry-1.docker.io", Reach::Anywhere),
    ] {
        let source = client.source(registry, &Credentials::Anonymous).await.unwrap();
        assert_eq!((&*source.origin.to_string(), source.reach), (wanted, reach));
    }
}

#[tokio::test]
async fn docker_hubs_certificates_are_found_under_its_short_name() {
    let (_kept, dir) = certs("docker.io", &[("own.crt", "nonsense")]);
    let client = Client::new(Settings { certs_dirs: vec![dir], ..settings() }).unwrap();
    let source = client.source("docker.io", &Credentials::Anonymous).await.unwrap();
    let tls = &client.inner.asker.wire.tls;
    assert!(tls.is_set_up(&source.origin).await);
    assert!(!tls.is_set_up(&Origin::parse(true, "quay.io").unwrap()).await);
}
