//! Plans of the CPU: the graph as ONNX Runtime optimises it for this processor, so that a start need not do it again.

use super::error::InferError;
use super::onnx_engine::{self, OnnxEngine};
use super::runtime;
use crate::store::{LockedEngine, PlanKey, Plans};
use std::path::PathBuf;

/// The key of `engine`'s plan on this machine.
pub(super) fn key(engine: &LockedEngine) -> PlanKey {
    PlanKey::new(engine, &processor(), ort::info(), "of the model")
}

/// What `keyhole engine build` has made.
#[derive(Debug)]
pub struct Built {
    pub path: PathBuf,
    pub bytes: usize,
    /// The device.
    pub made_for: String,
    /// Found, not made anew.
    pub was_there: bool,
    /// What this machine's GPU makes of it, if there is one to ask.
    pub here: Option<String>,
}

/// The device that plans are made for here.
pub fn processor() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let value = |name: &str| {
        text.lines().find_map(|line| line.split_once(':').filter(|(key, _)| key.trim() == name)).map_or("", |(_, value)| value.trim())
    };
    format!("{} [{}]", value("model name"), value("flags"))
}

/// Compiles `engine` for this processor, keeps the plan in `plans`, and proves that it runs.
pub fn build(engine: &LockedEngine, plans: &Plans) -> Result<Built, InferError> {
    runtime::environment()?;
    let key = key(engine);
    let unwritable = |source: std::io::Error| InferError::Plan { engine: engine.manifest.name.clone(), reason: source.to_string() };
    let scratch = plans.scratch(&key).map_err(unwritable)?;
    let made = onnx_engine::optimised(engine, &scratch).map(|()| std::fs::read(&scratch));
    let _ = std::fs::remove_file(&scratch);
    let bytes = made?.map_err(unwritable)?;
    OnnxEngine::from_plan(engine, &bytes)?;
    let path = plans.write(&key, &bytes).map_err(unwritable)?;
    Ok(Built { path, bytes: bytes.len(), made_for: processor(), was_there: false, here: None })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::Engine;
    use crate::infer::testing::{TestModel, locked};

    #[test]
    fn a_built_engine_answers_as_the_model_does_and_another_model_never_gets_its_plan() {
        let dir = tempfile::tempdir().unwrap();
        let plans = Plans::in_folder(dir.path().join("plans"));
        let engine = locked(&TestModel::default());
        let built = build(&engine, &plans).unwrap();
        assert!(built.bytes > 0 && built.path.is_file());
        let answers = |mut opened: OnnxEngine| {
            opened.input_mut().iter_mut().enumerate().for_each(|(i, value)| *value = (i % 7) as f32 / 7.0);
            opened.run().unwrap();
            opened.tensor(0).to_vec()
        };
        let plan = plans.read(&key(&engine)).unwrap();
        let compiled = answers(OnnxEngine::from_plan(&engine, &plan).unwrap());
        let model = answers(OnnxEngine::open_with(engine.clone(), &Plans::in_folder(dir.path().join("none"))).unwrap());
        assert!(compiled.iter().zip(&model).all(|(a, b)| (a - b).abs() < 1e-4));
        plans.write(&key(&engine), b"no model").unwrap();
        assert!(OnnxEngine::open_with(engine.clone(), &plans).is_ok(), "a plan that cannot be loaded is passed over");
        let mut other = engine;
        other.model.push(0);
        assert_eq!(plans.read(&key(&other)), None);
    }

    #[test]
    fn the_processor_has_a_name() {
        assert!(processor().len() > 10, "{}", processor());
    }
}
