//! Drivers by name: an embedder chooses one in its configuration.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use crate::contract::{Config, Driver, Error, ErrorKind, Result};
use crate::native::{NativeDriver, Options};
use crate::unpoisoned::lock;

/// Makes a driver from a configuration.
pub type DriverFunc = Arc<dyn Fn(Config) -> Result<Arc<dyn Driver>> + Send + Sync>;

/// The name of the [`NativeDriver`] with its default directories. It is there from the start.
pub const NATIVE: &str = "native";

static DRIVERS: LazyLock<Mutex<BTreeMap<String, DriverFunc>>> = LazyLock::new(|| {
    let native: DriverFunc = Arc::new(|config| {
        let driver = NativeDriver::open(config, Options::default())?;
        Ok(Arc::new(driver) as Arc<dyn Driver>)
    });
    Mutex::new(BTreeMap::from([(NATIVE.to_owned(), native)]))
});

/// Makes a driver known under `name`; the last one of a name counts.
///
/// ```
/// use std::sync::Arc;
/// use hotcell::contract::{Config, Driver};
/// use hotcell::mock::MockDriver;
///
/// hotcell::registry::register("mock", Arc::new(|_| Ok(Arc::new(MockDriver::new()))));
/// let driver: Arc<dyn Driver> = hotcell::registry::open("mock", Config::default())?;
/// let unknown = hotcell::registry::open("x", Config::default()).err().unwrap();
/// assert_eq!(unknown.to_string(), "agent driver \"x\" is not registered");
/// # Ok::<(), hotcell::contract::Error>(())
/// ```
pub fn register(name: impl Into<String>, driver: DriverFunc) {
    lock(&DRIVERS).insert(name.into(), driver);
}

/// Makes the driver of this name.
///
/// # Errors
/// [`ErrorKind::UnknownDriver`], or what the driver's maker says.
pub fn open(name: &str, config: Config) -> Result<Arc<dyn Driver>> {
    let driver = lock(&DRIVERS).get(name).cloned();
    // Called without the lock: a maker may take long, or look here itself.
    match driver {
        Some(make) => make(config),
        None => {
            let what = format!("agent driver {name:?} is not registered");
            Err(Error::new(ErrorKind::UnknownDriver, what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusing(message: &'static str) -> DriverFunc {
        Arc::new(move |_| Err(Error::new(ErrorKind::InvalidConfig, message)))
    }

    #[test]
    fn the_last_driver_of_a_name_counts() {
        register("twice", refusing("first"));
        register("twice", refusing("second"));
        let error = open("twice", Config::default()).err().unwrap();
        assert_eq!(error.to_string(), "second");
    }

    #[test]
    fn an_unknown_name_is_an_error_that_names_it() {
        let error = open("nobody", Config::default()).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::UnknownDriver);
        assert!(error.to_string().contains("\"nobody\""), "{error}");
    }
}
