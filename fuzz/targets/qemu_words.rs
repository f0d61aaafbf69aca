//! A QEMU that says anything where it is told to load a guest and to have it go on.
#![no_main]

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|said: &[u8]| {
    let (goes_on, version) = fades_fuzz::parse(|| {
        let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
        // What does not fit into the socket would wait for who reads it.
        theirs.set_nonblocking(true).expect("a socket");
        let _ = theirs.write_all(said);
        theirs.shutdown(Shutdown::Write).expect("a socket");
        fades_backends::converse(ours)
    });
    assert!(!goes_on || !version.is_empty());
});
