//! A connection to a host, by an address that was looked at first.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{Reach, Zone};
use super::url::Origin;
use crate::image::pull::Failure;

/// What HTTP is spoken over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first address of the host that takes it, among those that `reach` allows. All of them
/// share the time.
pub(super) async fn connect(
    origin: &Origin,
    reach: Reach,
    limit: Duration,
) -> Result<(TcpStream, IpAddr), Failure> {
    let host = || origin.authority();
    let late = |what| Failure::TimedOut { host: host(), what, limit };
    let name = |source| Failure::Name { host: origin.host.clone(), source };
    let found = tokio::net::lookup_host((&*origin.host, origin.port));
    let found = timeout(limit, found).await.map_err(|_| late("its name"))?.map_err(name)?;
    let (allowed, others): (Vec<SocketAddr>, Vec<_>) =
        found.partition(|address| reach.allows(Zone::of(address.ip())));
    if let (true, Some(address)) = (allowed.is_empty(), others.first()) {
        let address = address.ip();
        let zone = Zone::of(address).name();
        return Err(Failure::Forbidden { host: host(), address, zone });
    }
    let until = Instant::now() + limit;
    let mut failure = name(io::Error::new(io::ErrorKind::NotFound, "it has no address"));
    for (tried, address) in allowed.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        // What is left is for those that are left.
        let share = left / u32::try_from(allowed.len() - tried).unwrap_or(u32::MAX);
        match timeout_at(Instant::now() + share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok((stream, address.ip()));
            }
            Ok(Err(source)) => failure = Failure::Connect { host: host(), source },
            Err(_) => failure = late("a connection"),
        }
    }
    Err(failure)
}
