//! `hotcell doctor`: what this host can enforce, found out by trying.

use super::Failure;
use super::args::DoctorArgs;

/// x
pub(super) fn doctor(_args: &DoctorArgs) -> Result<u8, Failure> {
    Ok(0)
}
