//! A network of a test's own, in which names of the whole internet lead to this machine.
//!
//! Addresses that look public, private ones and the loopback are all on one interface of a network
//! namespace, and the names are in an `/etc/hosts` of a mount namespace: both end with their thread.

use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
use rustls::ServerConfig;

use crate::registry::{Authority, Content, Registry, Setting};

/// Names and where they lead.
const HOSTS: [(&str, &str); 8] = [
    ("registry.example", "203.0.113.1"),
    ("token.example", "203.0.113.2"),
    ("mirror.example", "203.0.113.3"),
    ("blobs.example", "203.0.113.4"),
    ("evil.example", "203.0.113.66"),
    // Names of hosts that only this side of a firewall reaches.
    ("inside.example", "10.1.2.3"),
    ("metadata.example", "169.254.169.254"),
    ("localhost", "127.0.0.1"),
];

/// Where a test's servers and clients live.
pub struct Place {
    pub authority: Authority,
    /// A certificate for all names and addresses.
    pub tls: Arc<ServerConfig>,
    pub dir: tempfile::TempDir,
}

impl Place {
    /// Does it there, on a thread of its own: every thread and process that it starts is there, too.
    pub fn visit<T: Send>(act: impl FnOnce(&Place) -> T + Send) -> T {
        let visit = || {
            let dir = tempfile::Builder::new().prefix("hotcell-pull").tempdir_in("/var/tmp");
            let dir = dir.unwrap();
            // While it can still be cleaned up by whoever fails.
            let authority = Authority::new(&dir.path().join("authority"));
            let names: Vec<_> = HOSTS
                .iter()
                .flat_map(|(name, at)| [format!("DNS:{name}"), format!("IP:{at}")])
                .collect();
            let names: Vec<_> = names.iter().map(String::as_str).collect();
            let tls = authority.serves(&names);
            let hosts = dir.path().join("hosts");
            let lines = HOSTS.map(|(name, at)| format!("{at} {name}\n"));
            std::fs::write(&hosts, lines.concat()).unwrap();
            apart();
            mount_bind(&hosts, "/etc/hosts").unwrap();
            ip(&["link", "set", "lo", "up"]);
            for (_, at) in HOSTS.iter().filter(|(_, at)| *at != "127.0.0.1") {
                ip(&["address", "add", &format!("{at}/32"), "dev", "lo"]);
            }
            act(&Place { authority, tls, dir })
        };
        std::thread::scope(|scope| scope.spawn(visit).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Where a name leads.
    pub fn address(name: &str) -> IpAddr {
        let known = HOSTS.iter().find(|(known, _)| *known == name);
        known.unwrap_or_else(|| panic!("{name} is nowhere")).1.parse().unwrap()
    }

    /// A server under one of the names, with TLS.
    pub fn server(&self, name: &str, content: Content) -> Registry {
        let tls = Some(Arc::clone(&self.tls));
        Registry::start(at(name), Setting { content, tls, ..Setting::default() })
    }

    /// The same without TLS.
    pub fn plain(&self, name: &str, content: Content) -> Registry {
        Registry::start(at(name), Setting { content, ..Setting::default() })
    }
}

fn at(name: &str) -> SocketAddr {
    (Place::address(name), 0).into()
}

fn ip(arguments: &[&str]) {
    let output = Command::new("/bin/busybox").arg("ip").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
}

/// Namespaces of this thread's own, from which nothing comes out.
fn apart() {
    // SAFETY: it changes nothing but where this thread and those that it starts are.
    #[allow(unsafe_code, reason = "no safe way")]
    let done = unsafe { libc::unshare(libc::CLONE_NEWNET | libc::CLONE_NEWNS) };
    assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
}
