//! An output whose graphics device may be lost (a driver that resets, a card that falls off its bus): another takes its place in the
//! same window or on the same monitor, and the picture goes on. Whether an error is one to be rescued from is decided by whoever shows pictures.

use crate::display::monitor_watch::MonitorNote;
use crate::display::{Beside, CodeBeside, DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Shown};
use crate::overlay::Layer;
use crate::overlay::gpu::Gpu;
use std::time::Duration;

/// A device that hangs may let go of nothing: nobody waits longer for it before another way is taken.
const LET_GO: Duration = Duration::from_millis(100);

/// Opens what takes the place.
pub type OpenAgain = Box<dyn FnMut() -> Result<Box<dyn Output>, DisplayError> + Send>;

pub struct Rescued {
    /// None only while it is exchanged, or when that has failed.
    output: Option<Box<dyn Output>>,
    info: OutputInfo,
    instead: OpenAgain,
    /// It has nothing of the picture that is on the screen.
    is_fresh: bool,
}

impl Rescued {
    pub fn new(output: Box<dyn Output>, instead: OpenAgain) -> Self {
        Rescued { info: output.describe(), output: Some(output), instead, is_fresh: true }
    }
}

impl Output for Rescued {
    fn describe(&self) -> OutputInfo {
        self.info.clone()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.output.as_ref()?.gpu()
    }

    fn refresh(&self) -> Option<Refresh> {
        self.output.as_ref()?.refresh()
    }

    fn screen(&self) -> Option<(usize, usize)> {
        self.output.as_ref()?.screen()
    }

    fn set_beside(&mut self, beside: Option<Beside<'_>>) {
        if let Some(output) = &mut self.output {
            output.set_beside(beside);
        }
    }

    fn set_code(&mut self, code: Option<CodeBeside<'_>>) -> bool {
        self.output.as_mut().is_some_and(|output| output.set_code(code))
    }

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        self.output.as_mut()?.monitor_note()
    }

    fn recover(&mut self, error: &DisplayError) -> Option<String> {
        let lost = std::mem::take(&mut self.info.adapter);
        // Gone first, if it can be: on Wayland two cannot have the window.
        if let Some(output) = self.output.take() {
            let_go(output);
        }
        match (self.instead)() {
            Ok(output) => {
                self.info = output.describe();
                (self.output, self.is_fresh) = (Some(output), true);
                Some(format!("the graphics device '{lost}' was lost ({error}); the picture goes on by {}", self.info.adapter))
            }
            Err(worse) => {
                tracing::error!(%worse, "the graphics device '{lost}' was lost, and nothing can take its place");
                None
            }
        }
    }

    fn lose_device(&mut self) -> bool {
        self.output.as_mut().is_some_and(|output| output.lose_device())
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let picture = match picture {
            Picture::Again(frame) if self.is_fresh => Picture::New(frame),
            other => other,
        };
        let shown = self.output.as_mut().ok_or(DisplayError::NothingShown)?.show(picture, layers)?;
        self.is_fresh = false;
        Ok(shown)
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        self.output.as_mut().ok_or(DisplayError::NothingShown)?.presented()
    }
}

/// Closes an output that has failed. Its driver may wait for a device that never answers, or panic: not on the thread that shows pictures.
fn let_go(output: Box<dyn Output>) {
    let (closed, is_closed) = crossbeam_channel::bounded::<()>(0);
    let close = move || {
        drop(output);
        drop(closed);
    };
    // Where no thread can be had it is closed here.
    if std::thread::Builder::new().name("lost-gpu".into()).spawn(close).is_ok() {
        let _ = is_closed.recv_timeout(LET_GO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::MonotonicClock;
    use crate::display::Headless;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};
    use std::sync::{Arc, mpsc};

    /// Its driver waits for a device that hangs: nothing of it comes back, not even from being closed.
    struct Hung {
        _until: Until,
    }

    struct Until(mpsc::Receiver<()>);

    impl Drop for Until {
        fn drop(&mut self) {
            let _ = self.0.recv();
            panic!("what a driver may do, too");
        }
    }

    impl Output for Hung {
        fn describe(&self) -> OutputInfo {
            OutputInfo { display: "headless", adapter: "a card".into(), compositor: "wgpu" }
        }

        fn show(&mut self, _: Picture<'_>, _: &[&Layer]) -> Result<Shown, DisplayError> {
            Err(DisplayError::Surface { reason: "it has no free picture in time".into() })
        }

        fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
            Err(DisplayError::NothingShown)
        }
    }

    #[test]
    fn a_device_that_hangs_even_while_it_is_closed_holds_up_no_picture() {
        let (let_go, until) = mpsc::channel();
        let instead = || Ok(Box::new(Headless::new(Arc::new(MonotonicClock), None)) as Box<dyn Output>);
        let mut output = Rescued::new(Box::new(Hung { _until: Until(until) }), Box::new(instead));
        let picture = Owned::noise(FORMATS[0], COLORIMETRIES[0], 64, 48, 1).frame();
        let error = output.show(Picture::New(&picture), &[]).unwrap_err();
        let words = output.recover(&error).unwrap();
        assert!(words.contains("'a card' was lost") && words.contains("in time") && words.contains("memory"), "{words}");
        // It never had the first one; the lost device is still being closed.
        output.show(Picture::Again(&picture), &[]).unwrap();
        assert_eq!((output.presented().unwrap().width, output.describe().compositor), (64, "host"));
        drop(let_go);
    }

    #[test]
    fn where_nothing_can_take_its_place_the_error_stands() {
        let (let_go, until) = mpsc::channel();
        drop(let_go);
        let mut output = Rescued::new(Box::new(Hung { _until: Until(until) }), Box::new(|| Err(DisplayError::Closed)));
        assert_eq!(output.recover(&DisplayError::NothingShown), None);
        assert!(matches!(output.show(Picture::Blank(16, 16), &[]), Err(DisplayError::NothingShown)));
    }
}
