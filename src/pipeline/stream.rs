//! The scene stream: every accepted answer of the AI process, written as lines and masks by a thread of its own, and
//! the analysis' stage times for the report.

use crate::base::stats::Delays;
use crate::link::{Answer, Worker};
use crate::pipeline::{LINES_DEPTH, STILLS_DEPTH, STREAM_DEPTH, Spec};
use crate::record::{LineWriter, Mishap, RecordError, SceneLine, Still, StillWriter};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;

#[derive(Default)]
pub struct AnalysisDelays {
    pub preprocess: Delays,
    pub infer: Delays,
    pub track: Delays,
}

pub struct SceneStream {
    thread: Option<JoinHandle<Outcome>>,
    /// Of the lines and of the masks.
    pub mishaps: Vec<Arc<Mishap>>,
}

type Outcome = (BTreeMap<String, u64>, AnalysisDelays, Result<(), RecordError>);

impl SceneStream {
    /// Listens to `worker` until it is gone. Files are made here, before the first picture.
    pub fn start(spec: &Spec, worker: &Worker, is_pulled: bool) -> Result<Self, RecordError> {
        let lines = spec
            .scenes
            .as_ref()
            .map(|path| {
                LineWriter::start(path, LINES_DEPTH, |answer: Answer, out| {
                    serde_json::to_writer(&mut *out, &SceneLine::of(&answer.scene, answer.input_hash))?;
                    out.write_all(b"\n")
                })
            })
            .transpose()?;
        let masks = match &spec.masks {
            Some(dir) => {
                crate::record::make_folder(dir)?;
                Some((dir.clone(), StillWriter::start(STILLS_DEPTH)))
            }
            None => None,
        };
        let mishaps = lines.iter().map(LineWriter::mishap).chain(masks.iter().map(|(_, stills)| stills.mishap())).collect();
        let Some(answers) = worker.listen(STREAM_DEPTH) else { return Ok(SceneStream { thread: None, mishaps }) };
        let listen = move || {
            let mut delays = AnalysisDelays::default();
            for answer in answers {
                let times = answer.scene.times;
                delays.preprocess.record_ns(times.preprocess_ns);
                delays.infer.record_ns(times.infer_ns);
                delays.track.record_ns(times.track_ns);
                if let Some((dir, stills)) = &masks {
                    let path = dir.join(format!("{:06}.png", answer.scene.frame.0));
                    let still = Still::Mask { scene: answer.scene.clone() };
                    if is_pulled { stills.put(path, still) } else { stills.offer(path, still) }
                }
                if let Some(lines) = &lines {
                    lines.offer(answer);
                }
            }
            let mut losses = BTreeMap::new();
            let mut outcome = Ok(());
            let ends = [("scene_lines", lines.map(LineWriter::finish)), ("masks", masks.map(|(_, stills)| stills.finish()))];
            for (reason, (lost, ended)) in ends.into_iter().filter_map(|(reason, end)| Some((reason, end?))) {
                if lost > 0 {
                    losses.insert(reason.to_owned(), lost);
                }
                if outcome.is_ok() {
                    outcome = ended;
                }
            }
            (losses, delays, outcome)
        };
        let thread = std::thread::Builder::new().name("record".into()).spawn(listen).ok();
        Ok(SceneStream { thread, mishaps })
    }

    /// Waits until the last answer is written. The worker must be gone by then.
    pub fn finish(self) -> Outcome {
        match self.thread.map(JoinHandle::join) {
            Some(Ok(outcome)) => outcome,
            _ => (BTreeMap::new(), AnalysisDelays::default(), Ok(())),
        }
    }
}
