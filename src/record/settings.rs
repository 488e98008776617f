use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Which pictures a recording holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// What was on the screen, overlay and HUD included.
    Overlay,
    /// What was captured, nothing drawn over it.
    Clean,
}

impl Stream {
    pub fn name(self) -> &'static str {
        match self {
            Stream::Overlay => "overlay",
            Stream::Clean => "clean",
        }
    }
}

/// How much the encoder tries: each step costs about twice the time of the one before it and saves about a third of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    #[default]
    Ultrafast,
    Superfast,
    Veryfast,
}

impl Preset {
    pub fn name(self) -> &'static str {
        match self {
            Preset::Ultrafast => "ultrafast",
            Preset::Superfast => "superfast",
            Preset::Veryfast => "veryfast",
        }
    }
}

/// `[record]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where recordings and stills that are started by key go. Default: `$STATE_DIRECTORY/recordings`, else
    /// `$XDG_STATE_HOME/keyhole/recordings` (`~/.local/state/keyhole/recordings`).
    pub dir: Option<PathBuf>,
    /// What a recording that is started by key holds. Default: overlay. On two cores both at 1080p60 are more than is left beside
    /// the picture; a stream that does not keep up records every second picture.
    pub streams: Vec<Stream>,
    /// A new file begins at the first key picture after so many seconds. Default: 0, one file. Else 2 to 86400.
    pub segment_s: u32,
    /// x264's constant rate factor: 0 (lossless, huge) to 50. Default: 23.
    pub quality: u32,
    /// Average bit rate instead of a constant quality. Default: 0, by quality. Else 100 to 200000.
    pub bitrate_kbps: u32,
    /// Default: ultrafast.
    pub preset: Preset,
    /// All recordings in one folder together; the oldest files of ours are removed first. Default: 0, no limit. Else at least 16.
    pub disk_budget_mb: u64,
    /// Left free on the disk; below it the oldest files of ours are removed, and when that is not enough recording stops.
    /// Default: 256.
    pub min_free_mb: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            dir: None,
            streams: vec![Stream::Overlay],
            segment_s: 0,
            quality: 23,
            bitrate_kbps: 0,
            preset: Preset::Ultrafast,
            disk_budget_mb: 0,
            min_free_mb: 256,
        }
    }
}

impl Settings {
    /// What is wrong with these settings, as one sentence for people.
    pub fn check(&self) -> Result<(), String> {
        let within = |name: &str, value: u64, is_ok: bool, allowed: &str| {
            if is_ok { Ok(()) } else { Err(format!("record.{name} is {value}: it must be {allowed}")) }
        };
        let segment = u64::from(self.segment_s);
        within("segment_s", segment, segment == 0 || (2..=86_400).contains(&segment), "0 or between 2 and 86400")?;
        within("quality", self.quality.into(), self.quality <= 50, "between 0 and 50")?;
        let rate = u64::from(self.bitrate_kbps);
        within("bitrate_kbps", rate, rate == 0 || (100..=200_000).contains(&rate), "0 or between 100 and 200000")?;
        let budget = self.disk_budget_mb;
        within("disk_budget_mb", budget, budget == 0 || (16..=1 << 30).contains(&budget), "0 or between 16 and 1073741824")?;
        within("min_free_mb", self.min_free_mb, self.min_free_mb <= 1 << 30, "at most 1073741824")?;
        if self.streams.is_empty() {
            return Err("record.streams is empty: name \"overlay\", \"clean\" or both".into());
        }
        Ok(())
    }

    /// The folder of recordings that are started by key. None: neither configured nor is there a home.
    pub fn folder(&self) -> Option<PathBuf> {
        self.dir.clone().or_else(|| Some(crate::base::paths::state_folder()?.join("recordings")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_what_makes_no_sense_is_refused_by_name() {
        Settings::default().check().unwrap();
        let both = toml::from_str::<Settings>("streams = ['overlay', 'clean']\nsegment_s = 600\ndisk_budget_mb = 20000").unwrap();
        both.check().unwrap();
        assert_eq!(both.streams, [Stream::Overlay, Stream::Clean]);
        for text in ["segment_s = 1", "quality = 51", "bitrate_kbps = 99", "disk_budget_mb = 15", "streams = []"] {
            let refused = toml::from_str::<Settings>(text).unwrap().check().unwrap_err();
            assert!(refused.contains(text.split(' ').next().unwrap()), "{refused}");
        }
        assert!(toml::from_str::<Settings>("segments = 3").is_err());
        assert_eq!(Settings { dir: Some("/x".into()), ..Settings::default() }.folder(), Some("/x".into()));
    }
}
