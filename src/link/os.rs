//! What no safe wrapper offers.

use std::os::fd::{FromRawFd, OwnedFd};

/// Takes descriptor 0, which the parent made our socket, and closes every descriptor above stderr: what C libraries of the
/// parent left open without CLOEXEC (devices, screens) is none of a worker's business.
///
/// # Safety
/// Nothing in this process may own a descriptor other than 1 and 2: call it first in `main`, once.
pub(super) unsafe fn take_inherited_socket() -> OwnedFd {
    // SAFETY: plain numbers; the caller vouches that nobody owns what is closed. Before Linux 5.9 it fails, harmlessly.
    unsafe { libc::syscall(libc::SYS_close_range, 3u32, u32::MAX, 0u32) };
    // SAFETY: open in every process that a parent started with a socket there; the caller vouches that nobody else owns it.
    unsafe { OwnedFd::from_raw_fd(0) }
}
