//! The relocations of a position-independent image: base-relative ones, and those against symbols of its own.

use crate::LoadError;
use crate::bytes::{u16_at, u64_at};
use crate::elf::Elf;
use crate::machine::Kinds;

const DT_NEEDED: u64 = 1;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_RELSZ: u64 = 18;
const DT_RELRSZ: u64 = 35;
const RELA_LEN: usize = 24;
const SYMBOL_LEN: u64 = 24;

const WEAK: u8 = 2;

/// What the dynamic section says about relocations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Dynamic {
    table: u64,
    len: u64,
    symbols: u64,
}

impl Dynamic {
    pub(crate) fn read(section: &[u8]) -> Result<Self, LoadError> {
        let mut found = Self::default();
        for entry in section.chunks_exact(16) {
            let (tag, value) = (u64_at(entry, 0).unwrap_or(0), u64_at(entry, 8).unwrap_or(0));
            match tag {
                0 => break,
                DT_RELA => found.table = value,
                DT_RELASZ => found.len = value,
                DT_SYMTAB => found.symbols = value,
                DT_NEEDED | DT_RELSZ | DT_RELRSZ => {
                    return Err(LoadError::NotHermit { what: "an entry of its dynamic section", value: tag });
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Applies all of `dynamic`'s relocations to the image in `memory`, which will run at `base`.
pub(crate) fn apply(elf: &Elf<'_>, dynamic: &Dynamic, memory: &mut [u8], base: u64) -> Result<(), LoadError> {
    if dynamic.len == 0 {
        return Ok(());
    }
    let Kinds { relative, symbolic } = elf.machine.relocations();
    let table = elf.at_address("table of relocations", dynamic.table, dynamic.len)?;
    for (index, entry) in (0..).zip(table.chunks_exact(RELA_LEN)) {
        let address = u64_at(entry, 0).unwrap_or(u64::MAX);
        let info = u64_at(entry, 8).unwrap_or(0);
        let addend = u64_at(entry, 16).unwrap_or(0);
        let [kind, symbol] = [info & 0xffff_ffff, info >> 32].map(|half| u32::try_from(half).unwrap_or(0));
        let wrong = LoadError::Relocation { index, kind, address };
        let value = if kind == relative {
            base.wrapping_add(addend)
        } else if symbolic.contains(&kind) {
            match symbol_value(elf, dynamic, symbol)? {
                Some(value) => base.wrapping_add(value).wrapping_add(addend),
                // A weak symbol that nobody defines stays null.
                None => continue,
            }
        } else {
            return Err(wrong);
        };
        let start = usize::try_from(address).ok().ok_or(wrong)?;
        let field = memory.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<8>()).ok_or(wrong)?;
        *field = value.to_le_bytes();
    }
    Ok(())
}

/// A symbol's address in the image; nothing if it is weak and undefined. Undefined and not weak is an error.
fn symbol_value(elf: &Elf<'_>, dynamic: &Dynamic, index: u32) -> Result<Option<u64>, LoadError> {
    let outside = LoadError::OutsideFile { what: "symbol", offset: u64::from(index), len: SYMBOL_LEN };
    let address = dynamic.symbols.checked_add(u64::from(index) * SYMBOL_LEN).ok_or(outside)?;
    let symbol = elf.at_address("symbol", address, SYMBOL_LEN)?;
    let weak = symbol.get(4).is_some_and(|info| info >> 4 == WEAK);
    match (u16_at(symbol, 6), weak) {
        (Some(0), true) => Ok(None),
        (Some(0), false) | (None, _) => Err(outside),
        (Some(_), _) => Ok(u64_at(symbol, 8)),
    }
}
