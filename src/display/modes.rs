//! Which modes the monitors are in, in words: for who asks whether anything has changed since yesterday.

use crate::display::vsync;
use x11rb::connection::Connection;
use x11rb::protocol::randr::ConnectionExt as _;

/// "HDMI-1 1920x1080@60.00, DP-2 …" of all outputs that the X server of $DISPLAY drives; without one, the connectors that a monitor is
/// plugged into and each one's preferred mode ("card0-HDMI-A-1 1920x1080"). Empty: there is no monitor, or nobody says.
pub fn modes_in_words() -> String {
    let has_x = std::env::var_os("DISPLAY").is_some_and(|name| !name.is_empty());
    let lines = if has_x { of_x11().unwrap_or_default() } else { of_connectors() };
    lines.join(", ")
}

fn of_x11() -> Option<Vec<String>> {
    let (connection, screen) = x11rb::connect(None).ok()?;
    let root = connection.setup().roots.get(screen)?.root;
    let resources = connection.randr_get_screen_resources_current(root).ok()?.reply().ok()?;
    let mut lines = Vec::new();
    for &output in &resources.outputs {
        let info = connection.randr_get_output_info(output, resources.config_timestamp).ok()?.reply().ok()?;
        if info.crtc == 0 {
            continue;
        }
        let crtc = connection.randr_get_crtc_info(info.crtc, resources.config_timestamp).ok()?.reply().ok()?;
        let rate = resources.modes.iter().find(|mode| mode.id == crtc.mode).and_then(vsync::rate_of);
        let rate = rate.map_or_else(String::new, |rate| format!("@{:.2}", rate.per_second()));
        lines.push(format!("{} {}x{}{rate}", String::from_utf8_lossy(&info.name), crtc.width, crtc.height));
    }
    Some(lines)
}

fn of_connectors() -> Vec<String> {
    let Ok(entries) = std::fs::read_dir("/sys/class/drm") else { return Vec::new() };
    let read = |path: std::path::PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let of = |entry: std::fs::DirEntry| {
        let is_plugged = read(entry.path().join("status")).trim() == "connected";
        let modes = read(entry.path().join("modes"));
        is_plugged.then(|| format!("{} {}", entry.file_name().to_string_lossy(), modes.lines().next().unwrap_or_default()))
    };
    let mut lines: Vec<String> = entries.filter_map(Result::ok).filter_map(of).collect();
    lines.sort();
    lines
}
