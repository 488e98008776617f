//! Capture against real GStreamer: clips are made here, with GStreamer's own encoders, and played back.

mod bad_input;
mod clips;
mod colours;
mod damaged;
mod live;
mod pair;
mod playing;

pub(super) use clips::write as write_clip;

use super::{CaptureError, Picture, Pull, Settings, Source, open};
use crate::base::clock::{Clock, ManualClock};
use crate::frame::{FrameLayout, FrameView};
use std::sync::Arc;
use std::time::Duration;

/// The manual clock's time at the start of a test: not 0, so that a forgotten start shows.
const START_NS: u64 = 1_000_000_007;

fn manual() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(START_NS))
}

fn open_at(uri: &str, clock: Arc<dyn Clock>) -> Box<dyn Source> {
    open(uri, &Settings::default(), clock).unwrap_or_else(|error| panic!("{uri}: {error}"))
}

fn refusal(uri: &str) -> CaptureError {
    match open(uri, &Settings::default(), manual()) {
        Ok(source) => panic!("{uri} was opened: {:?}", source.info()),
        Err(error) => error,
    }
}

/// A picture, copied out of its source.
struct Seen {
    layout: FrameLayout,
    bytes: Vec<u8>,
    pts_ns: u64,
    due_ns: Option<u64>,
    decode_ns: Option<u64>,
    skipped: u32,
}

impl Seen {
    fn of(picture: &Picture<'_>) -> Self {
        let mut bytes = vec![0; picture.layout.size];
        picture.copy_into(&mut bytes);
        let &Picture { layout, pts_ns, due_ns, decode_ns, skipped, .. } = picture;
        Seen { layout, bytes, pts_ns, due_ns, decode_ns, skipped }
    }

    fn row(&self, plane: usize, row: usize) -> &[u8] {
        FrameView::new(&self.layout, &self.bytes).unwrap().row(plane, row)
    }
}

/// The next picture, waiting for the decoder as long as it needs.
fn next(source: &mut dyn Source) -> Seen {
    next_or_end(source).unwrap_or_else(|error| panic!("{error}")).expect("the source has ended")
}

/// As `next`; None at the end.
fn next_or_end(source: &mut dyn Source) -> Result<Option<Seen>, CaptureError> {
    for _ in 0..200 {
        match source.pull(Duration::from_millis(50))? {
            Pull::Idle | Pull::Event(_) => {}
            Pull::End => return Ok(None),
            Pull::Picture(picture) => return Ok(Some(Seen::of(&picture))),
        }
    }
    panic!("no picture within 10 s");
}
