//! A packet socket between parent and worker: whole messages or nothing, never a wait for room.

use crate::frame::SLOT_COUNT;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Longest packet. Fits a mask of 320×192, all the outline points that a scene may have, and Debian's default socket buffer.
pub const MAX_PACKET_BYTES: usize = 208 * 1024;
/// Descriptors that come with one packet: a ring's, and its slots' on a device.
pub const MOST_FDS: usize = 1 + SLOT_COUNT;
/// Asked for at both ends; the system grants what `net.core.wmem_max` allows (212,992 × 2 by default).
const SEND_BUFFER_BYTES: usize = 1024 * 1024;

/// What `receive` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A packet of so many bytes.
    Packet(usize),
    /// A packet that was longer than the buffer, and is lost.
    TooLong,
    /// The other end is closed.
    End,
    /// Nothing now.
    Nothing,
}

#[derive(Debug)]
pub struct Socket(OwnedFd);

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl From<OwnedFd> for Socket {
    fn from(fd: OwnedFd) -> Self {
        Socket(fd)
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}

impl Socket {
    pub fn pair() -> Result<(Socket, Socket), Errno> {
        let (ours, theirs) = rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for end in [&ours, &theirs] {
            rustix::net::sockopt::set_socket_send_buffer_size(end, SEND_BUFFER_BYTES)?;
        }
        Ok((Socket(ours), Socket(theirs)))
    }

    /// Sends one packet, or fails at once. Allocates nothing.
    pub fn send(&self, packet: &[u8]) -> Result<(), Errno> {
        retry(|| rustix::net::send(&self.0, packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)).map(drop)
    }

    /// Sends one packet, and waits for room: for a worker, which may be made to wait.
    pub fn send_waiting(&self, packet: &[u8]) -> Result<(), Errno> {
        retry(|| rustix::net::send(&self.0, packet, SendFlags::NOSIGNAL)).map(drop)
    }

    /// Sends one packet with descriptors, `MOST_FDS` at most, or fails at once.
    pub fn send_with_fds(&self, packet: &[u8], fds: &[BorrowedFd<'_>]) -> Result<(), Errno> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(Errno::TOOBIG);
        }
        retry(|| rustix::net::sendmsg(&self.0, &[IoSlice::new(packet)], &mut control, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)).map(drop)
    }

    /// Takes one packet if there is one. Descriptors that came with it are closed by the system, unseen.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received, Errno> {
        let room = buffer.len();
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC;
        match retry(|| rustix::net::recv(&self.0, &mut *buffer, flags)) {
            Ok((_, 0)) => Ok(Received::End),
            Ok((_, length)) if length > room => Ok(Received::TooLong),
            Ok((_, length)) => Ok(Received::Packet(length)),
            Err(Errno::AGAIN) => Ok(Received::Nothing),
            Err(Errno::CONNRESET | Errno::PIPE) => Ok(Received::End),
            Err(other) => Err(other),
        }
    }

    /// Like `receive`, with the descriptors that came along.
    pub fn receive_with_fds(&self, buffer: &mut [u8]) -> Result<(Received, Vec<OwnedFd>), Errno> {
        let room = buffer.len();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::DONTWAIT | RecvFlags::TRUNC | RecvFlags::CMSG_CLOEXEC;
        let message = match retry(|| rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, flags)) {
            Ok(message) => message,
            Err(Errno::AGAIN) => return Ok((Received::Nothing, Vec::new())),
            Err(Errno::CONNRESET | Errno::PIPE) => return Ok((Received::End, Vec::new())),
            Err(other) => return Err(other),
        };
        // Allocates nothing where none came.
        let mut fds = Vec::new();
        for item in control.drain() {
            if let RecvAncillaryMessage::ScmRights(came) = item {
                fds.extend(came);
            }
        }
        let received = match message.bytes {
            0 => Received::End,
            length if length > room => Received::TooLong,
            length => Received::Packet(length),
        };
        Ok((received, fds))
    }
}

fn retry<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_borders_and_the_largest_passes() {
        let (a, b) = Socket::pair().unwrap();
        let large: Vec<u8> = (0..MAX_PACKET_BYTES).map(|i| i as u8).collect();
        a.send(b"one").unwrap();
        a.send(&large).unwrap();
        let mut buffer = vec![0; MAX_PACKET_BYTES];
        assert_eq!(b.receive(&mut buffer), Ok(Received::Packet(3)));
        assert_eq!(b.receive(&mut buffer), Ok(Received::Packet(MAX_PACKET_BYTES)));
        assert!(buffer == large);
        assert_eq!(b.receive(&mut buffer), Ok(Received::Nothing));
        a.send(b"four").unwrap();
        assert_eq!(b.receive(&mut buffer[..3]), Ok(Received::TooLong));
        drop(a);
        assert_eq!(b.receive(&mut buffer), Ok(Received::End));
        assert!(b.send(b"x").is_err());
    }

    #[test]
    fn a_full_socket_refuses_at_once() {
        let (a, _b) = Socket::pair().unwrap();
        let packet = vec![0; 64 * 1024];
        let refused = (0..1000).find_map(|_| a.send(&packet).err());
        assert_eq!(refused, Some(Errno::AGAIN));
    }

    #[test]
    fn descriptors_come_along_only_where_they_are_asked_for() {
        let (a, b) = Socket::pair().unwrap();
        let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let mut buffer = [0; 16];
        let all = [memory.as_fd(); MOST_FDS];
        a.send_with_fds(b"fd", &all[..1]).unwrap();
        a.send_with_fds(b"fd", &all[..1]).unwrap();
        a.send_with_fds(b"all", &all).unwrap();
        assert_eq!(b.receive(&mut buffer), Ok(Received::Packet(2)));
        for (length, count) in [(2, 1), (3, MOST_FDS)] {
            let (received, fds) = b.receive_with_fds(&mut buffer).unwrap();
            assert_eq!((received, fds.len()), (Received::Packet(length), count));
            let file = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).unwrap().st_ino;
            assert!(fds.iter().all(|fd| file(fd.as_fd()) == file(memory.as_fd())));
        }
    }
}
