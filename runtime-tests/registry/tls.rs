//! An authority of a test's own, and certificates for its servers, made by openssl.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

/// Whom no host trusts before it is told to.
pub struct Authority {
    dir: PathBuf,
    /// How many servers have certificates of it.
    made: AtomicUsize,
}

/// A certificate and its key, as files.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Keeps its files in `dir`, which is made.
    pub fn new(dir: &Path) -> Authority {
        std::fs::create_dir_all(dir).unwrap();
        let authority = Authority { dir: dir.to_owned(), made: AtomicUsize::new(0) };
        let extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n";
        authority.make("ca", "an authority of tests", extensions, None);
        authority
    }

    /// Its own certificate: whoever has it trusts its servers.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// For a server under these names, such as `DNS:registry.example` or `IP:127.0.0.1`.
    pub fn server(&self, names: &[&str]) -> Certificate {
        let names = names.join(",");
        // Each has its own: several may be made at once.
        let name = format!("server-{}", self.made.fetch_add(1, Ordering::SeqCst));
        let extensions = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n");
        self.make(&name, "a server", &extensions, Some(self))
    }

    /// For a client that shows who it is.
    pub fn client(&self, name: &str) -> Certificate {
        let extensions = "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:client.example\n";
        self.make(name, "a client", extensions, Some(self))
    }

    /// What a server with these names runs on.
    pub fn serves(&self, names: &[&str]) -> Arc<ServerConfig> {
        let Certificate { certificate, key } = self.server(names);
        config(&certificate, &key, None)
    }

    /// The same for a server that wants to see a certificate of this authority.
    pub fn serves_clients(&self, names: &[&str]) -> Arc<ServerConfig> {
        let Certificate { certificate, key } = self.server(names);
        config(&certificate, &key, Some(&self.certificate()))
    }

    fn make(
        &self,
        name: &str,
        subject: &str,
        extensions: &str,
        signed_by: Option<&Authority>,
    ) -> Certificate {
        let at = |end: &str| self.dir.join(format!("{name}.{end}"));
        let settings = format!(
            "[req]\nprompt=no\ndistinguished_name=who\nx509_extensions=what\n\
             [who]\nCN={subject}\n[what]\n{extensions}"
        );
        std::fs::write(at("cnf"), settings).unwrap();
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-days", "30", "-nodes", "-newkey", "ec"]);
        openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-config"]).arg(at("cnf"));
        openssl.arg("-keyout").arg(at("key")).arg("-out").arg(at("crt"));
        if let Some(authority) = signed_by {
            openssl.arg("-CA").arg(authority.certificate());
            openssl.arg("-CAkey").arg(authority.dir.join("ca.key"));
        }
        let output = openssl.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        Certificate { certificate: at("crt"), key: at("key") }
    }
}

fn config(certificate: &Path, key: &Path, clients: Option<&Path>) -> Arc<ServerConfig> {
    let provider = Arc::new(default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.unwrap())
        }
    };
    let chain = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let key = PrivateKeyDer::from_pem_file(key).unwrap();
    Arc::new(builder.with_single_cert(chain, key).unwrap())
}
