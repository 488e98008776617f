//! An engine's outputs → what is in the picture: instruments with outline, box, tip and axis, and tissues with outlines.
//! One frame at a time; who is who from frame to frame is `tracker`'s.

use super::maps::{INSTRUMENT, Maps, NOTHING, NotFinite, Window};
use super::measured::{Measured, in_parts, of_parts};
use super::outline::{Mapping, Thinner, Tracer};
use super::regions::{Noise, Regions};
use super::shape::{self, Scratch};
use super::split::{Expected, Splitter};
use super::stillness::Stillness;
use super::sure::{Steady, SureFrom};
use crate::base::ids::ClassId;
use crate::infer::{Fit, InputSpec, OutputSpec, TensorView};
use crate::scene::{ClassMask, Outline, Spare, Tissue, Trust, limits};

/// Outlines stay this close to what was traced: pixels of the captured picture, or of one 1280 wide where it is larger. An
/// eye that sees the whole picture sees no less, and there are fewer points to send and to draw.
const OUTLINE_TOLERANCE_PX: f32 = 0.5;
const OUTLINE_TOLERANCE_AT: f32 = 1280.0;
/// A line that encloses less of the map is not drawn.
const MIN_LINE: f32 = 0.0004;
/// The largest instruments that are looked at: more are no operation.
pub(super) const MAX_INSTRUMENTS: usize = 16;
/// A tissue is shown from this part of the map on, and until it falls below the second: no flicker at the border.
pub(super) const TISSUE_SHOWN_FROM: f32 = 0.004;
const TISSUE_SHOWN_TO: f32 = 0.002;
/// Mean certainty of a whole picture below which it is called unsure.
const PICTURE_SURE_FROM: f32 = 0.6;

/// One instrument in one frame, in pixels of the captured picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    pub class: ClassId,
    /// Mean probability over its pixels.
    pub confidence: f32,
    /// Half-open.
    pub bbox: [f32; 4],
    pub tip: Option<[f32; 2]>,
    pub axis: Option<[f32; 2]>,
    /// Empty where only the box is known.
    pub outlines: Vec<Outline>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Decoded {
    pub instruments: Vec<Detection>,
    pub tissues: Vec<Tissue>,
    pub mask: ClassMask,
    pub frame_state: Trust,
    /// Pixels of the captured picture about which nothing can be said.
    pub unknown_px: u64,
}

/// Decodes frame after frame; its working memory is kept.
#[derive(Debug)]
pub struct Decoder {
    input: InputSpec,
    maps: Maps,
    /// In place of the maps' probabilities, where those are elsewhere.
    measured: Measured,
    is_measured: bool,
    regions: Regions,
    tracer: Tracer,
    thinner: Thinner,
    lines: Vec<Line>,
    mapped: Vec<[f32; 2]>,
    scratch: Scratch,
    planes: Vec<Option<usize>>,
    splitter: Splitter,
    expected: Vec<Expected>,
    stillness: Stillness,
    shown: [bool; 256],
    sure_from: SureFrom,
    /// Of each tissue, whether it is sure.
    steady: [Steady; 256],
    now_ns: u64,
    /// Regions that are instruments, the largest first; then, of each detection, its region.
    found: Vec<usize>,
    /// Memory of what was decoded before.
    pub spare: Spare,
    spare_detections: Vec<Detection>,
}

#[derive(Debug)]
struct Line {
    region: usize,
    area: f32,
    /// In which it was traced.
    order: usize,
    outline: Outline,
}

impl Decoder {
    pub fn new(input: InputSpec) -> Self {
        Decoder {
            input,
            maps: Maps::default(),
            measured: Measured::default(),
            is_measured: false,
            regions: Regions::default(),
            tracer: Tracer::default(),
            thinner: Thinner::default(),
            lines: Vec::new(),
            mapped: Vec::new(),
            scratch: Scratch::default(),
            planes: Vec::new(),
            splitter: Splitter::default(),
            expected: Vec::new(),
            stillness: Stillness::default(),
            shown: [false; 256],
            sure_from: SureFrom::default(),
            steady: [Steady::default(); 256],
            now_ns: 0,
            found: Vec::new(),
            spare: Spare::default(),
            spare_detections: Vec::new(),
        }
    }

    /// Of which classes is how much probability enough?
    pub fn believe(&mut self, sure_from: SureFrom) {
        self.sure_from = sure_from;
    }

    /// Detections that were used up: their memory serves the next ones.
    pub fn keep(&mut self, mut detections: Vec<Detection>) {
        detections.drain(..).for_each(|detection| self.spare.keep_outlines(detection.outlines));
        self.spare_detections = detections;
    }

    /// What the last frame was decoded from.
    pub fn maps(&self) -> &Maps {
        &self.maps
    }

    /// Has `fill` bring what the last frame was decoded from, where it lies elsewhere.
    pub fn bring_maps<E>(&mut self, fill: impl FnOnce(&mut Maps) -> Result<(), E>) -> Result<(), E> {
        if self.is_measured { fill(&mut self.maps) } else { Ok(()) }
    }

    /// The next picture does not follow on the last one.
    pub fn forget(&mut self) {
        self.shown = [false; 256];
        self.steady = [Steady::default(); 256];
        self.expected.clear();
        self.stillness = Stillness::default();
    }

    /// Where instruments are expected in the next frame: regions in which two of them meet are cut apart.
    pub fn expect(&mut self, expected: impl Iterator<Item = Expected>) {
        self.expected.clear();
        self.expected.extend(expected);
    }

    /// Of the last frame's instruments, in their order, the places of their regions among those that were measured.
    pub fn ranks(&self) -> impl Iterator<Item = usize> + Clone {
        self.found.iter().filter_map(|&region| self.measured.rank(region))
    }

    /// What was told by `expect`.
    pub fn expected(&self) -> &[Expected] {
        &self.expected
    }

    /// The frame's time, where somebody else sees what stands still.
    pub fn now_is(&mut self, capture_ns: u64) {
        self.now_ns = capture_ns;
    }

    /// What the network is shown: where it stands still, its answers are averaged over time.
    pub fn watch(&mut self, input: &[f32], capture_ns: u64) {
        self.now_ns = capture_ns;
        self.stillness.update(input, &self.input, capture_ns);
    }

    /// `heads`: the outputs of one run, all of one size. `fit`: where in the input the picture lay. `picture`: its size.
    /// Numbers that are not finite, and masks that are nothing but noise, make the frame unknown.
    pub fn decode(&mut self, heads: &[TensorView<'_>], fit: Fit, picture: [usize; 2]) -> Decoded {
        let (window, mapping) = window_and_mapping(&self.input, heads.first().map(|head| head.spec), fit, picture);
        self.is_measured = false;
        if self.maps.fill_averaged(heads, window, &self.stillness) == Err(NotFinite) {
            return unknown(window, picture);
        }
        self.decode_filled(window, &mapping, picture)
    }

    /// As `decode`, with labels and mask that `fill` brings from elsewhere, and what was measured there of the probabilities; `output`:
    /// one of the heads. An error: whatever `fill` says.
    pub fn decode_with<E>(
        &mut self,
        output: &OutputSpec,
        fit: Fit,
        picture: [usize; 2],
        fill: impl FnOnce(&mut Maps, &mut Measured) -> Result<(), E>,
    ) -> Result<Decoded, E> {
        let (window, mapping) = window_and_mapping(&self.input, Some(output), fit, picture);
        self.is_measured = true;
        fill(&mut self.maps, &mut self.measured)?;
        Ok(self.decode_filled(window, &mapping, picture))
    }

    fn decode_filled(&mut self, window: Window, mapping: &Mapping, picture: [usize; 2]) -> Decoded {
        self.splitter.cut(&mut self.maps, mapping, &self.expected);
        if self.regions.fill(&self.maps.labels, window.width, window.height) == Err(Noise) {
            return unknown(window, picture);
        }
        if self.is_measured && !self.measured.belongs_to(&self.regions, window.width) {
            return unknown(window, picture);
        }
        let mut instruments = self.instruments(mapping);
        let mut tissues = self.tissues(mapping);
        self.draw(mapping, &mut instruments, &mut tissues);
        let mut ids = self.spare.mask();
        ids.extend_from_slice(&self.maps.mask);
        let abstained = ids.iter().filter(|&&id| id == ClassId::ABSTAINED.0).count();
        Decoded {
            instruments,
            tissues,
            mask: ClassMask { width: window.width as u32, height: window.height as u32, ids },
            frame_state: if self.maps.certainty >= PICTURE_SURE_FROM { Trust::Sure } else { Trust::Unsure },
            unknown_px: (mapping.area(abstained as u32) as u64).min((picture[0] * picture[1]) as u64),
        }
    }

    /// Instruments, and in `found` the region of each; outlines are still missing.
    fn instruments(&mut self, mapping: &Mapping) -> Vec<Detection> {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        found.extend((0..self.regions.list.len()).filter(|&i| self.regions.list[i].label == INSTRUMENT));
        found.sort_unstable_by_key(|&i| (std::cmp::Reverse(self.regions.list[i].area), i));
        found.truncate(MAX_INSTRUMENTS);
        let mut instruments = std::mem::take(&mut self.spare_detections);
        found.retain(|&region| {
            let instrument = self.instrument(region, mapping);
            let is_one = instrument.is_some();
            instruments.extend(instrument);
            is_one
        });
        self.found = found;
        instruments
    }

    fn instrument(&mut self, index: usize, mapping: &Mapping) -> Option<Detection> {
        let region = self.regions.list[index];
        let measured = match self.is_measured {
            true => Some(self.measured.instrument(index)?),
            false => None,
        };
        let mut votes = [0u32; 256];
        let mut probability = measured.map_or(0.0, |sums| sums.probability);
        for (_, _, at) in self.regions.pixels(index) {
            if measured.is_none() {
                probability += f64::from(self.maps.instrument[at]);
            }
            if self.maps.labels[at] == INSTRUMENT {
                votes[usize::from(self.maps.mask[at])] += 1;
            }
        }
        let class = (0..=255u8).max_by_key(|&id| votes[usize::from(id)]).filter(|&id| votes[usize::from(id)] > 0)?;
        let corner = |x: u32, y: u32| mapping.in_picture([x as f32, y as f32]);
        let ([left, top], [right, bottom]) = (corner(region.bbox[0], region.bbox[1]), corner(region.bbox[2], region.bbox[3]));
        let shape = shape::of_region(&self.maps, &self.regions, mapping, (index, measured), &self.expected, &mut self.scratch);
        Some(Detection {
            class: ClassId(class),
            confidence: ((probability / f64::from(region.area)) as f32).clamp(0.0, 1.0),
            bbox: [left, top, right, bottom],
            tip: shape.tip,
            axis: shape.axis,
            outlines: self.spare.outlines(),
        })
    }

    /// The tissues that are large enough to be shown; outlines are still missing.
    fn tissues(&mut self, mapping: &Mapping) -> Vec<Tissue> {
        let maps = &self.maps;
        let pixels = maps.width * maps.height;
        let mut area = [0u32; 256];
        let mut probability = [0u64; 256];
        // Where in `tissue` the plane of each region's class starts.
        self.planes.clear();
        for region in &self.regions.list {
            let at = usize::from(region.label);
            area[at] += region.area;
            let channel = maps.tissue_classes.iter().position(|class| class.0 == region.label && class.0 != NOTHING);
            match channel.filter(|_| self.is_measured) {
                Some(channel) => probability[at] = self.measured.tissue.get(channel).copied().unwrap_or_default(),
                None => self.planes.push(channel.map(|channel| channel * pixels)),
            }
        }
        for (region, at) in self.regions.rows().filter(|_| !self.is_measured) {
            if let Some(plane) = self.planes[region] {
                probability[usize::from(self.regions.list[region].label)] += in_parts(&maps.tissue[plane + at.start..plane + at.end]);
            }
        }
        let mut tissues = self.spare.tissues();
        for class in maps.tissue_classes.iter().filter(|class| class.0 != NOTHING) {
            let at = usize::from(class.0);
            let part = area[at] as f32 / pixels as f32;
            self.shown[at] = part >= if self.shown[at] { TISSUE_SHOWN_TO } else { TISSUE_SHOWN_FROM };
            if !self.shown[at] {
                self.steady[at] = Steady::default();
            }
            if self.shown[at] && area[at] > 0 {
                let confidence = ((of_parts(probability[at]) / f64::from(area[at])) as f32).clamp(0.0, 1.0);
                let state = self.steady[at].say(self.sure_from.is_sure(*class, confidence), self.now_ns);
                let most = f64::from(mapping.picture[0]) * f64::from(mapping.picture[1]);
                let area_px = mapping.area(area[at]).min(most) as u64;
                tissues.push(Tissue { class: *class, area_px, confidence, state, outlines: self.spare.outlines() });
            }
        }
        tissues
    }

    /// Traces all outlines and hands them out, instruments first, then the largest, as far as a scene may go.
    fn draw(&mut self, mapping: &Mapping, instruments: &mut [Detection], tissues: &mut [Tissue]) {
        let measured = self.is_measured.then_some(&self.measured);
        let Decoder { maps, regions, tracer, thinner, lines, mapped, found, spare, .. } = self;
        let smallest = MIN_LINE * regions.map.len() as f32;
        let tolerance = OUTLINE_TOLERANCE_PX * (mapping.picture[0].max(mapping.picture[1]) / OUTLINE_TOLERANCE_AT).max(1.0);
        lines.clear();
        tracer.trace(maps, regions, measured, |line| {
            if line.area >= smallest {
                mapped.clear();
                mapped.extend(line.points.iter().map(|&point| mapping.in_picture(point)));
                let mut outline = spare.outline();
                thinner.thin(mapped, tolerance, &mut outline);
                if outline.len() >= 3 {
                    lines.push(Line { region: line.region, area: line.area, order: lines.len(), outline });
                } else {
                    spare.keep_outline(outline);
                }
            }
        });
        let is_instrument = |line: &Line| regions.list[line.region].label == INSTRUMENT;
        let order =
            |a: &Line, b: &Line| is_instrument(b).cmp(&is_instrument(a)).then(b.area.total_cmp(&a.area)).then(a.order.cmp(&b.order));
        lines.sort_unstable_by(order);
        let (mut points, mut count) = (0, 0);
        for line in lines.drain(..) {
            if count + 1 > limits::OUTLINES || points + line.outline.len() > limits::POINTS {
                break;
            }
            let label = regions.list[line.region].label;
            let owner = if label == INSTRUMENT {
                found.iter().position(|&region| region == line.region).map(|index| &mut instruments[index].outlines)
            } else {
                tissues.iter_mut().find(|tissue| tissue.class.0 == label).map(|tissue| &mut tissue.outlines)
            };
            match owner {
                Some(owner) => {
                    (points, count) = (points + line.outline.len(), count + 1);
                    owner.push(line.outline);
                }
                None => spare.keep_outline(line.outline),
            }
        }
    }
}

/// The part of the outputs (all are as large as `output`) in which the picture lies, and how its pixels lie in the picture.
pub(super) fn window_and_mapping(input: &InputSpec, output: Option<&OutputSpec>, fit: Fit, picture: [usize; 2]) -> (Window, Mapping) {
    let input = [input.width as usize, input.height as usize];
    let output = output.map_or(input, |spec| [spec.width, spec.height]);
    let window = window_of(input, output, fit);
    let (start, length) = ([fit.x, fit.y], [fit.width, fit.height]);
    let ratio = [0, 1].map(|axis| output[axis] as f64 / input[axis] as f64);
    let from = [window.x, window.y];
    let mapping = Mapping {
        scale: [0, 1].map(|axis| (picture[axis] as f64 / length[axis] as f64 / ratio[axis]) as f32),
        shift: [0, 1].map(|axis| (from[axis] as f64 - start[axis] as f64 * ratio[axis]) as f32),
        picture: picture.map(|side| side as f32),
    };
    (window, mapping)
}

/// The part of outputs of that size in which the picture lies.
pub(super) fn window_of(input: [usize; 2], output: [usize; 2], fit: Fit) -> Window {
    let (start, length) = ([fit.x, fit.y], [fit.width, fit.height]);
    let ratio = [0, 1].map(|axis| output[axis] as f64 / input[axis] as f64);
    let from = [0, 1].map(|axis| ((start[axis] as f64 * ratio[axis]).round() as usize).min(output[axis] - 1));
    let to = [0, 1].map(|axis| {
        let end = ((start[axis] + length[axis]) as f64 * ratio[axis]).round() as usize;
        end.clamp(from[axis] + 1, output[axis])
    });
    Window { x: from[0], y: from[1], width: to[0] - from[0], height: to[1] - from[1] }
}

/// A frame about which nothing can be said: every pixel abstains.
fn unknown(window: Window, picture: [usize; 2]) -> Decoded {
    let ids = vec![ClassId::ABSTAINED.0; window.width * window.height];
    Decoded {
        instruments: Vec::new(),
        tissues: Vec::new(),
        mask: ClassMask { width: window.width as u32, height: window.height as u32, ids },
        frame_state: Trust::Unknown,
        unknown_px: (picture[0] * picture[1]) as u64,
    }
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
