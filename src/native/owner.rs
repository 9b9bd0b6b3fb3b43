//! Whose a driver is: the process's that opened it, and no fork's of that.

use super::Error;

/// The process that opened a driver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Owner(u32);

impl Owner {
    pub(super) fn this() -> Owner {
        Owner(std::process::id())
    }

    /// Fails in a process that its embedder has forked since. That one has a copy of every handle but
    /// none of the locks; what it drops must not end its parent's cells.
    pub(super) fn check(self) -> Result<(), Error> {
        match Owner::this() == self {
            true => Ok(()),
            false => Err(Error::Forked { owner: self.0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_processs_driver_is_refused() {
        assert!(Owner::this().check().is_ok());
        let error = Owner(1).check().unwrap_err().to_string();
        assert!(error.contains("process 1,"), "{error}");
    }
}
