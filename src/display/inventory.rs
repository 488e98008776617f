//! What this machine can show pictures on. Nothing is lit, and no card is opened.

use crate::base::inventory::{Item, State};
use crate::display::kms;
use std::path::Path;

/// The window system, then each card that the kernel drives monitors by.
pub fn inventory() -> Vec<Item> {
    let named = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let windows = match (named("DISPLAY"), named("WAYLAND_DISPLAY")) {
        (Some(display), _) => match x11rb::connect(Some(&display)) {
            Ok((connection, screen)) => {
                let root = &x11rb::connection::Connection::setup(&connection).roots[screen];
                Item::new(State::Ok, format!("X11 '{display}', {}×{}", root.width_in_pixels, root.height_in_pixels))
            }
            Err(error) => Item::new(State::Limited, format!("X11 '{display}' does not answer ({error}): check DISPLAY and XAUTHORITY")),
        },
        (None, Some(display)) => Item::new(State::Ok, format!("Wayland '{display}'")),
        (None, None) => Item::new(State::Absent, "no window system (DISPLAY and WAYLAND_DISPLAY are not set)"),
    };
    // Vulkan is looked at only where a card is there that it may be asked for.
    let found = std::cell::OnceCell::new();
    let way = |driver: &str, number| kms::way_in_words(driver, number, || found.get_or_init(kms::look));
    std::iter::once(windows).chain(cards(Path::new("/sys/class/drm"), &way)).collect()
}

/// Who draws onto the monitors of a card of this driver and number, for people.
type Way<'a> = &'a dyn Fn(&str, Option<(u32, u32)>) -> String;

/// The cards below `root` (the kernel's `/sys/class/drm`), each with its monitors.
fn cards(root: &Path, way: Way<'_>) -> Vec<Item> {
    let names = std::fs::read_dir(root).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("card")).collect();
    names.sort_unstable();
    // `card0` is a card, `card0-HDMI-A-1` one of its connectors.
    let (connectors, cards): (Vec<String>, Vec<String>) = names.into_iter().partition(|name| name.contains('-'));
    if cards.is_empty() {
        return vec![Item::new(State::Absent, "no card for --display drm (there is no /dev/dri/card*)")];
    }
    let one = |card: String| {
        let driver = std::fs::read_link(root.join(&card).join("device/driver")).ok();
        let driver = driver.as_deref().and_then(Path::file_name).map_or("unknown".into(), |name| name.to_string_lossy().into_owned());
        let is_there = |name: &&String| {
            let status = std::fs::read_to_string(root.join(name).join("status")).unwrap_or_default();
            status.trim() == "connected"
        };
        let of_card = connectors.iter().filter(|name| name.strip_prefix(card.as_str()).is_some_and(|rest| rest.starts_with('-')));
        let monitors: Vec<&str> = of_card.filter(is_there).map(|name| &name[card.len() + 1..]).collect();
        let number = std::fs::read_to_string(root.join(&card).join("dev")).ok();
        let number = number.as_deref().and_then(|text| text.trim().split_once(':'));
        let way = way(&driver, number.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?))));
        match monitors.is_empty() {
            true => Item::new(State::Absent, format!("/dev/dri/{card} ({driver}): no monitor is plugged in; {way}")),
            false => Item::new(State::Ok, format!("/dev/dri/{card} ({driver}): {}; {way}", monitors.join(", "))),
        }
    };
    cards.into_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_listed_with_its_driver_and_the_monitors_that_are_plugged_in() {
        let root = tempfile::tempdir().unwrap();
        let way = |driver: &str, number: Option<(u32, u32)>| format!("{driver} {number:?}");
        assert_eq!(cards(root.path(), &way)[0].state, State::Absent);
        for (connector, status) in [("card0-HDMI-A-1", "connected\n"), ("card0-DP-1", "disconnected\n"), ("card10-DP-1", "disconnected\n")]
        {
            std::fs::create_dir(root.path().join(connector)).unwrap();
            std::fs::write(root.path().join(connector).join("status"), status).unwrap();
        }
        for card in ["card0", "card10"] {
            std::fs::create_dir_all(root.path().join(card).join("device")).unwrap();
        }
        std::os::unix::fs::symlink("../../bus/i915", root.path().join("card0/device/driver")).unwrap();
        std::fs::write(root.path().join("card0/dev"), "226:0\n").unwrap();
        let expected = [
            Item::new(State::Ok, "/dev/dri/card0 (i915): HDMI-A-1; i915 Some((226, 0))"),
            Item::new(State::Absent, "/dev/dri/card10 (unknown): no monitor is plugged in; unknown None"),
        ];
        assert_eq!(cards(root.path(), &way), expected);
    }
}
