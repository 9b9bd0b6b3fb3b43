//! Measuring a cell (placeholder until merged).

mod meter;

pub(crate) use meter::Meter;
