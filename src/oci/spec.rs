//! `spec`: a specification to start from.

use std::io::Write;
use std::path::Path;

use super::Error;
use super::args::SpecArgs;

/// What runc writes, with the name of this program.
const DEFAULT: &str = include_str!("default-config.json");

/// Writes `config.json`; one that is there stays.
pub(super) fn spec(args: &SpecArgs) -> Result<u8, Error> {
    if args.rootless {
        return Err(Error::NotSupported { what: "--rootless" });
    }
    let path = args.bundle.as_deref().unwrap_or(Path::new(".")).join("config.json");
    std::fs::File::options()
        .write(true)
        .create_new(true)
        .open(&path)
        .and_then(|mut file| file.write_all(DEFAULT.as_bytes()))
        .map_err(|error| Error::io("write", path, error))?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;

    #[test]
    fn the_default_is_a_specification_of_the_version_that_is_followed() {
        let spec: Spec = serde_json::from_str(super::DEFAULT).unwrap();
        assert_eq!(spec.version(), super::super::OCI_VERSION);
    }
}
