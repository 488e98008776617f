//! Pictures that GStreamer holds in the memory of a CUDA device (NVDEC, cudaupload): made in our own context, so that one copy within
//! the device brings them to where they are needed. What reads them is none of this room's.
//!
//! ```text
//!   Device ─ Lender ─ "gst.cuda.context" ─► pipeline: nvh264dec, cudaupload ─► buffer ─ hold ─► Held ─► Planes::There
//!                                                        ▲ given back when its copies are done ─┘
//! ```

use super::cuda_ffi::{GstCuda, Map};
use super::error::CaptureError;
use super::{OnDevice, Planes};
use crate::frame::cuda::{Context, CudaError, Device, DevicePlane, Event};
use crate::frame::{FrameLayout, PixelFormat};
use gstreamer as gst;
use gstreamer::glib;
use gstreamer::prelude::*;
use gstreamer_video as gst_video;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What is taken there. Of packed 4:2:2 the end of an odd row has to be made up (`Picture::copy_into`), and GStreamer has no v210 there.
const FORMATS: [PixelFormat; 6] =
    [PixelFormat::Nv12, PixelFormat::I420, PixelFormat::P010, PixelFormat::Rgb, PixelFormat::Bgrx, PixelFormat::Bgra];

/// What GStreamer calls it.
pub(super) const CUDA_MEMORY: &str = "memory:CUDAMemory";

/// Lends a device's context to the pipelines of a source.
pub(super) struct Lender {
    library: &'static GstCuda,
    wrapped: gst::Object,
    context: Context,
    /// Behind the last copy of a picture that is held.
    used: Event,
    is_suspect: AtomicBool,
}

impl Lender {
    pub fn new(device: &Device) -> Result<Arc<Self>, CaptureError> {
        let unusable = |reason: &str| CaptureError::NoGstCuda { reason: reason.to_owned() };
        let library = GstCuda::open().map_err(unusable)?;
        // What GStreamer noted of its plugin may be of a time without this driver: it looks again when it is loaded. Without the plugin
        // all is decoded here.
        let _ = gst::Plugin::load_by_name("nvcodec");
        let context = device.context();
        let wrapped = library.wrap(&context).ok_or_else(|| unusable(&format!("it does not take device '{}'", context.name())))?;
        Ok(Arc::new(Lender { library, wrapped, context, used: device.event()?, is_suspect: AtomicBool::new(false) }))
    }

    /// A stream could not be decoded with it: the next one is decoded here.
    pub fn suspect(&self) {
        self.is_suspect.store(true, Ordering::Relaxed);
    }

    fn is_sound(&self) -> bool {
        // What a device could not do any driver's call says from then on.
        !self.is_suspect.load(Ordering::Relaxed) && self.used.is_past().is_ok()
    }

    /// From now on the elements of `pipeline` make their pictures in this context.
    pub fn lend_to(&self, pipeline: &gst::Pipeline) {
        pipeline.set_context(&self.library.context_of(&self.wrapped));
    }

    /// Of what could decode a stream, `decodebin` takes what does so on this device first, and what does so on another one never.
    pub fn prefer_in(&self, decodebin: &gst::Element) {
        let ours = self.context.ordinal();
        decodebin.connect("autoplug-sort", false, move |values| {
            let all = values.get(3).and_then(|all| all.get::<glib::ValueArray>().ok()).unwrap_or_default();
            let mut kept: Vec<(Turn, &glib::Value)> = Vec::new();
            for value in all.iter() {
                let turn = match value.get::<gst::ElementFactory>() {
                    Ok(factory) if !factory.has_type(gst::ElementFactoryType::DECODER) => Turn::Parser,
                    Ok(factory) => match decodes_on(&factory) {
                        Some(device) if device != ours => continue,
                        Some(_) => Turn::First,
                        None => Turn::AsEver,
                    },
                    Err(_) => Turn::AsEver,
                };
                kept.push((turn, value));
            }
            // Alike ones stay in GStreamer's order.
            kept.sort_by_key(|(turn, _)| *turn);
            Some(kept.into_iter().map(|(_, value)| value.clone()).collect::<glib::ValueArray>().to_value())
        });
    }

    /// What an appsink takes before it takes anything else.
    pub fn caps() -> gst::Caps {
        let formats = FORMATS.map(|format| gst_video::VideoFormat::from_string(format.name()));
        gst_video::VideoCapsBuilder::new().features([CUDA_MEMORY]).format_list(formats).build()
    }

    /// Keeps `buffer` and says where its planes lie. None: they lie in the host's memory.
    pub fn hold(
        self: &Arc<Self>,
        thing: &str,
        buffer: &gst::Buffer,
        info: &gst_video::VideoInfo,
        layout: &FrameLayout,
    ) -> Result<Option<Held>, CaptureError> {
        let Some(owner) = self.library.owner(buffer) else { return Ok(None) };
        if self.library.handle(&owner) != self.context.handle() {
            return Err(CaptureError::OtherContext {
                thing: thing.to_owned(),
                found: owner.property::<u32>("cuda-device-id"),
                device: self.context.name().to_owned(),
                ordinal: self.context.ordinal(),
            });
        }
        let corrupt = |reason: &str| CaptureError::Corrupt { thing: thing.to_owned(), reason: reason.to_owned() };
        let meta = buffer.meta::<gst_video::VideoMeta>();
        let (offsets, strides) = meta.as_ref().map_or((info.offset(), info.stride()), |meta| (meta.offset(), meta.stride()));
        let mut places = [Place::default(); 3];
        for ((place, offset), stride) in places.iter_mut().zip(offsets).zip(strides) {
            *place = Place { offset: *offset, stride: usize::try_from(*stride).unwrap_or(0) };
        }
        let map = self.library.map(buffer.clone()).ok_or_else(|| corrupt("a picture's memory cannot be mapped on its device"))?;
        let bytes = map.span().bytes();
        let fits = layout.planes().iter().zip(&places).all(|(wanted, place)| {
            let end = place.stride.checked_mul(wanted.rows - 1).and_then(|rows| rows.checked_add(place.offset + wanted.row_bytes));
            place.stride >= wanted.row_bytes && end.is_some_and(|end| end <= bytes)
        });
        if fits {
            Ok(Some(Held { map, places, lender: self.clone() }))
        } else {
            Err(corrupt("a picture's planes are smaller than its format"))
        }
    }
}

/// Of those that could be next in a pipeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Turn {
    /// It finds out what its stream is, before anybody decodes it.
    Parser,
    First,
    AsEver,
}

/// On which device a decoder of GStreamer's plugin works: `nvh264dec` on the first one, `nvh264device1dec` on the second. Not its JPEG
/// decoder, which fails where it meets 4:2:2, and that is what cameras send.
fn decodes_on(factory: &gst::ElementFactory) -> Option<usize> {
    let name = factory.name();
    let name = name.strip_prefix("nv")?.strip_suffix("dec")?;
    if factory.plugin_name()? != "nvcodec" || name.starts_with("jpeg") {
        return None;
    }
    name.rsplit_once("device").map_or(Some(0), |(_, number)| number.parse().ok())
}

/// Whether a source's pipelines are lent a device: until that fails.
pub(super) struct Lending(Mutex<Option<Arc<Lender>>>);

impl Lending {
    pub fn new(device: Option<&Device>) -> Result<Arc<Self>, CaptureError> {
        Ok(Arc::new(Lending(Mutex::new(device.map(Lender::new).transpose()?))))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Lender>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: none was lent, or not any more.
    pub fn lender(&self) -> Option<Arc<Lender>> {
        let mut lender = self.lock();
        if let Some(lost) = lender.take_if(|lender| !lender.is_sound()) {
            tracing::warn!(
                "what decoded on '{}' has failed: from now on pictures are decoded in the processor's memory",
                lost.context.name()
            );
        }
        lender.clone()
    }

    /// No pipeline that is built from now on is lent one. False: none was.
    pub fn end(&self) -> bool {
        self.lock().take().is_some()
    }
}

#[derive(Debug, Clone, Copy, Default)]
struct Place {
    offset: usize,
    stride: usize,
}

/// A picture on a device; whoever made it does not write its memory again as long as this lives.
pub(super) struct Held {
    map: Map,
    places: [Place; 3],
    lender: Arc<Lender>,
}

impl Held {
    pub fn planes(&self) -> Planes<'_> {
        let all = self.map.span();
        // Each lies within: `Lender::hold` has looked. What has no plane there gets all of it, and no rows.
        let plane = |place: &Place| DevicePlane { span: all.from(place.offset).unwrap_or(all), stride: place.stride };
        Planes::There(OnDevice { planes: self.places.each_ref().map(plane), used: &self.lender.used })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What still reads it is waited for. An error says that the device is gone, and its memory with it; one that hangs keeps it.
        if let Err(CudaError::Silent { .. }) = self.lender.used.settle() {
            self.map.keep_for_good();
        }
    }
}

#[cfg(test)]
#[path = "cuda_tests.rs"]
mod tests;
