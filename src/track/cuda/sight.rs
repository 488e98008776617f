//! A frame looked at where the model is shown it, on a device: all that is told of its pixels beside the model's answers. What comes
//! here are results.
//!
//! ```text
//!   input ─► glance ──────────────────────► thumb, figures ─► Continuity, Signs
//!   input, corrected ─┬─► motion: halves ─┬─► camera ─► shift ─► Tracker
//!                     │                   └─► flow of patches behind tips
//!                     └─► looks of instruments
//! ```

use super::glance::{GlancePlan, LineOnGpu, SignsPlan};
use super::looks::LooksPlan;
use super::maps::Laid;
use super::motion::{MotionPlan, ShiftOnGpu};
use super::results::{List, Sides};
use crate::frame::cuda::{CudaError, Device, DeviceBuffer, GLANCE, Kernel, LOOKS, MOTION, Param, Payload, PinnedBuffer, Stream};
use crate::infer::cuda::{Gpu, Number};
use crate::infer::{DeviceInput, Engine, Fit, InferError, InputSpec};
use crate::scene::limits;
use crate::track::continuity::{CELLS, Thumb};
use crate::track::decode::MAX_INSTRUMENTS;
use crate::track::flow::{Moved, Patch, Place, Solved, Window};
use crate::track::look::{BINS, Look};
use crate::track::signs::{Figures, Line, MAX_LINES, Signs};
use bytemuck::{bytes_of, cast_slice};

/// What it launches.
pub const SIGHT_KERNELS: [Kernel; 3] = [GLANCE, LOOKS, MOTION];

/// Of one engine and one stream of frames; takes its memory once.
#[derive(Debug)]
pub struct DeviceSight {
    input: InputSpec,
    is_half: bool,
    glance: Glance,
    motion: Motion,
    looks: List,
    /// Instruments were looked at in the last frame.
    has_looks: bool,
}

/// So many instruments, and so many edges of one kind, more than the last time come back at once.
const SPARE_LOOKS: usize = 2;
const SPARE_LINES: usize = 16;

/// Before the model runs.
#[derive(Debug)]
struct Glance {
    half: DeviceBuffer,
    quarter: DeviceBuffer,
    rows: DeviceBuffer,
    thumb: Sides,
    figures: Sides,
    /// Vertical and horizontal.
    lines: [List; 2],
    found: Sides,
    /// Where the picture lies that was looked at last.
    fit: Option<Fit>,
}

/// Two frames side by side.
#[derive(Debug)]
struct Motion {
    /// Of two frames, the one and the other in turn.
    half: [DeviceBuffer; 2],
    quarter: [DeviceBuffer; 2],
    background: DeviceBuffer,
    /// Where the newest frame is.
    newest: usize,
    /// Is there one before the newest, and will there be one before the next?
    has_before: bool,
    has_newest: bool,
    shifts: Sides,
    /// Of the frame that is being looked at.
    plan: Option<(MotionPlan, Place)>,
    patches_here: PinnedBuffer,
    patches: DeviceBuffer,
    moved: Sides,
}

impl DeviceSight {
    /// None: the model does not run on a device.
    pub fn new(engine: &mut dyn Engine) -> Result<Option<Self>, InferError> {
        let input = engine.input().clone();
        let Some(to) = engine.device_input() else { return Ok(None) };
        SIGHT_KERNELS.iter().try_for_each(|kernel| to.gpu.load(kernel))?;
        let device = to.gpu.device();
        let (width, height, float) = (input.width as usize, input.height as usize, size_of::<f32>());
        let half = || device.buffer(width / 2 * (height / 2) * float);
        let quarter = |planes: usize| device.buffer(planes * (width / 4) * (height / 4) * float);
        let lines = || List::new(device, size_of::<LineOnGpu>(), MAX_LINES, SPARE_LINES);
        let glance = Glance {
            half: half()?,
            quarter: quarter(3)?,
            rows: device.buffer((height + height / 2 + height / 4) * float)?,
            thumb: Sides::new(device, CELLS * float)?,
            figures: Sides::new(device, size_of::<Figures>())?,
            lines: [lines()?, lines()?],
            found: Sides::new(device, 2 * size_of::<u32>())?,
            fit: None,
        };
        let motion = Motion {
            half: [half()?, half()?],
            quarter: [quarter(1)?, quarter(1)?],
            background: device.buffer(width / 4 * (height / 4))?,
            newest: 0,
            has_before: false,
            has_newest: false,
            shifts: Sides::new(device, 2 * size_of::<ShiftOnGpu>())?,
            plan: None,
            patches_here: device.pinned(limits::TRACKS * size_of::<Window>())?,
            patches: device.buffer(limits::TRACKS * size_of::<Window>())?,
            moved: Sides::new(device, limits::TRACKS * size_of::<Solved>())?,
        };
        let looks = List::new(device, size_of::<[u32; BINS]>(), MAX_INSTRUMENTS, SPARE_LOOKS)?;
        Ok(Some(DeviceSight { is_half: to.number == Number::F16, input, glance, motion, looks, has_looks: false }))
    }

    /// The next frame is the first one.
    pub fn forget(&mut self) {
        (self.motion.has_before, self.motion.has_newest) = (false, false);
    }

    /// Has a frame looked at as it lies in the input, where its picture is at `fit`; with `has_gate` for signs, too.
    pub fn glance(&mut self, to: &DeviceInput<'_>, fit: Fit, has_gate: bool) -> Result<(), InferError> {
        let (device, stream) = (to.gpu.device(), to.gpu.stream());
        let plan = GlancePlan::new(&self.input, fit, self.is_half);
        let (params, input) = (Param::Value(bytes_of(&plan.params)), Param::Memory(to.numbers));
        let Glance { half, quarter, rows, thumb, figures, lines, found, fit: looked_at } = &mut self.glance;
        device.launch(stream, &plan.thumb, &[params, input, Param::Memory(thumb.there.span())])?;
        *looked_at = Some(fit).filter(|_| has_gate);
        let Some(SignsPlan { shrink, details, counts, sums, edges }) = plan.signs.filter(|_| has_gate) else {
            return thumb.bring(stream, size_of::<Thumb>());
        };
        stream.clear(figures.there.span())?;
        let [half, quarter, rows] = [&*half, quarter, rows].map(|memory| Param::Memory(memory.span()));
        let said = Param::Memory(figures.there.span());
        device.launch(stream, &shrink, &[params, input, half, quarter])?;
        device.launch(stream, &details, &[params, input, half, quarter, rows])?;
        device.launch(stream, &counts, &[params, quarter, said])?;
        device.launch(stream, &sums, &[params, rows, quarter, said])?;
        let [vertical, horizontal, how_many] = [&lines[0].items, &lines[1].items, &*found].map(|sides| Param::Memory(sides.there.span()));
        device.launch(stream, &edges, &[params, half, vertical, horizontal, how_many])?;
        thumb.bring(stream, size_of::<Thumb>())?;
        figures.bring(stream, size_of::<Figures>())?;
        found.bring(stream, 2 * size_of::<u32>())?;
        lines.iter_mut().try_for_each(|lines| lines.bring(stream))
    }

    /// Waits for it.
    pub fn thumb(&self) -> Result<Thumb, InferError> {
        let mut thumb = [0.0; CELLS];
        thumb.iter_mut().zip(self.glance.thumb.numbers()?).for_each(|(to, number)| *to = number);
        Ok(thumb)
    }

    /// As `thumb`, of the signs.
    pub fn tell(&mut self, gpu: &Gpu, signs: &mut Signs) -> Result<(), InferError> {
        let Glance { figures, lines: [vertical, horizontal], found, fit, .. } = &mut self.glance;
        let Some(fit) = *fit else { return Ok(()) };
        let figures = figures.numbers::<Figures>()?.next().unwrap_or_default();
        let mut found = found.numbers::<u32>()?.map(|count| count as usize);
        let vertical = vertical.numbers::<LineOnGpu>(gpu.stream(), found.next().unwrap_or(0))?;
        let horizontal = horizontal.numbers::<LineOnGpu>(gpu.stream(), found.next().unwrap_or(0))?;
        signs.take(fit, &figures, vertical.map(Line::from), horizontal.map(Line::from));
        Ok(())
    }

    /// Has it looked at what moves, and what instruments look like, by the maps that lie there; None: there are none, and nothing is said of
    /// where an instrument is but its box. `fit`: where in the input the picture is, which has the size `picture`.
    pub fn follow(&mut self, to: &DeviceInput<'_>, laid: Option<&Laid<'_>>, fit: Fit, picture: [usize; 2]) -> Result<(), InferError> {
        let (device, stream, input) = (to.gpu.device(), to.gpu.stream(), Param::Memory(to.numbers));
        let place = Place::new(fit, picture.map(|side| side as u32));
        let plan = MotionPlan::new(&self.input, self.is_half, laid.map_or([0; 2], |laid| laid.size), &place);
        let params = Param::Value(bytes_of(&plan.params));
        let Motion { half, quarter, background, newest, has_newest, shifts, .. } = &mut self.motion;
        let next = 1 - *newest;
        let [half, now, before, background] =
            [&half[next], &quarter[next], &quarter[*newest], background].map(|memory| Param::Memory(memory.span()));
        let mask = laid.map_or(Param::Nothing, |laid| Param::Memory(laid.mask));
        device.launch(stream, &plan.half, &[params, input, half])?;
        device.launch(stream, &plan.quarter, &[params, half, before, mask, now, background])?;
        if let Some(camera) = plan.camera.filter(|_| *has_newest) {
            device.launch(stream, &camera, &[params, now, before, background, Param::Memory(shifts.there.span())])?;
        }
        self.motion.plan = Some((plan, place));
        self.has_looks = false;
        let Some((laid, instruments)) = laid.and_then(|laid| laid.instruments.map(|instruments| (laid, instruments))) else {
            return Ok(());
        };
        let plan = LooksPlan::new(&self.input, self.is_half, laid.size, &laid.mapping, fit, MAX_INSTRUMENTS);
        let [map, list, labels, mask] = [laid.map, laid.list, laid.labels, laid.mask].map(Param::Memory);
        let looks = Param::Memory(self.looks.items.there.span());
        let arguments = [Param::Value(bytes_of(&plan.params)), Param::Memory(instruments), map, list, labels, mask, input, looks];
        self.has_looks = true;
        Ok(device.launch(stream, &plan.launch, &arguments)?)
    }

    /// Has what comes out of it brought here.
    pub fn bring(&mut self, stream: &Stream) -> Result<(), InferError> {
        let Motion { has_newest, plan, shifts, .. } = &mut self.motion;
        let is_known = *has_newest && plan.as_ref().is_some_and(|(plan, _)| plan.camera.is_some());
        shifts.bring(stream, if is_known { 2 * size_of::<ShiftOnGpu>() } else { 0 })?;
        if self.has_looks { self.looks.bring(stream) } else { Ok(()) }
    }

    /// What was looked at is a frame that counts. Returns how the camera has moved since the one before, as `Camera::shift`; `is_blank`:
    /// of this one nothing is known.
    pub fn shift(&mut self, is_blank: bool) -> Result<Option<[f32; 2]>, InferError> {
        let Motion { newest, has_before, has_newest, shifts, .. } = &mut self.motion;
        *newest = 1 - *newest;
        *has_before = std::mem::replace(has_newest, true);
        let found = shifts.numbers::<ShiftOnGpu>()?.nth(usize::from(is_blank));
        Ok(found.filter(|found| found.is_known != 0).map(|found| found.shift))
    }

    /// What those of these ranks among the regions of instrument look like.
    pub fn look(&mut self, gpu: &Gpu, ranks: impl Iterator<Item = usize> + Clone, looks: &mut Vec<Look>) -> Result<(), InferError> {
        looks.clear();
        let total = ranks.clone().max().map_or(0, |last| last + 1);
        let mut all = [Look::default(); MAX_INSTRUMENTS];
        let counts = self.looks.numbers::<[u32; BINS]>(gpu.stream(), total)?;
        all.iter_mut().zip(counts).for_each(|(look, counts)| *look = Look::counted(&counts));
        looks.extend(ranks.map(|rank| all[rank.min(MAX_INSTRUMENTS - 1)]));
        Ok(())
    }

    /// How what is in these patches now has moved since the frame before, as `Flow::at`, into `moved`, by the mask that lies there.
    /// Waits for it.
    pub fn flow(
        &mut self,
        gpu: &Gpu,
        laid: &Laid<'_>,
        patches: &[(usize, Patch)],
        moved: &mut Vec<Option<Moved>>,
    ) -> Result<(), InferError> {
        let (device, stream): (&Device, _) = (gpu.device(), gpu.stream());
        let Motion { half, newest, has_before, plan, patches_here, patches: there, moved: solved, .. } = &mut self.motion;
        moved.clear();
        let patches = &patches[..patches.len().min(limits::TRACKS)];
        if patches.is_empty() || !*has_before {
            return Ok(());
        }
        let (plan, place) = plan.as_ref().ok_or(CudaError::Elsewhere)?;
        let sides = [self.input.width, self.input.height].map(|side| side as usize / 2);
        let bytes = size_of::<Window>() * patches.len();
        let places = patches_here.bytes_mut()?[..bytes].chunks_exact_mut(size_of::<Window>());
        for (to, (_, patch)) in places.zip(patches) {
            to.copy_from_slice(cast_slice(&[place.window(patch, sides)]));
        }
        stream.upload(patches_here, bytes, there.span(), Payload::Numbers)?;
        let [now, before] = [&half[*newest], &half[1 - *newest]].map(|memory| Param::Memory(memory.span()));
        let [all, answers] = [there.span(), solved.there.span()].map(Param::Memory);
        let params = Param::Value(bytes_of(&plan.params));
        device.launch(stream, &plan.flow(patches.len()), &[params, now, before, Param::Memory(laid.mask), all, answers])?;
        solved.bring(stream, size_of::<Solved>() * patches.len())?;
        moved.extend(solved.numbers::<Solved>()?.map(|solved| place.moved(&solved)));
        Ok(())
    }
}
