//! A connection, plain or under TLS, and answers as they are sent on it.

use std::io::{self, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::answer::{Answer, Framing, Sending};
use super::http::Request;

/// A connection to one client.
pub struct Wire {
    stream: BufReader<Stream>,
}

struct Stream {
    bytes: Bytes,
    /// The same connection below TLS.
    below: TcpStream,
}

enum Bytes {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ServerConnection, TcpStream>>),
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match &mut self.bytes {
            Bytes::Plain(stream) => stream.read(into),
            Bytes::Tls(stream) => stream.read(into),
        }
    }
}

impl Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::Plain(stream) => stream.write_all(bytes),
            Bytes::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }

    /// For as long as the client stays.
    fn wait(&mut self) {
        while self.below.read(&mut [0; 512]).is_ok_and(|read| read > 0) {}
    }
}

impl Wire {
    pub fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Wire> {
        let below = stream.try_clone()?;
        let bytes = match tls {
            None => Bytes::Plain(stream),
            Some(config) => {
                let connection =
                    ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
                Bytes::Tls(Box::new(StreamOwned::new(connection, stream)))
            }
        };
        Ok(Wire { stream: BufReader::new(Stream { bytes, below }) })
    }

    /// The next request; nothing when the client has gone.
    pub fn request(&mut self) -> io::Result<Option<Request>> {
        super::http::read(&mut self.stream)
    }

    /// Whether another request may follow.
    pub fn send(&mut self, request: &Request, answer: &Answer) -> io::Result<bool> {
        let stream = self.stream.get_mut();
        match &answer.sending {
            Sending::Silence => {
                stream.wait();
                return Ok(false);
            }
            Sending::Raw(once, again) => {
                stream.write(once)?;
                while !again.is_empty() {
                    stream.write(again)?;
                }
                return Ok(false);
            }
            _ => stream.write(head(answer).as_bytes())?,
        }
        if request.method == "HEAD" {
            return Ok(true);
        }
        let body = &answer.body[answer.part.clone()];
        let first = |bytes: usize| &body[..bytes.min(body.len())];
        match answer.sending {
            Sending::Cut(bytes) => {
                pieces(stream, answer, first(bytes))?;
                return Ok(false);
            }
            Sending::Reset(bytes) => {
                pieces(stream, answer, first(bytes))?;
                // Without it what was sent just now might be dropped, too.
                std::thread::sleep(Duration::from_millis(20));
                rustix::net::connect_unspec(&stream.below)?;
                return Ok(false);
            }
            Sending::Stall(bytes) => {
                pieces(stream, answer, first(bytes))?;
                stream.wait();
                return Ok(false);
            }
            Sending::Slowly(bytes, pause) => {
                for piece in body.chunks(bytes) {
                    pieces(stream, answer, piece)?;
                    std::thread::sleep(pause);
                }
            }
            _ => pieces(stream, answer, body)?,
        }
        if answer.framing == Framing::Chunked {
            stream.write(b"0\r\n\r\n")?;
        }
        Ok(answer.framing != Framing::End)
    }
}

/// A part of the body, in chunks where it goes in chunks.
fn pieces(stream: &mut Stream, answer: &Answer, bytes: &[u8]) -> io::Result<()> {
    if answer.framing != Framing::Chunked {
        return stream.write(bytes);
    }
    for piece in bytes.chunks(16 << 10) {
        stream.write(format!("{:x}\r\n", piece.len()).as_bytes())?;
        stream.write(piece)?;
        stream.write(b"\r\n")?;
    }
    Ok(())
}

fn head(answer: &Answer) -> String {
    let mut text = format!("HTTP/1.1 {} As It Is\r\n", answer.status);
    for (name, value) in &answer.headers {
        text += &format!("{name}: {value}\r\n");
    }
    // A length that was written by hand stays.
    let by_hand =
        answer.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    text += &match answer.framing {
        Framing::Length if by_hand => String::new(),
        Framing::Length => format!("Content-Length: {}\r\n", answer.part.len()),
        Framing::Chunked => "Transfer-Encoding: chunked\r\n".to_owned(),
        Framing::End => "Connection: close\r\n".to_owned(),
    };
    text + "\r\n"
}
