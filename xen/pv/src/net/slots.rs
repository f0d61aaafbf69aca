//! What the words of the slots mean.
//!
//! ```text
//! sent:      request   gref:32           offset:16 flags:16    id:16 size:16
//!            response  id:16 status:16
//! received:  request   id:16 pad:16      gref:32
//!            response  id:16 offset:16   flags:16 status:16
//!            extra     type:8 flags:8 …  …
//! ```
//! The lower half of a word comes first. The first request of a frame has the frame's length as its size, the others
//! have their fragment's.

use crate::grant::GrantRef;

/// Of a frame that is sent: it goes on in the next slot. (`NETTXF_more_data`)
const SEND_MORE: u16 = 1 << 2;
/// Of a fragment: the frame goes on in a later slot. (`NETRXF_more_data`)
const RECEIVE_MORE: u16 = 1 << 2;
/// Of a fragment: extra segments follow. (`NETRXF_extra_info`)
const RECEIVE_EXTRA: u16 = 1 << 3;
/// Of an extra segment: another one follows. (`XEN_NETIF_EXTRA_FLAG_MORE`)
const EXTRA_MORE: u8 = 1;
/// The first type of extra segment that does not exist. (`XEN_NETIF_EXTRA_TYPE_MAX`)
const EXTRA_TYPES: u8 = 5;

const fn halves(low: u16, high: u16) -> u32 {
    low as u32 | (high as u32) << 16
}

const fn split(word: u32) -> (u16, u16) {
    ((word & 0xffff) as u16, (word >> 16) as u16)
}

/// A request to send, from the first byte of a page on.
pub(super) fn send_request(reference: GrantRef, id: u16, size: u16, more: bool) -> [u32; 3] {
    [reference.number(), halves(0, if more { SEND_MORE } else { 0 }), halves(id, size)]
}

/// Of a response: the identifier, and whether it was sent.
pub(super) const fn send_response([word, ..]: [u32; 3]) -> (u16, bool) {
    let (id, status) = split(word);
    (id, status.cast_signed() >= 0)
}

/// A request for a page to receive into.
pub(super) const fn receive_request(reference: GrantRef, id: u16) -> [u32; 2] {
    [halves(id, 0), reference.number()]
}

/// A received piece of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) id: u16,
    pub(super) offset: u16,
    /// `None` if it was not received.
    pub(super) size: Option<u16>,
    pub(super) more: bool,
    pub(super) extra: bool,
}

pub(super) fn fragment([first, second]: [u32; 2]) -> Fragment {
    let ((id, offset), (flags, status)) = (split(first), split(second));
    let size = u16::try_from(status.cast_signed()).ok();
    Fragment { id, offset, size, more: flags & RECEIVE_MORE != 0, extra: flags & RECEIVE_EXTRA != 0 }
}

/// Of an extra segment: whether another follows, or the type if that does not exist.
pub(super) const fn extra([first, _]: [u32; 2]) -> Result<bool, u8> {
    let [kind, flags, ..] = first.to_le_bytes();
    if kind == 0 || kind >= EXTRA_TYPES { Err(kind) } else { Ok(flags & EXTRA_MORE != 0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_header() {
        let bytes =
            |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<std::vec::Vec<_>>();
        let reference = GrantRef::from_number(0x0102_0304);
        let sent = send_request(reference, 0x0506, 0x0708, true);
        assert_eq!(bytes(&sent), [4, 3, 2, 1, 0, 0, 4, 0, 6, 5, 8, 7]);
        assert_eq!(send_request(reference, 1, 2, false)[1], 0);
        assert_eq!(send_response([0xffff_0007, 0, 0]), (7, false));
        assert_eq!(send_response([0x0000_0007, 9, 9]), (7, true));
        assert_eq!(bytes(&receive_request(reference, 0x0506)), [6, 5, 0, 0, 4, 3, 2, 1]);
        let received = fragment([0x0010_0007, 0x05ea_0004]);
        assert_eq!(received, Fragment { id: 7, offset: 16, size: Some(1514), more: true, extra: false });
        let failed = fragment([0x0000_0007, 0xfffe_0008]);
        assert_eq!(failed, Fragment { id: 7, offset: 0, size: None, more: false, extra: true });
        assert_eq!([0x0101, 0x0001, 0x0104].map(|word| extra([word, 0])), [Ok(true), Ok(false), Ok(true)]);
        assert_eq!([0x0100, 0x0005].map(|word| extra([word, 0])), [Err(0), Err(5)]);
    }
}
