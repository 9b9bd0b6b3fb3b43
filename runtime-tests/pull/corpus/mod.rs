//! The registries that this is held against, by what they get wrong.
//!
//! ```text
//! blobs      cut, stalled, changed, too long      doors      challenges, tokens, credentials
//! ranges     resumed transfers that lie           realms     where tokens are asked for
//! documents  manifests and configurations         redirects  elsewhere, and inside
//! indexes    lists for many platforms             busy       errors, and please come again
//! wires      what is no HTTP                      places     TLS, plain HTTP, mirrors
//! ```

mod blobs;
mod busy;
mod documents;
mod doors;
mod indexes;
mod places;
mod ranges;
mod realms;
mod redirects;
mod wires;

use super::case::Case;

/// Each part of the page by its title.
pub fn all() -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("Blobs", blobs::cases()),
        ("Ranges", ranges::cases()),
        ("Manifests", documents::cases()),
        ("Indexes", indexes::cases()),
        ("Credentials", doors::cases()),
        ("Realms", realms::cases()),
        ("Redirects", redirects::cases()),
        ("Errors", busy::cases()),
        ("HTTP", wires::cases()),
        ("TLS and mirrors", places::cases()),
    ]
}
