//! `hotcell save`: images as an OCI layout, in a file, a directory or a pipe.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::args::{SaveArgs, SaveFormat};
use super::open;
use crate::cli::Failure;
use crate::image::Reference;
use crate::image::archive::{self, ArchivedImage};
use crate::image::store::{Image, Store};

/// Writes them all. Either the file is whole, or it is as it was.
pub(in crate::cli) fn save(args: &SaveArgs) -> Result<u8, Failure> {
    let store = open(&args.store)?;
    let images = wanted(&store, &args.images)?;
    // They stay until they are written.
    let images: Vec<_> = images
        .iter()
        .map(|(image, names)| image.archived(names.clone()))
        .collect::<Result<_, _>>()?;
    let output = args.output.as_deref().filter(|path| *path != Path::new("-"));
    match (args.format, output) {
        (SaveFormat::OciDir, Some(dir)) => archive::save(&images, archive::Output::Directory(dir))?,
        (SaveFormat::OciDir, None) => {
            return Err(Failure::refused("--format oci-dir: name the directory with --output"));
        }
        (SaveFormat::OciArchive, Some(path)) => to_file(&images, path)?,
        (SaveFormat::OciArchive, None) => to_standard_output(&images)?,
    }
    Ok(0)
}

/// Each image once, with the names that were asked for: all of its own if it was meant by its
/// identifier.
fn wanted(store: &Store, words: &[String]) -> Result<Vec<(Image, Vec<Reference>)>, Failure> {
    let mut wanted: Vec<(Image, Vec<Reference>)> = Vec::new();
    for word in words {
        let image = store.find(word)?;
        let all = image.names()?;
        let named = word.parse::<Reference>().ok().filter(|name| all.contains(name));
        let names = named.map_or(all, |name| vec![name]);
        match wanted.iter_mut().find(|(other, _)| other.id() == image.id()) {
            None => wanted.push((image, names)),
            Some((_, old)) => {
                old.extend(names);
                old.sort_by_cached_key(ToString::to_string);
                old.dedup();
            }
        }
    }
    Ok(wanted)
}

fn to_standard_output(images: &[ArchivedImage]) -> Result<(), Failure> {
    let out = io::stdout();
    if out.is_terminal() {
        let line = "an archive is not for a terminal: name a file with --output";
        return Err(Failure::refused(line));
    }
    write(images, &mut out.lock(), Path::new("standard output"))
}

/// A plain file is written beside its place and then put there; anything else is written to.
fn to_file(images: &[ArchivedImage], path: &Path) -> Result<(), Failure> {
    let about = |error: io::Error| Failure::refused(format!("{}: {error}", path.display()));
    if path.metadata().is_ok_and(|found| !found.is_file()) {
        let mut file = File::options().write(true).open(path).map_err(about)?;
        return write(images, &mut file, path);
    }
    let draft = beside(path);
    let mut file = File::create_new(&draft).map_err(about)?;
    let written =
        write(images, &mut file, path).and_then(|()| std::fs::rename(&draft, path).map_err(about));
    if written.is_err() {
        // It says what went wrong; that this did not go is nothing beside it.
        let _ = std::fs::remove_file(&draft);
    }
    written
}

fn write(images: &[ArchivedImage], to: &mut dyn Write, path: &Path) -> Result<(), Failure> {
    let mut to = BufWriter::with_capacity(1 << 20, to);
    archive::save(images, archive::Output::Writer(&mut to))?;
    to.flush().map_err(|error| Failure::refused(format!("{}: {error}", path.display())))
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    name.into()
}
