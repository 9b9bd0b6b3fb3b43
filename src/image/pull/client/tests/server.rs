//! A server of HTTP that remembers what it was asked and answers what it is told to.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request that came.
#[derive(Clone, Debug)]
pub(super) struct Got {
    pub(super) method: String,
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: HashMap<String, String>,
    pub(super) body: String,
    /// Which connection it came on.
    pub(super) connection: usize,
}

impl Got {
    pub(super) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| &**value)
    }
}

/// What is answered.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    head: String,
    body: Vec<u8>,
    length: Option<u64>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    GoOn,
    Cut,
    Stall,
}

impl Reply {
    pub(super) fn status(status: u16) -> Reply {
        let head = format!("HTTP/1.1 {status} Words\r\n");
        Reply { head, body: Vec::new(), length: Some(0), then: Then::GoOn }
    }

    pub(super) fn ok(body: impl Into<Vec<u8>>) -> Reply {
        Reply::status(200).body(body)
    }

    /// These bytes and nothing else.
    pub(super) fn raw(bytes: impl Into<Vec<u8>>) -> Reply {
        Reply { head: String::new(), body: bytes.into(), length: None, then: Then::Cut }
    }

    pub(super) fn body(self, body: impl Into<Vec<u8>>) -> Reply {
        let body = body.into();
        Reply { length: Some(body.len() as u64), body, ..self }
    }

    pub(super) fn header(mut self, name: &str, value: &str) -> Reply {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    /// Sends only so many bytes and closes the connection.
    pub(super) fn cut(mut self, after: usize) -> Reply {
        self.body.truncate(after);
        Reply { then: Then::Cut, ..self }
    }

    /// Sends only so many bytes and then nothing.
    pub(super) fn stall(mut self, after: usize) -> Reply {
        self.body.truncate(after);
        Reply { then: Then::Stall, ..self }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut head = self.head.clone();
        if let Some(length) = self.length {
            head += &format!("Content-Length: {length}\r\n");
        }
        if !head.is_empty() {
            head += "\r\n";
        }
        [head.as_bytes(), &self.body].concat()
    }
}

type Answering = Arc<dyn Fn(&Got) -> Reply + Send + Sync>;

/// The server. It ends with the test's runtime.
pub(super) struct Server {
    pub(super) host: &'static str,
    pub(super) port: u16,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Server {
    pub(super) async fn new(answer: impl Fn(&Got) -> Reply + Send + Sync + 'static) -> Server {
        Server::with(None, answer).await
    }

    pub(super) async fn with(
        tls: Option<TlsAcceptor>,
        answer: impl Fn(&Got) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let got: Arc<Mutex<Vec<Got>>> = Arc::default();
        let (answer, log): (Answering, _) = (Arc::new(answer), Arc::clone(&got));
        tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (answer, log, tls) = (Arc::clone(&answer), Arc::clone(&log), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, connection, &answer, &log).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, connection, &answer, &log).await;
                            }
                        }
                    }
                });
            }
        });
        Server { host: "127.0.0.1", port, got }
    }

    pub(super) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Methods and targets.
    pub(super) fn asked(&self) -> Vec<String> {
        self.got().iter().map(|got| format!("{} {}", got.method, got.target)).collect()
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    connection: usize,
    answer: &Answering,
    log: &Mutex<Vec<Got>>,
) {
    let mut read = Vec::new();
    while let Some(got) = request(&mut stream, &mut read, connection).await {
        let reply = answer(&got);
        log.lock().unwrap().push(got);
        if stream.write_all(&reply.bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        match reply.then {
            Then::GoOn => {}
            Then::Cut => {
                let _ = stream.shutdown().await;
                return;
            }
            Then::Stall => tokio::time::sleep(Duration::from_secs(3600)).await,
        }
    }
}

async fn request(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut Vec<u8>,
    connection: usize,
) -> Option<Got> {
    let head = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(read.drain(..head).collect()).unwrap();
    let mut lines = text.lines();
    let mut first = lines.next()?.split(' ').map(str::to_owned);
    let headers: HashMap<_, _> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while read.len() < length {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
    }
    let body = String::from_utf8(read.drain(..length).collect()).unwrap();
    Some(Got { method: first.next()?, target: first.next()?, headers, body, connection })
}
