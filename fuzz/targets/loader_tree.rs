//! Any bytes as a device tree: what is told of it, and what is copied is a tree that tells the same.
#![no_main]

use fades_loader_core::Span;
use fades_loader_core::start_info::PhysicalMemory;
use fades_loader_core::tree::Tree;
use libfuzzer_sys::fuzz_target;

/// Where the input lies.
const FIRST: u64 = 0x1000;

struct Memory<'a>(&'a [u8]);

impl PhysicalMemory for Memory<'_> {
    fn read(&self, span: Span) -> Option<&[u8]> {
        let start = usize::try_from(span.start().checked_sub(FIRST)?).ok()?;
        self.0.get(start..start.checked_add(usize::try_from(span.len()).ok()?)?)
    }
}

fuzz_target!(|input: &[u8]| {
    let memory = Memory(input);
    let Ok(tree) = fades_fuzz::parse(|| Tree::read(&memory, FIRST)) else { return };
    let told = fades_fuzz::parse(|| tree.told());
    // What is kept, and names of it that were twice in its strings, can be longer than the input.
    let mut copy = vec![0; 2 * input.len() + 128];
    let copied = {
        let copy = std::cell::RefCell::new(&mut copy[..]);
        fades_fuzz::parse(|| tree.copy_to(&mut copy.borrow_mut()))
    };
    match copied {
        Ok(len) => {
            let again = Memory(&copy[..len]);
            let again = Tree::read(&again, FIRST).expect("what was written is a tree");
            assert_eq!(again.told(), told);
        }
        Err(error) => assert_eq!(told.expect_err("what can be told can be copied"), error),
    }
});
