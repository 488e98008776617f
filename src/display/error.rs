use crate::base::error::ErrorKind;
use crate::overlay::OverlayError;

#[derive(Debug, thiserror::Error)]
pub enum DisplayError {
    #[error("the window was closed")]
    Closed,
    #[error("no window can be opened ({reason}): check DISPLAY or WAYLAND_DISPLAY, or use --display headless")]
    NoWindow { reason: String },
    #[error(
        "pictures cannot be put on the X server ({reason}): use a local X server with MIT-SHM 1.2 and 24-bit colour, or --display headless"
    )]
    X11 { reason: String },
    #[error(
        "a Wayland window needs Vulkan, and none was found ({reason}): install a Vulkan driver (Debian: mesa-vulkan-drivers), use X11, or --display headless"
    )]
    WaylandWithoutVulkan { reason: String },
    #[error("there is no monitor {wanted}; connected: {connected}. Choose one of these with --monitor or display.monitor")]
    NoMonitor { wanted: String, connected: String },
    #[error("the window's Vulkan surface cannot be used ({reason})")]
    Surface { reason: String },
    #[error("the display did not confirm a picture within {waited_ms} ms")]
    Timeout { waited_ms: u64 },
    #[error("no memory of {bytes} bytes can be shared with the X server ({source})")]
    Memory { bytes: usize, source: rustix::io::Errno },
    #[error(
        "DeckLink card {device} cannot be used ({reason}): check the card, Blackmagic's driver (desktopvideo) and gstreamer1.0-plugins-bad, or use another --display"
    )]
    Sdi { device: u32, reason: String },
    #[error(
        "SDI has no progressive mode for {width}×{height} at {fps:.2} pictures a second: give a source of 720p, 1080p or 2160p, or use another --display"
    )]
    SdiMode { width: usize, height: usize, fps: f64 },
    #[error(
        "no graphics card can drive a monitor ({reason}): load its kernel driver, use --display window under X or Wayland, or --display headless"
    )]
    NoCard { reason: String },
    #[error("{path} cannot be opened ({source}): run as a user of the group 'video', or as root")]
    CardRefused { path: String, source: std::io::Error },
    #[error(
        "{path} is not ours to use ({source}): X, Wayland or another program shows pictures through it; end that, or use --display window there"
    )]
    CardTaken { path: String, source: std::io::Error },
    #[error("no monitor is connected to {path}: plug one in and switch it on, or use --display headless")]
    NothingPluggedIn { path: String },
    #[error("the monitor {monitor} offers no mode that its card can show: check cable and monitor, or choose another with --monitor")]
    NoMode { monitor: String },
    #[error("{path}: {what} failed ({source}): check the kernel's log for the card's driver, or use another --display")]
    Kms { path: String, what: &'static str, source: std::io::Error },
    #[error("the thread '{name}' cannot be started ({source}): free memory or processes")]
    Thread { name: &'static str, source: std::io::Error },
    #[error("nothing was shown yet")]
    NothingShown,
    #[error(transparent)]
    Overlay(#[from] OverlayError),
}

impl DisplayError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            DisplayError::Closed
            | DisplayError::NoWindow { .. }
            | DisplayError::X11 { .. }
            | DisplayError::WaylandWithoutVulkan { .. }
            | DisplayError::Sdi { .. }
            | DisplayError::SdiMode { .. }
            | DisplayError::NoMonitor { .. }
            | DisplayError::NoCard { .. }
            | DisplayError::CardRefused { .. }
            | DisplayError::CardTaken { .. }
            | DisplayError::NothingPluggedIn { .. }
            | DisplayError::NoMode { .. }
            | DisplayError::Kms { .. }
            | DisplayError::Memory { .. }
            | DisplayError::Thread { .. } => ErrorKind::Stop,
            DisplayError::Surface { .. } | DisplayError::Timeout { .. } => ErrorKind::Retry,
            DisplayError::NothingShown => ErrorKind::Bug,
            DisplayError::Overlay(error) => error.kind(),
        }
    }
}
