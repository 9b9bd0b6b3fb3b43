//! A registry that does what a script tells it: the right thing, and then whatever is wrong.
//!
//! ```text
//!  connection ──► Request ──► right answer ──────► rules ─────► wire
//!   plain, TLS     logged      content, door        twist it     cut, stalled, endless
//! ```
//!
//! It speaks HTTP/1.1 by itself, one thread for each connection, so that it can say what no library
//! would let it say. It knows the distribution's specification and nothing of any client.
//!
//! ```text
//! mod      a server: start, script, stop       rule     which requests are answered otherwise
//! http     requests as they are read           answer   what is said, and what is done to it
//! content  repositories and the right answer   wire     answers as they are sent
//! door     who may come in, and tokens         tls      certificates made by openssl
//! ```

mod answer;
mod content;
mod door;
mod http;
mod rule;
mod tests;
mod tls;
mod wire;

use std::collections::BTreeMap;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::ServerConfig;

pub use answer::Answer;
pub use content::{Content, digest};
pub use door::{Door, Tokens};
pub use http::Request;
pub use rule::{On, Rule};
pub use tests::tests;
pub use tls::Authority;

use wire::Wire;

/// A server. It ends with this value, and with it every connection.
pub struct Registry {
    address: SocketAddr,
    stage: Arc<Stage>,
    accepting: Option<JoinHandle<()>>,
}

/// What all connections of a server share.
struct Stage {
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    door: Mutex<Door>,
    content: Mutex<Content>,
    rules: Mutex<Vec<Rule>>,
    seen: Mutex<Vec<Request>>,
    /// Connections so far.
    met: AtomicUsize,
    ended: AtomicBool,
    /// Connections by number.
    open: Mutex<BTreeMap<usize, TcpStream>>,
    serving: Mutex<Vec<JoinHandle<()>>>,
}

/// What a server is made of.
#[derive(Default)]
pub struct Setting {
    pub content: Content,
    pub door: Door,
    pub tls: Option<Arc<ServerConfig>>,
}

impl Registry {
    /// Serves in the network namespace of the calling thread. Port 0 is one that is free.
    pub fn start(at: impl Into<SocketAddr>, setting: Setting) -> Registry {
        let listener = TcpListener::bind(at.into()).unwrap();
        let address = listener.local_addr().unwrap();
        let Setting { content, door, tls } = setting;
        let (content, door) = (Mutex::new(content), Mutex::new(door));
        let (rules, seen, met, ended, open, serving) = Default::default();
        let stage = Stage { listener, tls, door, content, rules, seen, met, ended, open, serving };
        let stage = Arc::new(stage);
        let accepting = std::thread::spawn({
            let stage = Arc::clone(&stage);
            move || stage.accept()
        });
        Registry { address, stage, accepting: Some(accepting) }
    }

    /// Plain HTTP on a free port of the loopback address.
    pub fn plain(content: Content) -> Registry {
        let setting = Setting { content, ..Setting::default() };
        Registry::start(([127, 0, 0, 1], 0), setting)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on these requests are answered otherwise. Of several rules the first that was given
    /// and is not used up counts.
    pub fn when(&self, rule: Rule) -> &Registry {
        self.stage.rules.lock().unwrap().push(rule);
        self
    }

    /// From now on this is wanted first.
    pub fn guard(&self, door: Door) -> &Registry {
        *self.stage.door.lock().unwrap() = door;
        self
    }

    /// Gives or takes what there is to pull.
    pub fn stock<T>(&self, change: impl FnOnce(&mut Content) -> T) -> T {
        change(&mut self.stage.content.lock().unwrap())
    }

    /// How often somebody came, whatever they said.
    pub fn met(&self) -> usize {
        self.stage.met.load(Ordering::SeqCst)
    }

    /// Every request so far, in the order in which they were read.
    pub fn seen(&self) -> Vec<Request> {
        self.stage.seen.lock().unwrap().clone()
    }

    /// How often something was asked for.
    pub fn count(&self, on: &On) -> usize {
        self.seen().iter().filter(|request| on.matches(request)).count()
    }

    pub fn forget(&self) {
        self.stage.seen.lock().unwrap().clear();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stage.ended.store(true, Ordering::SeqCst);
        // Wakes whoever accepts.
        let _ = rustix::net::shutdown(&self.stage.listener, rustix::net::Shutdown::Both);
        let _ = self.accepting.take().unwrap().join();
        for stream in self.stage.open.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
        let serving: Vec<_> = self.stage.serving.lock().unwrap().drain(..).collect();
        for thread in serving {
            let _ = thread.join();
        }
    }
}

impl Stage {
    fn accept(self: &Arc<Stage>) {
        for (number, stream) in self.listener.incoming().enumerate() {
            let Ok(stream) = stream else { break };
            if self.ended.load(Ordering::SeqCst) {
                break;
            }
            self.met.fetch_add(1, Ordering::SeqCst);
            let _ = stream.set_nodelay(true);
            self.open.lock().unwrap().insert(number, stream.try_clone().unwrap());
            let stage = Arc::clone(self);
            let thread = std::thread::spawn(move || {
                stage.serve(stream);
                stage.open.lock().unwrap().remove(&number);
            });
            self.serving.lock().unwrap().push(thread);
        }
    }

    /// One connection to its end, whoever ends it.
    fn serve(&self, stream: TcpStream) {
        let Ok(mut wire) = Wire::new(stream, self.tls.as_ref()) else { return };
        while let Ok(Some(request)) = wire.request() {
            self.seen.lock().unwrap().push(request.clone());
            let closed = self.door.lock().unwrap().answer(&request);
            let right = closed.unwrap_or_else(|| self.content.lock().unwrap().answer(&request));
            let rule = self.rules.lock().unwrap().iter_mut().find_map(|rule| rule.take(&request));
            let answer = match rule {
                Some(twist) => twist(&request, right),
                None => right,
            };
            if !wire.send(&request, &answer).unwrap_or(false) {
                break;
            }
        }
    }
}
