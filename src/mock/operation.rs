//! What a script can slow down or let fail.

/// An operation of the contract that can be slow or fail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum Operation {
    /// [`Driver::create_cookie`](crate::contract::Driver::create_cookie).
    CreateCookie,
    /// [`Cookie::validate_image`](crate::contract::Cookie::validate_image).
    ValidateImage,
    /// [`Cookie::pull_image`](crate::contract::Cookie::pull_image).
    PullImage,
    /// [`Cookie::create_container`](crate::contract::Cookie::create_container).
    CreateContainer,
    /// [`Cookie::run`](crate::contract::Cookie::run).
    Run,
    /// [`Cookie::freeze`](crate::contract::Cookie::freeze).
    Freeze,
    /// [`Cookie::unfreeze`](crate::contract::Cookie::unfreeze).
    Unfreeze,
    /// [`Cookie::signal`](crate::contract::Cookie::signal).
    Signal,
    /// [`Cookie::stop`](crate::contract::Cookie::stop).
    Stop,
    /// [`Cookie::close`](crate::contract::Cookie::close).
    Close,
}
