//! What systemd is told of the run (sd_notify(3)): one datagram a message, to the socket that `NOTIFY_SOCKET` names. Without one, nothing.
//! Nothing here waits: a message that has no room is left out, and the next one says it again.

use std::ffi::{OsStr, OsString};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Nothing more is sent when this many bytes would be: a status line is for people.
const LONGEST: usize = 512;

#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
}

impl Notify {
    pub fn from_env() -> Self {
        Self::to(std::env::var_os("NOTIFY_SOCKET"))
    }

    /// `name`: a path, or `@` and an abstract name.
    fn to(name: Option<OsString>) -> Self {
        let socket = name.filter(|name| !name.is_empty()).and_then(|name| match open(&name) {
            Ok(socket) => Some(socket),
            Err(error) => {
                tracing::warn!("NOTIFY_SOCKET '{}' cannot be used: {error}; systemd is told nothing", name.display());
                None
            }
        });
        Notify { socket }
    }

    /// Somebody listens.
    pub fn is_on(&self) -> bool {
        self.socket.is_some()
    }

    /// `NAME=VALUE`, or several with a new line between.
    pub fn send(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if message.len() > LONGEST {
            return;
        }
        // Full or gone: whoever listens judges by the next one.
        let _ = socket.send_to_addr(message.as_bytes(), address);
    }
}

fn open(name: &OsStr) -> std::io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn heard(socket: &UnixDatagram) -> String {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut bytes = [0; 1024];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..count].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_with_a_path_and_one_with_an_abstract_name_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(Some(path.into()));
        notify.send("READY=1\nSTATUS=signal live");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=signal live");
        notify.send(&"x".repeat(LONGEST + 1));
        notify.send("STOPPING=1");
        assert_eq!(heard(&listener), "STOPPING=1");

        let name = format!("keyhole-test-{}", std::process::id());
        let listener = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let notify = Notify::to(Some(format!("@{name}").into()));
        notify.send("WATCHDOG=1");
        assert_eq!(heard(&listener), "WATCHDOG=1");
        drop(listener);
        notify.send("WATCHDOG=1");
    }

    #[test]
    fn nobody_is_told_where_nobody_listens_and_nobody_waits_for_one_who_does_not_read() {
        for name in [None, Some("".into()), Some("/".repeat(300).into())] {
            let notify = Notify::to(name);
            assert!(!notify.is_on());
            notify.send("READY=1");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let _deaf = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(Some(path.into()));
        (0..10_000).for_each(|_| notify.send("WATCHDOG=1"));
    }
}
