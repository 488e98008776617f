//! The pictures and clips of a data set through an engine. One thread runs it, another one measures.

use super::{Progress, clips, pictures};
use crate::base::ids::{ClassId, FrameId};
use crate::eval::{
    Agreement, ClassAgreement, DataSet, Gallery, Labelled, Mask, Prevalence, Shot, Soft, Summary, Tracking, TrackingSummary, Validation,
};
use crate::frame::{FrameLayout, FrameView, Stamps};
use crate::infer::{self, Backend};
use crate::record::{save_grey, upsample_mask};
use crate::scene::{Scene, Trust};
use crate::store::LockedEngine;
use crate::track::Analyser;
use anyhow::Context;
use std::path::{Path, PathBuf};

/// A picture in which things are labelled is shown for so many frames: what is followed is not shown at first sight.
pub const SHOWN_FRAMES: u64 = 8;
const FRAME_NS: u64 = 40_000_000;
/// Between two pictures: nothing is remembered for so long.
const PAUSE_NS: u64 = 10_000_000_000;
/// Pictures that may wait for being measured.
const WAITING: usize = 1;

/// All that was found.
pub struct Found {
    pub summary: Summary,
    /// None: neither tracks nor boxes are labelled.
    pub tracking: Option<TrackingSummary>,
    pub agreement: Vec<ClassAgreement>,
    pub shots: Vec<Shot>,
}

/// One picture as it was found.
struct Seen<'a> {
    picture: &'a Labelled,
    layout: FrameLayout,
    bytes: Vec<u8>,
    found: Mask,
    soft: Soft,
    /// After `SHOWN_FRAMES`, where things are labelled.
    scene: Option<Scene>,
}

struct Measuring<'a> {
    data: &'a DataSet,
    validation: Validation,
    tracking: Tracking,
    agreement: Agreement,
    gallery: Gallery,
}

pub fn run(
    (engine, backend, settings): (&LockedEngine, Backend, &infer::Settings),
    classes: Vec<ClassId>,
    data: &DataSet,
    prevalence: Option<Prevalence>,
    masks: Option<&Path>,
) -> anyhow::Result<Found> {
    let mut analyser = Analyser::load_with(engine.clone(), backend, settings)?;
    let labelled = data.labelled(&classes);
    let mut measuring = Measuring {
        data,
        validation: Validation::new(labelled.clone(), prevalence),
        tracking: Tracking::new(classes),
        agreement: Agreement::new(labelled, data.raters.clone()),
        gallery: Gallery::default(),
    };
    let masks = masks.map(MaskFolder::begin).transpose()?;
    std::thread::scope(|scope| {
        let (sender, receiver) = crossbeam_channel::bounded::<Seen<'_>>(WAITING);
        let measuring = &mut measuring;
        let measured = scope.spawn(move || receiver.into_iter().try_for_each(|seen| measuring.push(seen)));
        let mut progress = Progress::new("pictures");
        let mut seen = Ok(());
        for (index, picture) in data.pictures.iter().enumerate() {
            let one = look(&mut analyser, picture, index).map_err(|error| anyhow::anyhow!("images/{}: {error:#}", picture.name));
            let one = one.and_then(|one| {
                if let Some(masks) = &masks {
                    masks.write(picture, &one.found)?;
                }
                Ok(one)
            });
            // Who does not take it any more says why itself.
            match one.map(|one| sender.send(one).is_ok()) {
                Ok(true) => progress.told(index + 1, data.pictures.len()),
                Ok(false) => break,
                Err(error) => {
                    seen = Err(error);
                    break;
                }
            }
        }
        drop(sender);
        let measured = measured.join().map_err(|_| anyhow::anyhow!("the measuring thread stopped"))?;
        seen.and(measured)
    })?;
    for clip in &data.clips {
        let mut progress = Progress::new("frames of a clip");
        let followed = clips::follow(&mut analyser, clip, &mut measuring.tracking, &mut progress);
        followed.map_err(|error| anyhow::anyhow!("clip '{}': {error:#}", clip.name))?;
    }
    masks.map(MaskFolder::finish).transpose()?;
    Ok(Found {
        summary: measuring.validation.summary(),
        tracking: (!measuring.tracking.is_empty()).then(|| measuring.tracking.summary()),
        agreement: measuring.agreement.summary(),
        shots: measuring.gallery.into_shots(),
    })
}

impl Measuring<'_> {
    fn push(&mut self, seen: Seen<'_>) -> anyhow::Result<()> {
        let Seen { picture, layout, bytes, found, soft, scene } = seen;
        let classes = self.validation.classes().to_vec();
        if let Some(truth) = self.data.truth(picture, &classes)? {
            let ious = self.validation.push(picture, &truth, &found, &soft);
            let rgb = || pictures::rgb_of(&layout, &bytes);
            self.gallery.consider(&picture.name, &classes, &ious, &rgb, &truth, &found);
        }
        if !picture.opinions.is_empty() {
            self.agreement.push(&self.data.opinions(picture, &classes)?);
        }
        if let (Some(things), Some(scene)) = (&picture.things, scene) {
            self.tracking.push_picture(&picture.name, picture.patient.as_deref(), things, &scene);
        }
        Ok(())
    }
}

/// Of picture `index` when it is shown for the `shown`th time.
pub fn stamps(index: usize, shown: u64) -> Stamps {
    let capture_ns = PAUSE_NS * (index as u64 + 1) + shown * FRAME_NS;
    Stamps { id: FrameId(index as u64 * SHOWN_FRAMES + shown), pts_ns: capture_ns, capture_ns }
}

/// Each picture stands alone: nothing is known of the one before it.
fn look<'a>(analyser: &mut Analyser, picture: &'a Labelled, index: usize) -> anyhow::Result<Seen<'a>> {
    let (layout, bytes) = pictures::read(&picture.image)?;
    let show = |analyser: &mut Analyser, shown: u64| {
        let view = FrameView::new(&layout, &bytes).context("its bytes are not what its size says")?;
        analyser.analyse(view, stamps(index, shown), &|| true)?.context("it was overwritten")
    };
    analyser.forget();
    let first = show(analyser, 0)?;
    let (width, height) = (layout.width, layout.height);
    let found = Mask { width, height, ids: upsample_mask(&first.mask, width, height) };
    let soft = if first.frame_state == Trust::Unknown { Soft::default() } else { soft_of(analyser)? };
    analyser.keep(first);
    let mut scene = None;
    for shown in (1..SHOWN_FRAMES).filter(|_| picture.things.is_some()) {
        scene = Some(show(analyser, shown)?);
    }
    Ok(Seen { picture, layout, bytes, found, soft, scene })
}

fn soft_of(analyser: &mut Analyser) -> anyhow::Result<Soft> {
    let (width, height, planes) = analyser.probabilities()?;
    Ok(Soft { width, height, planes: planes.into_iter().map(|(class, plane)| (class, plane.to_vec())).collect() })
}

/// Masks that appear together, or not at all.
struct MaskFolder {
    dir: PathBuf,
    part: PathBuf,
}

impl MaskFolder {
    fn begin(dir: &Path) -> anyhow::Result<Self> {
        let part = dir.join(format!(".{}.part", std::process::id()));
        std::fs::create_dir_all(&part).with_context(|| format!("'{}' cannot be made", part.display()))?;
        Ok(MaskFolder { dir: dir.to_owned(), part })
    }

    fn write(&self, picture: &Labelled, found: &Mask) -> anyhow::Result<()> {
        let name = Path::new(&picture.name).with_extension("png");
        save_grey(&self.part.join(name), &found.ids, found.width, found.height)?;
        Ok(())
    }

    fn finish(self) -> anyhow::Result<()> {
        let failed = || format!("masks cannot be put into '{}'", self.dir.display());
        for entry in std::fs::read_dir(&self.part).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            std::fs::rename(entry.path(), self.dir.join(entry.file_name())).with_context(failed)?;
        }
        Ok(())
    }
}

impl Drop for MaskFolder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.part);
    }
}
