//! Backend `cpu`: ONNX Runtime on one thread, its input and outputs allocated and bound once.

use super::engine::{Engine, InputSpec, OutputSpec, TensorView};
use super::error::InferError;
use super::runtime;
use crate::store::{LockedEngine, TensorLayout};
use ort::memory::Allocator;
use ort::session::{IoBinding, Session, builder::GraphOptimizationLevel};
use ort::value::{Outlet, Tensor, TensorElementType, ValueType};

/// Largest side of an output: a mask that a scene can carry (scene::limits::MASK_SIDE).
const MAX_OUTPUT_SIDE: i64 = 1024;

pub struct CpuEngine {
    name: String,
    input: InputSpec,
    outputs: Vec<OutputSpec>,
    // Fields drop in this order: the binding refers to the tensors and the session.
    binding: IoBinding,
    input_tensor: Tensor<f32>,
    output_tensors: Vec<Tensor<f32>>,
    session: Session,
}

impl CpuEngine {
    pub fn open(engine: LockedEngine) -> Result<Self, InferError> {
        let environment = runtime::environment()?;
        let manifest = engine.manifest;
        let name = manifest.name.clone();
        let unusable = |reason: String| InferError::Model { engine: name.clone(), reason };
        let session = session(&environment, &engine.model).map_err(|e| unusable(e.to_string()))?;

        let check = Check { engine: &name };
        let input_shape = check.input(&session, &manifest.input)?;
        let mut outputs = Vec::with_capacity(manifest.heads.len());
        for head in &manifest.heads {
            outputs.push(check.output(&session, head, &manifest.input)?);
        }
        check.same_sides(&outputs)?;

        let bind = || -> ort::Result<_> {
            let allocator = Allocator::default();
            let mut binding = session.create_binding()?;
            let input_tensor = Tensor::<f32>::new(&allocator, input_shape)?;
            binding.bind_input(manifest.input.name.as_str(), &input_tensor)?;
            let mut output_tensors = Vec::with_capacity(outputs.len());
            for output in &outputs {
                let mut tensor = Tensor::<f32>::new(&allocator, output_shape(output))?;
                binding.bind_output(output.name.as_str(), &mut tensor)?;
                output_tensors.push(tensor);
            }
            Ok((binding, input_tensor, output_tensors))
        };
        let (binding, input_tensor, output_tensors) = bind().map_err(|e| unusable(e.to_string()))?;
        let mut engine = CpuEngine { name, input: manifest.input, outputs, binding, input_tensor, output_tensors, session };
        // The first run plans memory and packs weights: done here, not on the first frame.
        engine.run()?;
        Ok(engine)
    }
}

impl Engine for CpuEngine {
    fn input(&self) -> &InputSpec {
        &self.input
    }

    fn outputs(&self) -> &[OutputSpec] {
        &self.outputs
    }

    fn input_mut(&mut self) -> &mut [f32] {
        self.input_tensor.extract_tensor_mut().1
    }

    fn run(&mut self) -> Result<(), InferError> {
        match self.session.run_binding(&self.binding) {
            Ok(_) => Ok(()),
            Err(e) => Err(InferError::Run { engine: self.name.clone(), reason: e.to_string() }),
        }
    }

    fn output(&self, index: usize) -> TensorView<'_> {
        TensorView { spec: &self.outputs[index], data: self.output_tensors[index].extract_tensor().1 }
    }
}

fn session(environment: &ort::environment::Environment, model: &[u8]) -> ort::Result<Session> {
    Session::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_parallel_execution(false)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .commit_from_memory(model)
}

fn output_shape(output: &OutputSpec) -> [i64; 4] {
    let (c, h, w) = (output.channels() as i64, output.height as i64, output.width as i64);
    match output.layout {
        TensorLayout::Nchw => [1, c, h, w],
        TensorLayout::Nhwc => [1, h, w, c],
    }
}

/// Compares the model with its manifest.
struct Check<'a> {
    engine: &'a str,
}

impl Check<'_> {
    fn mismatch(&self, part: String, expected: impl Into<String>, found: impl Into<String>) -> InferError {
        InferError::Mismatch { engine: self.engine.to_owned(), part, expected: expected.into(), found: found.into() }
    }

    fn input(&self, session: &Session, spec: &InputSpec) -> Result<[i64; 4], InferError> {
        let part = format!("input '{}'", spec.name);
        let Some(outlet) = session.inputs().iter().find(|outlet| outlet.name() == spec.name) else {
            return Err(self.mismatch(part, "a model input of that name", names(session.inputs())));
        };
        if session.inputs().len() != 1 {
            return Err(self.mismatch(part, "one model input", names(session.inputs())));
        }
        let (h, w) = (i64::from(spec.height), i64::from(spec.width));
        let wanted = match spec.layout {
            TensorLayout::Nchw => [1, 3, h, w],
            TensorLayout::Nhwc => [1, h, w, 3],
        };
        let found = self.float_shape(outlet, &part)?;
        // A free dimension (-1) takes what it is given.
        let fits = found.len() == 4 && found.iter().zip(wanted).all(|(&found, wanted)| found == wanted || found < 0);
        if fits { Ok(wanted) } else { Err(self.mismatch(part, shape_text(&wanted), shape_text(found))) }
    }

    fn output(&self, session: &Session, head: &crate::store::Head, input: &InputSpec) -> Result<OutputSpec, InferError> {
        let part = format!("{} head (output '{}')", head.kind.name(), head.output);
        let Some(outlet) = session.outputs().iter().find(|outlet| outlet.name() == head.output) else {
            return Err(self.mismatch(part, "a model output of that name", names(session.outputs())));
        };
        let found = self.float_shape(outlet, &part)?;
        let channels = head.class_ids().len() as i64;
        let (in_h, in_w) = (i64::from(input.height), i64::from(input.width));
        let expected = || match input.layout {
            TensorLayout::Nchw => format!("1×{channels}×H×W with H:W = {in_h}:{in_w}"),
            TensorLayout::Nhwc => format!("1×H×W×{channels} with H:W = {in_h}:{in_w}"),
        };
        let [n, a, b, c] = found[..] else { return Err(self.mismatch(part, expected(), shape_text(found))) };
        let (c, mut h, mut w) = match input.layout {
            TensorLayout::Nchw => (a, b, c),
            TensorLayout::Nhwc => (c, a, b),
        };
        // Where the model leaves its size open, its output is as large as its input; a run at load proves it.
        (h, w) = (if h < 0 { in_h } else { h }, if w < 0 { in_w } else { w });
        let sides = 1..=MAX_OUTPUT_SIDE;
        let fits = (n == 1 || n < 0) && c == channels && sides.contains(&h) && sides.contains(&w) && h * in_w == w * in_h;
        if !fits {
            return Err(self.mismatch(part, expected(), shape_text(found)));
        }
        Ok(OutputSpec {
            name: head.output.clone(),
            kind: head.kind,
            activation: head.activation,
            threshold: head.threshold,
            classes: head.class_ids().to_vec(),
            layout: input.layout,
            width: w as usize,
            height: h as usize,
        })
    }

    fn same_sides(&self, outputs: &[OutputSpec]) -> Result<(), InferError> {
        let Some((first, rest)) = outputs.split_first() else { return Ok(()) };
        match rest.iter().find(|other| (other.width, other.height) != (first.width, first.height)) {
            None => Ok(()),
            Some(other) => Err(self.mismatch(
                format!("{} head (output '{}')", other.kind.name(), other.name),
                format!("{}×{} pixels as the {} head has", first.width, first.height, first.kind.name()),
                format!("{}×{}", other.width, other.height),
            )),
        }
    }

    fn float_shape<'o>(&self, outlet: &'o Outlet, part: &str) -> Result<&'o [i64], InferError> {
        match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } => Ok(shape),
            other => Err(self.mismatch(part.to_owned(), "a tensor of float32", other.to_string())),
        }
    }
}

fn names(outlets: &[Outlet]) -> String {
    outlets.iter().map(|outlet| format!("'{}'", outlet.name())).collect::<Vec<_>>().join(", ")
}

fn shape_text(shape: &[i64]) -> String {
    shape.iter().map(|&side| if side < 0 { "?".to_owned() } else { side.to_string() }).collect::<Vec<_>>().join("×")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::testing::{TestModel, locked};

    #[test]
    fn a_model_that_fits_runs_bound_and_gives_known_answers() {
        let mut engine = CpuEngine::open(locked(&TestModel::default())).unwrap();
        let (w, h) = (engine.input().width as usize, engine.input().height as usize);
        for round in 0..3 {
            // Normalised red rises with x and with the round; tissue channel 2 is 20·(red − 0.5) in the test model.
            for (i, value) in engine.input_mut()[..w * h].iter_mut().enumerate() {
                *value = (i % w) as f32 / w as f32 + round as f32;
            }
            engine.run().unwrap();
            let tissue = engine.output(1);
            assert_eq!(tissue.data.len(), 3 * w * h);
            for x in [0, 7, w - 1] {
                let red = x as f32 / w as f32 + round as f32;
                assert!((tissue.data[w * h + x] - 20.0 * (red - 0.5)).abs() < 1e-3, "{} at {x}", tissue.data[w * h + x]);
            }
        }
    }

    fn refused(model: TestModel) -> String {
        match CpuEngine::open(locked(&model)) {
            Ok(_) => panic!("a model that does not fit was accepted"),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn shapes_that_do_not_fit_name_head_expected_and_found() {
        let text = refused(TestModel { model_width: 64, ..TestModel::default() });
        assert!(text.contains("input 'image'") && text.contains("1×3×48×80") && text.contains("1×3×48×64"), "{text}");
        let text = refused(TestModel { tissue_channels: 4, ..TestModel::default() });
        assert!(text.contains("tissue head (output 'tissue')") && text.contains("1×3×H×W") && text.contains("1×4×48×80"), "{text}");
        let text = refused(TestModel { tissue_name: "organs", ..TestModel::default() });
        assert!(text.contains("'tissue'") && text.contains("'organs'"), "{text}");
        let text = refused(TestModel { input_name: "frame", ..TestModel::default() });
        assert!(text.contains("'image'") && text.contains("'frame'"), "{text}");
    }

    #[test]
    fn bytes_that_are_no_model_are_refused() {
        let mut engine = locked(&TestModel::default());
        engine.model.truncate(engine.model.len() / 2);
        let Err(error) = CpuEngine::open(engine) else { panic!("half a model was accepted") };
        assert!(matches!(error, InferError::Model { .. }), "{error}");
        assert!(error.to_string().contains("test-cpu"), "{error}");
    }
}
