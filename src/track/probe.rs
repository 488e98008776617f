//! What the heads say of single pictures, pixel by pixel, read as at run time: for calibrating an engine. Nothing is followed.

use super::decode::TISSUE_SHOWN_FROM;
use super::maps::{INSTRUMENT, Maps, NOTHING, Window};
use super::regions::Regions;
use crate::base::ids::ClassId;
use crate::infer::{
    self, Engine, Fit, FrameView, HeadKind, HeadSpec, InferError, LockedEngine, Normaliser, OutputSpec, Preprocess, TensorLayout,
    TensorView,
};

/// An engine that is shown single pictures.
pub struct Probe {
    engine: Box<dyn Engine>,
    preprocess: Preprocess,
    normaliser: Option<Normaliser>,
    /// Tensor and meaning of the instrument and the tissue map.
    heads: Vec<(usize, OutputSpec)>,
    window: Window,
    maps: Maps,
    regions: Regions,
}

/// Something that is drawn as one and has one trust: an instrument, or all of a tissue.
#[derive(Debug, Clone, PartialEq)]
pub struct Drawn {
    /// `None`: an instrument.
    pub tissue: Option<ClassId>,
    /// Mean probability over its pixels.
    pub confidence: f32,
    /// Places in the map.
    pub pixels: Vec<usize>,
}

impl Probe {
    /// Errors as `infer::open`.
    pub fn open(engine: LockedEngine) -> Result<Self, InferError> {
        let cohort = engine.manifest.normalisation;
        let engine = infer::open(engine)?;
        let normaliser = cohort.map(|cohort| Normaliser::new(cohort, engine.input().clone()));
        let preprocess = Preprocess::new(engine.input().clone());
        let map = |head: &HeadSpec| match head {
            HeadSpec::Map { tensor, spec } if spec.kind != HeadKind::Finding => Some((*tensor, spec.clone())),
            _ => None,
        };
        let heads = engine.heads().iter().filter_map(map).collect();
        Ok(Probe { engine, preprocess, normaliser, heads, window: Window::default(), maps: Maps::default(), regions: Regions::default() })
    }

    /// The instrument and the tissue head, as the manifest has them.
    pub fn heads(&self) -> Vec<OutputSpec> {
        self.heads.iter().map(|(_, spec)| spec.clone()).collect()
    }

    /// Shows it a picture that stands alone.
    pub fn show(&mut self, view: FrameView<'_>) -> Result<(), InferError> {
        self.engine.forget();
        let fit = self.preprocess.run(view, self.engine.input_mut());
        if let Some(normaliser) = &mut self.normaliser {
            normaliser.forget();
            normaliser.run(self.engine.input_mut(), 0);
        }
        self.window = self.window_of(fit);
        self.engine.run()
    }

    fn window_of(&self, fit: Fit) -> Window {
        let input = [self.engine.input().width as usize, self.engine.input().height as usize];
        let Some((_, spec)) = self.heads.first() else { return Window::default() };
        super::decode::window_of(input, [spec.width, spec.height], fit)
    }

    /// Size of the maps over the picture.
    pub fn size(&self) -> [usize; 2] {
        [self.window.width, self.window.height]
    }

    /// The numbers of head `head` at a pixel of the map, a channel each, before any activation.
    pub fn numbers(&self, head: usize, x: usize, y: usize) -> impl Iterator<Item = f32> {
        let (tensor, spec) = &self.heads[head];
        let data = self.engine.tensor(*tensor);
        let (x, y) = (self.window.x + x, self.window.y + y);
        (0..spec.channels()).map(move |channel| match spec.layout {
            TensorLayout::Nchw => data[(channel * spec.height + y) * spec.width + x],
            TensorLayout::Nhwc => data[(y * spec.width + x) * spec.channels() + channel],
        })
    }

    /// Reads the last picture with these heads (`heads`, perhaps with another threshold or temperature). False: nothing can be
    /// said of it (numbers that are none, or noise).
    pub fn read(&mut self, heads: &[OutputSpec]) -> bool {
        let views: Vec<TensorView<'_>> =
            self.heads.iter().zip(heads).map(|((tensor, _), spec)| TensorView { spec, data: self.engine.tensor(*tensor) }).collect();
        self.maps.fill_alone(&views, self.window).is_ok()
            && self.regions.fill(&self.maps.labels, self.window.width, self.window.height).is_ok()
    }

    /// That each pixel is instrument; None without that head.
    pub fn instrument(&self) -> Option<&[f32]> {
        self.maps.has_instrument.then_some(&self.maps.instrument)
    }

    /// That each pixel is of channel `channel` of the tissue head.
    pub fn tissue(&self, channel: usize) -> &[f32] {
        let pixels = self.window.width * self.window.height;
        &self.maps.tissue[channel * pixels..][..pixels]
    }

    /// The contract's mask.
    pub fn mask(&self) -> &[u8] {
        &self.maps.mask
    }

    /// What would be drawn.
    pub fn drawn(&self) -> Vec<Drawn> {
        let mut drawn: Vec<Drawn> = Vec::new();
        for (index, region) in self.regions.list.iter().enumerate().filter(|(_, region)| region.label != NOTHING) {
            let pixels = self.regions.pixels(index).map(|(_, _, at)| at);
            if region.label == INSTRUMENT {
                drawn.push(Drawn { tissue: None, confidence: 0.0, pixels: pixels.collect() });
                continue;
            }
            let class = ClassId(region.label);
            match drawn.iter_mut().find(|other| other.tissue == Some(class)) {
                Some(other) => other.pixels.extend(pixels),
                None => drawn.push(Drawn { tissue: Some(class), confidence: 0.0, pixels: pixels.collect() }),
            }
        }
        let least = TISSUE_SHOWN_FROM * (self.window.width * self.window.height) as f32;
        drawn.retain(|one| one.tissue.is_none() || one.pixels.len() as f32 >= least);
        for one in &mut drawn {
            let map = match one.tissue {
                None => &self.maps.instrument[..],
                Some(class) => match self.maps.tissue_classes.iter().position(|other| *other == class) {
                    Some(channel) => self.tissue(channel),
                    None => continue,
                },
            };
            let sum: f64 = one.pixels.iter().map(|&at| f64::from(map[at])).sum();
            one.confidence = (sum / one.pixels.len() as f64) as f32;
        }
        drawn
    }
}
