//! The distribution's own registry on the loopback address, with one image in it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long it may take to listen.
const START: Duration = Duration::from_secs(20);

/// One that serves until this value goes.
pub(crate) struct Distribution {
    child: Child,
    address: SocketAddr,
    // Removed when nobody serves from it any more.
    _dir: tempfile::TempDir,
}

impl Distribution {
    /// Keeps what it has in `dir`. Whoever starts it may lack it.
    pub(crate) fn start(dir: tempfile::TempDir) -> Result<Distribution, String> {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {address}}}\n",
            dir.path().join("store").display()
        );
        let file = dir.path().join("config.yml");
        std::fs::write(&file, config).unwrap();
        let mut server = Command::new("docker-registry");
        server.arg("serve").arg(&file).stdin(Stdio::null());
        let child = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let child = child.map_err(|error| format!("docker-registry does not start: {error}"))?;
        let distribution = Distribution { child, address, _dir: dir };
        let start = Instant::now();
        while TcpStream::connect(address).is_err() {
            if start.elapsed() > START {
                return Err("docker-registry does not listen".to_owned());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(distribution)
    }

    /// Lets skopeo push the image of a layout; gives its name here.
    pub(crate) fn push(&self, layout: &Path, name: &str) -> Result<String, String> {
        let name = format!("{}/hotcell/{name}:latest", self.address);
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"]);
        skopeo.arg(format!("oci:{}:latest", layout.display())).arg(format!("docker://{name}"));
        match skopeo.stdin(Stdio::null()).status() {
            Ok(status) if status.success() => Ok(name),
            other => Err(format!("skopeo does not push: {other:?}")),
        }
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
