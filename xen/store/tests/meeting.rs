//! What two domains show each other to meet.

use fades_xen_store::DomainId;
use fades_xen_store::meeting::{decode, encode, of, own};
use proptest::prelude::*;

#[test]
fn the_nodes_are_pinned() {
    let domain = |number| DomainId::new(number).unwrap();
    assert_eq!(own(domain(7)).to_string(), "data/fades/link/7");
    assert_eq!(of(domain(3), domain(7)).to_string(), "/local/domain/3/data/fades/link/7");
    assert_eq!(encode(&[1024, 17]), "1024 17");
}

#[test]
fn what_is_no_list_of_numbers_is_nothing() {
    let nonsense: [&[u8]; 12] = [
        b"",
        b" ",
        b"1",
        b"1 2 3",
        b"1 2 ",
        b" 1 2",
        b"1  2",
        b"+1 2",
        b"01 2",
        b"1 4294967296",
        b"1 2\n",
        b"\xff 2",
    ];
    for value in nonsense {
        assert_eq!(decode::<2>(value), None, "{value:?}");
    }
    assert_eq!(decode::<2>(b"0 4294967295"), Some([0, u32::MAX]));
}

proptest! {
    #[test]
    fn what_was_written_is_read(numbers: [u32; 3]) {
        prop_assert_eq!(decode::<3>(encode(&numbers).as_bytes()), Some(numbers));
    }

    #[test]
    fn whatever_is_read_was_written_so(value: Vec<u8>) {
        if let Some(numbers) = decode::<2>(&value) {
            prop_assert_eq!(encode(&numbers).into_bytes(), value);
        }
    }
}
