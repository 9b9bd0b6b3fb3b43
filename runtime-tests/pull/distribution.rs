//! The distribution's own registry, `docker-registry`, on a free port of the loopback address.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio as Pipes};
use std::time::{Duration, Instant};

use crate::registry::Authority;

/// Whom one with a password knows.
pub const USER: &str = "somebody";
pub const PASSWORD: &str = "secret";
/// The same in the only form that it reads: bcrypt.
const LINE: &str = "somebody:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";
/// How long one may take to listen.
const START: Duration = Duration::from_secs(20);

/// One that serves until this value goes.
pub struct Distribution {
    child: Child,
    address: SocketAddr,
    dir: tempfile::TempDir,
    skopeo: Vec<String>,
}

/// What it wants of its clients.
#[derive(Clone, Copy, Default)]
pub struct Wants<'a> {
    pub password: bool,
    /// Who signs its certificate, if it speaks TLS.
    pub authority: Option<&'a Authority>,
}

impl Distribution {
    pub fn start(wants: Wants) -> Distribution {
        let dir = tempfile::Builder::new().prefix("hotcell-registry").tempdir_in("/var/tmp");
        let dir = dir.unwrap();
        // Free now: it can't be told to choose one and say which.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  addr: {address}\n",
            dir.path().join("store").display()
        );
        let mut skopeo = vec!["--dest-tls-verify=false".to_owned()];
        if let Some(authority) = wants.authority {
            let made = authority.server(&["IP:127.0.0.1"]);
            let (certificate, key) = (made.certificate.display(), made.key.display());
            config += &format!("  tls: {{certificate: {certificate}, key: {key}}}\n");
        }
        if wants.password {
            let file = dir.path().join("htpasswd");
            fs::write(&file, LINE).unwrap();
            config += &format!("auth: {{htpasswd: {{realm: x, path: {}}}}}\n", file.display());
            skopeo.push(format!("--dest-creds={USER}:{PASSWORD}"));
        }
        let file = dir.path().join("config.yml");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut server = Command::new("docker-registry");
        server.arg("serve").arg(&file).stdin(Pipes::null()).stdout(Pipes::null()).stderr(log);
        let child = server.spawn().unwrap();
        let distribution = Distribution { child, address, dir, skopeo };
        distribution.await_start();
        distribution
    }

    fn await_start(&self) {
        let start = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap();
            assert!(start.elapsed() < START, "docker-registry does not listen: {log}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// `127.0.0.1:PORT`, as it stands in an image's name.
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// The name that an image gets by [`Distribution::push`].
    pub fn name(&self, name: &str) -> String {
        format!("{}/hotcell/{name}:latest", self.host())
    }

    /// Lets skopeo push the first image of a layout.
    pub fn push(&self, layout: &Path, name: &str) -> String {
        let name = self.name(name);
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet"]).args(&self.skopeo);
        skopeo.arg(format!("oci:{}:latest", layout.display())).arg(format!("docker://{name}"));
        let output = skopeo.stdin(Pipes::null()).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        name
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
