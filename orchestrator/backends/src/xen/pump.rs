//! Carries frames between a guest's link (a stream: length as u32 big-endian, then the frame) and a network device
//! (a socket that reads and writes whole frames).
//!
//! Nothing is queued here but one block in each direction: when the link is full the device is not read, and what does
//! not fit there is dropped by the kernel, as on a wire; when the device is full the link is not read, and the switch
//! waits, as it does for QEMU. Frames that a device will not take (too long, too short, no carrier) are dropped.

use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, read, write};

/// Longest frame that a device here has: 64 KiB with Ethernet's header.
const LONGEST: usize = 65_536 + 18;
/// Bytes of a length.
const PREFIX: usize = 4;
/// Room of each direction: some frames of the longest kind.
const ROOM: usize = 4 * (PREFIX + LONGEST);

/// Carries frames until the link ends, or `stop` is closed at its other end.
///
/// # Errors
/// The link breaks, or claims a length that no frame has.
pub(super) fn run(link: &OwnedFd, device: &OwnedFd, stop: &OwnedFd) -> Result<()> {
    match carry(link, device, stop) {
        // The switch has closed its end while something was on its way to it.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

fn carry(link: &OwnedFd, device: &OwnedFd, stop: &OwnedFd) -> Result<()> {
    rustix::io::ioctl_fionbio(link, true)?;
    rustix::io::ioctl_fionbio(device, true)?;
    let (mut to_device, mut to_link) = (ToDevice::new(), ToLink::new());
    loop {
        let mut watched = [
            PollFd::new(stop, PollFlags::empty()),
            PollFd::new(link, wanted(to_device.frame()?.is_none(), !to_link.is_empty())),
            PollFd::new(device, wanted(to_link.has_room(), to_device.frame()?.is_some())),
        ];
        match poll(&mut watched, None) {
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        if !watched[0].revents().is_empty() {
            return Ok(());
        }
        let ended = PollFlags::HUP | PollFlags::ERR;
        let readable = watched[1].revents().intersects(PollFlags::IN | ended);
        if readable && to_device.frame()?.is_none() && to_device.fill(link)? == Some(0) {
            return Ok(());
        }
        if watched[2].revents().intersects(ended) && !to_link.has_room() {
            // Said once, and heard by nobody else now: left there, it would wake this thread again and again.
            let _ = rustix::net::sockopt::socket_error(device);
        }
        to_device.send(device)?;
        if watched[1].revents().intersects(ended) && to_device.frame()?.is_some() {
            // The other side is gone and the device is full: what is left is not worth waiting for.
            return Ok(());
        }
        if to_link.has_room() {
            to_link.receive(device)?;
        }
        to_link.flush(link)?;
    }
}

fn wanted(read: bool, write: bool) -> PollFlags {
    let mut flags = PollFlags::empty();
    flags.set(PollFlags::IN, read);
    flags.set(PollFlags::OUT, write);
    flags
}

/// What came over the link and is not sent yet.
struct ToDevice {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ToDevice {
    fn new() -> Self {
        Self { bytes: vec![0; ROOM], start: 0, end: 0 }
    }

    /// Reads once. `Some(0)`: the link has ended.
    fn fill(&mut self, link: impl AsFd) -> Result<Option<usize>> {
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        match read(link, &mut self.bytes[self.end..]) {
            Ok(count) => {
                self.end += count;
                Ok(Some(count))
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            // The other side closed with something of ours unread.
            Err(Errno::CONNRESET) => Ok(Some(0)),
            Err(error) => Err(error.into()),
        }
    }

    /// The next whole frame.
    fn frame(&self) -> Result<Option<&[u8]>> {
        let Some((prefix, rest)) = self.bytes[self.start..self.end].split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        match usize::try_from(u32::from_be_bytes(*prefix)) {
            Ok(length) if length <= LONGEST => Ok(rest.get(..length)),
            _ => Err(Error::new(ErrorKind::InvalidData, "the link claims a frame of a length that none has")),
        }
    }

    /// Sends frames until there are none, or the device is full.
    fn send(&mut self, device: impl AsFd) -> Result<()> {
        while let Some(frame) = self.frame()? {
            let length = frame.len();
            match write(&device, frame) {
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => continue,
                // Sent, or a frame or a moment that the device is not for: dropped.
                Ok(_) | Err(_) => self.start += PREFIX + length,
            }
        }
        Ok(())
    }
}

/// What came from the device and is not written yet.
struct ToLink {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl ToLink {
    fn new() -> Self {
        Self { bytes: vec![0; ROOM], start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    fn has_room(&self) -> bool {
        ROOM - self.end >= PREFIX + LONGEST
    }

    /// Reads frames until there are none, or no room for the longest.
    fn receive(&mut self, device: impl AsFd) -> Result<()> {
        while self.has_room() {
            let at = self.end + PREFIX;
            match read(&device, &mut self.bytes[at..at + LONGEST]) {
                Ok(length) => {
                    let prefix = u32::try_from(length).map_err(Error::other)?.to_be_bytes();
                    self.bytes[self.end..at].copy_from_slice(&prefix);
                    self.end = at + length;
                }
                Err(Errno::INTR) => {}
                // A device that is down, or on its way out, says so once; the end comes by `stop`.
                Err(Errno::AGAIN | Errno::NETDOWN | Errno::NXIO | Errno::NODEV) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes what there is, as far as the link takes it.
    fn flush(&mut self, link: impl AsFd) -> Result<()> {
        while !self.is_empty() {
            match write(&link, &self.bytes[self.start..self.end]) {
                Ok(count) => self.start += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.bytes.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::{UnixDatagram, UnixStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    use super::*;

    /// A link, a device (datagrams in place of frames), what stops the pump, and the pump.
    fn pumped() -> (UnixStream, UnixDatagram, OwnedFd, JoinHandle<Result<()>>) {
        let (link, far_link) = UnixStream::pair().unwrap();
        let (device, far_device) = UnixDatagram::pair().unwrap();
        let (asleep, stop) = rustix::pipe::pipe().unwrap();
        let timeout = Some(Duration::from_secs(10));
        link.set_read_timeout(timeout).unwrap();
        device.set_read_timeout(timeout).unwrap();
        let pump = thread::spawn(move || run(&far_link.into(), &far_device.into(), &asleep));
        (link, device, stop, pump)
    }

    fn framed(frame: &[u8]) -> Vec<u8> {
        [&u32::try_from(frame.len()).unwrap().to_be_bytes(), frame].concat()
    }

    fn frame(i: usize) -> Vec<u8> {
        vec![u8::try_from(i % 251).unwrap(); 14 + i * 37 % 9000]
    }

    #[test]
    fn frames_pass_whole_and_in_order_both_ways() {
        let (mut link, device, stop, pump) = pumped();
        let sending = {
            let mut link = link.try_clone().unwrap();
            thread::spawn(move || {
                let bytes: Vec<u8> = (0..2000).flat_map(|i| framed(&frame(i))).collect();
                // In pieces that end anywhere.
                for piece in bytes.chunks(1009) {
                    link.write_all(piece).unwrap();
                }
            })
        };
        let mut block = vec![0; LONGEST];
        for i in 0..2000 {
            let count = device.recv(&mut block).unwrap();
            assert_eq!(block[..count], frame(i), "{i}");
        }
        sending.join().unwrap();
        let sending = {
            let device = device.try_clone().unwrap();
            thread::spawn(move || (0..2000).for_each(|i| assert!(device.send(&frame(i)).is_ok())))
        };
        for i in 0..2000 {
            let mut prefix = [0; PREFIX];
            link.read_exact(&mut prefix).unwrap();
            let length = u32::from_be_bytes(prefix) as usize;
            link.read_exact(&mut block[..length]).unwrap();
            assert_eq!(block[..length], frame(i), "{i}");
        }
        sending.join().unwrap();
        drop(stop);
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn it_ends_with_the_link_and_by_a_lie() {
        let (link, device, stop, pump) = pumped();
        drop(link);
        pump.join().unwrap().unwrap();
        drop((device, stop));
        let (mut link, _device, _stop, pump) = pumped();
        link.write_all(&u32::MAX.to_be_bytes()).unwrap();
        assert_eq!(pump.join().unwrap().unwrap_err().kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_full_device_holds_the_link_up_and_loses_nothing() {
        let (mut link, device, stop, pump) = pumped();
        let writing = thread::spawn(move || {
            for i in (0..200u8).chain(0..200) {
                link.write_all(&framed(&[i; 9000])).unwrap();
            }
            link
        });
        // Nobody reads the device for a while; a pump that dropped would have gone through all by then.
        thread::sleep(Duration::from_millis(100));
        let mut block = vec![0; LONGEST];
        for i in (0..200u8).chain(0..200) {
            assert_eq!((device.recv(&mut block).unwrap(), block[0]), (9000, i));
        }
        drop((writing.join().unwrap(), stop));
        pump.join().unwrap().unwrap();
    }

    #[test]
    fn it_ends_with_the_link_also_when_the_device_is_full() {
        let (mut link, device, _stop, pump) = pumped();
        // More than a device holds that nobody reads, and less than device and link together.
        for _ in 0..30 {
            link.write_all(&framed(&[1; 9000])).unwrap();
        }
        drop(link);
        pump.join().unwrap().unwrap();
        drop(device);
    }
}
