//! Requests and answers on kept connections.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, USER_AGENT};
use http::response::Parts;
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout};

use super::address::{Reach, Zone};
use super::connect::{Stream, connect};
use super::tls::Tls;
use super::url::{Origin, Url};
use crate::image::pull::{Failure, Timeouts};
use crate::unpoisoned::lock;

/// How we call ourselves.
const AGENT: &str = concat!("hotcell/", env!("CARGO_PKG_VERSION"));
/// How much is read at once, at most: it is also what a body that nobody reads takes of memory.
const READ: usize = 256 << 10;
/// How many bytes an answer's headers may have, and how many there may be.
const HEADERS: usize = 64 << 10;
const HEADER_LINES: usize = 128;
/// Connections that nobody uses: how many are kept for a host, and for how long.
const KEPT: usize = 8;
const KEPT_FOR: Duration = Duration::from_secs(30);
/// A body that does not reach this many bytes in the time for a stall has stalled.
const MOVES: usize = 1024;

type Sender = SendRequest<Full<Bytes>>;

/// What is asked, of whoever is asked.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// Whether this host may show its own certificate: whoever we are sent to could be somebody that
    /// trusts it, and what he then says would go to whoever sent us.
    pub(super) identified: bool,
}

/// Whose connection it is, and whether our own certificate could be shown on it.
type Key = (Origin, bool);

/// Connections, opened as they are needed and kept for a while.
pub(super) struct Wire {
    idle: Mutex<HashMap<Key, Vec<Idle>>>,
    pub(super) tls: Tls,
    timeouts: Timeouts,
}

struct Idle {
    sender: Sender,
    zone: Zone,
    since: Instant,
}

/// An answer, whose body has still to be read.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Parts,
    pub(super) body: Body,
    /// Where the answer came from.
    pub(super) zone: Zone,
}

impl Wire {
    pub(super) fn new(tls: Tls, timeouts: Timeouts) -> Arc<Wire> {
        Arc::new(Wire { idle: Mutex::default(), tls, timeouts })
    }

    /// Sends it and waits for the head of the answer.
    pub(super) async fn send(
        self: &Arc<Wire>,
        ask: &Ask,
        to: &Url,
        reach: Reach,
    ) -> Result<Answer, Failure> {
        let key = (to.origin.clone(), ask.identified);
        while let Some(idle) = self.take(&key, reach) {
            // The other side may have closed it by now; then nothing has been heard yet.
            match self.exchange(ask, to, idle.sender, idle.zone).await {
                Err(Failure::Broken { .. }) => {}
                answered => return answered,
            }
        }
        let (sender, zone) = self.open(&key, reach).await?;
        self.exchange(ask, to, sender, zone).await
    }

    async fn exchange(
        self: &Arc<Wire>,
        ask: &Ask,
        to: &Url,
        mut sender: Sender,
        zone: Zone,
    ) -> Result<Answer, Failure> {
        let host = || to.origin.authority();
        let limit = self.timeouts.first_byte;
        let broken = |source| broken(host(), source);
        let answered = async {
            sender.ready().await.map_err(broken)?;
            sender.send_request(ask.request(to)?).await.map_err(broken)
        };
        let late = |_| Failure::TimedOut { host: host(), what: "an answer", limit };
        let (head, incoming) = timeout(limit, answered).await.map_err(late)??.into_parts();
        let key = (to.origin.clone(), ask.identified);
        let lent = Lent { sender, zone, key, wire: Arc::downgrade(self) };
        let body = Body {
            incoming,
            host: host(),
            stall: self.timeouts.stall,
            waited: Duration::ZERO,
            moved: 0,
            lent: Some(lent),
        };
        Ok(Answer { head, body, zone })
    }

    async fn open(&self, key: &Key, reach: Reach) -> Result<(Sender, Zone), Failure> {
        let (origin, identified) = key;
        let limit = self.timeouts.connect;
        let (stream, address) = connect(origin, reach, limit).await?;
        let stream: Box<dyn Stream> = match origin.tls {
            true => Box::new(self.tls.handshake(stream, origin, *identified, limit).await?),
            false => Box::new(stream),
        };
        let broken = |source| broken(origin.authority(), source);
        let mut builder = http1::Builder::new();
        builder.max_buf_size(READ).max_header_size(HEADERS).max_headers(HEADER_LINES);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // It ends with its sender, and tells the sender of its failure.
        tokio::spawn(async move { drop(connection.await) });
        Ok((sender, Zone::of(address)))
    }

    fn take(&self, key: &Key, reach: Reach) -> Option<Idle> {
        let mut idle = lock(&self.idle);
        let kept = idle.get_mut(key)?;
        kept.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < KEPT_FOR);
        let at = kept.iter().rposition(|idle| reach.allows(idle.zone))?;
        Some(kept.swap_remove(at))
    }

    fn keep(&self, lent: Lent) {
        let Lent { sender, zone, key, wire } = lent;
        let mut idle = lock(&self.idle);
        let kept = idle.entry(key.clone()).or_default();
        if sender.is_closed() || kept.len() >= KEPT {
            return;
        }
        kept.push(Idle { sender, zone, since: Instant::now() });
        drop(idle);
        tokio::spawn(async move {
            tokio::time::sleep(KEPT_FOR).await;
            if let Some(wire) = wire.upgrade() {
                wire.forget_old(&key);
            }
        });
    }

    fn forget_old(&self, key: &Key) {
        let mut idle = lock(&self.idle);
        if let Some(kept) = idle.get_mut(key) {
            kept.retain(|idle| idle.since.elapsed() < KEPT_FOR);
            if kept.is_empty() {
                idle.remove(key);
            }
        }
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("timeouts", &self.timeouts).finish_non_exhaustive()
    }
}

impl Ask {
    pub(super) fn get(headers: HeaderMap) -> Ask {
        Ask { method: Method::GET, headers, body: Bytes::new(), identified: true }
    }

    fn request(&self, to: &Url) -> Result<Request<Full<Bytes>>, Failure> {
        let no_address = || Failure::Answer {
            host: to.origin.authority(),
            what: format!("the address {to}, which is none"),
        };
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = to.target.parse().map_err(|_| no_address())?;
        *request.headers_mut() = self.headers.clone();
        let host = HeaderValue::try_from(to.origin.authority()).map_err(|_| no_address())?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
        // Digests and sizes are of bytes as they are.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(request)
    }
}

fn broken(host: String, source: hyper::Error) -> Failure {
    if source.is_parse() {
        return Failure::Answer { host, what: format!("what is no HTTP: {source}") };
    }
    Failure::Broken { host, source: Box::new(source) }
}

/// The body of an answer. Dropping it before its end closes the connection.
#[derive(Debug)]
pub(super) struct Body {
    incoming: Incoming,
    host: String,
    stall: Duration,
    /// How long this has waited for the bytes of this stretch, and how many have come.
    waited: Duration,
    moved: usize,
    lent: Option<Lent>,
}

/// A connection that is in use, and where it goes back to.
struct Lent {
    sender: Sender,
    zone: Zone,
    key: Key,
    wire: Weak<Wire>,
}

impl fmt::Debug for Lent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lent({})", self.key.0)
    }
}

/// Somebody waits, until this is dropped: with the future, if need be.
struct Waiting<'a> {
    all: &'a mut Duration,
    begin: Instant,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        *self.all += self.begin.elapsed();
    }
}

impl Body {
    /// The next bytes; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let limit = self.stall;
        loop {
            let left = limit.saturating_sub(self.waited);
            let waiting = Waiting { all: &mut self.waited, begin: Instant::now() };
            let frame = timeout(left, self.incoming.frame()).await;
            drop(waiting);
            let late = |_| Failure::TimedOut { host: self.host.clone(), what: "bytes", limit };
            let Some(frame) = frame.map_err(late)? else {
                if let Some(lent) = self.lent.take()
                    && let Some(wire) = lent.wire.upgrade()
                {
                    wire.keep(lent);
                }
                return Ok(None);
            };
            let broken = |source| broken(self.host.clone(), source);
            // The fields that may follow a body say nothing here.
            let Ok(bytes) = frame.map_err(broken)?.into_data() else { continue };
            self.moved += bytes.len();
            if self.moved >= MOVES {
                (self.waited, self.moved) = (Duration::ZERO, 0);
            }
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Who sends it: host and port.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// All of it, if that is at most `limit` bytes.
    pub(super) async fn whole(mut self, what: &str, limit: usize) -> Result<Bytes, Failure> {
        let (host, time) = (self.host.clone(), self.stall * 4);
        let all = async {
            let mut all = BytesMut::new();
            // Who says that there is too much is believed at once.
            let mut length = hyper::body::Body::size_hint(&self.incoming).lower();
            loop {
                if length > limit as u64 {
                    let what = format!("{what} of more than {limit} bytes");
                    return Err(Failure::Answer { host: self.host.clone(), what });
                }
                let Some(bytes) = self.next().await? else { break };
                all.extend_from_slice(&bytes);
                length = all.len() as u64;
            }
            Ok(all.freeze())
        };
        let late = |_| Failure::TimedOut { host, what: "the whole answer", limit: time };
        timeout(time, all).await.map_err(late)?
    }
}

impl Answer {
    /// Who answered: host and port.
    pub(super) fn host(&self) -> String {
        self.body.host.clone()
    }

    /// How long the body is said to be.
    pub(super) fn length(&self) -> Option<u64> {
        self.head.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}
