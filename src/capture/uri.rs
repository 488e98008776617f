//! What `--source` may say, taken apart. Looks at the file system only to let a real file's name win.

use super::error::CaptureError;
use super::input::{self, Input};
use super::pace::Rate;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Spec {
    File {
        path: PathBuf,
        /// `?fps=`: release at this rate, whatever the file's own stamps say.
        rate: Option<Rate>,
    },
    /// A GStreamer description that ends before the sink.
    Gst(String),
    Live(Input),
    /// A named pipe into which somebody writes a stream.
    Pipe(PathBuf),
    Sim,
    /// The self-test's own pictures.
    Pattern,
}

/// Takes `uri` apart. A file that exists under exactly this name wins over every other reading.
pub(super) fn parse(uri: &str) -> Result<Spec, CaptureError> {
    let unknown = |note| CaptureError::Unknown { uri: uri.to_owned(), note };
    if uri.is_empty() {
        return Err(unknown(""));
    }
    if super::pipe::is_one(Path::new(uri)) {
        return Ok(Spec::Pipe(uri.into()));
    }
    if exists(uri) {
        return Ok(Spec::File { path: uri.into(), rate: None });
    }
    if let Some(input) = input::parse(uri) {
        return Ok(Spec::Live(input?));
    }
    if let Some((scheme, rest)) = scheme(uri) {
        return match scheme {
            "sim" => Ok(Spec::Sim),
            "pattern" => Ok(Spec::Pattern),
            "gst" if rest.trim().is_empty() => {
                Err(CaptureError::Description { description: String::new(), reason: "the description is empty".into() })
            }
            "gst" => Ok(Spec::Gst(rest.trim().to_owned())),
            "file" => Err(unknown(" (write the file's path alone)")),
            _ if exists(without_query(uri)) => with_query(uri),
            _ => Err(unknown("")),
        };
    }
    with_query(uri)
}

fn exists(path: &str) -> bool {
    // A name that cannot be looked up for lack of permission is no other kind of source.
    !matches!(Path::new(path).try_exists(), Ok(false))
}

fn without_query(uri: &str) -> &str {
    uri.rsplit_once('?').map_or(uri, |(path, _)| path)
}

fn with_query(uri: &str) -> Result<Spec, CaptureError> {
    let Some((path, query)) = uri.rsplit_once('?') else {
        return Ok(Spec::File { path: uri.into(), rate: None });
    };
    let refuse = |reason: String| CaptureError::Query { uri: uri.to_owned(), reason };
    let mut rate = None;
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("fps", value)) => rate = Some(Rate::parse(value).ok_or_else(|| refuse(format!("'{value}' is not a frame rate")))?),
            // What is no query at all is part of a file's name, and that file is missing.
            None if !exists(path) => return Ok(Spec::File { path: uri.into(), rate: None }),
            _ => return Err(refuse(format!("'{pair}' is not known here"))),
        }
    }
    Ok(Spec::File { path: path.into(), rate })
}

/// `scheme:rest` as in RFC 3986; None where the text before the first ':' is no scheme (a path, say).
fn scheme(uri: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = uri.split_once(':')?;
    let mut chars = scheme.chars();
    let starts_well = chars.next().is_some_and(|c| c.is_ascii_lowercase());
    (starts_well && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))).then_some((scheme, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(path: &str, fps: Option<&str>) -> Spec {
        Spec::File { path: path.into(), rate: fps.map(|fps| Rate::parse(fps).unwrap()) }
    }

    #[test]
    fn paths_and_rates_are_told_apart() {
        assert_eq!(parse("no/such.mp4").unwrap(), file("no/such.mp4", None));
        assert_eq!(parse("no/such.mp4?fps=60").unwrap(), file("no/such.mp4", Some("60")));
        assert_eq!(parse("./why?.mp4?fps=29.97").unwrap(), file("./why?.mp4", Some("29.97")));
        assert_eq!(parse("./why?.mp4").unwrap(), file("./why?.mp4", None), "a missing file with a '?' in its name stays that");
        for bad in ["a.mp4?fps=0", "a.mp4?fps=-3", "a.mp4?fps=abc", "a.mp4?speed=2", "a.mp4?fps=", "a.mp4?fps=1e9"] {
            assert!(matches!(parse(bad), Err(CaptureError::Query { .. })), "{bad}");
        }
    }

    #[test]
    fn a_real_file_whose_name_holds_a_question_mark_or_a_scheme_wins() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["clip.mp4?fps=60", "a?b.mp4"] {
            let path = folder.path().join(name);
            std::fs::write(&path, b"x").unwrap();
            assert_eq!(parse(path.to_str().unwrap()).unwrap(), Spec::File { path, rate: None });
        }
    }

    #[test]
    fn schemes() {
        assert_eq!(parse("gst: videotestsrc ").unwrap(), Spec::Gst("videotestsrc".into()));
        assert_eq!(parse("sim:?seed=7").unwrap(), Spec::Sim);
        for unknown in ["", "http://x", "foo:bar"] {
            let text = parse(unknown).unwrap_err().to_string();
            assert!(text.contains("sim:") && text.contains("gst:") && text.contains("file"), "{text}");
        }
        assert!(matches!(parse("rtsp://x/y").unwrap(), Spec::Live(_)));
        assert!(matches!(parse("gst:  "), Err(CaptureError::Description { .. })));
    }

    proptest! {
        #[test]
        fn never_panics(uri in "\\PC{0,60}") {
            let _ = parse(&uri);
        }
    }
}
