//! One sheet with everything that the simulator can show: a labelled tile each.

use super::SimError;
use super::canvas::Canvas;
use super::dataset::write_png;
use super::nv12::rgb_of_nv12;
use super::osd::Letters;
use super::render::Simulator;
use super::script::Script;
use super::spec::Spec;
use crate::frame::FrameView;
use std::path::Path;
use std::sync::Arc;

const COLUMNS: usize = 4;
const TILE: (usize, usize) = (480, 270);
const LABEL_PX: usize = 26;
const GAP: usize = 8;

/// Label, seed, script, second of the loop.
const TILES: [(&str, u64, &str, f64); 32] = [
    ("the plain scene", 1, "", 2.0),
    ("another seed", 7, "", 3.0),
    ("grasper", 4, "kind='instrument'\ntool='grasper'\nside='left'", 2.0),
    ("L-hook electrocautery", 4, "kind='instrument'\ntool='hook'\nside='right'", 2.0),
    ("scissors", 4, "kind='instrument'\ntool='scissors'\nside='left'", 1.7),
    ("clip applier", 4, "kind='instrument'\ntool='clip-applier'\nside='right'", 2.0),
    ("suturing needle and thread", 4, "kind='instrument'\ntool='needle'\nside='left'", 2.0),
    ("irrigator", 4, "kind='instrument'\ntool='irrigator'\nside='right'", 2.0),
    ("smoke, amount 0.4", 1, "kind='smoke'\namount=0.4", 2.0),
    ("smoke, amount 1.0", 1, "kind='smoke'\namount=1.0", 2.0),
    ("bleeding, amount 0.5", 7, "kind='bleeding'\namount=0.5", 2.0),
    ("bleeding, amount 1.0", 7, "kind='bleeding'\namount=1.0", 2.0),
    ("lens fog, amount 0.5", 1, "kind='lens_fog'\namount=0.5", 2.0),
    ("lens fog, amount 1.0", 1, "kind='lens_fog'\namount=1.0", 2.0),
    ("droplets", 1, "kind='droplets'\namount=0.7", 2.0),
    ("soiling", 1, "kind='soiling'\namount=0.7", 2.0),
    ("defocus", 1, "kind='defocus'\namount=0.8", 2.0),
    ("motion blur", 1, "kind='motion_blur'\namount=1.0", 2.3),
    ("camera: pan, zoom 1.8, turned 20°", 1, "kind='camera'\nzoom=1.8\npan=[0.1,0.1]\nturn_deg=20.0", 2.0),
    ("noise", 1, "kind='noise'\namount=1.0", 2.0),
    ("trocar exit", 1, "kind='out_of_body'", 0.68),
    ("out of the body", 1, "kind='out_of_body'", 2.0),
    ("look a: warm", 1, "kind='look'\nlook='a'", 2.0),
    ("look b: cool, flat", 1, "kind='look'\nlook='b'", 2.0),
    ("look c: sharpened", 1, "kind='look'\nlook='c'", 2.0),
    ("NBI", 1, "kind='look'\nlook='nbi'", 2.0),
    ("ICG", 1, "kind='look'\nlook='icg'", 2.0),
    ("picture in picture", 1, "kind='pip'", 2.0),
    ("the camera's menu", 1, "kind='camera_menu'", 2.0),
    ("electrosurgery interference", 1, "kind='interference'\namount=0.8", 2.0),
    ("light flicker", 1, "kind='flicker'\namount=1.0", 2.4),
    ("cut to another operation", 1, "kind='cut'\nseed=12", 2.0),
];

/// Renders the sheet and writes it to `path` (PNG). `progress(done, total)` in tiles.
///
/// Errors: what cannot be written.
pub fn write_gallery(path: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<(), SimError> {
    let (wide, tall) = (TILE.0 + GAP, TILE.1 + LABEL_PX + GAP);
    let mut sheet = Canvas::new(COLUMNS * wide + GAP, TILES.len().div_ceil(COLUMNS) * tall + GAP);
    sheet.pixels.fill([0.10, 0.11, 0.12]);
    let letters = Letters::new();
    for (n, (label, seed, event, at_s)) in TILES.iter().enumerate() {
        let (x0, y0) = (GAP + n % COLUMNS * wide, GAP + n / COLUMNS * tall);
        let rgb = tile(*seed, event, *at_s)?;
        for (y, row) in rgb.chunks_exact(3 * TILE.0).enumerate() {
            for (x, pixel) in row.chunks_exact(3).enumerate() {
                sheet.pixels[(y0 + y) * sheet.width + x0 + x] = [0, 1, 2].map(|k| f32::from(pixel[k]) / 255.0);
            }
        }
        letters.write(&mut sheet, (x0 as f32 + 2.0, (y0 + TILE.1 + 4) as f32), 17.0, [0.88; 3], label);
        progress(n + 1, TILES.len());
    }
    let bytes: Vec<u8> = sheet.pixels.iter().flatten().map(|v| (v.clamp(0.0, 1.0) * 255.0 + 0.5) as u8).collect();
    write_png(path, (sheet.width as u32, sheet.height as u32), png::ColorType::Rgb, &bytes)
}

/// One picture, R, G, B bytes.
fn tile(seed: u64, event: &str, at_s: f64) -> Result<Vec<u8>, SimError> {
    let mut spec = Spec::parse(&format!("sim:?seed={seed}&width={}&height={}&fps=20&seconds=4", TILE.0, TILE.1))?;
    if !event.is_empty() {
        let alone = event.contains("'instrument'");
        let head = "[[event]]\nat_s=0.0\nfor_s=4.0\nfade_s=0.3\n";
        // Instruments are looked at from near by.
        let near = if alone {
            format!("{head}kind='camera'\nzoom=2.2\npan=[{}, 0.22]\n", if event.contains("'right'") { 0.18 } else { 0.02 })
        } else {
            String::new()
        };
        let text = format!("seconds=4.0\ndefault_instruments={}\n{near}{head}{event}\n", !alone);
        spec.play(Arc::new(Script::parse("gallery", &text)?));
    }
    let simulator = Simulator::new(&spec)?;
    let mut picture = vec![0; simulator.layout().size];
    simulator.render((at_s * spec.fps()).round() as usize, &mut picture);
    Ok(FrameView::new(simulator.layout(), &picture).map(|view| rgb_of_nv12(&view)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tile_is_a_picture_of_its_own() {
        let mut seen: Vec<Vec<u8>> = Vec::new();
        for (label, seed, event, at_s) in TILES {
            let picture = tile(seed, event, at_s).unwrap_or_else(|error| panic!("{label}: {error}"));
            assert_eq!(picture.len(), TILE.0 * TILE.1 * 3, "{label}");
            let differs = |other: &Vec<u8>| picture.iter().zip(other).filter(|(a, b)| a.abs_diff(**b) > 6).count() * 100 > picture.len();
            assert!(seen.iter().all(differs), "{label} looks like another tile");
            seen.push(picture);
        }
    }
}
