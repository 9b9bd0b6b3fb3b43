//! The images that a driver's containers are made of.

#[cfg(feature = "image")]
mod kept;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "image")]
mod shelf;
#[cfg(not(feature = "image"))]
mod without;

#[cfg(feature = "image")]
pub(super) use kept::{ImageInUse, Images, Pulled};
#[cfg(not(feature = "image"))]
pub(super) use without::{ImageInUse, Images, Pulled};

#[cfg(not(feature = "pull"))]
fn no_pull(name: &str) -> crate::contract::Error {
    let what =
        format!("Failed to pull image '{name}': this was built without the feature \"pull\"");
    crate::contract::Error::new(crate::contract::ErrorKind::Unsupported, what)
}
