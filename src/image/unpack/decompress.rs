//! Compressed or not: told by the first bytes, read as one stream of the archive's.

use std::borrow::Cow;
use std::io::{self, BufRead, BufReader, Read};

use super::error::Cause;
use super::limits::{Limit, Limits};
use super::source::Blob;

/// How much is read from the file at once.
const READ: usize = 256 << 10;

/// A reader of what is in the blob.
pub(super) enum Stream<'a> {
    Plain(BufReader<Blob<'a>>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<Blob<'a>>>>),
    Zstd { decoder: zstd::stream::read::Decoder<'static, BufReader<Blob<'a>>>, window_log: u32 },
}

impl<'a> Stream<'a> {
    pub(super) fn open(blob: Blob<'a>, limits: &Limits) -> Result<Stream<'a>, Cause> {
        let mut file = BufReader::with_capacity(READ, blob);
        // The kernel gives a whole buffer of a file; of a pipe, at least what tells formats apart,
        // for whoever writes less at once writes no layer.
        let start = file.fill_buf().map_err(|source| reading("read the layer", source))?;
        match start {
            [0x1f, 0x8b, ..] => {
                Ok(Stream::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(file))))
            }
            // A frame, or one to be skipped, with which some start.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let window_log = limits.zstd_window_log;
                let decoder = zstd::stream::read::Decoder::with_buffer(file)
                    .and_then(|mut decoder| decoder.window_log_max(window_log).map(|()| decoder))
                    .map_err(|source| Cause::Compression { format: "zstd".into(), source })?;
                Ok(Stream::Zstd { decoder, window_log })
            }
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Err(Cause::Format(Cow::Borrowed("xz"))),
            [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A', b'Y', ..] => {
                Err(Cause::Format(Cow::Borrowed("bzip2")))
            }
            _ => Ok(Stream::Plain(file)),
        }
    }

    /// Fills the buffer as far as there is anything; what is short of full is the end.
    pub(super) fn fill(&mut self, buffer: &mut [u8]) -> Result<usize, Cause> {
        let mut filled = 0;
        while filled < buffer.len() {
            let rest = &mut buffer[filled..];
            let count = match self {
                Stream::Plain(file) => file.read(rest),
                Stream::Gzip(decoder) => decoder.read(rest),
                Stream::Zstd { decoder, .. } => decoder.read(rest),
            };
            match count {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(filled)
    }

    fn failed(&self, source: io::Error) -> Cause {
        let format = match self {
            Stream::Plain(_) => return reading("read the layer", source),
            Stream::Gzip(_) => "gzip",
            Stream::Zstd { window_log, .. } => {
                // The library has no kind for it.
                if source.to_string().contains("too much memory") {
                    return Limit::ZstdWindow.exceeded(u64::from(*window_log));
                }
                "zstd"
            }
        };
        // An error of the kernel's has a number, one of the decoder's has none.
        match source.raw_os_error() {
            Some(_) => reading("read the layer", source),
            None if source.kind() == io::ErrorKind::UnexpectedEof => Cause::Truncated,
            None => Cause::Compression { format: format.into(), source },
        }
    }

    /// Everything has been read: what it was read from.
    pub(super) fn into_blob(self) -> Blob<'a> {
        match self {
            Stream::Plain(file) => file,
            Stream::Gzip(decoder) => decoder.into_inner(),
            Stream::Zstd { decoder, .. } => decoder.finish(),
        }
        .into_inner()
    }
}

fn reading(call: &'static str, source: io::Error) -> Cause {
    match source.kind() {
        io::ErrorKind::UnexpectedEof => Cause::Truncated,
        _ => Cause::system(call, source),
    }
}
