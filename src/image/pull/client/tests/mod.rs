//! The client against a registry that answers whatever a test says.

mod of_blobs;
mod of_manifests;
mod of_proofs;
mod of_redirections;
mod of_tls;
mod server;

use std::time::Duration;

use super::*;
use crate::image::Digest;
use crate::image::pull::{Secret, Timeouts};
use server::{Got, Reply, Server};

/// Settings that give up soon, and find no certificates.
fn settings() -> Settings {
    let timeouts = Timeouts {
        connect: Duration::from_secs(20),
        first_byte: Duration::from_secs(20),
        stall: Duration::from_secs(20),
    };
    Settings { certs_dirs: Vec::new(), timeouts, ..Settings::default() }
}

fn client() -> Client {
    Client::new(settings()).unwrap()
}

/// The repository `app` of a registry.
fn app(client: &Client, server: &Server, credentials: &Credentials) -> Repository {
    app_at(client, &server.authority(), credentials)
}

fn app_at(client: &Client, registry: &str, credentials: &Credentials) -> Repository {
    client.repository(&format!("{registry}/app").parse().unwrap(), credentials)
}

fn ali() -> Credentials {
    Credentials::Basic { username: "ali".to_owned(), password: Secret::new("sesame") }
}

/// `ali:sesame`.
const ALI: &str = "Basic YWxpOnNlc2FtZQ==";

/// All of a blob.
async fn whole(repository: &Repository, digest: &Digest, size: u64) -> Result<Vec<u8>, Error> {
    let mut blob = repository.blob(digest, size).await?;
    let mut all = Vec::new();
    while let Some(bytes) = blob.next().await? {
        all.extend_from_slice(&bytes);
        assert_eq!(blob.come(), all.len() as u64);
    }
    Ok(all)
}

/// An error and its sources, in one line.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text += &format!(": {source}");
        next = source.source();
    }
    text
}

/// Bytes that are not alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 7 + at / 251) as u8).collect()
}
