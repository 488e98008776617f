//! Which device a V4L2 node is: a card that re-enumerates comes back under another number, and another card may get its old
//! one. It is known by its USB serial, else by the plug that it hangs on. Reads sysfs; opens no device.
//!
//! ```text
//!   /dev/video0 ─► card, USB serial, plug ─ re-enumerated ─► the node that has them now: /dev/video2
//! ```
//! A name of udev's (`/dev/v4l/by-id/…`) follows its device by itself.

use super::error::CaptureError;
use super::input::Input;
use std::path::{Path, PathBuf};

/// Where devices and what the kernel says of them are found.
#[derive(Debug, Clone)]
pub(super) struct Places {
    pub dev: PathBuf,
    pub class: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Places { dev: "/dev".into(), class: "/sys/class/video4linux".into() }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    /// The card's name, and which of its nodes this is: a camera may have one for pictures and one for its metadata.
    card: String,
    index: String,
    /// Vendor, product and serial of a USB device that has all three.
    unit: Option<String>,
    /// Where it is plugged in: its place in the tree of devices.
    plug: PathBuf,
}

impl Identity {
    fn of(class: &Path, node: &str) -> Option<Identity> {
        let about = class.join(node);
        let read = |path: PathBuf| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let plug = about.join("device").canonicalize().ok()?;
        let unit = plug.ancestors().find_map(|at| {
            let [vendor, product, serial] = ["idVendor", "idProduct", "serial"].map(|name| read(at.join(name)));
            Some(format!("{}:{}:{}", vendor?, product?, serial.filter(|serial| !serial.is_empty())?))
        });
        Some(Identity { card: read(about.join("name"))?, index: read(about.join("index")).unwrap_or_default(), unit, plug })
    }

    fn is_same_kind(&self, other: &Identity) -> bool {
        (&self.card, &self.index) == (&other.card, &other.index)
    }
}

/// A device that was named by its number, and what it was then.
#[derive(Debug, Clone)]
pub(super) struct Node {
    path: PathBuf,
    places: Places,
    identity: Identity,
}

impl Node {
    /// None where the input names no numbered device, or nothing is known of it.
    pub fn of(input: &Input, places: Places) -> Option<Node> {
        let path = PathBuf::from(property(input)?);
        let is_numbered = path.parent() == Some(&places.dev) && std::fs::symlink_metadata(&path).is_ok_and(|about| !about.is_symlink());
        let name = path.file_name()?.to_str().filter(|_| is_numbered)?;
        let mut identity = Identity::of(&places.class, name)?;
        // A serial that another one has as well tells nothing.
        let twins = all(&places).filter(|(at, other)| *at != path && other.is_same_kind(&identity) && other.unit == identity.unit);
        if twins.count() > 0 {
            identity.unit = None;
        }
        Some(Node { path, places, identity })
    }

    /// `input` with the path that its device has now. Never another device's.
    pub fn follow(&self, input: &Input) -> Result<Input, CaptureError> {
        let path = self.current().map_err(|reason| CaptureError::Absent {
            uri: input.uri.clone(),
            reason,
            remedy: "plug it in again; `keyhole sources` lists what is there",
        })?;
        let mut input = input.clone();
        if path != self.path {
            tracing::info!("{} is {} now", input.uri, path.display());
            let wanted = input.node;
            let properties = input.stages.first_mut().into_iter().flat_map(|stage| &mut stage.properties);
            properties.filter(|(name, _)| Some(*name) == wanted).for_each(|(_, value)| *value = path.display().to_string());
        }
        Ok(input)
    }

    fn current(&self) -> Result<PathBuf, String> {
        let alike: Vec<(PathBuf, Identity)> = all(&self.places).filter(|(_, other)| other.is_same_kind(&self.identity)).collect();
        let is_unit = |other: &Identity| self.identity.unit.is_some() && other.unit == self.identity.unit;
        let is_there = |other: &Identity| other.plug == self.identity.plug;
        // The device itself; else a spare of the same kind on the same plug.
        let mut units = alike.iter().filter(|(_, other)| is_unit(other));
        let found = match (units.next(), units.next()) {
            (Some(one), None) => Some(one),
            _ => alike.iter().find(|(_, other)| is_there(other)),
        };
        let missing = || format!("the device that was '{}' ({}) is not there", self.path.display(), self.identity.card);
        found.map(|(path, _)| path.clone()).ok_or_else(missing)
    }
}

fn property(input: &Input) -> Option<&str> {
    let (name, stage) = (input.node?, input.stages.first()?);
    stage.properties.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
}

/// Every video device that has a node, in no order.
fn all(places: &Places) -> impl Iterator<Item = (PathBuf, Identity)> {
    std::fs::read_dir(&places.class).into_iter().flatten().filter_map(|entry| {
        let name = entry.ok()?.file_name().into_string().ok()?;
        let path = places.dev.join(&name);
        (name.starts_with("video") && path.exists()).then_some(())?;
        Some((path, Identity::of(&places.class, &name)?))
    })
}

/// A name of udev's for a device: it stays the same whatever the number. The one that follows the device before the one
/// that stays with the plug.
pub(super) fn lasting_name(dev: &Path, node: &Path) -> Option<PathBuf> {
    let node = node.canonicalize().ok()?;
    ["v4l/by-id", "v4l/by-path"].into_iter().find_map(|folder| {
        let links = std::fs::read_dir(dev.join(folder)).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
        links.filter(|link| link.canonicalize().is_ok_and(|target| target == node)).min()
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::capture::input;
    use std::os::unix::fs::symlink;

    /// A /dev and a /sys of its own.
    pub struct Bench {
        _folder: tempfile::TempDir,
        pub places: Places,
    }

    impl Bench {
        pub fn new() -> Bench {
            let folder = tempfile::tempdir().unwrap();
            // As a person would write it: canonical.
            let at = folder.path().canonicalize().unwrap();
            let places = Places { dev: at.join("dev"), class: at.join("class") };
            [&places.dev, &places.class].iter().for_each(|path| std::fs::create_dir(path).unwrap());
            Bench { _folder: folder, places }
        }

        pub fn node(&self, number: u32) -> PathBuf {
            self.places.dev.join(format!("video{number}"))
        }

        /// What the kernel says of a card at `plug` when it gives it this number. The node itself is the caller's.
        pub fn announce(&self, number: u32, card: &str, serial: &str, plug: &str) {
            let device = self.places.class.parent().unwrap().join("devices").join(plug);
            let interface = device.join(format!("{plug}:1.0"));
            std::fs::create_dir_all(&interface).unwrap();
            for (name, value) in [("idVendor", "1bcf"), ("idProduct", "28c4"), ("serial", serial)] {
                std::fs::write(device.join(name), format!("{value}\n")).unwrap();
            }
            let about = self.places.class.join(format!("video{number}"));
            std::fs::create_dir(&about).unwrap();
            std::fs::write(about.join("name"), format!("{card}\n")).unwrap();
            std::fs::write(about.join("index"), "0\n").unwrap();
            symlink(interface, about.join("device")).unwrap();
        }

        fn plug_in(&self, number: u32, card: &str, serial: &str, plug: &str) {
            std::fs::write(self.node(number), "").unwrap();
            self.announce(number, card, serial, plug);
        }

        pub fn unplug(&self, number: u32) {
            std::fs::remove_file(self.node(number)).unwrap();
            std::fs::remove_dir_all(self.places.class.join(format!("video{number}"))).unwrap();
        }

        fn input(&self, path: &Path) -> Input {
            input::parse(&format!("v4l2:{}", path.display())).unwrap().unwrap()
        }

        fn named(&self, number: u32) -> Node {
            Node::of(&self.input(&self.node(number)), self.places.clone()).unwrap()
        }

        fn now(&self, node: &Node) -> Result<PathBuf, String> {
            let followed = node.follow(&self.input(&node.path)).map_err(|error| error.to_string())?;
            Ok(property(&followed).unwrap().into())
        }
    }

    #[test]
    fn a_card_is_followed_to_its_new_number_and_never_taken_for_another() {
        let bench = Bench::new();
        bench.plug_in(0, "Grabber", "A1", "1-1");
        let ours = bench.named(0);
        assert_eq!(bench.now(&ours), Ok(bench.node(0)));
        bench.unplug(0);
        let gone = bench.now(&ours).unwrap_err();
        assert!(gone.contains("/video0") && gone.contains("Grabber") && gone.contains("plug it in again"), "{gone}");
        // Another one of its kind gets its number; ours comes back elsewhere, on another plug.
        bench.plug_in(0, "Grabber", "B2", "1-2");
        assert!(bench.now(&ours).is_err());
        bench.plug_in(3, "Grabber", "A1", "2-4");
        assert_eq!(bench.now(&ours), Ok(bench.node(3)));
        // A spare on the plug of the one that broke takes its place.
        bench.unplug(3);
        bench.plug_in(1, "Grabber", "C3", "1-1");
        assert_eq!(bench.now(&ours), Ok(bench.node(1)));
        bench.unplug(1);
        bench.plug_in(1, "Webcam", "C3", "1-1");
        assert!(bench.now(&ours).is_err(), "not one of another kind");
    }

    #[test]
    fn cards_that_share_a_serial_or_have_none_are_told_by_their_plugs() {
        for serial in ["20210623", ""] {
            let bench = Bench::new();
            bench.plug_in(0, "Grabber", serial, "1-1");
            bench.plug_in(1, "Grabber", serial, "1-2");
            let (left, right) = (bench.named(0), bench.named(1));
            [0, 1].iter().for_each(|&number| bench.unplug(number));
            bench.plug_in(0, "Grabber", serial, "1-2");
            assert!(bench.now(&left).is_err(), "the other eye");
            bench.plug_in(2, "Grabber", serial, "1-1");
            assert_eq!((bench.now(&left), bench.now(&right)), (Ok(bench.node(2)), Ok(bench.node(0))));
        }
    }

    #[test]
    fn a_name_of_udev_s_is_found_and_left_to_udev() {
        let bench = Bench::new();
        bench.plug_in(0, "Grabber", "A1", "1-1");
        assert_eq!(lasting_name(&bench.places.dev, &bench.node(0)), None);
        for (folder, name) in [("v4l/by-path", "pci-0000:00:14.0-usb-0:1:1.0"), ("v4l/by-id", "usb-Grabber_A1-video-index0")] {
            let link = bench.places.dev.join(folder).join(name);
            std::fs::create_dir_all(link.parent().unwrap()).unwrap();
            symlink("../../video0", &link).unwrap();
            assert_eq!(lasting_name(&bench.places.dev, &bench.node(0)), Some(link.clone()), "{folder}");
            let input = bench.input(&link);
            assert!(Node::of(&input, bench.places.clone()).is_none());
            assert_eq!(property(&input), link.to_str());
        }
        assert_eq!(lasting_name(&bench.places.dev, &bench.node(1)), None);
    }

    #[test]
    fn what_has_no_number_is_not_followed() {
        for uri in ["decklink:0", "rtsp://127.0.0.1/scope", "v4l2:/dev/video77", "v4l2:/dev/null"] {
            assert!(Node::of(&input::parse(uri).unwrap().unwrap(), Places::default()).is_none(), "{uri}");
        }
    }
}
