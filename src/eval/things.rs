//! Labelled things: boxes and tips in pictures, and tracks of clips (`tracks/*.jsonl`, a line a picture or frame):
//!
//! ```text
//!   {"frame": 12, "pts_ns": 480000000, "tracks": [{"id": 1, "class": "grasper", "box": [x0, y0, x1, y1], "tip": [x, y]}]}
//!   {"image": "a.png", "tracks": [{"class": "polyp", "box": [x0, y0, x1, y1]}]}
//! ```
//! Frames are those of the clip of the same name beside dataset.toml (tracks/NAME.jsonl: NAME.mkv, .mp4, .avi or .mov). A thing has a
//! box (half-open), a tip, or both; in frames also an id.

use serde::Deserialize;
use std::path::Path;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thing {
    /// Who it is, over all frames of a clip.
    #[serde(default)]
    pub id: Option<u32>,
    /// Its name in the class table.
    pub class: String,
    #[serde(default, rename = "box")]
    pub bbox: Option<[f32; 4]>,
    #[serde(default)]
    pub tip: Option<[f32; 2]>,
    /// The share of it that can be made out, where that is less than all.
    #[serde(default)]
    pub clear: Option<f32>,
}

/// What is in one frame of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct TruthFrame {
    pub frame: u64,
    pub pts_ns: Option<u64>,
    pub things: Vec<Thing>,
}

/// What is in one picture.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TruthPicture {
    pub image: String,
    pub things: Vec<Thing>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    frame: Option<u64>,
    #[serde(default)]
    image: Option<String>,
    #[serde(default)]
    pts_ns: Option<u64>,
    tracks: Vec<Thing>,
}

/// Of one file: frames, pictures, and what is wrong with it.
pub(super) fn read(path: &Path, shown: &str) -> (Vec<TruthFrame>, Vec<TruthPicture>, Vec<String>) {
    let (mut frames, mut pictures, mut faults) = (Vec::<TruthFrame>::new(), Vec::new(), Vec::new());
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return (frames, pictures, vec![format!("{shown}: {error}")]),
    };
    for (number, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let mut wrong = |reason: String| faults.push(format!("{shown}, line {}: {reason}", number + 1));
        let line: Line = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) => {
                wrong(error.to_string());
                continue;
            }
        };
        line.tracks.iter().filter_map(fault_of).for_each(&mut wrong);
        match (line.frame, line.image) {
            (Some(frame), None) => {
                let mut ids: Vec<Option<u32>> = line.tracks.iter().map(|thing| thing.id).collect();
                ids.sort_unstable();
                if ids.contains(&None) || ids.windows(2).any(|pair| pair[0] == pair[1]) {
                    wrong("each thing in a frame has an id of its own".to_owned());
                }
                if frames.last().is_some_and(|before| before.frame >= frame) {
                    wrong(format!("frame {frame} comes twice, or after a later one"));
                }
                frames.push(TruthFrame { frame, pts_ns: line.pts_ns, things: line.tracks });
            }
            (None, Some(image)) => pictures.push(TruthPicture { image, things: line.tracks }),
            _ => wrong("names neither or both of frame and image".to_owned()),
        }
    }
    (frames, pictures, faults)
}

fn fault_of(thing: &Thing) -> Option<String> {
    let numbers = thing.bbox.iter().flatten().chain(thing.tip.iter().flatten());
    if !numbers.copied().all(f32::is_finite) {
        return Some("a coordinate is no number".to_owned());
    }
    if thing.bbox.is_some_and(|b| b[0] > b[2] || b[1] > b[3]) {
        return Some(format!("box {:?} is inside out: [x0, y0, x1, y1]", thing.bbox.unwrap_or_default()));
    }
    (thing.bbox.is_none() && thing.tip.is_none()).then(|| format!("a {} has neither box nor tip", thing.class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_faults_named_by_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        let text = r#"{"frame": 0, "pts_ns": 5, "tracks": [{"id": 1, "class": "grasper", "box": [1, 2, 3, 4], "tip": null, "clear": 0.5}]}
{"image": "a.png", "tracks": [{"class": "polyp", "box": [1, 2, 3, 4]}]}

{"frame": 1, "tracks": [{"class": "grasper", "tip": [1, 2]}]}
{"frame": 1, "tracks": []}
{"tracks": []}
{"image": "b.png", "tracks": [{"class": "polyp", "box": [9, 2, 3, 4]}, {"class": "polyp"}]}
{"image": "b.png", "tracks": [{"class": "polyp", "bbox": [1, 2, 3, 4]}]}
"#;
        std::fs::write(&path, text).unwrap();
        let (frames, pictures, faults) = read(&path, "tracks/a.jsonl");
        assert_eq!((frames.len(), pictures.len(), frames[0].things[0].id, frames[0].pts_ns), (3, 2, Some(1), Some(5)));
        let wanted = [
            "line 4: each thing",
            "line 5: frame 1 comes twice",
            "line 6: names neither",
            "line 7: box",
            "line 7: a polyp has",
            "line 8: unknown field `bbox`",
        ];
        assert_eq!(faults.len(), wanted.len(), "{faults:?}");
        for (fault, wanted) in faults.iter().zip(wanted) {
            assert!(fault.starts_with("tracks/a.jsonl, ") && fault.contains(wanted), "{wanted} is not in {fault}");
        }
        assert_eq!(read(&folder.path().join("none.jsonl"), "tracks/none.jsonl").2.len(), 1);
    }
}
