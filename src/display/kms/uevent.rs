//! The kernel's own word that something was plugged: its uevents, straight from the netlink socket.

use rustix::fd::OwnedFd;
use rustix::net::netlink::{KOBJECT_UEVENT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

/// The kernel's multicast group; others are udev's.
const KERNEL: u32 = 1;

/// None where such sockets are not allowed: monitors are then looked at from time to time only.
pub fn listen() -> Option<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, Some(KOBJECT_UEVENT)).ok()?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, KERNEL)).ok()?;
    Some(socket)
}

/// Takes everything that has come; was there anything about graphics?
pub fn has_news(socket: &OwnedFd) -> bool {
    let mut is_news = false;
    let mut bytes = [0u8; 4096];
    loop {
        match rustix::net::recv(socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((length, _)) => is_news |= is_about_graphics(&bytes[..length.min(4096)]),
            // More came than the socket holds: nobody knows what.
            Err(rustix::io::Errno::NOBUFS) => is_news = true,
            Err(_) => return is_news,
        }
    }
}

/// `ACTION@PATH`, then `KEY=VALUE` lines, each ended by a zero byte.
fn is_about_graphics(event: &[u8]) -> bool {
    event.split(|&byte| byte == 0).any(|line| line == b"SUBSYSTEM=drm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_about_graphics_is_news() {
        let event = b"change@/devices/pci0000:00/0000:00:02.0/drm/card0\0ACTION=change\0SUBSYSTEM=drm\0HOTPLUG=1\0SEQNUM=7\0";
        assert!(is_about_graphics(event));
        assert!(!is_about_graphics(b"add@/devices/usb1\0ACTION=add\0SUBSYSTEM=usb\0NAME=SUBSYSTEM=drm\0"));
        // Where sockets of this kind are allowed, reading one ends.
        if let Some(socket) = listen() {
            has_news(&socket);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = is_about_graphics(&bytes);
        }
    }
}
