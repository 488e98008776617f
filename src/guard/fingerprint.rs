//! What a self-test was made on, and what has changed since, part by part in words. How the parts are found out (hashes, EDID,
//! ids) is the caller's.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Hashes are lower-case hex of SHA-256. A part that is not there is an empty text or absent from its map.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Id by the part's name: "processor", "board", "graphics device", "capture card", "disk".
    pub hardware: BTreeMap<String, String>,
    /// "1920x1080@60.00 DP-1"
    pub display_mode: String,
    pub display_edid_sha256: String,
    /// Manifest's hash by the engine's name.
    pub engines: BTreeMap<String, String>,
    pub config_sha256: String,
    pub binary_sha256: String,
    /// `Limits::sha256`.
    pub limits_sha256: String,
}

/// One part that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Change {
    /// "the engine surgical-cpu has changed"
    words: String,
}

impl Change {
    /// "the engine surgical-cpu has changed since the last full self-test"
    pub fn since(&self, what: &str) -> String {
        format!("{} since {what}", self.words)
    }
}

impl Fingerprint {
    /// What has changed from `before` to this one; nothing: they are the same.
    pub fn changes_since(&self, before: &Fingerprint) -> Vec<Change> {
        let mut changes = Vec::new();
        parts(&mut changes, "the ", &before.hardware, &self.hardware);
        for (name, before, now) in [
            ("the display's mode", &before.display_mode, &self.display_mode),
            ("the display", &before.display_edid_sha256, &self.display_edid_sha256),
        ] {
            single(&mut changes, name, before, now);
        }
        parts(&mut changes, "the engine ", &before.engines, &self.engines);
        for (name, before, now) in [
            ("the configuration", &before.config_sha256, &self.config_sha256),
            ("the program", &before.binary_sha256, &self.binary_sha256),
            ("the list of limits", &before.limits_sha256, &self.limits_sha256),
        ] {
            single(&mut changes, name, before, now);
        }
        changes
    }

    /// Delays of both can be compared: the same hardware and display, in the same mode.
    pub fn is_same_path(&self, other: &Fingerprint) -> bool {
        (&self.hardware, &self.display_mode, &self.display_edid_sha256)
            == (&other.hardware, &other.display_mode, &other.display_edid_sha256)
    }
}

fn single(changes: &mut Vec<Change>, name: &str, before: &str, now: &str) {
    if before != now {
        let how = match (before.is_empty(), now.is_empty()) {
            (true, _) => "is new",
            (_, true) => "is gone",
            _ => "has changed",
        };
        changes.push(Change { words: format!("{name} {how}") });
    }
}

fn parts(changes: &mut Vec<Change>, article: &str, before: &BTreeMap<String, String>, now: &BTreeMap<String, String>) {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    for name in names {
        let words = format!("{article}{name}");
        match (before.get(name), now.get(name)) {
            (None, Some(_)) => changes.push(Change { words: format!("{words} is new") }),
            (Some(_), None) => changes.push(Change { words: format!("{words} is gone") }),
            (Some(before), Some(now)) if before != now => changes.push(Change { words: format!("{words} has changed") }),
            _ => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub fn example() -> Fingerprint {
        let map = |pairs: &[(&str, &str)]| pairs.iter().map(|(name, id)| ((*name).to_owned(), (*id).to_owned())).collect();
        Fingerprint {
            hardware: map(&[("processor", "GenuineIntel-6-143-8"), ("capture card", "DeckLink Duo 2, 4d0f"), ("disk", "S6BN-0421")]),
            display_mode: "1920x1080@60.00 DP-1".into(),
            display_edid_sha256: "e1".repeat(32),
            engines: map(&[("surgical-cpu", &"ab".repeat(32)), ("quality-cpu", &"cd".repeat(32))]),
            config_sha256: "c0".repeat(32),
            binary_sha256: "b1".repeat(32),
            limits_sha256: "11".repeat(32),
        }
    }

    #[test]
    fn each_part_that_changes_is_named_and_nothing_else() {
        let before = example();
        let changed = |change: &dyn Fn(&mut Fingerprint)| {
            let mut now = before.clone();
            change(&mut now);
            now.changes_since(&before).iter().map(|change| change.since("the last full self-test")).collect::<Vec<_>>()
        };
        assert_eq!(changed(&|_| {}), [""; 0]);
        type Case<'a> = (&'a dyn Fn(&mut Fingerprint), &'a str);
        let cases: [Case<'_>; 9] = [
            (&|f| drop(f.engines.insert("surgical-cpu".into(), "ff".into())), "the engine surgical-cpu has changed"),
            (&|f| drop(f.engines.remove("quality-cpu")), "the engine quality-cpu is gone"),
            (&|f| drop(f.engines.insert("polyp-cpu".into(), "ff".into())), "the engine polyp-cpu is new"),
            (&|f| drop(f.hardware.insert("capture card".into(), "x".into())), "the capture card has changed"),
            (&|f| f.display_mode = "1920x1080@50.00 DP-1".into(), "the display's mode has changed"),
            (&|f| f.display_edid_sha256.clear(), "the display is gone"),
            (&|f| f.config_sha256 = "c1".into(), "the configuration has changed"),
            (&|f| f.binary_sha256 = "b2".into(), "the program has changed"),
            (&|f| f.limits_sha256 = "12".into(), "the list of limits has changed"),
        ];
        for (change, words) in cases {
            assert_eq!(changed(change), [format!("{words} since the last full self-test")]);
        }
        let mut other = before.clone();
        other.engines.clear();
        assert!(other.is_same_path(&before));
        other.display_mode.clear();
        assert!(!other.is_same_path(&before));
    }

    proptest! {
        /// No change hides: two fingerprints that differ at all have at least one named change, and the same have none.
        #[test]
        fn whatever_differs_is_named(at in 0usize..7, text in "[a-z]{0,3}") {
            let before = example();
            let mut now = before.clone();
            match at {
                0 => drop(now.hardware.insert(text.clone(), text)),
                1 => now.display_mode = text,
                2 => now.display_edid_sha256 = text,
                3 => drop(now.engines.insert(text.clone(), text)),
                4 => now.config_sha256 = text,
                5 => now.binary_sha256 = text,
                _ => now.limits_sha256 = text,
            }
            prop_assert_eq!(now.changes_since(&before).len(), usize::from(now != before));
            prop_assert_eq!(before.changes_since(&now).len(), usize::from(now != before));
        }
    }
}
