//! The images that a driver's containers are made of.

#[cfg(feature = "image")]
mod kept;
#[cfg(feature = "image")]
mod shelf;
#[cfg(not(feature = "image"))]
mod without;

#[cfg(feature = "image")]
pub(super) use kept::{ImageInUse, Images};
#[cfg(not(feature = "image"))]
pub(super) use without::{ImageInUse, Images};
