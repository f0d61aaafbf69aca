//! The device tree that a hypervisor hands over on aarch64: what is read of it, what the kernel gets, and what is wrong with it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use fades_loader_core::start_info::PhysicalMemory;
use fades_loader_core::tree::Tree;
use fades_loader_core::{LoadError, Span};
use proptest::prelude::*;

#[path = "common/tree.rs"]
mod made;

use made::{INITRD, Maker, virt};

const AT: u64 = 0x4400_0000;

/// Memory that holds one tree.
struct Memory(Vec<u8>);

impl PhysicalMemory for Memory {
    fn read(&self, span: Span) -> Option<&[u8]> {
        let start = usize::try_from(span.start().checked_sub(AT)?).ok()?;
        self.0.get(start..start.checked_add(usize::try_from(span.len()).ok()?)?)
    }
}

#[test]
fn what_a_boot_needs_is_read_and_the_kernel_gets_what_it_looks_at() {
    let memory = Memory(virt(b"-ip 10.77.0.2 -- x\0", INITRD).finish());
    let tree = Tree::read(&memory, AT).unwrap();
    let told = tree.told().unwrap();
    assert_eq!(told.ram.spans(), [Span::new(0x4000_0000, 64 << 20).unwrap()]);
    assert_eq!(told.module, Span::between(0x4200_0000, 0x4210_0000).unwrap());
    assert_eq!(told.command_line, "-ip 10.77.0.2 -- x");

    let mut buffer = [0xaa; 2048];
    let len = tree.copy_to(&mut buffer).unwrap();
    let copy = fdt::Fdt::new(&buffer[..len]).unwrap();
    assert_eq!(copy.chosen().bootargs(), Some("-ip 10.77.0.2 -- x"));
    let its = copy.find_node("/intc@8000000/its@8080000").unwrap();
    assert_eq!(its.reg().unwrap().next().unwrap().starting_address as u64, 0x808_0000);
    let names: Vec<&str> = copy.find_node("/").unwrap().children().map(|node| node.name).collect();
    assert_eq!(names, ["memory@40000000", "intc@8000000", "chosen"]);
    assert_eq!(tree.copy_to(&mut [0; 100]), Err(LoadError::DeviceTree { capacity: 100 }));
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let told = |bytes: Vec<u8>| {
        let memory = Memory(bytes);
        Tree::read(&memory, AT).and_then(|tree| tree.told().map(drop)).unwrap_err()
    };
    assert_eq!(told(virt(b"\0", None).finish()), LoadError::NoModule { modules: 0 });
    assert_eq!(told(virt(b"\0", Some([7, 7])).finish()), LoadError::NoModule { modules: 0 });
    assert_eq!(told(virt(&[0xff; 4], INITRD).finish()).code(), 4);
    assert_eq!(told(virt(&[b'a'; 5000], INITRD).finish()).code(), 4);
    let mut no_memory = Maker::default();
    no_memory.begin("").end();
    assert_eq!(told(no_memory.finish()).code(), 2);
    let mut deep = Maker::default();
    for _ in 0..40 {
        deep.begin("x");
    }
    assert_eq!(told(deep.finish()), LoadError::Tree { what: "it is too deep" });
    let mut open = Maker::default();
    open.begin("");
    assert_eq!(told(open.finish()), LoadError::Tree { what: "an end is missing" });
    let mut ends = Maker::default();
    ends.begin("").end().end();
    assert_eq!(told(ends.finish()), LoadError::Tree { what: "an end too many" });
    let mut loose = Maker::default();
    loose.property("reg", &[0; 16]);
    assert_eq!(told(loose.finish()), LoadError::Tree { what: "a property of nothing" });
    let mut other = virt(b"\0", INITRD).finish();
    other[0] ^= 1;
    assert_eq!(told(other), LoadError::Tree { what: "its magic number" });
    assert_eq!(told(Vec::new()).code(), 5);
}

#[test]
fn every_truncation_ends_in_an_error() {
    let whole = virt(b"-- x\0", INITRD).finish();
    for len in 0..whole.len() {
        assert!(Tree::read(&Memory(whole[..len].to_vec()), AT).is_err(), "{len} bytes");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_bytes_make_it_panic(changes in prop::collection::vec((0usize..600, any::<u8>()), 1..8)) {
        let mut bytes = virt(b"-ip 10.77.0.2 -- x\0", INITRD).finish();
        for (at, value) in changes {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        let memory = Memory(bytes);
        if let Ok(tree) = Tree::read(&memory, AT) {
            let _ = tree.told();
            let _ = tree.copy_to(&mut [0; 1024]);
        }
    }
}
