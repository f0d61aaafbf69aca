//! An application made by hand: headers, a note, dynamic section, symbols, relocations, text and data.

/// A segment's numbers.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_len: u64,
    pub(crate) memory_len: u64,
    pub(crate) align: u64,
}

/// Executable; its file part starts behind the tables.
pub(crate) const TEXT: Part = Part {
    kind: 1,
    flags: 5,
    offset: 0x1000,
    address: 0x1000,
    file_len: 0x100,
    memory_len: 0x100,
    align: 0x1000,
};

/// What a test may change.
pub(crate) struct Sample {
    pub(crate) data: Part,
    pub(crate) entry: u64,
    pub(crate) note: [u8; 7],
    /// Place, kind with symbol, addend.
    pub(crate) relocations: [(u64, u64, u64); 3],
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            data: Part {
                kind: 1,
                flags: 6,
                offset: 0x2000,
                address: 0x2000,
                file_len: 0x100,
                memory_len: 0x2000,
                align: 0x1000,
            },
            entry: 0x1000,
            note: *b"HERMIT\0",
            relocations: [(0x2000, 8, 0x1234), (0x2008, 1 << 32 | 1, 8), (0x2010, 2 << 32 | 6, 0)],
        }
    }
}

impl Sample {
    /// The file. The first segment holds the tables: note at 0x200, dynamic section at 0x240, symbols at 0x2c0,
    /// relocations at 0x340.
    pub(crate) fn file(&self) -> Vec<u8> {
        let read = Part {
            kind: 1,
            flags: 4,
            offset: 0,
            address: 0,
            file_len: 0x500,
            memory_len: 0x500,
            align: 0x1000,
        };
        let note =
            Part { kind: 4, flags: 4, offset: 0x200, address: 0x200, file_len: 24, memory_len: 24, align: 4 };
        let dynamic =
            Part { kind: 2, flags: 4, offset: 0x240, address: 0x240, file_len: 64, memory_len: 64, align: 8 };
        let tls = Part {
            kind: 7,
            flags: 4,
            offset: 0x2000,
            address: 0x2000,
            file_len: 8,
            memory_len: 16,
            align: 8,
        };
        let parts = [read, TEXT, self.data, note, dynamic, tls];

        let mut file = vec![0; 0x2100];
        file[..8].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1, 255]);
        put(&mut file, 16, &3u16.to_le_bytes());
        put(&mut file, 18, &62u16.to_le_bytes());
        put(&mut file, 20, &1u32.to_le_bytes());
        put(&mut file, 24, &self.entry.to_le_bytes());
        put(&mut file, 32, &64u64.to_le_bytes());
        put(&mut file, 54, &56u16.to_le_bytes());
        put(&mut file, 56, &6u16.to_le_bytes());
        for (part, at) in parts.iter().zip((64..).step_by(56)) {
            put(&mut file, at, &part.kind.to_le_bytes());
            put(&mut file, at + 4, &part.flags.to_le_bytes());
            let words = [part.offset, part.address, part.address, part.file_len, part.memory_len, part.align];
            put_words(&mut file, at + 8, &words);
        }
        for (word, at) in [7u32, 1, 0x5a00].iter().zip((0x200..).step_by(4)) {
            put(&mut file, at, &word.to_le_bytes());
        }
        put(&mut file, 0x20c, &self.note);
        file[0x214] = 4;
        put_words(&mut file, 0x240, &[7, 0x340, 8, 72, 6, 0x2c0, 0, 0]);
        // Symbol 1 is defined at 0x40; symbol 2 is weak and undefined.
        put(&mut file, 0x2c0 + 24 + 6, &1u16.to_le_bytes());
        put_words(&mut file, 0x2c0 + 24 + 8, &[0x40]);
        file[0x2c0 + 48 + 4] = 2 << 4;
        for ((place, info, addend), at) in self.relocations.iter().zip((0x340..).step_by(24)) {
            put_words(&mut file, at, &[*place, *info, *addend]);
        }
        file
    }
}

fn put(file: &mut [u8], at: usize, bytes: &[u8]) {
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

fn put_words(file: &mut [u8], at: usize, words: &[u64]) {
    for (word, at) in words.iter().zip((at..).step_by(8)) {
        put(file, at, &word.to_le_bytes());
    }
}
