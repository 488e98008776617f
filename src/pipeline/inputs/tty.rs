//! A serial port: opening it raw, and asking for its modem lines. The only unsafe code of this room.

use crate::pipeline::inputs::settings::Line;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Which lines are closed, as TIOCM bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LineBits(pub libc::c_int);

impl LineBits {
    pub fn has(self, line: Line) -> bool {
        let bit = match line {
            Line::Cts => libc::TIOCM_CTS,
            Line::Dsr => libc::TIOCM_DSR,
            Line::Dcd => libc::TIOCM_CAR,
        };
        self.0 & bit != 0
    }
}

/// What can be asked for its modem lines: a port, or a test's stand-in (a pseudo terminal has none).
pub trait ModemLines: Send {
    fn read(&mut self, port: BorrowedFd<'_>) -> std::io::Result<LineBits>;
}

/// The kernel's answer (TIOCMGET).
pub struct PortLines;

impl ModemLines for PortLines {
    fn read(&mut self, port: BorrowedFd<'_>) -> std::io::Result<LineBits> {
        let mut bits: libc::c_int = 0;
        // SAFETY: the descriptor is open for the call's duration, and TIOCMGET writes one int into `bits`.
        let answer = unsafe { libc::ioctl(port.as_raw_fd(), libc::TIOCMGET, &mut bits) };
        if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(LineBits(bits)) }
    }
}

pub fn speed(baud: u32) -> Option<libc::speed_t> {
    Some(match baud {
        1_200 => libc::B1200,
        2_400 => libc::B2400,
        4_800 => libc::B4800,
        9_600 => libc::B9600,
        19_200 => libc::B19200,
        38_400 => libc::B38400,
        57_600 => libc::B57600,
        115_200 => libc::B115200,
        _ => return None,
    })
}

/// Opens a port raw, 8N1, without flow control, and without becoming its terminal.
pub fn open(path: &Path, baud: u32) -> std::io::Result<OwnedFd> {
    let flags = libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let port: OwnedFd = std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?.into();
    let speed = speed(baud).ok_or_else(|| std::io::Error::other("it cannot be as fast as that"))?;
    // SAFETY: all zeros is a termios, which tcgetattr overwrites.
    let mut settings: libc::termios = unsafe { std::mem::zeroed() };
    // SAFETY: the descriptor is open, and `settings` is a termios of ours.
    if unsafe { libc::tcgetattr(port.as_raw_fd(), &mut settings) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: both only write into `settings`.
    unsafe {
        libc::cfmakeraw(&mut settings);
        libc::cfsetspeed(&mut settings, speed);
    }
    settings.c_cflag |= libc::CLOCAL | libc::CREAD;
    settings.c_cflag &= !(libc::CRTSCTS | libc::CSTOPB | libc::PARENB);
    // SAFETY: the descriptor is open, and `settings` is initialised.
    let answer = unsafe { libc::tcsetattr(port.as_raw_fd(), libc::TCSANOW, &settings) };
    if answer < 0 { Err(std::io::Error::last_os_error()) } else { Ok(port) }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::FromRawFd;
    use std::path::PathBuf;

    /// A pseudo terminal: our end, and the path of the port.
    pub fn pty() -> (File, PathBuf) {
        let (mut master, mut slave) = (0, 0);
        let null = std::ptr::null_mut();
        // SAFETY: writes two descriptors; the name, settings and size are not asked for.
        let answer = unsafe { libc::openpty(&mut master, &mut slave, null, std::ptr::null(), std::ptr::null()) };
        assert_eq!(answer, 0, "openpty: {}", std::io::Error::last_os_error());
        // SAFETY: both descriptors are fresh and ours.
        let (master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let path = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd())).unwrap();
        (master, path)
    }

    #[test]
    fn a_port_is_opened_raw_and_what_is_no_port_is_refused() {
        use std::io::{Read, Write};
        let (mut ours, path) = pty();
        let port = open(&path, 115_200).unwrap();
        let mut file = File::from(port);
        // Raw: no echo, no line that must end, no byte that is a signal.
        ours.write_all(&[3, 4, 17, b'A']).unwrap();
        let mut got = [0; 4];
        let mut count = 0;
        while count < 4 {
            match file.read(&mut got[count..]) {
                Ok(more) => count += more,
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(got, [3, 4, 17, b'A']);
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert!(open(&folder.path().join("file"), 9_600).is_err());
        assert!(open(&folder.path().join("none"), 9_600).is_err());
    }
}
