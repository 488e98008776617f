//! Where pictures come from: files, GStreamer descriptions, live inputs, the simulator. A source decodes ahead and says when each
//! picture is due; who waits, copies into the ring and stamps is the capture thread in `pipeline`.
//!
//! ```text
//!   open(uri) ─► Source ── pull ─► Picture (planes as decoded, due_ns) ─► copied into a ring slot ─► Frame at due_ns
//! ```
//! With a GPU (`open_on`) the planes may lie in its memory, and are copied there.

mod arrivals;
mod build;
mod concealed;
mod container;
mod content;
mod cuda;
mod cuda_ffi;
mod dark;
mod decode_time;
mod decoder;
mod device;
mod devices;
mod error;
mod event;
mod fault;
mod file;
mod flaws;
mod input;
mod inventory;
mod judge;
mod live;
mod mapping;
mod messages;
mod node;
mod pace;
mod paced;
mod pair;
mod pattern;
mod pipe;
mod rate;
mod settings;
pub mod sim;
mod stereo;
mod supervise;
mod tempo;
mod torn;
mod tuning;
mod uri;

#[cfg(test)]
mod tests;

pub use content::ContentWatch;
pub use devices::{Device, DeviceMode, find as find_devices};
pub use error::CaptureError;
pub use event::{Pace, SignalEvent};
pub use fault::{FaultSpan, FaultySource, SourceFault};
pub use inventory::inventory;
pub use pace::Lateness;
pub use pattern::PatternSpec;
pub use settings::{Memory, Settings};
pub use stereo::{Eye, Packing, Stereo, eye_layout, split as split_stereo};

use crate::base::clock::{Clock, MonotonicClock};
use crate::frame::cuda::{CudaError, Device as CudaDevice, DevicePlane, DeviceSpan, Event, Stream};
use crate::frame::{Colorimetry, FrameLayout, FrameView, PixelFormat};
use cuda::Lending;
use decoder::Decoder;
use input::Input;
use live::Patience;
use paced::PacedSource;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use supervise::SupervisedSource;

/// What a source delivers, known before the first picture is shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SourceInfo {
    pub uri: String,
    pub width: usize,
    pub height: usize,
    /// Pictures a second at which it is (or will be) released.
    pub fps: f64,
    pub format: PixelFormat,
    pub colorimetry: Colorimetry,
    /// Live: stamped on arrival. Not live: released by our own pacer.
    pub live: bool,
    /// What a live pipeline holds back at most, as GStreamer's LATENCY query reports it (reorder depth + one frame), ns.
    pub latency_ns: u64,
}

/// One plane as the source holds it.
#[derive(Debug, Clone, Copy)]
pub struct PlaneRef<'a> {
    pub data: &'a [u8],
    pub stride: usize,
}

/// The planes of a picture that lies on a device.
#[derive(Debug, Clone, Copy)]
pub struct OnDevice<'a> {
    planes: [DevicePlane<'a>; 3],
    /// Behind all that was begun with them. The source waits for it before their memory is written again.
    used: &'a Event,
}

impl<'a> OnDevice<'a> {
    /// Those of a frame that lies there as `layout` has it.
    pub fn of(layout: &FrameLayout, frame: DeviceSpan<'a>, used: &'a Event) -> Result<Self, CudaError> {
        let mut planes = [DevicePlane { span: frame, stride: 0 }; 3];
        for (plane, from) in planes.iter_mut().zip(layout.planes()) {
            *plane = DevicePlane { span: frame.from(from.offset)?, stride: from.stride };
        }
        Ok(OnDevice { planes, used })
    }

    /// What `work` begins with the planes it begins on `stream`; the source keeps their memory until that is done.
    pub fn begin<T>(&self, stream: &Stream, work: impl FnOnce(&[DevicePlane<'_>; 3]) -> Result<T, CudaError>) -> Result<T, CudaError> {
        // Another stream may have been told something of them, too: one mark stands for both.
        stream.wait_for(self.used)?;
        let begun = work(&self.planes);
        stream.mark(self.used)?;
        begun
    }
}

/// Where a picture lies. A plane that its format does not have is empty, or has no rows.
#[derive(Debug, Clone, Copy)]
pub enum Planes<'a> {
    /// In this process's memory.
    Here([PlaneRef<'a>; 3]),
    There(OnDevice<'a>),
}

impl<'a> Planes<'a> {
    /// Those of a frame whose bytes, as `layout` has them, are here.
    pub fn of(layout: &FrameLayout, bytes: &'a [u8]) -> Self {
        let mut planes = [PlaneRef { data: &[], stride: 0 }; 3];
        for (plane, from) in planes.iter_mut().zip(layout.planes()) {
            *plane = PlaneRef { data: &bytes[from.offset..][..from.stride * from.rows], stride: from.stride };
        }
        Planes::Here(planes)
    }

    pub fn here(&self) -> Option<&[PlaneRef<'a>; 3]> {
        match self {
            Planes::Here(planes) => Some(planes),
            Planes::There(_) => None,
        }
    }
}

/// A decoded picture, borrowed from the source until the next pull.
#[derive(Debug)]
pub struct Picture<'a> {
    /// Our own layout of this format, size and colorimetry: changes when the source changes.
    pub layout: FrameLayout,
    pub planes: Planes<'a>,
    /// Position in the source, ns. Grows over loops: each pass begins where the one before it ended (its last picture's
    /// stamp + duration).
    pub pts_ns: u64,
    /// Not live: when it is to be released (CLOCK_MONOTONIC ns); this is its capture stamp. None: `arrival_ns` is.
    pub due_ns: Option<u64>,
    pub arrival_ns: u64,
    /// What decoding took, where the source can tell, ns.
    pub decode_ns: Option<u64>,
    /// Pictures that were due since the last one and could not be had in time: counted as dropped at capture.
    pub skipped: u32,
    /// Whoever decoded it says that something in it, or in what came before it, is missing or wrong. Noise that makes a valid picture
    /// is none that anybody could tell.
    pub is_damaged: bool,
}

impl Picture<'_> {
    /// Copies the visible rows of all planes to where `layout` puts them. `into` holds `layout.size` bytes. What lies on a device is not
    /// here: zeros.
    pub fn copy_into(&self, into: &mut [u8]) {
        let Planes::Here(planes) = &self.planes else {
            into.fill(0);
            return;
        };
        let last_v = match self.layout.format {
            PixelFormat::Yuy2 => Some(3),
            PixelFormat::Uyvy => Some(2),
            _ => None,
        };
        for (to, from) in self.layout.planes().iter().zip(planes) {
            for row in 0..to.rows {
                let target = &mut into[to.offset + row * to.stride..][..to.row_bytes];
                target.copy_from_slice(&from.data[row * from.stride..][..to.row_bytes]);
                // GStreamer leaves the V of an odd row's last pixel unwritten.
                if let (true, Some(v)) = (self.layout.width % 2 == 1, last_v) {
                    target[to.row_bytes - 4 + v] = target[to.row_bytes - 8 + v];
                }
            }
        }
    }
}

impl Picture<'_> {
    /// As it lies in `view`, once it was brought there.
    pub fn brought<'a>(&'a self, view: &FrameView<'a>) -> Picture<'a> {
        Picture { planes: Planes::of(view.layout, view.bytes()), ..*self }
    }

    /// Begins to copy the visible rows of all planes to where `layout` puts them, on the device on which they lie. `to` holds
    /// `layout.size` bytes. The source keeps its memory until it is done.
    pub fn copy_there(&self, stream: &Stream, to: DeviceSpan<'_>) -> Result<(), CudaError> {
        let Planes::There(there) = &self.planes else { return Err(CudaError::NotThere) };
        let to = to.first(self.layout.size)?;
        there.begin(stream, |planes| {
            self.layout.planes().iter().zip(planes).try_for_each(|(plane, from)| {
                let to = DevicePlane { span: to.from(plane.offset)?, stride: plane.stride };
                stream.copy_rows(*from, to, plane.row_bytes, plane.rows)
            })
        })
    }
}

/// What a pull gave. Lives on the capture thread's stack for one frame, so its size does not matter.
#[allow(clippy::large_enum_variant)]
#[derive(Debug)]
pub enum Pull<'a> {
    Picture(Picture<'a>),
    /// Something happened to the signal; ask again.
    Event(SignalEvent),
    /// Nothing came within the wait: ask again (and see whether the signal is lost).
    Idle,
    /// The source has ended and cannot loop.
    End,
}

/// A source of pictures. Runs on the capture thread.
pub trait Source: Send {
    fn info(&self) -> &SourceInfo;

    /// The next picture; waits at most `at_most` for it. Files and `sim:` never wait for the due time themselves.
    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError>;

    /// Do its pictures lie on a device, as it was opened?
    fn lies_on_device(&self) -> bool {
        false
    }

    /// The device on which its pictures lie has failed: from now on they come here. False: they cannot.
    fn leave_device(&mut self) -> Result<bool, CaptureError> {
        Ok(false)
    }
}

/// Opens what `uri` names (`--source`) and waits until its first picture is decoded, at most 5 s.
///
/// Errors name the thing, the reason and the remedy: no such file, not a video, no video stream in it, truncated,
/// corrupt, unknown scheme, GStreamer element missing.
pub fn open(uri: &str, settings: &Settings, clock: Arc<dyn Clock>) -> Result<Box<dyn Source>, CaptureError> {
    open_on(uri, settings, clock, None)
}

/// Might `uri` have pictures that lie on a device? Those that are made here, or put together here, never do.
pub fn may_lie_on_device(uri: &str) -> bool {
    let is_made_here = || matches!(uri::parse(uri), Ok(uri::Spec::Sim | uri::Spec::Pattern) | Err(_));
    matches!(pair::parse(uri), Ok(None)) && matches!(split_stereo(uri), Ok((_, None))) && !is_made_here()
}

/// As `open`. Where a device is given, what its decoder makes or an element brings there stays there, and its pictures lie there
/// (`Planes::There`); all others come as ever. Two inputs are put together here, and so are never there.
pub fn open_on(
    uri: &str,
    settings: &Settings,
    clock: Arc<dyn Clock>,
    device: Option<&CudaDevice>,
) -> Result<Box<dyn Source>, CaptureError> {
    if let Some(two) = pair::parse(uri)? {
        let (left, right) = (open(two.left, settings, clock.clone())?, open(two.right, settings, clock.clone())?);
        return Ok(Box::new(pair::PairSource::new(uri, [left, right], clock)?));
    }
    let (plain, stereo) = split_stereo(uri)?;
    let source = open_one(&plain, settings, clock, device)?;
    match stereo {
        Some(stereo) => Ok(Box::new(stereo::Parted::new(uri, source, stereo.packing)?)),
        None => Ok(source),
    }
}

fn open_one(uri: &str, settings: &Settings, clock: Arc<dyn Clock>, device: Option<&CudaDevice>) -> Result<Box<dyn Source>, CaptureError> {
    // GStreamer is started before anything of its is asked for.
    let lending = || messages::init().and_then(|()| Lending::new(device));
    let ahead = settings.decode_ahead_frames.clamp(1, 16);
    match uri::parse(uri)? {
        uri::Spec::Sim => Ok(sim::SimSource::open(uri, clock)?),
        uri::Spec::Pattern => pattern::PatternSource::open(uri, clock),
        uri::Spec::File { path, rate } => {
            let header = file::check(&path)?;
            let lending = lending()?;
            let reopen: paced::Reopen = {
                let (clock, lending) = (clock.clone(), lending.clone());
                Box::new(move || {
                    let mut decoder = Decoder::for_file(&path, header, clock.clone(), lending.lender())?;
                    decoder.play()?;
                    Ok(decoder)
                })
            };
            let decoder = reopen()?;
            Ok(Box::new(PacedSource::new(uri, decoder, ahead, rate, Some((reopen, lending)), clock)?))
        }
        uri::Spec::Gst(description) => {
            let lending = lending()?;
            let build = {
                let (clock, lending) = (clock.clone(), lending.clone());
                move || {
                    let mut decoder = Decoder::for_description(&description, ahead, clock.clone(), lending.lender())?;
                    decoder.prepare()?;
                    Ok(decoder)
                }
            };
            let mut decoder: Decoder = build()?;
            if decoder.live {
                let clock = Arc::new(MonotonicClock);
                let patience = Patience::AT_START;
                let lost_ns = lost_ns(settings);
                return Ok(Box::new(SupervisedSource::new(uri, decoder, Box::new(build), lending, patience, lost_ns, clock)?));
            }
            decoder.play()?;
            Ok(Box::new(PacedSource::new(uri, decoder, ahead, None, None, clock)?))
        }
        uri::Spec::Live(input) => open_live(input, settings, node::Places::default(), lending()?),
        uri::Spec::Pipe(path) => open_pipe(uri, path, settings, lending()?),
    }
}

/// Further attempts at a live input: one without data is given up soon, one with data waits for a picture that can be
/// decoded.
const PATIENCE: Patience = Patience { at_most: Duration::from_secs(10), without_data: Duration::from_secs(1) };

/// What is live is stamped by the machine's clock, also where nothing else is timed by it.
fn open_live(input: Input, settings: &Settings, places: node::Places, lending: Arc<Lending>) -> Result<Box<dyn Source>, CaptureError> {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    messages::init()?;
    device::check(&input)?;
    let uri = input.uri.clone();
    let kind = input.kind;
    let building = clock.clone();
    let (node, lends) = (node::Node::of(&input, places), lending.clone());
    let build = move || {
        let followed = node.as_ref().map(|node| node.follow(&input)).transpose()?;
        let mut decoder = Decoder::for_input(followed.as_ref().unwrap_or(&input), building.clone(), lends.lender())?;
        decoder.prepare()?;
        Ok(decoder)
    };
    let decoder: Decoder = build().map_err(|error| device::explain(&uri, kind, error))?;
    let source = SupervisedSource::new(&uri, decoder, Box::new(build), lending, PATIENCE, lost_ns(settings), clock);
    Ok(Box::new(source.map_err(|error| device::explain(&uri, kind, error))?))
}

fn open_pipe(uri: &str, path: std::path::PathBuf, settings: &Settings, lending: Arc<Lending>) -> Result<Box<dyn Source>, CaptureError> {
    let clock: Arc<dyn Clock> = Arc::new(MonotonicClock);
    messages::init()?;
    let (keeper, building, lends) = (pipe::open(&path)?, clock.clone(), lending.clone());
    let build = move || {
        let _ = &keeper;
        let end = pipe::open(&path)?;
        let mut decoder = Decoder::for_input(&pipe::input(&path, &end), building.clone(), lends.lender())?;
        // Not prepared: that would wait for a writer.
        (decoder.reads_from, decoder.live) = (Some(end), true);
        Ok(decoder)
    };
    let decoder: Decoder = build()?;
    Ok(Box::new(SupervisedSource::new(uri, decoder, Box::new(build), lending, PATIENCE, lost_ns(settings), clock)?))
}

fn lost_ns(settings: &Settings) -> u64 {
    settings.lost_ms * 1_000_000
}
