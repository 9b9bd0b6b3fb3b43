//! Archives for tests, block by block, right or wrong at will.
#![allow(unreachable_pub, dead_code, reason = "each of two test programs uses its part")]

/// An archive in the making.
#[derive(Clone, Default, Debug)]
pub struct Tar(pub Vec<u8>);

/// A header's fields, of which only what matters to a test is said.
#[derive(Clone, Debug)]
pub struct Head<'a> {
    pub name: &'a [u8],
    pub kind: u8,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    pub mtime: u64,
    pub link: &'a [u8],
    pub magic: &'a [u8; 8],
}

impl Default for Head<'_> {
    fn default() -> Self {
        Head {
            name: b"file",
            kind: b'0',
            mode: 0o644,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: 1_700_000_000,
            link: b"",
            magic: b"ustar\x0000",
        }
    }
}

impl Head<'_> {
    pub fn block(&self) -> [u8; 512] {
        let mut block = [0; 512];
        block[..self.name.len()].copy_from_slice(self.name);
        octal(&mut block[100..108], u64::from(self.mode));
        octal(&mut block[108..116], u64::from(self.uid));
        octal(&mut block[116..124], u64::from(self.gid));
        octal(&mut block[124..136], self.size);
        octal(&mut block[136..148], self.mtime);
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(self.link);
        block[257..265].copy_from_slice(self.magic);
        seal(&mut block);
        block
    }
}

fn octal(field: &mut [u8], value: u64) {
    let digits = format!("{value:0width$o}\0", width = field.len() - 1);
    field.copy_from_slice(digits.as_bytes());
}

/// Writes the checksum of a header that was changed by hand.
pub fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One record of an extended header.
pub fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while rest + length.to_string().len() != length {
        length = rest + length.to_string().len();
    }
    [format!("{length} {key}=").as_bytes(), value, b"\n"].concat()
}

impl Tar {
    pub fn new() -> Tar {
        Tar::default()
    }

    /// A header, and content with its padding.
    pub fn raw(mut self, head: &Head<'_>, content: &[u8]) -> Tar {
        self.0.extend_from_slice(&head.block());
        self.content(content)
    }

    pub fn block(mut self, block: &[u8; 512]) -> Tar {
        self.0.extend_from_slice(block);
        self
    }

    pub fn content(mut self, content: &[u8]) -> Tar {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, content: &[u8]) -> Tar {
        let size = content.len() as u64;
        self.raw(&Head { name: name.as_bytes(), size, ..Head::default() }, content)
    }

    pub fn dir(self, name: &str) -> Tar {
        self.dir_with(name, 0o755)
    }

    pub fn dir_with(self, name: &str, mode: u32) -> Tar {
        self.raw(&Head { name: name.as_bytes(), kind: b'5', mode, ..Head::default() }, b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.typed(name, b'2', target)
    }

    pub fn hard_link(self, name: &str, target: &str) -> Tar {
        self.typed(name, b'1', target)
    }

    /// An entry without content.
    pub fn typed(self, name: &str, kind: u8, link: &str) -> Tar {
        let (name, link) = (name.as_bytes(), link.as_bytes());
        self.raw(&Head { name, kind, link, mode: 0o777, ..Head::default() }, b"")
    }

    /// An extended header for the next entry.
    pub fn pax(self, records: &[(&str, &[u8])]) -> Tar {
        self.extended(b'x', records)
    }

    pub fn extended(self, kind: u8, records: &[(&str, &[u8])]) -> Tar {
        let text: Vec<u8> = records.iter().flat_map(|(key, value)| record(key, value)).collect();
        let head = Head { name: b"PaxHeaders/x", kind, size: text.len() as u64, ..Head::default() };
        self.raw(&head, &text)
    }

    /// GNU's header for a long name (`L`) or link (`K`).
    pub fn long(self, kind: u8, name: &[u8]) -> Tar {
        let text = [name, b"\0"].concat();
        let size = text.len() as u64;
        let head =
            Head { name: b"././@LongLink", kind, size, magic: b"ustar  \0", ..Head::default() };
        self.raw(&head, &text)
    }

    /// With the mark of the end.
    pub fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}
