//! Image names, taken apart as fn does it: placeholder until merged.

/// An image's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImageName {
    /// The registry.
    pub registry: String,
    /// The repository.
    pub repo: String,
    /// The tag.
    pub tag: String,
}
