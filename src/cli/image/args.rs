//! What can be typed about images.

use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};

use super::pull::platform;
use crate::image::pull::{Settings, SettingsError};
use crate::image::{Platform, Reference};

/// Where the images are.
#[derive(clap::Args, Clone, Debug)]
pub(in crate::cli) struct StoreArgs {
    /// Directory for images, closed to everyone else; drivers and commands can share it
    #[arg(
        long,
        value_name = "DIR",
        env = "HOTCELL_IMAGE_DIR",
        default_value = "/var/lib/hotcell/images"
    )]
    image_dir: PathBuf,
}

impl StoreArgs {
    pub(in crate::cli) fn dir(&self) -> &Path {
        &self.image_dir
    }
}

/// How registries are reached.
#[derive(clap::Args, Clone, Debug)]
pub(in crate::cli) struct RegistryArgs {
    /// File with settings of registries: mirrors, plain HTTP, authorities, time-outs [default:
    /// /etc/hotcell/registries.json, where there is one]
    #[arg(long, value_name = "FILE", env = "HOTCELL_REGISTRIES")]
    registries: Option<PathBuf>,
}

impl RegistryArgs {
    /// The settings that the flag, the variable or the host has.
    pub(super) fn settings(&self) -> Result<Settings, SettingsError> {
        let default = Path::new(Settings::FILE);
        match &self.registries {
            Some(path) => Settings::from_file(path),
            None if default.exists() => Settings::from_file(default),
            None => Ok(Settings::default()),
        }
    }
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct PullArgs {
    /// The image: NAME[:TAG][@DIGEST], with its registry in front unless that is Docker Hub
    #[arg(value_name = "IMAGE")]
    pub(super) image: Reference,
    /// Take the image for this platform, of an index for many: OS/ARCHITECTURE[/VARIANT]
    /// [default: this host's]
    #[arg(long, value_name = "PLATFORM", value_parser = platform)]
    pub(super) platform: Option<Platform>,
    /// Print the name alone, without progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// `table`: the name and the manifest's digest; `json`: an object
    #[arg(long, default_value = "table")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) registries: RegistryArgs,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// When `run` asks the registry for its image.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(in crate::cli) enum When {
    /// Each time: what the tag means there may be another image by now
    Always,
    /// When the image is not here
    Missing,
    /// Not at all
    Never,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct LoginArgs {
    /// The registry: a host, with its port if it has one
    #[arg(value_name = "REGISTRY", default_value = "docker.io", value_parser = registry)]
    pub(super) registry: String,
    /// The user's name; asked for on a terminal
    #[arg(short, long, value_name = "NAME")]
    pub(super) username: Option<String>,
    /// Read the password, or a token in its place, from standard input; without it, it is asked for
    /// on a terminal
    #[arg(long)]
    pub(super) password_stdin: bool,
    #[command(flatten)]
    pub(super) registries: RegistryArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct LogoutArgs {
    /// The registry: a host, with its port if it has one
    #[arg(value_name = "REGISTRY", default_value = "docker.io", value_parser = registry)]
    pub(super) registry: String,
}

/// A registry as it is typed: as in a reference, or as a URL.
fn registry(text: &str) -> Result<String, String> {
    let host = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
    let host = host.map_or(text, |rest| rest.split('/').next().unwrap_or_default());
    let refused =
        || format!("{text:?} is not a registry: a host has a dot or a port, or is localhost");
    let found: Reference = format!("{host}/x").parse().map_err(|_| refused())?;
    match found.registry() {
        registry if registry == host || host == "index.docker.io" => Ok(registry.to_owned()),
        _ => Err(refused()),
    }
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct LoadArgs {
    /// Archive of `docker save` or an OCI layout, as a file or a directory, plain or compressed
    /// with gzip or zstd; `-` or nothing is standard input
    #[arg(value_name = "PATH")]
    pub(super) path: Option<PathBuf>,
    /// The same, as Docker has it
    #[arg(short, long, value_name = "PATH", conflicts_with = "path")]
    pub(super) input: Option<PathBuf>,
    /// Name of the image, in place of those that the archive gives it; only for an archive of one
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<Reference>,
    /// Take names that another image has; without it such a load is refused
    #[arg(long)]
    pub(super) replace: bool,
    /// Print the names alone, without progress
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// `table`: a line for each name; `json`: an object for each image
    #[arg(long, default_value = "table")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct SaveArgs {
    /// Images by name or by the beginning of their identifier
    #[arg(required = true, value_name = "IMAGE")]
    pub(super) images: Vec<String>,
    /// File to write, or directory with `--format oci-dir`; `-` or nothing is standard output
    #[arg(short, long, value_name = "PATH")]
    pub(super) output: Option<PathBuf>,
    /// `oci-archive`: an OCI layout in a tar; `oci-dir`: the layout as a directory
    #[arg(long, default_value = "oci-archive")]
    pub(super) format: SaveFormat,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct ImagesArgs {
    /// Only images of this repository or of this name
    #[arg(value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Print identifiers alone
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Print identifiers whole
    #[arg(long)]
    pub(super) no_trunc: bool,
    /// `table`: a line for each name; `json`: an object for each image
    #[arg(long, default_value = "table")]
    pub(super) format: Format,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct RmiArgs {
    /// Names to take away, and identifiers (their beginning will do) of images to delete. An image
    /// goes with its last name
    #[arg(required = true, value_name = "IMAGE")]
    pub(super) images: Vec<String>,
    /// Take all names of an image that is meant by its identifier; of one in use, the names alone
    #[arg(short, long)]
    pub(super) force: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(in crate::cli) struct TagArgs {
    /// An image by name or by the beginning of its identifier
    #[arg(value_name = "IMAGE")]
    pub(super) image: String,
    /// Its new name; taken from another image that has it
    #[arg(value_name = "NAME")]
    pub(super) name: Reference,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

/// `image` and its own commands.
#[derive(clap::Args, Debug)]
pub(in crate::cli) struct ImageArgs {
    #[command(subcommand)]
    pub(super) command: ImageCommand,
}

#[derive(Subcommand, Debug)]
pub(super) enum ImageCommand {
    /// Show all that is known about images, as a JSON array
    Inspect(InspectArgs),
    /// Delete images without a name, and whatever no image needs
    Prune(PruneArgs),
    /// Look whether all images are whole; exit 1 if one is not and stays so
    Check(CheckArgs),
}

#[derive(clap::Args, Debug)]
pub(super) struct InspectArgs {
    /// Images by name or by the beginning of their identifier
    #[arg(required = true, value_name = "IMAGE")]
    pub(super) images: Vec<String>,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct PruneArgs {
    /// Delete all images that no cell uses, those with names too
    #[arg(short, long)]
    pub(super) all: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(clap::Args, Debug)]
pub(super) struct CheckArgs {
    /// Read every byte: hash blobs, unpack layers once more and compare
    #[arg(short, long)]
    pub(super) all: bool,
    /// Make again what is damaged, from what else the store has; take away what can't be made again
    #[arg(long)]
    pub(super) repair: bool,
    #[command(flatten)]
    pub(super) store: StoreArgs,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum Format {
    Table,
    Json,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Debug)]
pub(super) enum SaveFormat {
    OciArchive,
    OciDir,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registry_is_typed_as_in_a_name_or_as_a_url() {
        for (text, name) in [
            ("docker.io", "docker.io"),
            ("index.docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("registry.example", "registry.example"),
            ("https://registry.example:5000/v2/", "registry.example:5000"),
            ("localhost", "localhost"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry(text).as_deref(), Ok(name), "{text}");
        }
        for text in ["", "registry", "a/b", "registry.example/team", "https://", "a.b:x", "u@a.b"] {
            assert!(registry(text).is_err(), "{text}");
        }
    }
}
