//! Descriptors that a child process keeps.

use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Makes the child of `command` inherit `files` under their numbers here, and lead a process group of its own, so that
/// a terminal's interrupt does not end what builds a domain.
pub(super) fn keep(command: &mut Command, files: &[BorrowedFd<'_>]) {
    let files: Vec<i32> = files.iter().map(AsRawFd::as_raw_fd).collect();
    command.process_group(0);
    // SAFETY: the closure runs between fork and exec and calls only system calls (no allocation, no lock). The raw
    // descriptors are open in the child, because the caller holds them open until `spawn` has returned.
    unsafe {
        command.pre_exec(move || {
            for &file in &files {
                rustix::io::fcntl_setfd(BorrowedFd::borrow_raw(file), rustix::io::FdFlags::empty())?;
            }
            Ok(())
        });
    }
}
