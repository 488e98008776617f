//! Labelled data: pictures, class masks and tracks of a clip, in the form that `validate` and training read.

use super::SimError;
use super::nv12::rgb_of_nv12;
use super::render::{Simulator, Truth};
use super::script::Event;
use super::spec::Spec;
use crate::base::classes;
use crate::frame::FrameView;
use serde::Serialize;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// What `write_dataset` leaves out or in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DatasetOptions {
    /// Pictures and masks of every `every`-th frame (at least 1). The tracks are of every frame.
    pub every: u32,
}

impl Default for DatasetOptions {
    fn default() -> Self {
        DatasetOptions { every: 1 }
    }
}

const OURS: &str = "source = \"keyhole sim\"";

#[derive(Serialize)]
struct TrackLine<'a> {
    frame: usize,
    pts_ns: u64,
    tracks: Vec<TrackItem<'a>>,
}

#[derive(Serialize)]
struct TrackItem<'a> {
    id: u32,
    class: &'a str,
    #[serde(rename = "box")]
    bbox: [u32; 4],
    tip: Option<[f32; 2]>,
    /// The share of it that can be made out: less than 1 behind smoke, fog, drops, menus.
    #[serde(skip_serializing_if = "Option::is_none")]
    clear: Option<f32>,
}

/// One event of the script: pictures `first..end`.
#[derive(Serialize)]
struct EventLine {
    first_frame: usize,
    end_frame: usize,
    #[serde(flatten)]
    event: Event,
}

/// Writes one loop of `spec` to `dir`: `dataset.toml`, `images/NNNNNN.png`, `masks/NNNNNN.png` (class ids, 8 bit grey) and
/// `tracks/clip.jsonl` (a line a frame), for a script also `events.jsonl` (a line an event). Of pictures that a script takes
/// away there is neither picture nor mask. `progress(done, total)` in frames. The folder appears whole or not at all.
///
/// Errors: a folder that is not empty and that this did not write; anything that cannot be written.
pub fn write_dataset(spec: &Spec, dir: &Path, options: DatasetOptions, progress: &mut dyn FnMut(usize, usize)) -> Result<(), SimError> {
    let replaces = is_ours_or_empty(dir)?;
    // Beside the target, so that the last step is one rename on one file system.
    let name = dir.file_name().map_or_else(|| "dataset".into(), |name| name.to_string_lossy().into_owned());
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(failed(parent))?;
    let temporary = Temporary(parent.join(format!(".{name}.{}.part", std::process::id())));
    let _ = std::fs::remove_dir_all(&temporary.0);
    for folder in ["images", "masks", "tracks"] {
        let path = temporary.0.join(folder);
        std::fs::create_dir_all(&path).map_err(failed(&path))?;
    }
    fill(spec, &temporary.0, options, progress)?;
    if replaces {
        std::fs::remove_dir_all(dir).map_err(failed(dir))?;
    }
    std::fs::rename(&temporary.0, dir).map_err(failed(dir))
}

/// A folder that is gone when the writing fails.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> SimError + use<> {
    let path = path.to_owned();
    move |source| SimError::Write { path, source }
}

/// Does `dir` exist (and may be replaced)? Refused where it holds what is not ours.
fn is_ours_or_empty(dir: &Path) -> Result<bool, SimError> {
    let mut entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        other => other.map_err(failed(dir))?,
    };
    let ours = || std::fs::read_to_string(dir.join("dataset.toml")).is_ok_and(|text| text.lines().any(|line| line == OURS));
    if entries.next().is_none() || ours() { Ok(true) } else { Err(SimError::NotOurs { path: dir.to_owned() }) }
}

fn fill(spec: &Spec, dir: &Path, options: DatasetOptions, progress: &mut dyn FnMut(usize, usize)) -> Result<(), SimError> {
    let simulator = Simulator::new(spec)?;
    let total = simulator.frame_count();
    let mut picture = vec![0; simulator.layout().size];
    let tracks = dir.join("tracks/clip.jsonl");
    let mut lines = BufWriter::new(File::create(&tracks).map_err(failed(&tracks))?);
    let mut names = Vec::new();
    for index in 0..total {
        let truth = simulator.truth(index);
        let line = serde_json::to_string(&track_line(spec, index, &truth)).map_err(|e| failed(&tracks)(e.into()))?;
        writeln!(lines, "{line}").map_err(failed(&tracks))?;
        if index.is_multiple_of(options.every.max(1) as usize) && !simulator.is_lost(index) {
            simulator.render(index, &mut picture);
            let name = format!("{index:06}.png");
            let size = (spec.width, spec.height);
            if let Some(view) = FrameView::new(simulator.layout(), &picture) {
                write_png(&dir.join("images").join(&name), size, png::ColorType::Rgb, &rgb_of_nv12(&view))?;
            }
            write_png(&dir.join("masks").join(&name), size, png::ColorType::Grayscale, &truth.class_mask)?;
            names.push(name);
        }
        progress(index + 1, total);
    }
    lines.flush().map_err(failed(&tracks))?;
    if spec.script.is_some() {
        let path = dir.join("events.jsonl");
        let mut text = String::new();
        for (first_frame, end_frame, event) in simulator.events() {
            let line = serde_json::to_string(&EventLine { first_frame, end_frame, event });
            text += &line.map_err(|error| failed(&path)(error.into()))?;
            text.push('\n');
        }
        std::fs::write(&path, text).map_err(failed(&path))?;
    }
    let description = dir.join("dataset.toml");
    std::fs::write(&description, describe(spec, &names)).map_err(failed(&description))
}

fn track_line(spec: &Spec, index: usize, truth: &Truth) -> TrackLine<'static> {
    let item = |i: &super::TruthInstrument| TrackItem {
        id: i.id.0,
        class: classes::table().name(i.class),
        bbox: i.bbox,
        tip: i.tip,
        clear: (i.clear < 1.0).then_some(i.clear),
    };
    TrackLine { frame: index, pts_ns: spec.pts_ns(index as u64), tracks: truth.instruments.iter().map(item).collect() }
}

fn describe(spec: &Spec, names: &[String]) -> String {
    let mut text = format!("name = \"keyhole sim seed {}\"\nlicence = \"Apache-2.0\"\n{OURS}\nuri = \"{spec}\"\n\n[classes]\n", spec.seed);
    for class in classes::table().iter() {
        text += &format!("{} = \"{}\"\n", class.id.0, class.name);
    }
    let files: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    text + &format!("\n[subgroups]\n\"procedure simulated cholecystectomy\" = [{}]\n", files.join(", "))
}

pub fn write_png(path: &Path, (width, height): (u32, u32), colour: png::ColorType, bytes: &[u8]) -> Result<(), SimError> {
    let file = File::create(path).map_err(failed(path))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| {
        writer.write_image_data(bytes)?;
        writer.finish()
    });
    written.map_err(|error| failed(path)(std::io::Error::other(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> Spec {
        Spec::parse("sim:?seed=3&width=161&height=91&fps=10&seconds=0.6").unwrap()
    }

    fn grey(path: &Path) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::BufReader::new(File::open(path).unwrap())).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        bytes.truncate(info.buffer_size());
        (info.width, info.height, bytes)
    }

    #[test]
    fn the_data_set_is_whole_and_says_what_the_truth_says() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        for _again in 0..2 {
            write_dataset(&spec(), &dir, DatasetOptions { every: 2 }, &mut |_, _| {}).unwrap();
        }
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1, "nothing temporary is left");
        let simulator = Simulator::new(&spec()).unwrap();
        for index in [0, 2, 4] {
            let truth = simulator.truth(index);
            let (width, height, mask) = grey(&dir.join(format!("masks/{index:06}.png")));
            assert_eq!((width, height), (161, 91));
            assert_eq!(mask, truth.class_mask);
            assert_eq!(grey(&dir.join(format!("images/{index:06}.png"))).2.len(), 161 * 91 * 3);
        }
        assert_eq!(std::fs::read_dir(dir.join("images")).unwrap().count(), 3);
        let lines = std::fs::read_to_string(dir.join("tracks/clip.jsonl")).unwrap();
        let frames: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(frames.len(), 6);
        for (index, line) in frames.iter().enumerate() {
            let truth = simulator.truth(index);
            assert_eq!(line["frame"], index);
            assert_eq!(line["tracks"].as_array().unwrap().len(), truth.instruments.len());
            for (item, instrument) in line["tracks"].as_array().unwrap().iter().zip(&truth.instruments) {
                assert_eq!(item["box"], serde_json::json!(instrument.bbox));
                assert_eq!(item["tip"].is_null(), instrument.tip.is_none());
            }
        }
        let described: toml::Table = toml::from_str(&std::fs::read_to_string(dir.join("dataset.toml")).unwrap()).unwrap();
        assert_eq!(described["classes"]["5"].as_str(), Some("grasper"));
    }

    #[test]
    fn a_script_leaves_its_events_and_no_pictures_where_there_is_no_signal() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("data");
        let mut spec = spec();
        let text = "seconds = 1.0\n[[event]]\nkind = 'loss'\nat_s = 0.2\nfor_s = 0.3\n[[event]]\nkind = 'instrument'\ntool = 'clip-applier'\nat_s = 0.05\nfor_s = 0.9";
        spec.play(std::sync::Arc::new(super::super::script::Script::parse("test", text).unwrap()));
        write_dataset(&spec, &dir, DatasetOptions::default(), &mut |_, _| {}).unwrap();
        let mut images: Vec<String> =
            std::fs::read_dir(dir.join("images")).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        images.sort();
        let numbers: Vec<usize> = images.iter().map(|name| name[..6].parse().unwrap()).collect();
        assert_eq!(numbers, [0, 1, 5, 6, 7, 8, 9]);
        let lines = std::fs::read_to_string(dir.join("events.jsonl")).unwrap();
        let events: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!((events[0]["kind"].as_str(), &events[0]["first_frame"], &events[0]["end_frame"]), (Some("loss"), &2.into(), &5.into()));
        assert_eq!((events[1]["kind"].as_str(), events[1]["tool"].as_str()), (Some("instrument"), Some("clip-applier")));
        assert_eq!((&events[1]["first_frame"], &events[1]["end_frame"]), (&1.into(), &10.into()));
    }

    #[test]
    fn a_folder_with_other_things_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("holiday.txt"), "precious").unwrap();
        let error = write_dataset(&spec(), dir.path(), DatasetOptions::default(), &mut |_, _| {}).unwrap_err();
        assert!(matches!(error, SimError::NotOurs { .. }) && error.to_string().contains("choose another folder"));
        assert_eq!(std::fs::read_to_string(dir.path().join("holiday.txt")).unwrap(), "precious");
    }
}
