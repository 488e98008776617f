//! An output whose graphics device may be lost (a driver that resets, a card that falls off its bus): another takes its place in the
//! same window, and the picture goes on. Whether an error is one to be rescued from is decided by whoever shows pictures.

use crate::display::monitor_watch::MonitorNote;
use crate::display::{Beside, DisplayError, Output, OutputInfo, Picture, PresentedView, Refresh, Shown};
use crate::overlay::Layer;

/// Opens what takes the place.
pub(super) type OpenAgain = Box<dyn FnMut() -> Result<Box<dyn Output>, DisplayError> + Send>;

pub(super) struct Rescued {
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

    fn monitor_note(&mut self) -> Option<MonitorNote> {
        self.output.as_mut()?.monitor_note()
    }

    fn recover(&mut self, error: &DisplayError) -> Option<String> {
        let lost = std::mem::take(&mut self.info.adapter);
        // Gone first: two cannot have the window.
        self.output = None;
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
