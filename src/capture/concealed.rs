//! What a decoder of libav could not read and filled in by itself (a lost or damaged packet of H.264, say): the picture carries no flag
//! and the pipeline hears of nothing; libav's log alone says so, which GStreamer hands on under the category "libav". Its errors are
//! counted here. The log does not say which decoder it was: with two live inputs, both are taken for damaged.

use gstreamer as gst;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};

static ERRORS: AtomicU64 = AtomicU64::new(0);
static LISTENING: Once = Once::new();

/// Listens from now on, if libav's decoders are there.
fn listen() {
    let Some(libav) = gst::DebugCategory::get("libav") else { return };
    LISTENING.call_once(|| {
        if std::env::var_os("GST_DEBUG").is_none() {
            // Nobody has asked to read it.
            gst::log::remove_default_log_function();
        }
        gst::log::add_log_function(move |category, level, _, _, _, _, _| {
            if level == gst::DebugLevel::Error && category == libav {
                ERRORS.fetch_add(1, Ordering::Relaxed);
            }
        });
        if libav.threshold() < gst::DebugLevel::Error {
            libav.set_threshold(gst::DebugLevel::Error);
        }
    });
}

/// The errors since the last picture of one pipeline.
#[derive(Debug, Default)]
pub(super) struct Concealed {
    /// None: no picture has come yet.
    seen: Option<u64>,
}

impl Concealed {
    /// Has anything been filled in since it was last asked? Asked with each picture.
    pub fn take(&mut self) -> bool {
        if self.seen.is_none() {
            // The decoders are there by now. How a stream begins says nothing: it may be in the middle of a group of pictures.
            listen();
        }
        let now = ERRORS.load(Ordering::Relaxed);
        self.seen.replace(now).is_some_and(|seen| seen != now)
    }
}
