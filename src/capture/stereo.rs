//! Stereo scopes: both eyes come in one picture. Both are shown as they come; one is analysed.

use super::error::CaptureError;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

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

/// `?stereo=side-by-side|top-bottom&eye=left|right`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stereo {
    pub packing: Packing,
    /// The eye that is analysed, and carries the overlay.
    pub eye: Eye,
}

/// Takes `stereo` and `eye` out of a source's query: what is left, and what they said. `sim:` and `gst:` have none.
pub fn split(uri: &str) -> Result<(Cow<'_, str>, Option<Stereo>), CaptureError> {
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

    proptest! {
        #[test]
        fn never_panics(uri in "\\PC{0,40}[?]\\PC{0,40}") {
            let _ = split(&uri);
        }
    }
}
