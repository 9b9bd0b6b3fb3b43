//! `hotcell load`: images from a file, a directory or a pipe.

use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;

use super::args::{Format, LoadArgs};
use super::list::object;
use super::progress::Line;
use super::{listed, open, print_lines};
use crate::cli::{Failure, print};
use crate::image::archive::Input;
use crate::image::load::LoadOptions;
use crate::image::store::{Image, Taken};

/// Loads all of them and says what came.
pub(in crate::cli) fn load(args: &LoadArgs) -> Result<u8, Failure> {
    let input = input(args.path.as_deref().or(args.input.as_deref()))?;
    let store = open(&args.store)?;
    let line = Line::new(args.quiet);
    let tell = |progress| line.tell(progress);
    let options = LoadOptions {
        taken: if args.replace { Taken::Replaced } else { Taken::Refused },
        name: args.name.clone(),
        progress: Some(&tell),
        ..LoadOptions::default()
    };
    let loaded = store.load(input, &options);
    drop(line);
    let images = loaded?;
    match args.format {
        Format::Json => {
            let object = |image: &Image| Ok(object(&listed(image)?));
            print_lines(images.iter().map(object).collect::<Result<Vec<_>, Failure>>()?)?;
        }
        Format::Table => {
            for image in &images {
                print(&lines(image, args.quiet)?)?;
            }
        }
    }
    Ok(0)
}

fn input(path: Option<&Path>) -> Result<Input, Failure> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        if io::stdin().is_terminal() {
            return Err(Failure::refused("nothing to load: name a file, or pipe an archive in"));
        }
        return Ok(Input::Reader(Box::new(io::stdin())));
    };
    let about = |error: io::Error| Failure::refused(format!("{}: {error}", path.display()));
    let found = path.metadata().map_err(about)?;
    Ok(match found.is_dir() {
        true => Input::Directory(path.to_owned()),
        false if found.is_file() => Input::File(path.to_owned()),
        // A pipe can be read once only.
        false => Input::Reader(Box::new(File::open(path).map_err(about)?)),
    })
}

/// A line for each name that the image has got; its identifier where it has none.
fn lines(image: &Image, quiet: bool) -> Result<String, Failure> {
    let names = image.names()?;
    Ok(match (names.as_slice(), quiet) {
        ([], true) => format!("{}\n", image.id()),
        ([], false) => format!("Loaded image ID: {}\n", image.id()),
        (names, true) => names.iter().map(|name| format!("{}\n", name.familiar())).collect(),
        (names, false) => {
            names.iter().map(|name| format!("Loaded image: {}\n", name.familiar())).collect()
        }
    })
}
