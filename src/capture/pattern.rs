//! The self-test's own pictures, behind the source `pattern:`: each carries its number as a marker, over a ground on which a
//! light bar moves, so that every picture differs from the last in all its height.
//!
//! Faults can be put in on purpose, to prove that a self-test finds them: `delay_ms` hands each picture on so much after its
//! stamp, `drop` leaves out one number without a word, `matrix` encodes the colours by another matrix than the stream states.

use super::error::CaptureError;
use super::pace::{Lateness, Rate};
use super::{Picture, Planes, Pull, Source, SourceInfo};
use crate::base::clock::Clock;
use crate::frame::marker::{Placement, Signal, Target, paint};
use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
use std::sync::Arc;
use std::time::Duration;

/// Luma of ground and bar, limited range; chroma without colour.
const GROUND: u8 = 60;
const BAR: u8 = 180;
const GREY: u8 = 128;
/// What the stream says of its colours.
const STATED: Matrix = Matrix::Bt709;
/// Width of the bar, and how far it moves from picture to picture, px.
const BAR_PX: usize = 32;
const STEP_PX: usize = 8;

/// `pattern:?width=1920&height=1080&fps=60&delay_ms=0&drop=N&matrix=bt709`, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub struct PatternSpec {
    pub width: usize,
    pub height: usize,
    pub rate: Rate,
    /// Put between a picture's stamp and its release, ns.
    pub delay_ns: u64,
    /// This number is never released.
    pub dropped: Option<u64>,
    /// Of the colour bars, whatever the stream states (BT.709).
    pub matrix: Matrix,
}

impl PatternSpec {
    /// Errors: a key that is not known, a value that does not parse, a picture too small for the marker.
    pub fn parse(uri: &str) -> Result<Self, CaptureError> {
        let refuse = |reason: String| CaptureError::Query { uri: uri.to_owned(), reason };
        let query = uri.strip_prefix("pattern:").map(|rest| rest.strip_prefix('?').unwrap_or(rest)).unwrap_or_default();
        let mut spec = PatternSpec {
            width: 1920,
            height: 1080,
            rate: Rate::new(60, 1).unwrap_or(Rate::FALLBACK),
            delay_ns: 0,
            dropped: None,
            matrix: STATED,
        };
        for (key, value) in query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            let number = || value.parse::<u64>().map_err(|_| refuse(format!("{key} is a whole number, not '{value}'")));
            let side = || match number()? as usize {
                side if (16..=FrameLayout::MAX_SIDE).contains(&side) && side.is_multiple_of(2) => Ok(side),
                _ => Err(refuse(format!("{key} is an even number from 16 to {}", FrameLayout::MAX_SIDE))),
            };
            match key {
                "width" => spec.width = side()?,
                "height" => spec.height = side()?,
                "fps" => spec.rate = Rate::parse(value).ok_or_else(|| refuse(format!("'{value}' is not a frame rate")))?,
                "delay_ms" => spec.delay_ns = number()?.min(10_000) * 1_000_000,
                "drop" => spec.dropped = Some(number()?),
                "matrix" => {
                    spec.matrix = match value {
                        "bt601" => Matrix::Bt601,
                        "bt709" => Matrix::Bt709,
                        _ => return Err(refuse(format!("matrix is bt601 or bt709, not '{value}'"))),
                    }
                }
                _ => return Err(refuse(format!("'{key}' is not known here: width, height, fps, delay_ms, drop, matrix"))),
            }
        }
        spec.placement().map(|_| spec.clone()).ok_or_else(|| refuse("the picture is too small for the marker".into()))
    }

    /// Something is wrong with these pictures on purpose.
    pub fn is_faulty(&self) -> bool {
        self.delay_ns > 0 || self.dropped.is_some() || self.matrix != STATED
    }

    /// Where the marker lies.
    pub fn placement(&self) -> Option<Placement> {
        Placement::centred(self.width, self.height)
    }

    pub fn pts_ns(&self, number: u64) -> u64 {
        self.rate.tick_ns(number)
    }

    /// Of the picture at a position in the source.
    pub fn number_at(&self, pts_ns: u64) -> u64 {
        self.rate.ticks_in(pts_ns + self.rate.period_ns() / 2)
    }
}

/// Picture n is due at start + n/fps and is stamped so; start is the clock at the first pull.
pub struct PatternSource {
    info: SourceInfo,
    spec: PatternSpec,
    placement: Placement,
    layout: FrameLayout,
    bytes: Vec<u8>,
    clock: Arc<dyn Clock>,
    start_ns: Option<u64>,
    next: u64,
    skipped: u32,
    lateness: Lateness,
    /// Where the bar stands in `bytes`.
    bar_at: Option<usize>,
}

impl PatternSource {
    pub fn open(uri: &str, clock: Arc<dyn Clock>) -> Result<Box<dyn Source>, CaptureError> {
        let refuse = |reason: String| CaptureError::Query { uri: uri.to_owned(), reason };
        let spec = PatternSpec::parse(uri)?;
        let (format, colorimetry) = (PixelFormat::Nv12, Colorimetry::sdr(STATED, Range::Limited));
        let layout = FrameLayout::new(format, colorimetry, spec.width, spec.height).map_err(|error| refuse(error.to_string()))?;
        let placement = spec.placement().ok_or_else(|| refuse("the picture is too small for the marker".into()))?;
        let mut bytes = vec![GREY; layout.size];
        let luma = layout.planes()[0];
        bytes[luma.offset..][..luma.stride * luma.rows].fill(GROUND);
        let info = SourceInfo {
            uri: uri.to_owned(),
            width: spec.width,
            height: spec.height,
            fps: spec.rate.per_second(),
            format,
            colorimetry,
            live: false,
            latency_ns: 0,
        };
        let lateness = Lateness::new(spec.rate.period_ns());
        Ok(Box::new(PatternSource {
            info,
            spec,
            placement,
            layout,
            bytes,
            clock,
            start_ns: None,
            next: 0,
            skipped: 0,
            lateness,
            bar_at: None,
        }))
    }

    fn draw(&mut self, number: u64) -> Result<(), CaptureError> {
        let at = number as usize * STEP_PX % (self.spec.width - BAR_PX.min(self.spec.width / 2));
        let luma = self.layout.planes()[0];
        for row in self.bytes[luma.offset..][..luma.stride * luma.rows].chunks_exact_mut(luma.stride) {
            if let Some(before) = self.bar_at {
                row[before..][..BAR_PX.min(self.spec.width / 2)].fill(GROUND);
            }
            row[at..][..BAR_PX.min(self.spec.width / 2)].fill(BAR);
        }
        self.bar_at = Some(at);
        let signal = Signal { matrix: self.spec.matrix, range: self.layout.colorimetry.range };
        let chroma = self.layout.planes()[1];
        let (first, second) = self.bytes.split_at_mut(chroma.offset);
        let painted = paint(Target::Luma { plane: &mut first[luma.offset..], stride: luma.stride }, signal, self.placement, number as u32)
            .and_then(|()| paint(Target::CbCr { plane: second, stride: chroma.stride }, signal, self.placement, number as u32));
        painted.map_err(|error| CaptureError::Query { uri: self.info.uri.clone(), reason: error.to_string() })
    }
}

impl Source for PatternSource {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        let now_ns = self.clock.now_ns();
        let start_ns = *self.start_ns.get_or_insert(now_ns);
        if self.spec.dropped == Some(self.next) {
            self.next += 1;
        }
        let late_from_ns = start_ns + self.spec.pts_ns(self.next) + self.spec.delay_ns;
        if self.lateness.is_too_late(now_ns, late_from_ns) {
            let newest = self.spec.rate.ticks_in(now_ns - start_ns - self.spec.delay_ns);
            self.skipped = self.skipped.saturating_add((newest - self.next) as u32);
            self.next = newest;
        }
        let number = self.next;
        let pts_ns = self.spec.pts_ns(number);
        if self.spec.delay_ns > 0 {
            let release_ns = start_ns + pts_ns + self.spec.delay_ns;
            let give_up_ns = now_ns + at_most.as_nanos() as u64;
            self.clock.sleep_until_ns(release_ns.min(give_up_ns));
            if release_ns > give_up_ns {
                return Ok(Pull::Idle);
            }
        }
        self.draw(number)?;
        self.next += 1;
        let skipped = std::mem::take(&mut self.skipped);
        let due_ns = Some(start_ns + pts_ns);
        Ok(Pull::Picture(Picture {
            layout: self.layout,
            planes: Planes::of(&self.layout, &self.bytes),
            pts_ns,
            due_ns,
            arrival_ns: now_ns,
            decode_ns: None,
            skipped,
            is_damaged: false,
        }))
    }
}
