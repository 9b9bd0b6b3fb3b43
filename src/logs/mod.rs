//! placeholder
use crate::bundle::User;
use crate::contract::{Error, Input, Output};
use std::io;
use std::os::fd::OwnedFd;
#[derive(Debug)]
pub(crate) struct Pump;
impl Pump {
    pub(crate) fn start(_p: OwnedFd, _w: Vec<Output>) -> io::Result<Pump> {
        Ok(Pump)
    }
    pub(crate) fn finish(&self) {}
    pub(crate) async fn drained(&self) {}
    pub(crate) fn failure(&self) -> Option<Error> {
        None
    }
}
#[derive(Debug)]
pub(crate) struct Feed;
impl Feed {
    pub(crate) fn start(_p: OwnedFd, _w: Input) -> io::Result<Feed> {
        Ok(Feed)
    }
    pub(crate) fn failure(&self) -> Option<Error> {
        None
    }
}
pub(crate) fn output_pipe(_o: User) -> io::Result<(OwnedFd, OwnedFd)> {
    todo!()
}
pub(crate) fn input_pipe(_o: User) -> io::Result<(OwnedFd, OwnedFd)> {
    todo!()
}
