//! One header block of a tar archive, field by field.

use std::ops::Range;

use super::Refusal;

/// The size of a block: headers are one, content is padded to whole ones.
pub(crate) const BLOCK: usize = 512;

const NAME: Range<usize> = 0..100;
const MODE: Range<usize> = 100..108;
const UID: Range<usize> = 108..116;
const GID: Range<usize> = 116..124;
const SIZE: Range<usize> = 124..136;
const MTIME: Range<usize> = 136..148;
const CHECKSUM: Range<usize> = 148..156;
const TYPE: usize = 156;
const LINK: Range<usize> = 157..257;
const MAGIC: Range<usize> = 257..265;
const PREFIX: Range<usize> = 345..500;
/// Within the prefix of POSIX: where star ends its shorter one and puts times.
const STAR_PREFIX: usize = 131;
/// Where star says that a header is its own.
const STAR_MAGIC: Range<usize> = 508..512;
const GNU_ATIME: Range<usize> = 345..357;
const GNU_CTIME: Range<usize> = 357..369;
const GNU_MAP: Range<usize> = 386..482;
const GNU_MORE: usize = 482;
const GNU_REAL_SIZE: Range<usize> = 483..495;

/// Whose header it is, which decides what its last third means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Dialect {
    /// Before any standard: nothing stands there.
    Old,
    Posix,
    Gnu,
}

/// A header whose checksum is right.
#[derive(Debug)]
pub(super) struct Header<'a> {
    block: &'a [u8; BLOCK],
    dialect: Dialect,
}

impl<'a> Header<'a> {
    pub(super) fn new(block: &'a [u8; BLOCK]) -> Result<Header<'a>, Refusal> {
        let said = number(&block[CHECKSUM]).ok().flatten().ok_or(Refusal::Checksum)?;
        let (mut unsigned, mut signed) = (0i64, 0i64);
        for (at, byte) in block.iter().enumerate() {
            let byte = if CHECKSUM.contains(&at) { b' ' } else { *byte };
            unsigned += i64::from(byte);
            signed += i64::from(byte.cast_signed());
        }
        // Some old programs added the bytes up as signed numbers, and everybody takes that.
        if said != unsigned && said != signed {
            return Err(Refusal::Checksum);
        }
        let dialect = match &block[MAGIC] {
            b"ustar\x0000" => Dialect::Posix,
            b"ustar  \0" => Dialect::Gnu,
            magic if magic.iter().all(|byte| *byte == 0) => Dialect::Old,
            _ => return Err(Refusal::Dialect),
        };
        let header = Header { block, dialect };
        header.refuse_cousins()?;
        Ok(header)
    }

    /// Headers in which programs see a prefix or times, each as it likes.
    fn refuse_cousins(&self) -> Result<(), Refusal> {
        let numbers = |range: Range<usize>| number(&self.block[range]).is_ok();
        let prefix = &self.block[PREFIX];
        let star = prefix[STAR_PREFIX - 1] == 0
            && prefix[STAR_PREFIX..].iter().any(|byte| *byte != 0)
            || &self.block[STAR_MAGIC] == b"tar\0";
        match self.dialect {
            Dialect::Posix if star => Err(Refusal::Dialect),
            Dialect::Gnu if !numbers(GNU_ATIME) || !numbers(GNU_CTIME) => Err(Refusal::Dialect),
            _ => Ok(()),
        }
    }

    pub(super) fn kind(&self) -> u8 {
        self.block[TYPE]
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The whole name, with the prefix before it.
    pub(super) fn name(&self) -> Vec<u8> {
        let name = text(&self.block[NAME]);
        let prefix = match self.dialect {
            Dialect::Posix => text(&self.block[PREFIX]),
            Dialect::Old | Dialect::Gnu => b"",
        };
        match prefix {
            b"" => name.to_vec(),
            _ => [prefix, b"/", name].concat(),
        }
    }

    pub(super) fn link(&self) -> Vec<u8> {
        text(&self.block[LINK]).to_vec()
    }

    /// Permissions and the three bits above them; some programs write the type there too.
    pub(super) fn mode(&self) -> Result<u32, Refusal> {
        let mode = self.number(MODE, "mode")?;
        u32::try_from(mode).map(|mode| mode & 0o7777).map_err(|_| Refusal::number("mode"))
    }

    pub(super) fn uid(&self) -> Result<u32, Refusal> {
        self.id(UID, "uid")
    }

    pub(super) fn gid(&self) -> Result<u32, Refusal> {
        self.id(GID, "gid")
    }

    /// The last number of all stands for no id: a change of owner takes it for "leave it".
    fn id(&self, range: Range<usize>, field: &'static str) -> Result<u32, Refusal> {
        let id = u32::try_from(self.number(range, field)?).ok().filter(|id| *id != u32::MAX);
        id.ok_or_else(|| Refusal::number(field))
    }

    /// Seconds.
    pub(super) fn mtime(&self) -> Result<i64, Refusal> {
        self.number(MTIME, "mtime")
    }

    /// How many bytes follow. The one number that must be written out.
    pub(super) fn size(&self) -> Result<u64, Refusal> {
        let size = number(&self.block[SIZE]).ok().flatten();
        size.and_then(|size| u64::try_from(size).ok()).ok_or_else(|| Refusal::number("size"))
    }

    /// GNU's own sparse files: the first pieces, whether blocks with more of them follow, and the size.
    pub(super) fn gnu_sparse(&self) -> Result<(&'a [u8], bool, u64), Refusal> {
        let size = number(&self.block[GNU_REAL_SIZE]).ok().flatten();
        let size = size.and_then(|size| u64::try_from(size).ok());
        let size = size.ok_or_else(|| Refusal::number("real size"))?;
        Ok((&self.block[GNU_MAP], more(self.block[GNU_MORE])?, size))
    }

    /// A field that may be blank, which is 0.
    fn number(&self, range: Range<usize>, field: &'static str) -> Result<i64, Refusal> {
        let number = number(&self.block[range]).map_err(|NoNumber| Refusal::number(field))?;
        Ok(number.unwrap_or(0))
    }
}

/// The name that a block has in it if it is a header, for an error that says that it is none.
pub(super) fn raw_name(block: &[u8; BLOCK]) -> &[u8] {
    text(&block[NAME])
}

/// GNU's mark that another block of pieces follows.
pub(super) fn more(byte: u8) -> Result<bool, Refusal> {
    match byte {
        0 | b'0' => Ok(false),
        1 | b'1' => Ok(true),
        _ => Err(Refusal::Sparse),
    }
}

/// A text ends at the first NUL, or fills its field.
fn text(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

/// A field is neither a number nor blank.
#[derive(Debug)]
pub(super) struct NoNumber;

/// A number: octal digits between spaces and NULs as everybody reads them, or GNU's binary form,
/// marked by the first byte. `None` if the field is blank.
pub(super) fn number(field: &[u8]) -> Result<Option<i64>, NoNumber> {
    if let Some((0x80 | 0xff, rest)) = field.split_first() {
        return binary(field[0] == 0xff, rest).map(Some);
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    let (digits, rest) = digits.split_at(end);
    let ends = rest.iter().all(|byte| matches!(byte, b' ' | 0));
    if !ends || digits.iter().any(|digit| *digit > b'7') {
        return Err(NoNumber);
    }
    // At most twelve digits, which is 36 bits.
    let value = digits.iter().fold(0, |value, digit| value << 3 | i64::from(digit - b'0'));
    Ok((!digits.is_empty()).then_some(value))
}

fn binary(negative: bool, bytes: &[u8]) -> Result<i64, NoNumber> {
    let start = if negative { -1i128 } else { 0 };
    // At most eleven bytes.
    let value = bytes.iter().fold(start, |value, byte| value << 8 | i128::from(*byte));
    i64::try_from(value).map_err(|_| NoNumber)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_the_one_way_that_all_programs_share() {
        let read = |field: &[u8]| number(field).map_err(|_| "refused");
        assert_eq!(read(b"0000644\0"), Ok(Some(0o644)));
        assert_eq!(read(b"000644 \0"), Ok(Some(0o644)));
        assert_eq!(read(b"   644 \0"), Ok(Some(0o644)));
        assert_eq!(read(b"777777777777"), Ok(Some(0o777_777_777_777)));
        assert_eq!(read(&[0; 8]), Ok(None));
        assert_eq!(read(b"       \0"), Ok(None));
        assert_eq!(read(b"\x80\0\0\0\0\0\0\0\0\0\x01\0"), Ok(Some(256)));
        assert_eq!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Ok(Some(-2)));
        assert_eq!(read(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(Some(i64::MAX)));
        for field in [
            b"\x0000644\0" as &[u8],
            b"0000648\0",
            b"000x644\0",
            b"-000644\0",
            b"+000644\0",
            b"00 0644\0",
            b"0644\x0007\0",
            b"0x00644\0",
            b"\x81\0\0\0\0\0\0\0",
            b"\xfe\0\0\0\0\0\0\0",
            b"\x80\0\0\0\x80\0\0\0\0\0\0\0",
            b"\xff\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(read(field), Err("refused"), "{}", field.escape_ascii());
        }
    }
}
