//! `Maps` made on a device: where the picture stands still, what the model's outputs say of each pixel, and of that what the host goes
//! on with, from where it all lies there. Only what is measured is brought here; probabilities stay. How much that is depends on the
//! borders in the picture: two bytes for each stretch of a row, four or eight for each pixel of a border.
//!
//! ```text
//!   input ─► stillness ─┐
//!   outputs ────────────┴► decode ─┬─► mask_runs ──────────────────────────┬─► here: Maps, Measured
//!                                  └─► split ─► regions ─┬─► crossings ────┤
//!                                                        └─► region_sums ──┘
//! ```

use super::results::{CountedList, Sides};
use super::sums::PIECES;
use super::{CrossingsPlan, DecodePlan, RegionOnGpu, RegionSumsPlan, RegionsPlan, RunsPlan, SplitPlan, StillnessPlan, pairs, unfold};
use crate::frame::cuda::{
    CROSSINGS, CudaError, DECODE, Device, DeviceBuffer, DeviceSpan, Kernel, MASK_RUNS, Param, Payload, REGION_SUMS, REGIONS, SPLIT,
    STILLNESS, Stream,
};
use crate::infer::cuda::{Gpu, Number};
use crate::infer::{DeviceInput, DeviceOutput, Engine, Fit, HeadKind, InferError, InputSpec, OutputSpec};
use crate::track::decode::{MAX_INSTRUMENTS, window_and_mapping};
use crate::track::maps::{Maps, Window};
use crate::track::measured::{InstrumentSums, Measured};
use crate::track::outline::Mapping;
use crate::track::split::Expected;
use bytemuck::{bytes_of, pod_read_unaligned};

/// What it launches.
pub const MAP_KERNELS: [Kernel; 7] = [STILLNESS, DECODE, MASK_RUNS, SPLIT, REGIONS, CROSSINGS, REGION_SUMS];

/// Of one engine; takes its memory once.
#[derive(Debug)]
pub struct DeviceMaps {
    input: InputSpec,
    is_half: bool,
    stillness: StillnessPlan,
    reference: DeviceBuffer,
    now: DeviceBuffer,
    off: DeviceBuffer,
    share: DeviceBuffer,
    /// Of the frame before; None: there was none.
    last_ns: Option<u64>,
    /// Of what the probabilities there are: with another shape nothing is averaged.
    averaged: Option<(Window, usize)>,
    /// What is being decoded; None: nothing.
    begun: Option<Begun>,
    /// Of what was begun last: size and place of its maps, whether its labels were cut apart, and whether it has instruments.
    laid: Option<(Window, Mapping, [bool; 2])>,
    planes: Planes,
    regions: Regions,
    certainty: Sides,
    odd: Sides,
    /// What the maps' pixels may be.
    pairs: Vec<(u8, u8)>,
    runs: CountedList,
    crossings: CountedList,
    tissue_sums: Sides,
    instruments: Sides,
}

/// How much of it is brought here.
#[derive(Debug, Clone, Copy)]
struct Begun {
    window: Window,
    certainties: usize,
    tissue_classes: usize,
    has_instrument: bool,
}

/// What lies there of the last frame that was begun.
#[derive(Debug, Clone, Copy)]
pub struct Laid<'a> {
    /// Of the maps, and how they lie in the picture.
    pub size: [usize; 2],
    pub mapping: Mapping,
    /// As the regions were found in them.
    pub labels: DeviceSpan<'a>,
    pub mask: DeviceSpan<'a>,
    pub map: DeviceSpan<'a>,
    pub list: DeviceSpan<'a>,
    /// `InstrumentSums`; None: there is no such head.
    pub instruments: Option<DeviceSpan<'a>>,
}

/// What is decoded, and stays there.
#[derive(Debug)]
struct Planes {
    tissue: DeviceBuffer,
    instrument: DeviceBuffer,
    labels: DeviceBuffer,
    mask: DeviceBuffer,
    confidence: DeviceBuffer,
    /// To which instrument a pixel belongs, and the labels cut apart by it.
    owner: DeviceBuffer,
    cut: DeviceBuffer,
}

/// As `RegionsPlan` says.
#[derive(Debug)]
struct Regions {
    parent: DeviceBuffer,
    area: DeviceBuffer,
    into: DeviceBuffer,
    number: DeviceBuffer,
    counts: DeviceBuffer,
    runs: DeviceBuffer,
    map: DeviceBuffer,
    list: DeviceBuffer,
    count: DeviceBuffer,
}

impl Regions {
    fn new(device: &Device, pixels: usize) -> Result<Self, InferError> {
        let numbers = |count: usize| device.buffer(count * size_of::<u32>());
        Ok(Regions {
            parent: numbers(pixels)?,
            area: numbers(pixels)?,
            into: numbers(pixels)?,
            number: numbers(pixels)?,
            counts: numbers(RegionsPlan::new([pixels, 1]).blocks())?,
            runs: numbers(1)?,
            map: device.buffer(pixels * size_of::<u16>())?,
            list: device.buffer(RegionsPlan::MOST_REGIONS * size_of::<RegionOnGpu>())?,
            count: numbers(1)?,
        })
    }

    fn find(&self, device: &Device, stream: &Stream, plan: &RegionsPlan, labels: DeviceSpan<'_>) -> Result<(), InferError> {
        let memory = |buffer| Param::Memory(DeviceBuffer::span(buffer));
        let (params, labels) = (Param::Value(bytes_of(&plan.params)), Param::Memory(labels));
        let [parent, area, into, number] = [&self.parent, &self.area, &self.into, &self.number].map(memory);
        let [runs, map, list, count, counts] = [&self.runs, &self.map, &self.list, &self.count, &self.counts].map(memory);
        stream.clear(self.runs.span())?;
        device.launch(stream, &plan.start, &[params, labels, parent, area, runs])?;
        device.launch(stream, &plan.join, &[params, labels, parent])?;
        device.launch(stream, &plan.measure, &[params, parent, area, number])?;
        device.launch(stream, &plan.settle, &[params, labels, number, area, into, counts])?;
        device.launch(stream, &plan.number, &[params, labels, into, counts, number, list, count])?;
        Ok(device.launch(stream, &plan.map, &[params, into, number, map, list])?)
    }
}

impl DeviceMaps {
    /// For these heads, at most one of either kind. None: the kernels cannot do it, or the model does not run on a device.
    pub fn new(heads: &[(usize, OutputSpec)], engine: &mut dyn Engine) -> Result<Option<Self>, InferError> {
        let Some(input) = engine.device_input().map(|to| to.number) else { return Ok(None) };
        let numbers: Option<Vec<Number>> =
            heads.iter().map(|(tensor, _)| engine.device_output(*tensor).map(|tensor| tensor.number)).collect();
        let [first, rest @ ..] = &numbers.unwrap_or_default()[..] else { return Ok(None) };
        let specs: Vec<&OutputSpec> = heads.iter().map(|(_, spec)| spec).collect();
        let (spec, is_half) = (engine.input().clone(), *first == Number::F16);
        let whole = Fit { x: 0, y: 0, width: spec.width as usize, height: spec.height as usize };
        let plan = DecodePlan::new(&specs, &spec, whole, [0; 2], is_half).filter(|_| rest.iter().all(|number| number == first));
        let (Some(plan), Some(to)) = (plan, engine.device_input()) else { return Ok(None) };
        MAP_KERNELS.iter().try_for_each(|kernel| to.gpu.load(kernel))?;
        let device = to.gpu.device();
        let stillness = StillnessPlan::new(&spec, input == Number::F16);
        let blocks = (stillness.params.blocks[0] * stillness.params.blocks[1]) as usize;
        let [width, height] = plan.params.output.map(|side| side as usize);
        let (pixels, float, channels) = (width * height, size_of::<f32>(), plan.params.tissue.channels as usize);
        let pairs = pairs(specs.iter().copied());
        let list_blocks = RunsPlan::new(pixels, &pairs).blocks();
        Ok(Some(DeviceMaps {
            is_half,
            stillness,
            reference: device.buffer(3 * blocks * float)?,
            now: device.buffer(3 * blocks * float)?,
            off: device.buffer(blocks * float)?,
            share: device.buffer(blocks * float)?,
            last_ns: None,
            averaged: None,
            begun: None,
            laid: None,
            planes: Planes {
                tissue: device.buffer(channels * pixels * float)?,
                instrument: device.buffer(pixels * float)?,
                labels: device.buffer(pixels)?,
                mask: device.buffer(pixels)?,
                confidence: device.buffer(pixels * float)?,
                owner: device.buffer(pixels)?,
                cut: device.buffer(pixels)?,
            },
            regions: Regions::new(device, pixels)?,
            certainty: Sides::new(device, plan.certainties() * float)?,
            odd: Sides::new(device, float)?,
            pairs,
            runs: CountedList::new(device, list_blocks, size_of::<u16>(), pixels)?,
            crossings: CountedList::new(device, list_blocks, float, 4 * pixels)?,
            tissue_sums: Sides::new(device, channels * PIECES * size_of::<u64>())?,
            instruments: Sides::new(device, MAX_INSTRUMENTS * size_of::<InstrumentSums>())?,
            input: spec,
        }))
    }

    /// The next frame does not follow on the last one.
    pub fn forget(&mut self) {
        self.last_ns = None;
    }

    /// Looks at what the network is shown, as it lies there.
    pub fn watch(&mut self, to: &DeviceInput<'_>, capture_ns: u64) -> Result<(), InferError> {
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        self.stillness.follow(self.last_ns.map(|last| capture_ns.saturating_sub(last) as f32 / 1e9));
        self.last_ns = Some(capture_ns);
        let params = Param::Value(bytes_of(&self.stillness.params));
        let [reference, now, off, share] = [&self.reference, &self.now, &self.off, &self.share].map(|memory| Param::Memory(memory.span()));
        device.launch(stream, &self.stillness.compare, &[params, Param::Memory(to.numbers), reference, now, off])?;
        Ok(device.launch(stream, &self.stillness.share, &[params, now, off, reference, share])?)
    }

    /// Has the outputs of the last run decoded and measured, which may still be running. `fit`: where in the input the picture lies, which
    /// has the size `picture`; `expected`: where instruments are.
    pub fn begin(
        &mut self,
        heads: &[(usize, OutputSpec)],
        engine: &dyn Engine,
        (fit, picture): (Fit, [usize; 2]),
        expected: &[Expected],
    ) -> Result<(), InferError> {
        let elsewhere = || CudaError::Elsewhere;
        let [(_, first), ..] = heads else { return Err(elsewhere().into()) };
        let both = [first, heads.last().map_or(first, |(_, spec)| spec)];
        let specs = &both[..heads.len().min(2)];
        let (window, mapping) = window_and_mapping(&self.input, Some(first), fit, picture);
        let shape = (window, specs.iter().map(|spec| spec.channels()).sum());
        let blocks = self.stillness.params.blocks.map(|side| side as usize);
        let share = if self.averaged.replace(shape) == Some(shape) { blocks } else { [0; 2] };
        let plan = DecodePlan::new(specs, &self.input, fit, share, self.is_half).ok_or_else(elsewhere)?;
        let gpu = engine.gpu().ok_or_else(elsewhere)?;
        let (device, stream) = (gpu.device(), gpu.stream());
        let logits = |kind| {
            let tensor = heads.iter().find(|(_, spec)| spec.kind == kind).and_then(|(tensor, _)| engine.device_output(*tensor));
            tensor.map_or(Param::Nothing, |DeviceOutput { numbers, .. }| Param::Memory(numbers))
        };
        stream.clear(self.odd.there.span())?;
        let arguments = [
            Param::Value(bytes_of(&plan.params)),
            logits(HeadKind::Tissue),
            logits(HeadKind::Instrument),
            Param::Memory(self.share.span()),
            Param::Memory(self.planes.tissue.span()),
            Param::Memory(self.planes.instrument.span()),
            Param::Memory(self.planes.labels.span()),
            Param::Memory(self.planes.mask.span()),
            Param::Memory(self.planes.confidence.span()),
            Param::Memory(self.certainty.there.span()),
            Param::Memory(self.odd.there.span()),
        ];
        device.launch(stream, &plan.launch, &arguments)?;
        self.list_runs(device, stream, window)?;
        self.measure(device, stream, specs, (window, &mapping), expected)?;
        let classes = |kind| specs.iter().find(|spec| spec.kind == kind).map(|spec| spec.channels());
        self.begun = Some(Begun {
            window,
            certainties: plan.certainties(),
            tissue_classes: classes(HeadKind::Tissue).unwrap_or(0),
            has_instrument: classes(HeadKind::Instrument).is_some(),
        });
        Ok(())
    }

    /// Has what comes out of it brought here.
    pub fn bring_measured(&mut self, stream: &Stream) -> Result<(), InferError> {
        let Some(Begun { certainties, tissue_classes, has_instrument, .. }) = self.begun else { return Ok(()) };
        self.odd.bring(stream, size_of::<u32>())?;
        self.certainty.bring(stream, certainties * size_of::<f32>())?;
        self.runs.bring(stream)?;
        self.crossings.bring(stream)?;
        self.tissue_sums.bring(stream, tissue_classes * PIECES * size_of::<u64>())?;
        self.instruments.bring(stream, if has_instrument { MAX_INSTRUMENTS * size_of::<InstrumentSums>() } else { 0 })
    }

    /// Where the frame lies that was begun last.
    pub fn laid(&self) -> Option<Laid<'_>> {
        let (window, mapping, [is_cut, has_instrument]) = self.laid?;
        Some(Laid {
            size: [window.width, window.height],
            mapping,
            labels: if is_cut { &self.planes.cut } else { &self.planes.labels }.span(),
            mask: self.planes.mask.span(),
            map: self.regions.map.span(),
            list: self.regions.list.span(),
            instruments: has_instrument.then(|| self.instruments.there.span()),
        })
    }

    fn list_runs(&mut self, device: &Device, stream: &Stream, window: Window) -> Result<(), InferError> {
        let plan = RunsPlan::new(window.width * window.height, &self.pairs);
        let params = Param::Value(bytes_of(&plan.params));
        let [labels, mask, counts, runs, total] =
            [&self.planes.labels, &self.planes.mask, &self.runs.counts, &self.runs.list.items.there, &self.runs.total.there]
                .map(|memory| Param::Memory(memory.span()));
        device.launch(stream, &plan.count, &[params, labels, mask, counts])?;
        Ok(device.launch(stream, &plan.list, &[params, labels, mask, counts, runs, total])?)
    }

    fn measure(
        &mut self,
        device: &Device,
        stream: &Stream,
        specs: &[&OutputSpec],
        (window, mapping): (Window, &Mapping),
        expected: &[Expected],
    ) -> Result<(), InferError> {
        let size = [window.width, window.height];
        let mut labels = self.planes.labels.span();
        let has_instrument = specs.iter().any(|spec| spec.kind == HeadKind::Instrument);
        let mut is_cut = false;
        if let Some(plan) = SplitPlan::new(size, mapping, expected).filter(|_| has_instrument) {
            let (params, whole) = (Param::Value(bytes_of(&plan.params)), Param::Memory(labels));
            let [owner, cut] = [&self.planes.owner, &self.planes.cut].map(DeviceBuffer::span);
            device.launch(stream, &plan.owner, &[params, whole, Param::Memory(owner)])?;
            device.launch(stream, &plan.cut, &[params, whole, Param::Memory(owner), Param::Memory(cut)])?;
            labels = cut;
            is_cut = true;
        }
        self.laid = Some((window, *mapping, [is_cut, has_instrument]));
        self.regions.find(device, stream, &RegionsPlan::new(size), labels)?;

        let [map, list, count] = [&self.regions.map, &self.regions.list, &self.regions.count].map(|buffer| Param::Memory(buffer.span()));
        let [tissue, instrument] = [&self.planes.tissue, &self.planes.instrument].map(|buffer| Param::Memory(buffer.span()));
        let plan = CrossingsPlan::new(size, specs);
        let params = Param::Value(bytes_of(&plan.params));
        let [counts, items, total] = [&self.crossings.counts, &self.crossings.list.items.there, &self.crossings.total.there]
            .map(|buffer| Param::Memory(buffer.span()));
        device.launch(stream, &plan.count, &[params, map, list, counts])?;
        device.launch(stream, &plan.list, &[params, map, list, counts, tissue, instrument, items, total])?;

        let head = specs.iter().find(|spec| spec.kind == HeadKind::Tissue).copied();
        let plan = RegionSumsPlan::new(size, mapping, head, MAX_INSTRUMENTS);
        let params = Param::Value(bytes_of(&plan.params));
        if let Some(launch) = &plan.tissue {
            let sums = Param::Memory(self.tissue_sums.there.span());
            device.launch(stream, launch, &[params, map, list, tissue, sums])?;
        }
        if has_instrument {
            let sums = Param::Memory(self.instruments.there.span());
            device.launch(stream, &plan.instruments, &[params, map, list, count, instrument, sums])?;
        }
        Ok(())
    }

    /// Waits for what was begun, and fills `maps` (their labels and mask) and `measured` from it.
    pub fn finish(
        &mut self,
        heads: &[(usize, OutputSpec)],
        stream: &Stream,
        maps: &mut Maps,
        measured: &mut Measured,
    ) -> Result<(), InferError> {
        let Begun { window, .. } = self.begun.take().ok_or(CudaError::Elsewhere)?;
        if self.odd.numbers::<u32>()?.any(|odd| odd != 0) {
            // What was averaged with it is of no use either.
            self.averaged = None;
            let (part, found) = ("an output".to_owned(), "a number that is none, or beyond what such a head can give".to_owned());
            return Err(InferError::Impossible { part, found });
        }
        maps.shape(heads.iter().map(|(_, spec)| spec), window);
        maps.tissue.clear();
        maps.instrument.clear();
        let pixels = window.width * window.height;
        unfold(self.runs.numbers::<u16>(stream)?, &self.pairs, pixels, &mut maps.labels, &mut maps.mask);
        let sum: f32 = self.certainty.numbers::<f32>()?.sum();
        maps.certainty = if maps.tissue_classes.is_empty() { 1.0 } else { sum / pixels as f32 };
        measured.crossings.clear();
        measured.crossings.extend(self.crossings.numbers::<f32>(stream)?);
        measured.tissue.clear();
        measured.tissue.extend(self.tissue_sums.numbers::<[u64; PIECES]>()?.map(|pieces| pieces.iter().sum::<u64>()));
        measured.instruments.clear();
        measured.instruments.extend(self.instruments.numbers::<InstrumentSums>()?);
        Ok(())
    }

    /// Brings the probabilities of the last frame, which nothing here is made of: for people.
    pub fn bring(&self, gpu: &Gpu, maps: &mut Maps) -> Result<(), InferError> {
        let pixels = maps.width * maps.height;
        let instruments = usize::from(maps.has_instrument);
        let (tissue, instrument) = ((&mut maps.tissue, &self.planes.tissue), (&mut maps.instrument, &self.planes.instrument));
        for ((to, from), planes) in [(tissue, maps.tissue_classes.len()), (instrument, instruments)] {
            let bytes = planes * pixels * size_of::<f32>();
            let mut here = gpu.device().pinned(bytes)?;
            gpu.stream().read_back(from.span().first(bytes)?, &mut here, Payload::Pixels)?;
            to.clear();
            to.extend(here.bytes()?[..bytes].chunks_exact(size_of::<f32>()).map(pod_read_unaligned::<f32>));
        }
        Ok(())
    }
}
