//! What QEMU's `virt` hands over, made by hand; the fuzzer begins with it too.

/// A tree made by hand, as QEMU lays it out: reservations, structure, strings.
#[derive(Default)]
pub(crate) struct Maker {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Maker {
    pub(crate) fn begin(&mut self, name: &str) -> &mut Self {
        self.structure.extend(1u32.to_be_bytes());
        self.structure.extend(name.bytes().chain([0]));
        self.pad()
    }

    pub(crate) fn property(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let place = u32::try_from(self.strings.len()).unwrap();
        self.strings.extend(name.bytes().chain([0]));
        self.structure.extend(3u32.to_be_bytes());
        self.structure.extend(u32::try_from(value.len()).unwrap().to_be_bytes());
        self.structure.extend(place.to_be_bytes());
        self.structure.extend(value);
        self.pad()
    }

    pub(crate) fn end(&mut self) -> &mut Self {
        self.structure.extend(2u32.to_be_bytes());
        self
    }

    fn pad(&mut self) -> &mut Self {
        self.structure.resize(self.structure.len().next_multiple_of(4), 0);
        self
    }

    pub(crate) fn finish(&mut self) -> Vec<u8> {
        self.structure.extend(9u32.to_be_bytes());
        let (structure, strings) = (self.structure.len(), self.strings.len());
        let number = |value: usize| u32::try_from(value).unwrap();
        let header =
            [0xd00d_feed, 56 + structure + strings, 56, 56 + structure, 40, 17, 16, 0, strings, structure];
        let mut bytes: Vec<u8> = header.iter().flat_map(|&word| number(word).to_be_bytes()).collect();
        bytes.resize(56, 0);
        bytes.extend(&self.structure);
        bytes.extend(&self.strings);
        bytes
    }
}

fn cells(values: &[u64]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

/// What QEMU's `virt` says, as far as it matters, with 64 MiB.
pub(crate) fn virt(command_line: &[u8], initrd: Option<[u64; 2]>) -> Maker {
    let mut tree = Maker::default();
    tree.begin("")
        .property("compatible", b"linux,dummy-virt\0")
        .property("#address-cells", &2u32.to_be_bytes())
        .property("#size-cells", &2u32.to_be_bytes());
    tree.begin("memory@40000000").property("reg", &cells(&[0x4000_0000, 64 << 20])).end();
    tree.begin("virtio_mmio@a000000").property("reg", &cells(&[0xa00_0000, 0x200])).end();
    tree.begin("intc@8000000").property("reg", &cells(&[0x800_0000, 0x1_0000, 0x80a_0000, 0xf6_0000]));
    tree.begin("its@8080000").property("reg", &cells(&[0x808_0000, 0x2_0000])).end().end();
    tree.begin("gpio-keys").begin("poweroff").property("label", b"x\0").end().end();
    tree.begin("chosen").property("bootargs", command_line);
    if let Some([start, end]) = initrd {
        // One cell or two: QEMU has had both.
        tree.property("linux,initrd-start", &u32::try_from(start).unwrap().to_be_bytes());
        tree.property("linux,initrd-end", &end.to_be_bytes());
    }
    tree.end().end();
    tree
}

pub(crate) const INITRD: Option<[u64; 2]> = Some([0x4200_0000, 0x4210_0000]);
