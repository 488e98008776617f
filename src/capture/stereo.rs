//! Stereo scopes: both eyes come in one picture, or in two inputs (`pair`). Both are shown as they come; one is analysed.

use super::error::CaptureError;
use super::{Pull, SignalEvent, Source, SourceInfo};
use crate::frame::{FrameLayout, PixelFormat, PlaneLayout};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// How the eyes share the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Packing {
    /// The left eye in the left half.
    SideBySide,
    /// The left eye in the upper half.
    TopBottom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Eye {
    Left,
    Right,
}

impl Eye {
    pub fn name(self) -> &'static str {
        match self {
            Eye::Left => "left",
            Eye::Right => "right",
        }
    }
}

/// `?stereo=side-by-side|top-bottom&eye=left|right`, or `stereo:LEFT|RIGHT|eye=left|right`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stereo {
    pub packing: Packing,
    /// The eye that is analysed, and carries the overlay.
    pub eye: Eye,
}

/// Takes `stereo` and `eye` out of a source's query: what is left, and what they said. `sim:` and `gst:` have none. Two
/// inputs are shown side by side, and stay in the URI.
pub fn split(uri: &str) -> Result<(Cow<'_, str>, Option<Stereo>), CaptureError> {
    if let Some(two) = super::pair::parse(uri)? {
        return Ok((Cow::Borrowed(uri), Some(Stereo { packing: Packing::SideBySide, eye: two.eye })));
    }
    let has_none = uri.starts_with("sim:") || uri.starts_with("gst:") || std::path::Path::new(uri).exists();
    let Some((address, query)) = uri.rsplit_once('?').filter(|_| !has_none) else { return Ok((Cow::Borrowed(uri), None)) };
    let refuse = |reason: &str| Err(CaptureError::Input { uri: uri.to_owned(), reason: reason.to_owned() });
    let (mut packing, mut eye, mut kept) = (None, None, Vec::new());
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("stereo", "side-by-side")) => packing = Some(Packing::SideBySide),
            Some(("stereo", "top-bottom")) => packing = Some(Packing::TopBottom),
            Some(("stereo", _)) => return refuse("write stereo=side-by-side or stereo=top-bottom"),
            Some(("eye", "left")) => eye = Some(Eye::Left),
            Some(("eye", "right")) => eye = Some(Eye::Right),
            Some(("eye", _)) => return refuse("write eye=left or eye=right"),
            _ => kept.push(pair),
        }
    }
    match (packing, eye) {
        (None, None) => Ok((Cow::Borrowed(uri), None)),
        (None, Some(_)) => refuse("eye= is said without stereo=side-by-side or stereo=top-bottom"),
        (Some(packing), eye) => {
            let rest = if kept.is_empty() { address.to_owned() } else { format!("{address}?{}", kept.join("&")) };
            Ok((Cow::Owned(rest), Some(Stereo { packing, eye: eye.unwrap_or(Eye::Left) })))
        }
    }
}

/// The layout of one eye; None where its planes are not exactly half of the whole's.
pub fn eye_layout(whole: &FrameLayout, packing: Packing) -> Option<FrameLayout> {
    let (width, height) = match packing {
        Packing::SideBySide => (whole.width / 2, whole.height),
        Packing::TopBottom => (whole.width, whole.height / 2),
    };
    let eye = FrameLayout::new(whole.format, whole.colorimetry, width, height).ok()?;
    let is_half = |(eye, whole): (&PlaneLayout, &PlaneLayout)| match packing {
        Packing::SideBySide => 2 * eye.row_bytes == whole.row_bytes && eye.rows == whole.rows,
        Packing::TopBottom => eye.row_bytes == whole.row_bytes && 2 * eye.rows == whole.rows,
    };
    let is_even = width * 2 == whole.width || height * 2 == whole.height;
    // Six pixels of v210 are one group, whatever the lengths of its rows are rounded up to.
    let is_between_groups = whole.format != PixelFormat::V210 || packing == Packing::TopBottom || width.is_multiple_of(6);
    (is_even && is_between_groups && eye.planes().iter().zip(whole.planes()).all(is_half)).then_some(eye)
}

/// Why a picture cannot be parted, and what can be done.
pub(super) fn unparted(whole: &FrameLayout, packing: Packing) -> String {
    let (width, height, format) = (whole.width, whole.height, whole.format.name());
    let how = match packing {
        Packing::SideBySide => "side by side: both halves of each row need whole pairs of pixels (six of v210)",
        Packing::TopBottom => "top and bottom: both halves need the same rows, of 4:2:0 an even number",
    };
    format!("a {width}×{height} {format} picture cannot be parted into two eyes {how}")
}

/// A stereo source whose pictures can be parted: refused at the start, said when the format changes. The picture is shown
/// all the same; only the analysis has to do without it.
pub(super) struct Parted {
    source: Box<dyn Source>,
    packing: Packing,
    layout: Option<FrameLayout>,
    is_parted: bool,
}

impl Parted {
    pub fn new(uri: &str, source: Box<dyn Source>, packing: Packing) -> Result<Self, CaptureError> {
        let &SourceInfo { format, colorimetry, width, height, .. } = source.info();
        let layout = FrameLayout::new(format, colorimetry, width, height)
            .map_err(|source| CaptureError::Layout { thing: uri.to_owned(), source })?;
        if eye_layout(&layout, packing).is_none() {
            return Err(CaptureError::Input {
                uri: uri.to_owned(),
                reason: unparted(&layout, packing) + "; set the scope to another size or format, or leave stereo= away",
            });
        }
        Ok(Parted { source, packing, layout: None, is_parted: true })
    }
}

impl Source for Parted {
    fn info(&self) -> &SourceInfo {
        self.source.info()
    }

    fn pull(&mut self, at_most: Duration) -> Result<Pull<'_>, CaptureError> {
        // What the last picture was is said before the next one is asked for: a pull gives one thing.
        if let Some(layout) = &self.layout {
            let is_parted = eye_layout(layout, self.packing).is_some();
            if std::mem::replace(&mut self.is_parted, is_parted) != is_parted {
                return Ok(Pull::Event(SignalEvent::Parted { failure: (!is_parted).then(|| unparted(layout, self.packing)) }));
            }
        }
        let pulled = self.source.pull(at_most)?;
        if let Pull::Picture(picture) = &pulled {
            self.layout = Some(picture.layout);
        }
        Ok(pulled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stereo_is_taken_out_of_the_query() {
        let of = |uri: &str| split(uri).map(|(rest, stereo)| (rest.into_owned(), stereo)).unwrap();
        let side = |eye| Some(Stereo { packing: Packing::SideBySide, eye });
        assert_eq!(of("a.mp4?fps=60&stereo=side-by-side&eye=right"), ("a.mp4?fps=60".into(), side(Eye::Right)));
        assert_eq!(of("rtsp://h/p?stereo=side-by-side"), ("rtsp://h/p".into(), side(Eye::Left)));
        let (rest, stereo) = of("decklink:0?stereo=top-bottom&mode=1080p60");
        assert_eq!((rest.as_str(), stereo.unwrap().packing), ("decklink:0?mode=1080p60", Packing::TopBottom));
        for plain in ["a.mp4", "a?b.mp4", "sim:?seed=3", "rtsp://h/p?channel=1"] {
            assert_eq!(of(plain), (plain.to_owned(), None));
        }
        for (bad, word) in
            [("a.mp4?stereo=both", "side-by-side"), ("a.mp4?eye=left", "without stereo"), ("a.mp4?stereo=top-bottom&eye=3", "eye=left")]
        {
            assert!(split(bad).unwrap_err().to_string().contains(word), "{bad}");
        }
    }

    /// Six pixels of v210 share four words: between two groups alone one eye ends and the other begins.
    #[test]
    fn v210_is_parted_between_its_groups_alone() {
        use crate::frame::{Colorimetry, Matrix, Range};
        let whole = |width| FrameLayout::new(PixelFormat::V210, Colorimetry::sdr(Matrix::Bt709, Range::Limited), width, 64).unwrap();
        for (width, packing, is_parted) in
            [(1280, Packing::SideBySide, false), (1284, Packing::SideBySide, true), (1280, Packing::TopBottom, true)]
        {
            assert_eq!(eye_layout(&whole(width), packing).is_some(), is_parted, "{width} {packing:?}");
        }
    }

    #[test]
    fn what_cannot_be_halved_is_refused_at_the_start_and_said_when_the_format_changes() {
        use crate::capture::{Settings, open};
        let clock = || std::sync::Arc::new(crate::base::clock::MonotonicClock);
        let folder = tempfile::tempdir().unwrap();
        let clip = folder.path().join("odd.avi");
        for (size, packing, is_refused) in [
            ("98x64", "side-by-side", true),
            ("96x64", "side-by-side", false),
            ("96x66", "top-bottom", true),
            ("96x64", "top-bottom", false),
        ] {
            let (width, height) = size.split_once('x').unwrap();
            let made = format!(
                "videotestsrc num-buffers=5 ! video/x-raw,format=I420,width={width},height={height},framerate=25/1 ! jpegenc ! avimux"
            );
            crate::capture::tests::write_clip(&made, &clip);
            let uri = format!("{}?stereo={packing}", clip.display());
            match open(&uri, &Settings::default(), clock()) {
                Ok(_) => assert!(!is_refused, "{uri} {size}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(is_refused && text.contains(&size.replace('x', "×")) && text.contains("leave stereo= away"), "{text}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn never_panics(uri in "\\PC{0,40}[?]\\PC{0,40}") {
            let _ = split(&uri);
        }
    }
}
