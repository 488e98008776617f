//! Golden pictures: `tests/golden/<case>/` holds `case.toml` (picture and scene) and `expected.png`. Every case
//! runs through the host compositor, and through wgpu where there is a Vulkan device: the picture bit-exact, the overlay
//! within two levels. Difference pictures are left in `target/golden-diff/`. KEYHOLE_BLESS=1 writes `expected.png` anew
//! from the host compositor: look at it before it is committed.

use crate::base::classes;
use crate::frame::testing::pack;
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range, Transfer};
use crate::overlay::coverage::CoverageMask;
use crate::overlay::draw::tests as shapes;
use crate::overlay::draw::{DrawList, predicted_shift};
use crate::overlay::gpu::{GpuCompositor, OFFSCREEN_FORMAT, Source, test_gpu};
use crate::overlay::host::{Target, compose_blank, compose_full};
use crate::overlay::paint::paint;
use crate::overlay::style::Style;
use crate::overlay::testing::{Owned, write_png};
use crate::overlay::{Layer, OverlayMode, Settings};
use crate::scene::{Scene, Trust};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// Levels by which a pixel under the overlay may differ; elsewhere none.
const OVERLAY_LEVELS: u8 = 2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What the case is there to show.
    shows: String,
    picture: Picture,
    #[serde(default)]
    scene: SceneSpec,
    /// At least so many pixels are covered by the overlay: a case that drew nothing checks nothing.
    least_covered_px: usize,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Picture {
    format: PixelFormat,
    matrix: Matrix,
    range: Range,
    #[serde(default)]
    transfer: Transfer,
    width: usize,
    height: usize,
    pattern: Pattern,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pattern {
    /// Eight colour bars at full level over a ramp.
    Bars,
    /// Reds and yellows with dark and bright places, like tissue.
    Tissue,
    /// Random bytes: every sample value occurs.
    Noise,
    /// No frame.
    Blank,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct SceneSpec {
    mode: OverlayMode,
    frame_state: Option<Trust>,
    age_ms: u64,
    tissue: Vec<TissueSpec>,
    instrument: Vec<InstrumentSpec>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TissueSpec {
    class: String,
    /// Centre x, y and radii, px.
    blob: [f32; 4],
    state: Option<Trust>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct InstrumentSpec {
    class: String,
    from: [f32; 2],
    tip: [f32; 2],
    half_width: f32,
    state: Option<Trust>,
    velocity_px_s: Option<[f32; 2]>,
}

impl Picture {
    fn make(&self) -> Option<Owned> {
        let colorimetry = self.colorimetry();
        let (width, height) = (self.width, self.height);
        match self.pattern {
            Pattern::Blank => None,
            Pattern::Noise => Some(Owned::noise(self.format, colorimetry, width, height, 11)),
            Pattern::Bars => Some(self.sampled(|x, y| {
                if y * 4 > height * 3 {
                    [(x * 255 / width) as u8; 3]
                } else {
                    let bar = 7 - x * 8 / width;
                    [2, 4, 1].map(|bit| if bar & bit != 0 { 255 } else { 0 })
                }
            })),
            Pattern::Tissue => Some(self.sampled(|x, y| {
                let light = 110 + (x * 130 / width + y * 90 / height) % 140;
                let vein = (x * 3 + y * 5) % 97 < 7;
                let yellow = (x / 31 + y / 23) % 5 == 0;
                [light.min(255), light * if yellow { 8 } else { 4 } / 10, light * if vein { 2 } else { 4 } / 10].map(|v| v as u8)
            })),
        }
    }

    /// Samples a picture given in R'G'B' the way an encoder would; exactness is not needed, only the same bytes each time.
    fn sampled(&self, rgb: impl Fn(usize, usize) -> [u8; 3]) -> Owned {
        let layout = FrameLayout::new(self.format, self.colorimetry(), self.width, self.height).unwrap();
        let (kr, kb) = self.matrix.kr_kb();
        let (sy, sc, offset) = if self.range == Range::Limited { (219.0 / 255.0, 224.0 / 255.0, 16.0) } else { (1.0, 1.0, 0.0) };
        let steps = if self.format.is_ten_bit() { 4.0 } else { 1.0 };
        let data = pack(&layout, |x, y| {
            let rgb = rgb(x.min(self.width - 1), y.min(self.height - 1));
            if self.format.is_rgb() {
                return rgb.map(|v| u16::from(v) << 2);
            }
            let [r, g, b] = rgb.map(f64::from);
            let luma = kr * r + (1.0 - kr - kb) * g + kb * b;
            let chroma = |c: f64, k: f64| (c - luma) / (2.0 * (1.0 - k)) * sc + 128.0;
            [luma * sy + offset, chroma(b, kb), chroma(r, kr)]
                .map(|v: f64| ((v * steps).round().clamp(0.0, 256.0 * steps - 1.0) * 4.0 / steps) as u16)
        });
        Owned { layout, data }
    }

    fn colorimetry(&self) -> Colorimetry {
        Colorimetry { matrix: self.matrix, range: self.range, transfer: self.transfer }
    }
}

impl SceneSpec {
    fn scene(&self, width: usize, height: usize) -> Scene {
        let id = |name: &str| classes::table().by_name(name).unwrap_or_else(|| panic!("no class '{name}'")).id.0;
        let mut scene = shapes::scene(width as u32, height as u32);
        scene.frame_state = self.frame_state.unwrap_or(Trust::Sure);
        scene.tissues.clear();
        scene.tracks.clear();
        for spec in &self.tissue {
            let [x, y, rx, ry] = spec.blob;
            let mut tissue = shapes::tissue(id(&spec.class), shapes::blob(x, y, rx, ry, 160));
            tissue.state = spec.state.unwrap_or(Trust::Sure);
            scene.tissues.push(tissue);
        }
        for (i, spec) in self.instrument.iter().enumerate() {
            let mut track = shapes::track(i as u32, id(&spec.class), spec.from, spec.tip, spec.half_width);
            track.state = spec.state.unwrap_or(Trust::Sure);
            track.velocity_px_s = spec.velocity_px_s.unwrap_or_default();
            scene.tracks.push(track);
        }
        scene
    }
}

impl Case {
    fn layer(&self) -> Layer {
        let (width, height) = (self.picture.width, self.picture.height);
        let settings = Settings { mode: self.scene.mode, ..Settings::default() };
        let shift = |track: &crate::scene::Track| predicted_shift(track, self.scene.age_ms * 1_000_000, width as u32, &settings);
        let mut layer = Layer::new(width, height);
        paint(&DrawList::from_scene(&self.scene.scene(width, height), &Style::of(&settings), &shift), &mut layer);
        layer
    }
}

/// One compositor's result against what is expected; what is wrong with it.
fn compare(name: &str, way: &str, got: &[u8], expected: &[u8], mask: &CoverageMask) -> Result<(), String> {
    let (width, height) = (mask.width(), mask.height());
    if got.len() != expected.len() {
        return Err(format!("{name} ({way}): the expected picture has another size"));
    }
    let mut diff = vec![255; got.len()];
    let (mut bad, mut worst) = (0, 0);
    for (i, (got, wish)) in got.chunks_exact(4).zip(expected.chunks_exact(4)).enumerate() {
        let levels = (0..3).map(|c| got[c].abs_diff(wish[c])).max().unwrap_or(0);
        let allowed = if mask.data()[i] != 0 { OVERLAY_LEVELS } else { 0 };
        diff[4 * i..4 * i + 3].fill(levels.saturating_mul(60));
        bad += usize::from(levels > allowed);
        worst = worst.max(levels);
    }
    if bad == 0 {
        return Ok(());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/golden-diff");
    write_png(&folder.join(format!("{name}-{way}.png")), got, width, height);
    write_png(&folder.join(format!("{name}-{way}-diff.png")), &diff, width, height);
    Err(format!("{name} ({way}): {bad} pixels differ, by up to {worst} levels; see target/golden-diff/{name}-{way}-diff.png"))
}

fn read_png(path: &Path) -> Option<Vec<u8>> {
    let decoder = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).ok()?));
    let mut reader = decoder.read_info().unwrap();
    let mut rgb = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut rgb).unwrap();
    assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
    Some(rgb.chunks_exact(3).flat_map(|p| [p[2], p[1], p[0], 255]).collect())
}

fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[test]
fn golden_pictures_come_out_of_both_compositors() {
    let folders = folders();
    assert!(folders.len() >= 5, "only {} golden cases: are they all there?", folders.len());
    let gpu = test_gpu("golden_pictures_come_out_of_both_compositors (wgpu half)");
    let mut compositor = gpu.map(|gpu| GpuCompositor::new(gpu, OFFSCREEN_FORMAT));
    let mut wrong = Vec::new();
    for folder in folders {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let case: Case =
            toml::from_str(&std::fs::read_to_string(folder.join("case.toml")).unwrap()).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(case.shows.len() > 10, "{name} does not say what it shows");
        let (width, height) = (case.picture.width, case.picture.height);
        let picture = case.picture.make();
        let overlay = case.layer();
        let layers = [&overlay];
        let mut mask = CoverageMask::new(width, height);
        mask.update(&layers, &[]);
        assert!(mask.covered_px() >= case.least_covered_px.max(1), "{name} checks nothing: {} pixels are covered", mask.covered_px());

        let mut by_host = vec![0; 4 * width * height];
        let mut target = Target { data: &mut by_host, stride: 4 * width, width, height };
        match &picture {
            Some(picture) => compose_full(&picture.view(), &layers, &mut target).unwrap(),
            None => compose_blank(&layers, &mut target).unwrap(),
        }
        let path = folder.join("expected.png");
        if std::env::var_os("KEYHOLE_BLESS").is_some() {
            write_png(&path, &by_host, width, height);
        }
        let Some(expected) = read_png(&path) else {
            wrong.push(format!("{name}: no expected.png (KEYHOLE_BLESS=1 writes it)"));
            continue;
        };
        wrong.extend(compare(&name, "host", &by_host, &expected, &mask).err());
        if let Some(compositor) = &mut compositor {
            let mut by_wgpu = Vec::new();
            match &picture {
                Some(picture) => compositor.upload(Source::New(&picture.view()), &layers).unwrap(),
                None => compositor.upload(Source::Blank(width, height), &layers).unwrap(),
            }
            compositor.draw_offscreen().unwrap();
            compositor.read_back(&mut by_wgpu).unwrap();
            wrong.extend(compare(&name, "wgpu", &by_wgpu, &expected, &mask).err());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_wrong_picture_is_noticed_and_a_difference_picture_written() {
    let expected = vec![100; 4 * 20 * 16];
    let mut layer = Layer::new(20, 16);
    layer.rects.push(crate::overlay::Rect { x0: 2, y0: 2, x1: 4, y1: 4 });
    layer.row_mut(2, 2, 3)[3] = 40;
    let mut mask = CoverageMask::new(20, 16);
    mask.update(&[&layer], &[]);
    let at = |x: usize, y: usize| (y * 20 + x) * 4;
    let with = |at: usize, value: u8| {
        let mut got = expected.clone();
        got[at] = value;
        compare("noticed", "self-test", &got, &expected, &mask)
    };
    assert!(with(at(2, 2), 102).is_ok() && with(at(2, 2), 103).is_err(), "two levels under the overlay");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/golden-diff");
    let _ = std::fs::remove_file(folder.join("noticed-self-test-diff.png"));
    assert!(with(at(9, 9), 101).is_err(), "none outside");
    for file in ["noticed-self-test.png", "noticed-self-test-diff.png"] {
        std::fs::remove_file(folder.join(file)).unwrap();
    }
}
