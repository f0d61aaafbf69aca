//! Waiting for a network device of this machine. netback says in XenStore that it is there a moment before it makes it.

use std::io::Result;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};

/// The group that hears of devices (`RTMGRP_LINK`).
const LINKS: u32 = 1;

/// Tells whether the device `interface` is there by `deadline`. Waits for the kernel's word, as it comes for every change.
///
/// # Errors
/// The system's, when it refuses to tell.
pub(super) fn is_there(interface: &str, deadline: Instant) -> Result<bool> {
    // The settings of a device are the last of what is made with it.
    let settings = Path::new("/proc/sys/net/ipv4/conf").join(interface);
    let news = subscribe()?;
    while !settings.exists() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        let timeout = Timespec::try_from(left).unwrap_or(Timespec { tv_sec: 1, tv_nsec: 0 });
        match poll(&mut [PollFd::from_borrowed_fd(news.as_fd(), PollFlags::IN)], Some(&timeout)) {
            // What it says does not matter, nor whether it overflowed: that there was a change does.
            Ok(_) => while recv(&news, &mut [0_u8; 4096], RecvFlags::DONTWAIT).is_ok() {},
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

fn subscribe() -> Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC;
    // Protocol 0 of this family is what the kernel says of devices and routes.
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    bind(&socket, &SocketAddrNetlink::new(0, LINKS))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_device_is_found_and_a_missing_one_waited_for() {
        let soon = || Instant::now() + Duration::from_millis(50);
        assert!(is_there("lo", soon()).unwrap());
        let begun = Instant::now();
        assert!(!is_there("vif-none.0", soon()).unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(50));
    }
}
