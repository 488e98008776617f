//! No display: pictures are composed as for one and stay in memory.

use crate::base::clock::Clock;
use crate::base::rate::Rate;
use crate::display::canvas::Canvas;
use crate::display::rescue::Rescued;
use crate::display::{DisplayError, Output, OutputInfo, Picture, PresentedView, Presenter, Refresh, Settings, Shown};
use crate::overlay::Layer;
use crate::overlay::gpu::{self, Gpu, GpuCompositor, Source};
use std::sync::Arc;

/// The host compositor into memory; its present is that the composed buffer can be read.
pub struct Headless {
    clock: Arc<dyn Clock>,
    canvas: Canvas,
    data: Vec<u8>,
    has_shown: bool,
    refresh: Option<Refresh>,
}

impl Headless {
    /// With `refresh`, pictures are taken at that rate only, as a monitor takes them; without, as they come.
    pub fn new(clock: Arc<dyn Clock>, refresh: Option<Rate>) -> Self {
        let refresh = refresh.map(|rate| Refresh { rate, origin_ns: clock.now_ns() });
        Headless { clock, canvas: Canvas::new(), data: Vec::new(), has_shown: false, refresh }
    }
}

impl Output for Headless {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "headless", adapter: "memory".into(), compositor: "host" }
    }

    fn refresh(&self) -> Option<Refresh> {
        self.refresh
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        let (width, height) = picture.size();
        self.data.resize(4 * width * height, 0);
        self.has_shown = false;
        self.canvas.compose(picture, layers, &mut self.data)?;
        self.has_shown = true;
        let composed_ns = self.clock.now_ns();
        if let Some(refresh) = &self.refresh {
            self.clock.sleep_until_ns(refresh.next_ns(composed_ns));
        }
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: composed_ns - start_ns, present_ns: done_ns - composed_ns, flip_ns: None })
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        let (width, height) = self.canvas.size();
        if !self.has_shown {
            return Err(DisplayError::NothingShown);
        }
        Ok(PresentedView { data: &self.data, stride: 4 * width, width, height })
    }
}

/// The wgpu compositor into a texture of its own.
pub struct HeadlessGpu {
    clock: Arc<dyn Clock>,
    compositor: GpuCompositor,
    read: Vec<u8>,
}

impl HeadlessGpu {
    pub fn new(gpu: Gpu, clock: Arc<dyn Clock>) -> Self {
        HeadlessGpu { clock, compositor: GpuCompositor::new(gpu, gpu::OFFSCREEN_FORMAT), read: Vec::new() }
    }
}

impl Output for HeadlessGpu {
    fn describe(&self) -> OutputInfo {
        OutputInfo { display: "headless", adapter: self.compositor.gpu().name.clone(), compositor: "wgpu" }
    }

    fn gpu(&self) -> Option<&Gpu> {
        Some(self.compositor.gpu())
    }

    fn lose_device(&mut self) -> bool {
        self.compositor.gpu().device.destroy();
        true
    }

    fn show(&mut self, picture: Picture<'_>, layers: &[&Layer]) -> Result<Shown, DisplayError> {
        let start_ns = self.clock.now_ns();
        upload(&mut self.compositor, picture, layers)?;
        self.compositor.draw_offscreen()?;
        let done_ns = self.clock.now_ns();
        Ok(Shown { done_ns, compose_ns: done_ns - start_ns, present_ns: 0, flip_ns: None })
    }

    fn presented(&mut self) -> Result<PresentedView<'_>, DisplayError> {
        let (width, height) = self.compositor.read_back(&mut self.read)?;
        Ok(PresentedView { data: &self.read, stride: 4 * width, width, height })
    }
}

/// The output of a run without a display. It composes on a GPU where `presenter` says so, or where `wants_gpu` (pictures lie on one) and
/// there is a real one; a monitor's rate (`refresh_hz`) is kept by the host compositor only. A device that is lost is followed by that.
pub fn open_headless(settings: &Settings, wants_gpu: bool, clock: Arc<dyn Clock>) -> Result<Box<dyn Output>, DisplayError> {
    let (refresh, again) = (settings.refresh_hz, clock.clone());
    let host = move || Ok(Box::new(Headless::new(again.clone(), refresh)) as Box<dyn Output>);
    let open = || Gpu::new(&gpu::instance(), None);
    let gpu = match settings.presenter {
        Presenter::Wgpu if refresh.is_none() => Some(open()?),
        Presenter::Auto if refresh.is_none() && wants_gpu => open().ok().filter(|gpu| !gpu.is_software),
        _ => None,
    };
    match gpu {
        Some(gpu) => Ok(Box::new(Rescued::new(Box::new(HeadlessGpu::new(gpu, clock)), Box::new(host)))),
        None => host(),
    }
}

/// Brings a picture to the device; one that is shown again is there already.
pub(super) fn upload(compositor: &mut GpuCompositor, picture: Picture<'_>, layers: &[&Layer]) -> Result<(), DisplayError> {
    let uploaded = match picture {
        Picture::New(frame) => match frame.buffer_on(&compositor.gpu().device) {
            Some(buffer) => compositor.upload(Source::OnDevice(frame.layout(), buffer), layers),
            None => compositor.upload(Source::New(&frame.view()), layers),
        },
        Picture::Again(frame) => compositor.upload(Source::Again(frame.layout()), layers),
        Picture::Blank(width, height) => compositor.upload(Source::Blank(width, height), layers),
    };
    Ok(uploaded?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::{ManualClock, MonotonicClock};
    use crate::overlay::gpu::test_gpu;
    use crate::overlay::host::tests::noise_layer;
    use crate::overlay::testing::{COLORIMETRIES, FORMATS, Owned};

    fn bytes(output: &mut dyn Output) -> Vec<u8> {
        let view = output.presented().unwrap();
        (0..view.height).flat_map(|y| view.row(y).to_vec()).collect()
    }

    #[test]
    fn both_headless_outputs_present_the_same_pictures() {
        let Some(gpu) = test_gpu("both_headless_outputs_present_the_same_pictures") else { return };
        let mut host = Headless::new(Arc::new(MonotonicClock), None);
        let mut wgpu = HeadlessGpu::new(gpu, Arc::new(MonotonicClock));
        for (i, (width, height)) in [(160, 90), (160, 90), (97, 55), (640, 360)].into_iter().enumerate() {
            let frame = Owned::noise(FORMATS[i % 3], COLORIMETRIES[i], width, height, i as u64).frame();
            let layers: Vec<Layer> = (0..6).map(|seed| noise_layer(width, height, seed + i as u64)).collect();
            let show = [
                (Picture::New(&frame), vec![&layers[0], &layers[1]]),
                (Picture::Again(&frame), vec![&layers[2], &layers[3]]),
                (Picture::Again(&frame), vec![]),
                (Picture::Blank(width, height), vec![&layers[4]]),
                (Picture::Again(&frame), vec![&layers[5]]),
            ];
            for (step, (picture, layers)) in show.into_iter().enumerate() {
                host.show(picture, &layers).unwrap();
                wgpu.show(picture, &layers).unwrap();
                assert!(bytes(&mut host) == bytes(&mut wgpu), "size {i} step {step}");
            }
        }
        assert_eq!((host.describe().compositor, wgpu.describe().compositor), ("host", "wgpu"));
    }

    #[test]
    fn presents_are_stamped_by_the_injected_clock_and_nothing_shown_is_an_error() {
        let clock = Arc::new(ManualClock::at(5_000));
        let mut output = Headless::new(clock.clone(), None);
        assert!(matches!(output.presented(), Err(DisplayError::NothingShown)));
        assert_eq!(
            output.show(Picture::Blank(32, 32), &[]).unwrap(),
            Shown { done_ns: 5_000, compose_ns: 0, present_ns: 0, flip_ns: None }
        );
        let wrong = Layer::new(31, 32);
        assert!(matches!(output.show(Picture::Blank(32, 32), &[&wrong]), Err(DisplayError::Overlay(_))));
        assert!(matches!(output.presented(), Err(DisplayError::NothingShown)), "what was not shown is not presented");
    }

    #[test]
    fn again_of_a_frame_that_is_not_on_the_screen_shows_it_whole() {
        let mut output = Headless::new(Arc::new(MonotonicClock), None);
        let (a, b) =
            (Owned::noise(FORMATS[0], COLORIMETRIES[1], 64, 48, 1).frame(), Owned::noise(FORMATS[0], COLORIMETRIES[1], 64, 48, 2).frame());
        output.show(Picture::New(&b), &[]).unwrap();
        let wish = bytes(&mut output);
        output.show(Picture::New(&a), &[]).unwrap();
        output.show(Picture::Again(&b), &[]).unwrap();
        assert!(bytes(&mut output) == wish);
    }
}
