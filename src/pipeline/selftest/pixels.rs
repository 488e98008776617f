//! Pixel identity: what the product's own compositor presents, outside the overlay's coverage and outside the status display's
//! declared rectangles, is the source's picture. Pictures of every format go the way of a run (planes ─► ring ─► compositor), as fast
//! as they can, and each present is compared byte by byte
//!
//! - with an independent conversion of the source's planes (`reference`), and
//! - with the same picture presented with nothing over it, which itself is compared whole with the independent conversion.
//!
//! What the figures mean is judged in `guard`. Colorimetries that are brought to SDR (BT.2020, HLG, PQ) are not part of it.

mod reference;
mod subjects;

use crate::base::clock::MonotonicClock;
use crate::base::ids::FrameId;
use crate::base::random::Random;
use crate::base::shutdown;
use crate::base::slot::Wake;
use crate::base::texts::Language;
use crate::capture::{Picture as Captured, PlaneRef, Planes as Lies};
use crate::display::hud::Hud;
use crate::display::{DisplayError, Headless, Output, Picture};
use crate::frame::{Colorimetry, Frame, FrameLayout, FrameRing, LayoutError, Matrix, MemoryError, PixelFormat, Range, Stamps};
use crate::guard::{Check, Limits, Test};
use crate::overlay::coverage::CoverageMask;
use crate::overlay::draw::DrawList;
use crate::overlay::paint::Painter;
use crate::overlay::{Layer, Rect};
use reference::Planes;
use std::sync::Arc;
use std::time::Duration;

/// Something that is put in on purpose, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PixelFault {
    /// One picture is taken for one of the other matrix.
    Matrix,
    /// In one present one painted pixel lies beside where it is declared.
    ShiftedPixel,
}

/// What was compared, and what was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PixelProof {
    /// Pictures of which at least a tenth lay outside the overlay.
    pub frames: u64,
    pub presents: u64,
    /// Pixels outside overlay and status display, of all presents.
    pub compared_px: u64,
    /// Pixels under them.
    pub covered_px: u64,
    /// Presents with something drawn, and with a status display.
    pub drawn: u64,
    pub with_hud: u64,
    /// Pixels that differ from the independent conversion, and from the picture without overlay.
    pub changed: u64,
    pub changed_by_overlay: u64,
    /// Where the first difference was.
    pub first: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum PixelProofError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Memory(#[from] MemoryError),
    #[error(transparent)]
    Display(#[from] DisplayError),
    #[error("the frame ring had no free slot: a mistake of the program")]
    NoSlot,
    #[error("the status display painted nothing within {0} s; see that nothing else runs on the machine, and test again")]
    NoHud(u64),
    #[error("it was ended before it was done")]
    Ended,
}

/// Width and height: odd ones, some smaller than a vector, some wider than what is converted at a time.
const SIZES: [(usize, usize); 11] = [
    (16, 16),
    (17, 23),
    (35, 18),
    (64, 48),
    (97, 55),
    (130, 74),
    (483, 21),
    (1003, 18),
    // These with a status display, in every second picture.
    (161, 121),
    (321, 180),
    (485, 131),
];
const WITH_HUD: std::ops::Range<usize> = 8..11;
const COLORIMETRIES: [Colorimetry; 4] = [
    Colorimetry::sdr(Matrix::Bt601, Range::Limited),
    Colorimetry::sdr(Matrix::Bt709, Range::Limited),
    Colorimetry::sdr(Matrix::Bt601, Range::Full),
    Colorimetry::sdr(Matrix::Bt709, Range::Full),
];
const SEED: u64 = 0x6b65_7968_6f6c_6531;
/// Pictures that the overlay covers almost whole do not count: so many more are made, percent.
const SPARE_PERCENT: u64 = 10;
/// Presented a second time with another overlay: every so many pictures.
const AGAIN_EVERY: u64 = 2;
const HUD_WITHIN_S: u64 = 5;

/// The checks of a full self-test: `frames` pictures are asked for by its limit.
pub fn checks(limits: &Limits, fault: Option<PixelFault>) -> Vec<Check> {
    let frames = limits.number("pixel_frames").unwrap_or(0.0) as u64;
    let frames = frames + frames * SPARE_PERCENT / 100;
    let proof = match prove(frames, fault) {
        Ok(proof) => proof,
        Err(error) => {
            let reason = "the comparison ended early";
            let rest = [Test::PixelsOff, Test::PixelFrames].map(|test| Check::not_run(test, reason));
            return [vec![Check::found(Test::Pixels, false, error.to_string())], rest.to_vec()].concat();
        }
    };
    judged(&proof, limits)
}

fn judged(proof: &PixelProof, limits: &Limits) -> Vec<Check> {
    let said = format!(
        "{} presents, {} with an overlay, {} with the status display; {:.0} million pixels compared, {:.1} million covered",
        proof.presents,
        proof.drawn,
        proof.with_hud,
        proof.compared_px as f64 / 1e6,
        proof.covered_px as f64 / 1e6
    );
    let first = proof.first.as_deref().unwrap_or("formats: all, BT.601 and BT.709, limited and full range");
    vec![
        Check::measured(Test::Pixels, proof.changed as f64, limits).with_detail(first),
        Check::measured(Test::PixelsOff, proof.changed_by_overlay as f64, limits),
        Check::measured(Test::PixelFrames, proof.frames as f64, limits).with_detail(&said),
    ]
}

/// Compares about `frames` pictures, and no fewer than one of each kind, spread evenly over formats, colorimetries and sizes.
pub fn prove(frames: u64, fault: Option<PixelFault>) -> Result<PixelProof, PixelProofError> {
    let cases = PixelFormat::ALL.len() * COLORIMETRIES.len() * SIZES.len();
    let each = frames.div_ceil(cases as u64).max(1);
    let mut comparison = Comparison::new(fault.map(|fault| (fault, frames / 2)))?;
    for (index, &size) in SIZES.iter().enumerate() {
        comparison.resize(size, WITH_HUD.contains(&index))?;
        for format in PixelFormat::ALL {
            for colorimetry in COLORIMETRIES {
                if shutdown::signalled() {
                    return Err(PixelProofError::Ended);
                }
                comparison.compare(format, colorimetry, size, each)?;
            }
        }
    }
    Ok(comparison.proof)
}

/// What the status display painted for a size, and where it may paint.
struct Sheet {
    layer: Layer,
    declared: [Rect; 6],
}

struct Comparison {
    random: Random,
    hud: (Hud, Arc<Wake>),
    sheets: Vec<Sheet>,
    painter: Painter,
    list: DrawList,
    layer: Layer,
    mask: CoverageMask,
    planes: Planes,
    expected: Vec<u8>,
    /// With whatever lies over the picture, and with nothing.
    on: Headless,
    off: Headless,
    /// To be put in from this picture on, as soon as something is drawn.
    fault: Option<(PixelFault, u64)>,
    pictures: u64,
    proof: PixelProof,
}

impl Comparison {
    fn new(fault: Option<(PixelFault, u64)>) -> Result<Self, PixelProofError> {
        let (clock, wake) = (Arc::new(MonotonicClock), Arc::new(Wake::default()));
        let (width, height) = SIZES[WITH_HUD.start];
        let mut random = Random::new(SEED);
        let style = subjects::style(&mut random);
        Ok(Comparison {
            random,
            hud: (Hud::start((width, height), Language::En, wake.clone())?, wake),
            sheets: Vec::new(),
            painter: Painter::new(width, height),
            list: DrawList::new(style),
            layer: Layer::new(width, height),
            mask: CoverageMask::new(width, height),
            planes: Planes::default(),
            expected: Vec::new(),
            on: Headless::new(clock.clone(), None),
            off: Headless::new(clock, None),
            fault,
            pictures: 0,
            proof: PixelProof::default(),
        })
    }

    fn resize(&mut self, (width, height): (usize, usize), has_hud: bool) -> Result<(), PixelProofError> {
        (self.painter, self.layer, self.mask) = (Painter::new(width, height), Layer::new(width, height), CoverageMask::new(width, height));
        self.sheets.clear();
        if has_hud {
            self.hud.0.resize((width, height));
            for status in subjects::statuses() {
                let has_pip = status.pip.is_some();
                self.hud.0.say(0, status);
                let sheet = self.painted(has_pip)?;
                self.sheets.push(sheet);
            }
        }
        Ok(())
    }

    /// Waits for the status display's thread.
    fn painted(&mut self, has_pip: bool) -> Result<Sheet, PixelProofError> {
        let (hud, wake) = &mut self.hud;
        for _ in 0..10 * HUD_WITHIN_S {
            hud.poll(0);
            if let Some(layer) = hud.layer(0).filter(|_| hud.is_up_to_date()) {
                return Ok(Sheet { layer: layer.clone(), declared: hud.layout().declared(has_pip) });
            }
            wake.wait(Duration::from_millis(100));
        }
        Err(PixelProofError::NoHud(HUD_WITHIN_S))
    }

    fn compare(
        &mut self,
        format: PixelFormat,
        colorimetry: Colorimetry,
        size: (usize, usize),
        pictures: u64,
    ) -> Result<(), PixelProofError> {
        let (layout, ring) = ring_of(format, colorimetry, size)?;
        for _ in 0..pictures {
            subjects::paint(&mut self.planes, format, size, &mut self.random);
            self.planes.shown(colorimetry, &mut self.expected);
            let frame = match self.fault.filter(|(fault, from)| *fault == PixelFault::Matrix && self.pictures >= *from && !format.is_rgb())
            {
                Some(_) => {
                    self.fault = None;
                    let (layout, ring) = ring_of(format, of_other_matrix(colorimetry), size)?;
                    captured(&self.planes, &layout, &ring, self.pictures)?
                }
                None => captured(&self.planes, &layout, &ring, self.pictures)?,
            };
            self.off.show(Picture::New(&frame), &[])?;
            self.compare_clean(&layout)?;
            let mut outside = self.present(Picture::New(&frame), &layout)?;
            if self.pictures.is_multiple_of(AGAIN_EVERY) {
                outside = outside.min(self.present(Picture::Again(&frame), &layout)?);
            }
            self.proof.frames += u64::from(10 * outside >= (size.0 * size.1) as u64);
            self.pictures += 1;
        }
        Ok(())
    }

    /// The picture without overlay against the independent conversion, whole.
    fn compare_clean(&mut self, layout: &FrameLayout) -> Result<(), PixelProofError> {
        let clean = self.off.presented()?;
        let wrong = (0..layout.height).find_map(|y| {
            let expected = &self.expected[4 * y * layout.width..][..4 * layout.width];
            first_difference(clean.row(y), expected).map(|x| (x, y))
        });
        if let Some((x, y)) = wrong {
            let rows = (0..layout.height).map(|y| differences(clean.row(y), &self.expected[4 * y * layout.width..][..4 * layout.width]));
            self.proof.changed += rows.sum::<u64>();
            self.proof.first.get_or_insert_with(|| described(layout, (x, y), "without overlay"));
        }
        Ok(())
    }

    /// Presents it with another overlay and compares what lies outside; returns how many pixels that are.
    fn present(&mut self, picture: Picture<'_>, layout: &FrameLayout) -> Result<u64, PixelProofError> {
        let size = (layout.width, layout.height);
        self.list.style = subjects::style(&mut self.random);
        let scene = subjects::scene(size, &mut self.random);
        self.list.set_scene(&scene, &|_| [0.0; 2]);
        self.list.set_departed(&scene, 3_000_000_000);
        self.painter.paint(&self.list, &mut self.layer);
        let sheet = match self.sheets.len() {
            0 => None,
            sheets => Some(self.random.below(2 * sheets)).and_then(|chosen| self.sheets.get(chosen)),
        };
        self.mask.update(&[&self.layer], sheet.map_or(&[], |sheet| &sheet.declared));
        self.proof.drawn += u64::from(!self.layer.is_empty());
        self.proof.with_hud += u64::from(sheet.is_some());
        if self.fault.is_some_and(|(fault, from)| fault == PixelFault::ShiftedPixel && self.pictures >= from)
            && shift_a_pixel(&mut self.layer, &self.mask)
        {
            self.fault = None;
        }
        match sheet {
            Some(sheet) => self.on.show(picture, &[&self.layer, &sheet.layer])?,
            None => self.on.show(picture, &[&self.layer])?,
        };
        let (on, off) = (self.on.presented()?, self.off.presented()?);
        self.proof.presents += 1;
        let mut outside = 0;
        for y in 0..layout.height {
            let expected = &self.expected[4 * y * layout.width..][..4 * layout.width];
            for run in self.mask.outside(y) {
                outside += run.len() as u64;
                let bytes = 4 * run.start..4 * run.end;
                let shown = &on.row(y)[bytes.clone()];
                if let Some(x) = first_difference(shown, &expected[bytes.clone()]) {
                    self.proof.changed += differences(shown, &expected[bytes.clone()]);
                    self.proof.first.get_or_insert_with(|| described(layout, (run.start + x, y), "beside the overlay"));
                }
                self.proof.changed_by_overlay += differences(shown, &off.row(y)[bytes]);
            }
        }
        self.proof.compared_px += outside;
        self.proof.covered_px += (layout.width * layout.height) as u64 - outside;
        Ok(outside)
    }
}

fn ring_of(format: PixelFormat, colorimetry: Colorimetry, size: (usize, usize)) -> Result<(FrameLayout, FrameRing), PixelProofError> {
    let layout = FrameLayout::new(format, colorimetry, size.0, size.1)?;
    Ok((layout, FrameRing::new(layout)?))
}

fn of_other_matrix(colorimetry: Colorimetry) -> Colorimetry {
    let matrix = if colorimetry.matrix == Matrix::Bt601 { Matrix::Bt709 } else { Matrix::Bt601 };
    Colorimetry { matrix, ..colorimetry }
}

/// The planes as capture hands them on.
fn captured(planes: &Planes, layout: &FrameLayout, ring: &FrameRing, number: u64) -> Result<Frame, PixelProofError> {
    let plane = |index: usize| PlaneRef { data: &planes.planes[index], stride: planes.strides[index] };
    let picture = Captured {
        layout: *layout,
        planes: Lies::Here([plane(0), plane(1), plane(2)]),
        pts_ns: 0,
        due_ns: None,
        arrival_ns: 0,
        decode_ns: None,
        skipped: 0,
        is_damaged: false,
    };
    let mut writer = ring.acquire().ok_or(PixelProofError::NoSlot)?;
    picture.copy_into(writer.data_mut());
    Ok(writer.publish(Stamps { id: FrameId(number), pts_ns: 0, capture_ns: 0 }))
}

/// Moves one well visible pixel of the layer to where nothing is declared; false: there is none.
fn shift_a_pixel(layer: &mut Layer, declared: &CoverageMask) -> bool {
    let width = layer.width;
    for rect in layer.rects.clone() {
        for y in rect.y0..rect.y1 {
            let row = layer.row_mut(y, rect.x0, rect.x1).as_chunks_mut::<4>().0;
            let covered = &declared.data()[y * width..][rect.x0..rect.x1];
            if let Some(x) = (1..row.len()).find(|&x| row[x - 1][3] >= 128 && covered[x] == 0) {
                row.swap(x - 1, x);
                return true;
            }
        }
    }
    false
}

fn differences(one: &[u8], other: &[u8]) -> u64 {
    if one == other {
        return 0;
    }
    one.as_chunks::<4>().0.iter().zip(other.as_chunks::<4>().0).filter(|(one, other)| one != other).count() as u64
}

fn first_difference(one: &[u8], other: &[u8]) -> Option<usize> {
    if one == other {
        return None;
    }
    one.as_chunks::<4>().0.iter().zip(other.as_chunks::<4>().0).position(|(one, other)| one != other)
}

fn described(layout: &FrameLayout, (x, y): (usize, usize), place: &str) -> String {
    let Colorimetry { matrix, range, .. } = layout.colorimetry;
    let (name, width, height) = (layout.format.name(), layout.width, layout.height);
    format!("first difference {place}: {name} {matrix:?} {range:?} {width}×{height} at {x},{y}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guard::Outcome;

    /// One picture of each format, colorimetry and size.
    const EACH: u64 = 9 * 4 * 11;

    #[test]
    fn what_is_shown_beside_overlay_and_status_display_is_the_source_s_own() {
        let proof = prove(2 * EACH, None).unwrap();
        assert_eq!((proof.changed, proof.changed_by_overlay, proof.first.clone()), (0, 0, None), "{proof:?}");
        assert!(proof.frames >= 2 * EACH * 9 / 10 && proof.presents == 3 * EACH, "{proof:?}");
        assert!(proof.drawn * 2 > proof.presents && proof.with_hud * 10 > proof.presents, "{proof:?}");
        assert!(proof.covered_px * 50 > proof.compared_px && proof.compared_px > proof.covered_px, "{proof:?}");
    }

    #[test]
    fn one_pixel_beside_its_place_in_one_of_all_pictures_is_found() {
        let proof = prove(EACH, Some(PixelFault::ShiftedPixel)).unwrap();
        assert_eq!((proof.changed, proof.changed_by_overlay), (1, 1), "{proof:?}");
        assert!(proof.first.unwrap().contains("beside the overlay"));
    }

    #[test]
    fn one_picture_of_another_matrix_is_found_and_named() {
        let proof = prove(EACH, Some(PixelFault::Matrix)).unwrap();
        assert!(proof.changed > 100 && proof.changed_by_overlay == 0, "{proof:?}");
        assert!(proof.first.unwrap().contains("without overlay"));
    }

    #[test]
    fn the_checks_judge_what_was_found() {
        let limits = Limits::shipped();
        let outcomes = |proof: &PixelProof| judged(proof, &limits).into_iter().map(|check| check.outcome).collect::<Vec<_>>();
        let good = PixelProof { frames: 10_000, ..PixelProof::default() };
        assert_eq!(outcomes(&good), [Outcome::Pass, Outcome::Pass, Outcome::Pass]);
        let bad = PixelProof { frames: 9_999, changed: 1, changed_by_overlay: 1, ..PixelProof::default() };
        assert_eq!(outcomes(&bad), [Outcome::Fail, Outcome::Fail, Outcome::Fail]);
    }

    #[test]
    #[ignore = "a measurement"]
    fn time_of_ten_thousand_pictures() {
        let began = std::time::Instant::now();
        let proof = prove(10_000, None).unwrap();
        println!("{:.2} s: {proof:?}", began.elapsed().as_secs_f64());
    }
}
