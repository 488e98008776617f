//! Boxes found on a device: of all proposals of detection heads, which lie there, the few that count. Only those are brought here.
//!
//! ```text
//!   outputs ─► candidates ─► suppress ─► here: Detector::found
//! ```

use super::detection::{CandidateOnGpu, DetectionPlan};
use super::results::Sides;
use crate::base::ids::ClassId;
use crate::frame::cuda::{CudaError, DETECTION, Device, DeviceBuffer, Kernel, Param, Stream};
use crate::infer::cuda::Number;
use crate::infer::{Engine, Field, InferError};
use crate::track::heads::Detector;
use crate::track::heads::boxes::Candidate;
use bytemuck::bytes_of;

/// What it launches.
pub const BOX_KERNELS: [Kernel; 1] = [DETECTION];

/// Of one engine; takes its memory once.
#[derive(Debug)]
pub struct DeviceBoxes {
    /// One for each of its detection heads.
    heads: Vec<Head>,
    is_begun: bool,
}

#[derive(Debug)]
struct Head {
    candidates: DeviceBuffer,
    /// How many there are, and whether a number cannot be.
    counts: Sides,
    found: Sides,
    found_count: Sides,
    /// Of those that are found.
    most: usize,
}

impl Head {
    fn new(device: &Device, plan: &DetectionPlan) -> Result<Self, InferError> {
        let candidates = |count: u32| count as usize * size_of::<CandidateOnGpu>();
        Ok(Head {
            candidates: device.buffer(candidates(plan.params.proposals))?,
            counts: Sides::new(device, size_of::<[u32; 2]>())?,
            found: Sides::new(device, candidates(plan.params.most))?,
            found_count: Sides::new(device, size_of::<u32>())?,
            most: plan.params.most as usize,
        })
    }
}

impl DeviceBoxes {
    /// For these heads. None: the kernel cannot do one of them, or the model does not run on a device. Instances are weighed here: a
    /// head with masks has its coefficients and prototypes brought, and with them its boxes, which lie beside them.
    pub fn new(detectors: &[&Detector], engine: &mut dyn Engine) -> Result<Option<Self>, InferError> {
        let has_numbers = |field: &Field| engine.device_output(field.tensor).is_some();
        let has_all = |detector: &&Detector| {
            let spec = &detector.spec;
            spec.masks.is_none() && [&spec.boxes, &spec.scores].into_iter().chain(&spec.objectness).all(has_numbers)
        };
        if detectors.is_empty() || !detectors.iter().all(has_all) {
            return Ok(None);
        }
        let plans: Option<Vec<DetectionPlan>> = detectors.iter().map(|detector| plan(detector, engine)).collect();
        let (Some(plans), Some(to)) = (plans, engine.device_input()) else { return Ok(None) };
        BOX_KERNELS.iter().try_for_each(|kernel| to.gpu.load(kernel))?;
        let heads = plans.iter().map(|plan| Head::new(to.gpu.device(), plan)).collect::<Result<_, _>>()?;
        Ok(Some(DeviceBoxes { heads, is_begun: false }))
    }

    /// Has boxes found in the outputs of the last run, which may still be running.
    pub fn begin<'a>(&mut self, detectors: impl Iterator<Item = &'a Detector>, engine: &dyn Engine) -> Result<(), InferError> {
        let elsewhere = || CudaError::Elsewhere;
        let gpu = engine.gpu().ok_or_else(elsewhere)?;
        let (device, stream) = (gpu.device(), gpu.stream());
        for (head, detector) in self.heads.iter_mut().zip(detectors) {
            let plan = plan(detector, engine).ok_or_else(elsewhere)?;
            let numbers = |field: Field| engine.device_output(field.tensor).map_or(Param::Nothing, |output| Param::Memory(output.numbers));
            let params = Param::Value(bytes_of(&plan.params));
            let [scores, boxes] = [detector.spec.scores, detector.spec.boxes].map(numbers);
            let objectness = detector.spec.objectness.map_or(Param::Nothing, numbers);
            let [candidates, counts, found, found_count] =
                [&head.candidates, &head.counts.there, &head.found.there, &head.found_count.there]
                    .map(|memory| Param::Memory(memory.span()));
            stream.clear(head.counts.there.span())?;
            device.launch(stream, &plan.candidates, &[params, scores, boxes, objectness, candidates, counts])?;
            device.launch(stream, &plan.suppress, &[params, candidates, counts, found, found_count])?;
        }
        self.is_begun = true;
        Ok(())
    }

    /// Has what comes out of it brought here.
    pub fn bring(&mut self, stream: &Stream) -> Result<(), InferError> {
        self.heads.iter_mut().try_for_each(|head| {
            head.counts.bring(stream, size_of::<[u32; 2]>())?;
            head.found.bring(stream, head.most * size_of::<CandidateOnGpu>())?;
            head.found_count.bring(stream, size_of::<u32>())
        })
    }

    /// Waits for what was begun, and tells the same heads what was found.
    pub fn finish<'a>(&mut self, detectors: impl Iterator<Item = &'a mut Detector>) -> Result<(), InferError> {
        if !std::mem::take(&mut self.is_begun) {
            return Err(CudaError::Elsewhere.into());
        }
        for (head, detector) in self.heads.iter().zip(detectors) {
            if head.counts.numbers::<u32>()?.nth(1) != Some(0) {
                let part = format!("output '{}'", detector.spec.name);
                return Err(InferError::Impossible {
                    part,
                    found: "a number that is none, or beyond what such a head can give".to_owned(),
                });
            }
            let count = head.found_count.numbers::<u32>()?.next().map_or(0, |count| count as usize);
            detector.found.clear();
            detector.found.extend(head.found.numbers::<CandidateOnGpu>()?.take(count).map(Candidate::from));
        }
        Ok(())
    }
}

fn plan(detector: &Detector, engine: &dyn Engine) -> Option<DetectionPlan> {
    DetectionPlan::new(detector, &|tensor| engine.device_output(tensor).is_some_and(|output| output.number == Number::F16))
}

impl From<CandidateOnGpu> for Candidate {
    fn from(CandidateOnGpu { class_id, score, bbox, proposal, .. }: CandidateOnGpu) -> Self {
        Candidate { class: ClassId(class_id as u8), score, bbox, proposal: proposal as usize }
    }
}
