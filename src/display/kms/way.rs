//! Which way `--display drm` takes: a GPU that draws straight onto the connector, or pictures composed on the host and dumb buffers.
//! A table over what was found, and nothing else.

use crate::display::Presenter;
use std::fmt;

/// Kernel drivers of cards without a GPU that Vulkan knows, as the card or sysfs names them: remote consoles of servers, virtual machines,
/// USB adapters. No Vulkan driver is loaded to learn that of them.
const WITHOUT_GPU: [&str; 15] = [
    "ast",
    "bochs-drm",
    "cirrus",
    "gud",
    "hyperv_drm",
    "mgag200",
    "ofdrm",
    "qxl",
    "simple-framebuffer",
    "simpledrm",
    "udl",
    "virtio-pci",
    "virtio_gpu",
    "vkms",
    "vmwgfx",
];

/// Major and minor number of a card's node, /dev/dri/card*.
pub type Node = (u32, u32);

/// A Vulkan device, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    pub name: String,
    pub is_software: bool,
    /// The card that it drives. None: none, or its driver does not say (VK_EXT_physical_device_drm).
    pub card: Option<Node>,
}

/// What Vulkan is on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Of the extensions that are needed, those that no driver offers.
    pub lacks: Vec<String>,
    pub devices: Vec<Device>,
}

/// Why pictures are composed on the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyHost {
    Asked,
    NoGpu {
        driver: String,
    },
    NoVulkan {
        reason: String,
    },
    Lacks {
        extensions: String,
    },
    /// Of the devices that there are, none is a real one that drives this card.
    NoneDrivesIt {
        devices: String,
    },
    /// It was tried.
    Refused {
        device: String,
        reason: String,
    },
}

impl fmt::Display for WhyHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyHost::Asked => f.write_str("display.presenter is \"x11\", the host compositor"),
            WhyHost::NoGpu { driver } => write!(f, "a card of the driver {driver} has no GPU"),
            WhyHost::NoVulkan { reason } => write!(f, "there is no Vulkan ({reason}): a GPU needs its maker's driver"),
            WhyHost::Lacks { extensions } => write!(f, "no Vulkan driver takes monitors (without {extensions})"),
            WhyHost::NoneDrivesIt { devices } => write!(f, "no GPU says that it drives this card; Vulkan has {devices}"),
            WhyHost::Refused { device, reason } => write!(f, "the GPU '{device}' does not draw onto it ({reason})"),
        }
    }
}

/// Without looking at Vulkan: may there be a GPU at all?
pub fn may_have_gpu(presenter: Presenter, driver: &str) -> Result<(), WhyHost> {
    match presenter {
        Presenter::X11 => Err(WhyHost::Asked),
        Presenter::Auto | Presenter::Wgpu if WITHOUT_GPU.contains(&driver) => Err(WhyHost::NoGpu { driver: driver.to_owned() }),
        Presenter::Auto | Presenter::Wgpu => Ok(()),
    }
}

/// The place of the device that draws onto the card's monitors: only the real one that says of itself that it drives this very card.
pub fn choose(card: Node, found: &Found) -> Result<usize, WhyHost> {
    if found.devices.is_empty() {
        return Err(WhyHost::NoVulkan { reason: "it has no device".into() });
    }
    if !found.lacks.is_empty() {
        return Err(WhyHost::Lacks { extensions: found.lacks.join(", ") });
    }
    let is_it = |device: &Device| !device.is_software && device.card == Some(card);
    found.devices.iter().position(is_it).ok_or_else(|| {
        let said = |device: &Device| match (device.is_software, device.card) {
            (true, _) => format!("'{}' (a processor)", device.name),
            (false, None) => format!("'{}' (drives no card)", device.name),
            (false, Some((major, minor))) => format!("'{}' (drives {major}:{minor}, not {}:{})", device.name, card.0, card.1),
        };
        WhyHost::NoneDrivesIt { devices: found.devices.iter().map(said).collect::<Vec<_>>().join(", ") }
    })
}

/// A mode as Vulkan names it: width and height in px, refreshes in 1/1000 Hz.
pub type VulkanMode = ((u32, u32), u32);

/// A rate may be rounded so far; 60 and 59.94 Hz are further apart.
const ROUNDED: f64 = 0.000_4;

/// The place of the mode that is the kernel's own of this size and rate (Hz). None: the driver does not offer it.
pub fn mode_of(offered: &[VulkanMode], size: (usize, usize), rate: f64) -> Option<usize> {
    let off = |mode: &VulkanMode| (f64::from(mode.1) / 1_000.0 / rate - 1.0).abs();
    let is_size = |mode: &VulkanMode| (mode.0.0 as usize, mode.0.1 as usize) == size;
    let same = offered.iter().enumerate().filter(|(_, mode)| is_size(mode) && off(mode) < ROUNDED);
    same.min_by(|(_, a), (_, b)| off(a).total_cmp(&off(b))).map(|(index, _)| index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(name: &str, is_software: bool, card: Option<Node>) -> Device {
        Device { name: name.into(), is_software, card }
    }

    fn found(devices: &[Device]) -> Found {
        Found { lacks: Vec::new(), devices: devices.to_vec() }
    }

    #[test]
    fn only_the_gpu_of_this_very_card_draws_onto_it() {
        let (inner, outer) = (device("inner", false, Some((226, 0))), device("outer", false, Some((226, 1))));
        let (software, silent) = (device("llvmpipe", true, Some((226, 0))), device("silent", false, None));
        let all = [software.clone(), silent.clone(), outer.clone(), inner.clone()];
        assert_eq!((choose((226, 0), &found(&all)), choose((226, 1), &found(&all))), (Ok(3), Ok(2)));
        let said = |card, devices: &[Device]| choose(card, &found(devices)).unwrap_err().to_string();
        assert_eq!(
            said((226, 0), &all[..3]),
            "no GPU says that it drives this card; Vulkan has 'llvmpipe' (a processor), 'silent' (drives no card), \
             'outer' (drives 226:1, not 226:0)"
        );
        assert!(said((226, 0), &[]).contains("no device"));
        let lacks = Found { lacks: vec!["VK_KHR_display".into(), "VK_EXT_acquire_drm_display".into()], devices: vec![inner] };
        let error = choose((226, 0), &lacks).unwrap_err().to_string();
        assert_eq!(error, "no Vulkan driver takes monitors (without VK_KHR_display, VK_EXT_acquire_drm_display)");
    }

    #[test]
    fn what_is_asked_for_and_cards_without_a_gpu_need_no_vulkan() {
        assert_eq!(may_have_gpu(Presenter::X11, "amdgpu"), Err(WhyHost::Asked));
        for presenter in [Presenter::Auto, Presenter::Wgpu] {
            assert_eq!(may_have_gpu(presenter, "amdgpu"), Ok(()));
            let error = may_have_gpu(presenter, "virtio_gpu").unwrap_err().to_string();
            assert_eq!(error, "a card of the driver virtio_gpu has no GPU");
        }
    }

    #[test]
    fn the_mode_is_the_kernel_s_own_however_its_rate_is_rounded() {
        let offered = [((1920, 1080), 60_000), ((1920, 1080), 59_940), ((1920, 1080), 50_000), ((3840, 2160), 60_000)];
        assert_eq!(mode_of(&offered, (1920, 1080), 60.0), Some(0));
        assert_eq!(mode_of(&offered, (1920, 1080), 60_000.0 / 1_001.0), Some(1));
        assert_eq!(mode_of(&offered[1..], (1920, 1080), 60.0), None, "59.94 Hz is another mode");
        assert_eq!(mode_of(&offered, (3840, 2160), 59.997), Some(3));
        assert_eq!(mode_of(&offered, (1280, 720), 60.0), None);
    }

    proptest! {
        /// Whatever devices there are: what is chosen is real and drives the card, and nothing is refused that would.
        #[test]
        fn what_is_chosen_drives_the_card(
            devices in proptest::collection::vec((any::<bool>(), proptest::option::of((226u32..228, 0u32..3))), 0..6), card in (226u32..228, 0u32..3)) {
            let devices: Vec<Device> = devices.into_iter().map(|(software, card)| device("a", software, card)).collect();
            let good = |device: &Device| !device.is_software && device.card == Some(card);
            match choose(card, &found(&devices)) {
                Ok(index) => prop_assert!(good(&devices[index])),
                Err(_) => prop_assert!(!devices.iter().any(good)),
            }
        }
    }
}
