//! TLS: whom a host's certificate may come from, and the certificate that it wants to see.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::url::Origin;
use super::{HUB, HUB_HOST, blocking};
use crate::image::pull::Failure;
use crate::unpoisoned::lock;

/// For how long a host's files are not read again.
const FRESH: Duration = Duration::from_secs(60);
/// The variables that say where the host's own authorities are.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// A host, and whether our own certificate may be shown to it.
type Key = (String, bool);

/// Handshakes, each as its host wants them.
pub(super) struct Tls {
    places: Arc<Places>,
    roots: OnceCell<Arc<RootCertStore>>,
    configs: Mutex<HashMap<Key, (Instant, Arc<ClientConfig>)>>,
}

/// Where certificates are.
struct Places {
    certs_dirs: Vec<PathBuf>,
    /// Files with authorities, by the name of the registry.
    authorities: BTreeMap<String, Vec<PathBuf>>,
}

impl Tls {
    pub(super) fn new(
        certs_dirs: Vec<PathBuf>,
        authorities: BTreeMap<String, Vec<PathBuf>>,
    ) -> Tls {
        let places = Arc::new(Places { certs_dirs, authorities });
        Tls { places, roots: OnceCell::new(), configs: Mutex::default() }
    }

    /// Whether the host has authorities of its own: then it speaks TLS.
    pub(super) async fn is_set_up(&self, origin: &Origin) -> bool {
        let (places, names) = (Arc::clone(&self.places), names(origin));
        if names.iter().any(|name| places.authorities.contains_key(name)) {
            return true;
        }
        blocking(move || places.directory(&names).is_some()).await
    }

    /// Our own certificate is shown only if `identified`.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        origin: &Origin,
        identified: bool,
        limit: Duration,
    ) -> Result<TlsStream<TcpStream>, Failure> {
        let host = || origin.authority();
        let failed = |source: io::Error| Failure::Tls { host: host(), source: plainly(source) };
        let name = ServerName::try_from(origin.host.clone())
            .map_err(|wrong| failed(io::Error::new(io::ErrorKind::InvalidInput, wrong)))?;
        let connector = TlsConnector::from(self.config(origin, identified).await?);
        let late = |_| Failure::TimedOut { host: host(), what: "a handshake", limit };
        timeout(limit, connector.connect(name, stream)).await.map_err(late)?.map_err(failed)
    }

    async fn config(
        &self,
        origin: &Origin,
        identified: bool,
    ) -> Result<Arc<ClientConfig>, Failure> {
        let key = (origin.authority(), identified);
        if let Some((since, config)) = lock(&self.configs).get(&key)
            && since.elapsed() < FRESH
        {
            return Ok(Arc::clone(config));
        }
        let roots = self.roots.get_or_try_init(|| blocking(host_roots)).await?;
        let (places, roots) = (Arc::clone(&self.places), Arc::clone(roots));
        let names = names(origin);
        let config = Arc::new(blocking(move || places.config(&names, &roots, identified)).await?);
        let mut configs = lock(&self.configs);
        configs.retain(|_, (since, _)| since.elapsed() < FRESH);
        configs.insert(key, (Instant::now(), Arc::clone(&config)));
        Ok(config)
    }
}

/// The failure, in plain words where it is what people meet most: a registry without TLS.
fn plainly(source: io::Error) -> io::Error {
    let inner = source.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidMessage(_)) => {
            let why = "it does not speak TLS: its settings would have to allow plain HTTP";
            io::Error::new(source.kind(), why)
        }
        _ => source,
    }
}

/// What a host may be called in settings and directories.
fn names(origin: &Origin) -> Vec<String> {
    let mut names = vec![origin.authority()];
    let implied = if origin.tls { 443 } else { 80 };
    if origin.port == implied {
        names.push(format!("{}:{implied}", names[0]));
    }
    if origin.host == HUB_HOST {
        names.push(HUB.to_owned());
    }
    names
}

/// Who this host trusts; where it says nothing, whom browsers trust.
fn host_roots() -> Result<Arc<RootCertStore>, Failure> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        if let Some(path) = VARIABLES.iter().find_map(std::env::var_os) {
            let why = "has no certificate that can be read".to_owned();
            return Err(Failure::Certificate { path: path.into(), why });
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(Arc::new(roots))
}

impl Places {
    fn directory(&self, names: &[String]) -> Option<PathBuf> {
        let mut all =
            self.certs_dirs.iter().flat_map(|dir| names.iter().map(|name| dir.join(name)));
        all.find(|dir| dir.is_dir())
    }

    fn config(
        &self,
        names: &[String],
        roots: &RootCertStore,
        identified: bool,
    ) -> Result<ClientConfig, Failure> {
        let mut authorities: Vec<PathBuf> =
            names.iter().filter_map(|name| self.authorities.get(name)).flatten().cloned().collect();
        let mut pair = None;
        if let Some(dir) = self.directory(names) {
            for path in files(&dir)? {
                match path.extension().and_then(|extension| extension.to_str()) {
                    Some("crt") => authorities.push(path),
                    Some("cert") if identified && pair.is_none() => {
                        pair = Some((path.with_extension("key"), path))
                    }
                    _ => {}
                }
            }
        }
        let mut roots = roots.clone();
        for path in &authorities {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|wrong| unusable(path, &wrong))?;
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|wrong| unusable(Path::new("TLS"), &wrong))?
            .with_root_certificates(roots);
        let mut config = match pair {
            None => builder.with_no_client_auth(),
            Some((key, certificate)) => {
                let chain = certificates(&certificate)?;
                let key = PrivateKeyDer::from_pem_file(&key).map_err(|_| {
                    let why = "has no private key that can be read".to_owned();
                    Failure::Certificate { path: key, why }
                })?;
                let unfit = |wrong| unusable(&certificate, &wrong);
                builder.with_client_auth_cert(chain, key).map_err(unfit)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The files of a directory, by name.
fn files(dir: &Path) -> Result<Vec<PathBuf>, Failure> {
    let unread = |wrong: io::Error| unusable(dir, &wrong);
    let entries = fs::read_dir(dir).map_err(unread)?.map(|entry| Ok(entry.map_err(unread)?.path()));
    let mut paths = entries.collect::<Result<Vec<_>, Failure>>()?;
    paths.sort();
    Ok(paths)
}

/// All of a file's, of which there must be one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let all = CertificateDer::pem_file_iter(path).and_then(Iterator::collect);
    let all: Vec<_> = all.map_err(|wrong| unusable(path, &wrong))?;
    match all.is_empty() {
        false => Ok(all),
        true => {
            Err(Failure::Certificate { path: path.into(), why: "has no certificate".to_owned() })
        }
    }
}

fn unusable(path: &Path, why: &dyn std::error::Error) -> Failure {
    Failure::Certificate { path: path.into(), why: format!("can't be used: {why}") }
}
