//! The clean feed: the live picture alone, on an output of its own, for a second monitor. No overlay, no HUD, never the
//! other way round: this thread has no way to get either.
//!
//! It never delays the main output: a frame is taken only while the thread waits for one, is copied at once so that its
//! ring slot is free again, and is shown from the copy. Frames that come meanwhile are counted as dropped.

use crate::base::error::ErrorKind;
use crate::display::{DisplayError, Output, OutputInfo, Picture};
use crate::frame::{Frame, FrameRing};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// Makes the output, on the feed's thread.
pub type OpenFeed = Box<dyn FnOnce() -> Result<Box<dyn Output>, DisplayError> + Send>;

enum Item {
    Frame(Frame),
    /// No signal: black. Width and height.
    Blank(usize, usize),
    End,
}

#[derive(Default)]
struct Shared {
    next: Mutex<Option<Item>>,
    bell: Condvar,
    /// The thread waits for a frame.
    is_free: AtomicBool,
    shown: AtomicU64,
    dropped: AtomicU64,
}

/// What the clean feed did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedCounts {
    pub shown: u64,
    pub dropped: u64,
}

pub struct CleanFeed {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<Result<OutputInfo, DisplayError>>>,
}

fn lock(shared: &Shared) -> MutexGuard<'_, Option<Item>> {
    shared.next.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl CleanFeed {
    pub fn start(open: OpenFeed) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let thread = std::thread::Builder::new().name("feed".into()).spawn({
            let shared = shared.clone();
            move || {
                let outcome = run(&shared, open);
                // Nobody takes frames any more.
                shared.is_free.store(false, Ordering::Release);
                outcome
            }
        })?;
        Ok(CleanFeed { shared, thread: Some(thread) })
    }

    /// A frame that the main output has just shown. Never waits for the feed.
    pub fn offer(&self, frame: &Frame) {
        if self.shared.is_free.swap(false, Ordering::AcqRel) {
            self.put(Item::Frame(frame.clone()));
        } else {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// There is no signal: the feed goes black, so that it shows nothing old.
    pub fn offer_blank(&self, width: usize, height: usize) {
        self.put(Item::Blank(width, height));
    }

    pub fn counts(&self) -> FeedCounts {
        let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FeedCounts { shown: get(&self.shared.shown), dropped: get(&self.shared.dropped) }
    }

    fn put(&self, item: Item) {
        *lock(&self.shared) = Some(item);
        self.shared.bell.notify_one();
    }

    /// Ends the thread; what its output was, or why it ended before.
    pub fn finish(mut self) -> (FeedCounts, Result<OutputInfo, DisplayError>) {
        let outcome = self.end();
        (self.counts(), outcome)
    }

    fn end(&mut self) -> Result<OutputInfo, DisplayError> {
        self.put(Item::End);
        let Some(thread) = self.thread.take() else { return Err(DisplayError::NothingShown) };
        thread.join().unwrap_or(Err(DisplayError::NothingShown))
    }
}

impl Drop for CleanFeed {
    fn drop(&mut self) {
        if self.thread.is_some() {
            let _ = self.end();
        }
    }
}

fn run(shared: &Shared, open: OpenFeed) -> Result<OutputInfo, DisplayError> {
    let mut output = open()?;
    let mut copies: Option<FrameRing> = None;
    loop {
        shared.is_free.store(true, Ordering::Release);
        let mut next = lock(shared);
        let item = loop {
            match next.take() {
                Some(item) => break item,
                None => next = shared.bell.wait(next).unwrap_or_else(|poisoned| poisoned.into_inner()),
            }
        };
        drop(next);
        shared.is_free.store(false, Ordering::Release);
        match item {
            Item::End => return Ok(output.describe()),
            Item::Blank(width, height) => {
                show(&mut *output, Picture::Blank(width, height))?;
            }
            Item::Frame(frame) => {
                let copy = copied(&mut copies, &frame);
                drop(frame);
                match copy {
                    Some(copy) => {
                        show(&mut *output, Picture::New(&copy))?;
                        shared.shown.fetch_add(1, Ordering::Relaxed);
                    }
                    None => {
                        shared.dropped.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

/// A graphics device that is lost takes the second monitor no more than the first: where there is another way, that goes on.
fn show(output: &mut dyn Output, picture: Picture<'_>) -> Result<(), DisplayError> {
    let Err(error) = output.show(picture, &[]) else { return Ok(()) };
    let is_passing = matches!(error.kind(), ErrorKind::Retry | ErrorKind::Degrade);
    let Some(words) = is_passing.then(|| output.recover(&error)).flatten() else { return Err(error) };
    tracing::error!("clean feed: {words}");
    output.show(picture, &[]).map(drop)
}

/// The frame in memory of the feed's own; None where there is none.
fn copied(copies: &mut Option<FrameRing>, frame: &Frame) -> Option<Frame> {
    if copies.as_ref().is_none_or(|ring| ring.layout() != frame.layout()) {
        *copies = Some(FrameRing::new(*frame.layout()).ok()?);
    }
    let mut writer = copies.as_ref()?.acquire()?;
    let (view, data) = (frame.view(), writer.data_mut());
    for (index, plane) in frame.layout().planes().iter().enumerate() {
        for row in 0..plane.rows {
            data[plane.offset + row * plane.stride..][..plane.row_bytes].copy_from_slice(view.row(index, row));
        }
    }
    Some(writer.publish(frame.stamps()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::display::{Headless, HeadlessGpu, PresentedView, Rescued, Shown};
    use crate::overlay::Layer;
    use crate::overlay::gpu::test_gpu;
    use crate::overlay::host::{Target, compose_full};
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
    use std::sync::mpsc;
    use std::time::Duration;

    /// A headless output that tells what it showed, and can be held up.
    struct Watched {
        inner: Headless,
        shown: mpsc::Sender<Vec<u8>>,
        may_go: Option<mpsc::Receiver<()>>,
    }

    impl Output for Watched {
        fn describe(&self) -> OutputInfo {
            self.inner.describe()
        }

        fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
            let shown = self.inner.show(picture, layers)?;
            self.shown.send(self.inner.presented()?.data.to_vec()).unwrap();
            if let Some(may_go) = &self.may_go {
                let _ = may_go.recv();
            }
            Ok(shown)
        }

        fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
            self.inner.presented()
        }
    }

    fn feed(may_go: Option<mpsc::Receiver<()>>) -> (CleanFeed, mpsc::Receiver<Vec<u8>>) {
        let (shown, seen) = mpsc::channel();
        let open = move || Ok(Box::new(Watched { inner: Headless::new(Arc::new(MonotonicClock), None), shown, may_go }) as Box<dyn Output>);
        (CleanFeed::start(Box::new(open)).unwrap(), seen)
    }

    fn offer_until_taken(feed: &CleanFeed, frame: &Frame) {
        while !feed.shared.is_free.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        feed.offer(frame);
    }

    #[test]
    fn the_clean_feed_is_the_input_converted_and_nothing_else() {
        let (feed, seen) = feed(None);
        for (round, format) in FORMATS.into_iter().enumerate() {
            let (width, height) = (128 + 16 * round, 72);
            let picture = Owned::noise(format, COLORIMETRIES[round % COLORIMETRIES.len()], width, height, round as u64);
            offer_until_taken(&feed, &picture.frame());
            let mut wish = vec![0; 4 * width * height];
            compose_full(&picture.view(), &[], &mut Target { data: &mut wish, stride: 4 * width, width, height }).unwrap();
            assert!(seen.recv().unwrap() == wish, "{format:?}");
        }
        feed.offer_blank(16, 16);
        assert!(seen.recv().unwrap().chunks_exact(4).all(|p| p == [0, 0, 0, 255]), "no signal is black");
        let (counts, outcome) = feed.finish();
        assert_eq!(counts, FeedCounts { shown: FORMATS.len() as u64, dropped: 0 });
        outcome.unwrap();
    }

    #[test]
    fn a_graphics_device_that_is_lost_leaves_the_feed_its_picture() {
        let test = "a_graphics_device_that_is_lost_leaves_the_feed_its_picture";
        let Some(gpu) = test_gpu(test) else { return };
        let (shown, seen) = mpsc::channel();
        // Destroyed before its first picture.
        gpu.device.destroy();
        let open = move || {
            let watched =
                move || Box::new(Watched { inner: Headless::new(Arc::new(MonotonicClock), None), shown: shown.clone(), may_go: None });
            let lost = Box::new(HeadlessGpu::new(gpu, Arc::new(MonotonicClock)));
            Ok(Box::new(Rescued::new(lost, Box::new(move || Ok(watched() as Box<dyn Output>)))) as Box<dyn Output>)
        };
        let feed = CleanFeed::start(Box::new(open)).unwrap();
        for round in 0..2 {
            offer_until_taken(&feed, &Owned::noise(FORMATS[0], COLORIMETRIES[1], 64, 48, round).frame());
            assert_eq!(seen.recv_timeout(Duration::from_secs(20)).expect("a picture").len(), 4 * 64 * 48);
        }
        let (counts, outcome) = feed.finish();
        assert_eq!((counts, outcome.unwrap().compositor), (FeedCounts { shown: 2, dropped: 0 }, "host"));
    }

    #[test]
    fn a_feed_that_is_stuck_costs_counted_frames_and_holds_none() {
        let (let_go, may_go) = mpsc::channel();
        let (feed, seen) = feed(Some(may_go));
        let ring = Owned::noise(FORMATS[0], COLORIMETRIES[1], 64, 48, 1).frame().ring();
        let frame = || ring.acquire().unwrap().publish(crate::frame::Stamps { id: crate::base::ids::FrameId(1), pts_ns: 0, capture_ns: 0 });
        offer_until_taken(&feed, &frame());
        seen.recv().unwrap();
        // Many more than the ring has slots: none of them may stay with the feed.
        for _ in 0..40 {
            feed.offer(&frame());
        }
        assert_eq!(feed.counts(), FeedCounts { shown: 0, dropped: 40 });
        drop(let_go);
        let (counts, _) = feed.finish();
        assert_eq!(counts.shown, 1);
    }

    #[test]
    fn a_feed_that_cannot_be_opened_says_why_and_takes_nothing() {
        let feed = CleanFeed::start(Box::new(|| Err(DisplayError::Closed))).unwrap();
        let frame = Owned::noise(FORMATS[0], COLORIMETRIES[1], 64, 48, 1).frame();
        feed.offer(&frame);
        let (counts, outcome) = feed.finish();
        assert_eq!(counts.shown, 0);
        assert!(matches!(outcome, Err(DisplayError::Closed)));
    }
}
