//! Tar archives written byte by byte, so that anything can be wrong about them.

/// The size of a header, and what contents are filled up to.
pub const BLOCK: usize = 512;

/// Where a header's fields stand and how long they are.
pub mod field {
    pub const NAME: (usize, usize) = (0, 100);
    pub const MODE: (usize, usize) = (100, 8);
    pub const UID: (usize, usize) = (108, 8);
    pub const GID: (usize, usize) = (116, 8);
    pub const SIZE: (usize, usize) = (124, 12);
    pub const MTIME: (usize, usize) = (136, 12);
    pub const SUM: (usize, usize) = (148, 8);
    pub const KIND: usize = 156;
    pub const LINK: (usize, usize) = (157, 100);
    pub const MAGIC: (usize, usize) = (257, 8);
    pub const MAJOR: (usize, usize) = (329, 8);
    pub const MINOR: (usize, usize) = (337, 8);
    pub const PREFIX: (usize, usize) = (345, 155);
    /// GNU's old sparse files: up to four pairs of offset and length, the real size.
    pub const SPARSE: usize = 386;
    pub const REAL_SIZE: (usize, usize) = (483, 12);
}

/// One member, with the headers of its own that come before it.
#[derive(Clone)]
pub struct Entry {
    header: [u8; BLOCK],
    body: Vec<u8>,
    before: Vec<u8>,
    pax: Vec<u8>,
    /// Whether the checksum is right.
    summed: bool,
    /// Whether the header says another size than that of the body.
    lies: bool,
}

/// A whole archive: the members and two blocks of zeros.
pub fn tar(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    let mut bytes = open_ended(entries);
    bytes.resize(bytes.len() + 2 * BLOCK, 0);
    bytes
}

/// An archive that just ends.
pub fn open_ended(entries: impl IntoIterator<Item = Entry>) -> Vec<u8> {
    entries.into_iter().flat_map(|entry| entry.bytes()).collect()
}

pub fn entry(kind: u8, name: impl AsRef<[u8]>) -> Entry {
    let mut entry = Entry {
        header: [0; BLOCK],
        body: Vec::new(),
        before: Vec::new(),
        pax: Vec::new(),
        summed: true,
        lies: false,
    };
    entry.put(field::NAME, name.as_ref());
    entry.header[field::KIND] = kind;
    entry.put(field::MAGIC, b"ustar\x0000");
    let mode = if kind == b'5' { 0o755 } else { 0o644 };
    entry.mode(mode).owner(0, 0).octal(field::SIZE, 0).time(1_000_000_000)
}

pub fn file(name: impl AsRef<[u8]>, holds: impl AsRef<[u8]>) -> Entry {
    entry(b'0', name).holds(holds)
}

pub fn dir(name: impl AsRef<[u8]>) -> Entry {
    entry(b'5', name)
}

pub fn symlink(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Entry {
    entry(b'2', name).leads(to)
}

pub fn hard_link(name: impl AsRef<[u8]>, to: impl AsRef<[u8]>) -> Entry {
    entry(b'1', name).leads(to)
}

/// A device, `b'3'` for characters and `b'4'` for blocks.
pub fn device(kind: u8, name: &str, major: u32, minor: u32) -> Entry {
    entry(kind, name).octal(field::MAJOR, major.into()).octal(field::MINOR, minor.into())
}

/// A file under a name that no header holds, which a PAX header gives.
pub fn far(kind: u8, name: impl AsRef<[u8]>) -> Entry {
    entry(kind, "elsewhere").pax("path", name)
}

/// GNU's header for the next member's long name (`b'L'`) or link (`b'K'`).
pub fn gnu_long(kind: u8, text: impl AsRef<[u8]>) -> Entry {
    let text = [text.as_ref(), b"\0"].concat();
    entry(kind, "././@LongLink").field(field::MAGIC, b"ustar  \0").holds(text)
}

/// A PAX header for the next member (`b'x'`) or for all that follow (`b'g'`), of any bytes.
pub fn pax_header(kind: u8, records: impl AsRef<[u8]>) -> Entry {
    entry(kind, "PaxHeaders/0").holds(records)
}

/// One record of a PAX header, its own length first.
pub fn record(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    let rest = [b" ", key.as_bytes(), b"=", value.as_ref(), b"\n"].concat();
    let mut length = rest.len() + 1;
    while length.to_string().len() + rest.len() != length {
        length += 1;
    }
    [length.to_string().as_bytes(), &rest].concat()
}

/// A number in base 256, as GNU writes those that are too large.
pub fn base256(length: usize, value: i128) -> Vec<u8> {
    let all = value.to_be_bytes();
    let mut bytes: Vec<u8> = all[all.len() - length..].to_vec();
    bytes[0] |= 0x80;
    bytes
}

impl Entry {
    fn put(&mut self, (at, length): (usize, usize), value: &[u8]) {
        let length = value.len().min(length);
        self.header[at..at + length].copy_from_slice(&value[..length]);
    }

    /// Writes bytes over a field.
    pub fn field(mut self, at: (usize, usize), value: impl AsRef<[u8]>) -> Entry {
        self.header[at.0..at.0 + at.1].fill(0);
        self.put(at, value.as_ref());
        self
    }

    /// Writes a number over a field.
    pub fn octal(self, at: (usize, usize), value: u64) -> Entry {
        let width = at.1 - 1;
        self.field(at, format!("{value:0width$o}"))
    }

    pub fn mode(self, mode: u32) -> Entry {
        self.octal(field::MODE, mode.into())
    }

    pub fn owner(self, uid: u32, gid: u32) -> Entry {
        self.octal(field::UID, uid.into()).octal(field::GID, gid.into())
    }

    pub fn time(self, seconds: u64) -> Entry {
        self.octal(field::MTIME, seconds)
    }

    pub fn leads(self, to: impl AsRef<[u8]>) -> Entry {
        self.field(field::LINK, to)
    }

    /// What follows the header, which says its size.
    pub fn holds(mut self, body: impl AsRef<[u8]>) -> Entry {
        self.body = body.as_ref().to_vec();
        let size = self.body.len() as u64;
        self.octal(field::SIZE, size)
    }

    /// Another size than that of what follows.
    pub fn says(mut self, size: u64) -> Entry {
        self.lies = true;
        self.octal(field::SIZE, size)
    }

    /// Adds a record to the PAX header before this member.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Entry {
        self.pax.extend(record(key, value));
        self
    }

    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Entry {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Puts another header in front.
    pub fn after(mut self, other: Entry) -> Entry {
        self.before.extend(other.bytes());
        self
    }

    /// Leaves the checksum as it was written over the field.
    pub fn unsummed(mut self) -> Entry {
        self.summed = false;
        self
    }

    pub fn bytes(mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.before);
        if !self.pax.is_empty() {
            bytes.extend(pax_header(b'x', &self.pax).bytes());
        }
        if self.summed {
            self.put(field::SUM, b"        ");
            let sum: u32 = self.header.iter().map(|byte| u32::from(*byte)).sum();
            self.put(field::SUM, format!("{sum:06o}\0 ").as_bytes());
        }
        bytes.extend(self.header);
        bytes.extend(&self.body);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
        bytes
    }
}
