//! What whoever boots Linux on aarch64 hands over: a device tree with the machine, the application as initial RAM disk, and the
//! command line. Read with distrust, and copied, as the kernel reads of devices there, without what it does not look at.
//!
//! Flattened device tree version 17 (devicetree specification 0.4, chapter 5). Addresses and sizes have two cells each, as on
//! QEMU's `virt`.

use crate::start_info::{PhysicalMemory, Ram};
use crate::{LoadError, Span};

const MAGIC: u32 = 0xd00d_feed;
const BEGIN_NODE: u32 = 1;
const END_NODE: u32 = 2;
const PROPERTY: u32 = 3;
const NOTHING: u32 = 4;
const END: u32 = 9;
const HEADER_LEN: usize = 40;
/// One terminating reservation entry: what is reserved is nothing to a kernel that is told its memory.
const RESERVATIONS_LEN: usize = 16;
/// QEMU's own limit.
const MAX_LEN: u64 = 1 << 20;
/// Deeper than any machine's.
const MAX_DEPTH: u32 = 16;
/// The nodes below the root that the kernel looks at, without their addresses. The others, of which QEMU's machine has 50, would
/// be walked past at each look.
const KEPT: [&[u8]; 7] = [b"memory", b"cpus", b"intc", b"timer", b"pcie", b"pl031", b"chosen"];

/// A device tree whose blocks lie inside of it.
#[derive(Debug, Clone, Copy)]
pub struct Tree<'a> {
    structure: &'a [u8],
    strings: &'a [u8],
}

/// The parts of the tree that a boot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told<'a> {
    /// Usable RAM.
    pub ram: Ram,
    /// Where the application's ELF lies.
    pub module: Span,
    /// The command line.
    pub command_line: &'a str,
}

/// One step through a tree's structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Begin(&'a [u8]),
    /// With where its name lies in the strings.
    Property {
        name: &'a [u8],
        place: u32,
        value: &'a [u8],
    },
    EndNode,
    Nothing,
    End,
}

impl<'a> Tree<'a> {
    /// Finds the tree at `address` in `memory`.
    ///
    /// # Errors
    /// [`LoadError::Tree`].
    pub fn read(memory: &'a impl PhysicalMemory, address: u64) -> Result<Self, LoadError> {
        let wrong = |what| LoadError::Tree { what };
        let at = |len| Span::new(address, len).and_then(|span| memory.read(span));
        let head = at(HEADER_LEN as u64).ok_or(wrong("nothing can be read at its address"))?;
        if big(head, 0) != Some(MAGIC) {
            return Err(wrong("its magic number"));
        }
        let len = u64::from(big(head, 4).unwrap_or(0));
        if len > MAX_LEN {
            return Err(wrong("its size"));
        }
        let whole = at(len).ok_or(wrong("it leaves the memory that can be read"))?;
        let block = |offset: usize, len: usize| {
            let (offset, len) = (big(head, offset)?, big(head, len)?);
            let start = usize::try_from(offset).ok()?;
            whole.get(start..start.checked_add(usize::try_from(len).ok()?)?)
        };
        let structure = block(8, 36).ok_or(wrong("its structure leaves it"))?;
        let strings = block(12, 32).ok_or(wrong("its strings leave it"))?;
        Ok(Self { structure, strings })
    }

    /// What it says about memory, application and command line.
    ///
    /// # Errors
    /// [`LoadError::Tree`], [`LoadError::MemoryMap`], [`LoadError::NoModule`] or [`LoadError::CommandLine`].
    pub fn told(&self) -> Result<Told<'a>, LoadError> {
        let (mut ram, mut start, mut end, mut command_line) = (Ram::new(), None, None, &b""[..]);
        let (mut depth, mut node) = (0, &b""[..]);
        self.walk(|token| match token {
            Token::Begin(name) => {
                depth += 1;
                if depth == 2 {
                    node = name;
                }
            }
            Token::EndNode => depth -= 1,
            Token::Property { name, value, .. } if depth == 2 => match (stem(node), name) {
                (b"memory", b"reg") => {
                    for range in value.chunks_exact(16) {
                        let (first, rest) = range.split_at(8);
                        if let (Some(first), Some(len)) = (number(first), number(rest))
                            && let Some(span) = Span::new(first, len)
                        {
                            ram.push(span);
                        }
                    }
                }
                (b"chosen", b"linux,initrd-start") => start = number(value),
                (b"chosen", b"linux,initrd-end") => end = number(value),
                (b"chosen", b"bootargs") => command_line = value,
                _ => {}
            },
            _ => {}
        })?;
        if ram.spans().is_empty() {
            return Err(LoadError::MemoryMap { entries: 0, version: 0 });
        }
        let module = start.zip(end).and_then(|(start, end)| Span::between(start, end));
        let module = module.filter(|module| module.len() > 0).ok_or(LoadError::NoModule { modules: 0 })?;
        let limit = crate::start_info::MAX_COMMAND_LINE;
        let wrong = LoadError::CommandLine { address: 0, limit };
        let text = command_line.strip_suffix(b"\0").unwrap_or(command_line);
        let command_line = core::str::from_utf8(text).ok().filter(|text| text.len() <= limit).ok_or(wrong)?;
        Ok(Told { ram, module, command_line })
    }

    /// Writes a tree of what the kernel looks at into `buffer` and returns its length.
    ///
    /// # Errors
    /// [`LoadError::Tree`], or [`LoadError::DeviceTree`] if it does not fit.
    pub fn copy_to(&self, buffer: &mut [u8]) -> Result<usize, LoadError> {
        let capacity = buffer.len();
        let full = LoadError::DeviceTree { capacity };
        let mut out = Writer { buffer, at: HEADER_LEN + RESERVATIONS_LEN, full: false };
        let structure = out.at;
        // The depth at which a node that is left out began.
        let (mut depth, mut left_out) = (0u32, None);
        self.walk(|token| {
            match token {
                Token::Begin(name) => {
                    depth += 1;
                    if depth == 2 && !KEPT.contains(&stem(name)) {
                        left_out = Some(depth);
                    }
                }
                Token::EndNode => depth -= 1,
                _ => {}
            }
            match left_out {
                None => out.token(token),
                Some(began) if depth < began => left_out = None,
                Some(_) => {}
            }
        })?;
        let strings = out.at;
        out.bytes(self.strings);
        let words = [
            MAGIC,
            fit(out.at).ok_or(full)?,
            fit(structure).ok_or(full)?,
            fit(strings).ok_or(full)?,
            fit(HEADER_LEN).ok_or(full)?,
            17,
            16,
            0,
            fit(self.strings.len()).ok_or(full)?,
            fit(strings - structure).ok_or(full)?,
        ];
        let Writer { buffer, at, full: overrun } = out;
        if overrun {
            return Err(full);
        }
        buffer.get_mut(HEADER_LEN..structure).ok_or(full)?.fill(0);
        for (field, word) in buffer.chunks_exact_mut(4).zip(words) {
            field.copy_from_slice(&word.to_be_bytes());
        }
        Ok(at)
    }

    /// Every step from the root's beginning to its end, and the end.
    fn walk(&self, mut step: impl FnMut(Token<'a>)) -> Result<(), LoadError> {
        let (mut at, mut depth) = (0, 0u32);
        loop {
            let (token, next) = self.token(at).ok_or(LoadError::Tree { what: "its structure breaks off" })?;
            match token {
                Token::Begin(_) => depth += 1,
                Token::EndNode => {
                    depth = depth.checked_sub(1).ok_or(LoadError::Tree { what: "an end too many" })?
                }
                Token::Property { .. } if depth == 0 => {
                    return Err(LoadError::Tree { what: "a property of nothing" });
                }
                Token::End if depth > 0 => return Err(LoadError::Tree { what: "an end is missing" }),
                _ => {}
            }
            if depth > MAX_DEPTH {
                return Err(LoadError::Tree { what: "it is too deep" });
            }
            step(token);
            if token == Token::End {
                return Ok(());
            }
            at = next;
        }
    }

    /// The step at `at`, and where the next one is.
    fn token(&self, at: usize) -> Option<(Token<'a>, usize)> {
        let kind = big(self.structure, at)?;
        let at = at + 4;
        let rest = self.structure.get(at..)?;
        Some(match kind {
            BEGIN_NODE => {
                let len = rest.iter().position(|&byte| byte == 0)?;
                (Token::Begin(rest.get(..len)?), padded(at, len + 1)?)
            }
            PROPERTY => {
                let len = usize::try_from(big(rest, 0)?).ok()?;
                let place = big(rest, 4)?;
                let name = self.strings.get(usize::try_from(place).ok()?..)?;
                let name = name.get(..name.iter().position(|&byte| byte == 0)?)?;
                let value = rest.get(8..)?.get(..len)?;
                (Token::Property { name, place, value }, padded(at + 8, len)?)
            }
            END_NODE => (Token::EndNode, at),
            NOTHING => (Token::Nothing, at),
            END => (Token::End, at),
            _ => return None,
        })
    }
}

/// A node's name without its address.
fn stem(name: &[u8]) -> &[u8] {
    name.split(|&byte| byte == b'@').next().unwrap_or(name)
}

fn padded(at: usize, len: usize) -> Option<usize> {
    at.checked_add(len)?.checked_next_multiple_of(4)
}

/// A big-endian word.
fn big(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

/// A number of one or two cells.
fn number(value: &[u8]) -> Option<u64> {
    match value.len() {
        4 => big(value, 0).map(u64::from),
        8 => Some(u64::from(big(value, 0)?) << 32 | u64::from(big(value, 4)?)),
        _ => None,
    }
}

fn fit(value: usize) -> Option<u32> {
    u32::try_from(value).ok()
}

/// Remembers that something did not fit.
struct Writer<'a> {
    buffer: &'a mut [u8],
    at: usize,
    full: bool,
}

impl Writer<'_> {
    fn token(&mut self, token: Token<'_>) {
        match token {
            Token::Begin(name) => {
                self.word(BEGIN_NODE);
                self.bytes(name);
                self.bytes(&[0]);
                self.pad();
            }
            Token::Property { place, value, .. } => {
                self.word(PROPERTY);
                self.word(fit(value.len()).unwrap_or(0));
                self.word(place);
                self.bytes(value);
                self.pad();
            }
            Token::EndNode => self.word(END_NODE),
            Token::Nothing => {}
            Token::End => self.word(END),
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        match self.buffer.get_mut(self.at..).and_then(|rest| rest.get_mut(..bytes.len())) {
            Some(place) => {
                place.copy_from_slice(bytes);
                self.at += bytes.len();
            }
            None => self.full = true,
        }
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn pad(&mut self) {
        while !self.full && !self.at.is_multiple_of(4) {
            self.bytes(&[0]);
        }
    }
}
