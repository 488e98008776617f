//! Golden outputs: the class mask that the whole chain (preprocessing, model, decoding) gives for one picture, pinned when an engine
//! is locked and looked at again whenever it is opened.

use super::Analyser;
use crate::base::ids::FrameId;
use crate::frame::{FrameView, map_from_png, map_to_png, picture_from_png};
use crate::infer::{InferError, Stamps};
use crate::scene::ClassMask;
use crate::store::{Golden, LockedEngine};

/// The PNG of the mask that `engine` gives for the picture (a PNG).
pub fn golden_mask(engine: LockedEngine, picture: &[u8]) -> Result<Vec<u8>, InferError> {
    let name = engine.manifest.name.clone();
    let mask = mask_of(&mut Analyser::load(engine)?, &name, picture)?;
    map_to_png(mask.width as usize, mask.height as usize, &mask.ids).map_err(|reason| unreadable(&name, "mask", reason))
}

/// Part of the pixels of the reference picture at which `engine` says here what it said when it was locked, and how much its manifest
/// asks for; None: it has no such picture.
pub fn golden_agreement(mut engine: LockedEngine) -> Result<Option<(f64, f64)>, InferError> {
    let (name, golden) = (engine.manifest.name.clone(), engine.golden.take());
    golden.map(|golden| Ok((agreement(&mut Analyser::load(engine)?, &name, &golden)?, golden.agreement))).transpose()
}

/// Errs where another mask comes out now than when the engine was locked.
pub(super) fn check(analyser: &mut Analyser, name: &str, golden: &Golden) -> Result<(), InferError> {
    let agreement = agreement(analyser, name, golden)?;
    if agreement < golden.agreement {
        return Err(InferError::Golden { engine: name.to_owned(), agreement, needed: golden.agreement });
    }
    Ok(())
}

fn agreement(analyser: &mut Analyser, name: &str, golden: &Golden) -> Result<f64, InferError> {
    let mask = mask_of(analyser, name, &golden.picture)?;
    let (width, height, wanted) = map_from_png(&golden.mask).map_err(|reason| unreadable(name, "mask", reason))?;
    if (width, height) != (mask.width as usize, mask.height as usize) {
        let (expected, found) = (format!("{width}×{height}"), format!("{}×{}", mask.width, mask.height));
        return Err(InferError::Mismatch { engine: name.to_owned(), part: "the golden mask".into(), expected, found });
    }
    let agreeing = mask.ids.iter().zip(&wanted).filter(|(found, wanted)| found == wanted).count();
    Ok(agreeing as f64 / wanted.len().max(1) as f64)
}

fn mask_of(analyser: &mut Analyser, name: &str, picture: &[u8]) -> Result<ClassMask, InferError> {
    let (layout, bytes) = picture_from_png(picture).map_err(|reason| unreadable(name, "picture", reason))?;
    let view = FrameView::new(&layout, &bytes).ok_or_else(|| unreadable(name, "picture", "it is cut short".into()))?;
    analyser.forget();
    let stamps = Stamps { id: FrameId(0), pts_ns: 0, capture_ns: 0 };
    let scene = analyser.analyse(view, stamps, &|| true)?;
    analyser.forget();
    scene.map(|scene| scene.mask).ok_or_else(|| unreadable(name, "picture", "it was not analysed".into()))
}

fn unreadable(name: &str, part: &str, reason: String) -> InferError {
    InferError::Mismatch {
        engine: name.to_owned(),
        part: format!("the golden {part}"),
        expected: "a PNG as `keyhole engine lock --golden` takes it".into(),
        found: reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::testing::{TestModel, locked};

    fn picture(colour: [u8; 3]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 64, 48);
        encoder.set_color(png::ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&colour.repeat(64 * 48)).unwrap();
        out
    }

    #[test]
    fn an_engine_that_sees_what_it_saw_is_opened_and_another_is_refused() {
        let engine = || locked(&TestModel::default());
        let red = picture([255, 0, 0]);
        let mask = golden_mask(engine(), &red).unwrap();
        let with = |picture: &[u8], mask: &[u8]| {
            let golden = Golden { picture: picture.into(), mask: mask.into(), agreement: 0.995 };
            Analyser::load(LockedEngine { golden: Some(golden), ..engine() }).map(drop)
        };
        with(&red, &mask).unwrap();
        let error = with(&picture([0, 255, 0]), &mask).unwrap_err();
        assert!(error.is_finding() && error.to_string().contains("99.5"), "{error}");
        let error = with(b"no picture", &mask).unwrap_err();
        assert!(error.to_string().contains("golden picture"), "{error}");
        let error = with(&red, &map_to_png(2, 1, &[0, 0]).unwrap()).unwrap_err();
        assert!(error.to_string().contains("2×1"), "{error}");
    }
}
