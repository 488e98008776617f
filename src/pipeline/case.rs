//! The case that a run belongs to, kept in one small file as long as it is open: a run that was killed in the middle of an operation
//! goes on in the same case; one that ends as somebody wants it to closes it, and nothing passes to the next.
//!
//! ```text
//!   (none) ─run --case ID─► open ─the run ends by its limit, a signal, its window─► closed (no file)
//!                            │ ▲
//!                     killed ▼ │ the next run, without --case or with the same: resumed
//!                           file
//! ```

use crate::base::files::write_durably;
use crate::base::paths::state_folder;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "keyhole.case/1";
const FILE: &str = "case.toml";
/// Characters of an id.
const MOST: usize = 64;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    id: String,
}

/// The case of this run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    pub id: String,
    /// An earlier run opened it, and did not come to its end.
    pub is_resumed: bool,
    file: Option<PathBuf>,
}

#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("case '{id}': an id has 1 to {MOST} letters, digits, dots, slashes, hyphens and underscores, and nothing else")]
    Id { id: String },
}

/// As `--case` has it.
pub fn parse_id(id: &str) -> Result<String, CaseError> {
    let is_good = |c: char| c.is_alphanumeric() || "./-_".contains(c);
    if (1..=MOST).contains(&id.chars().count()) && id.chars().all(is_good) {
        Ok(id.to_owned())
    } else {
        Err(CaseError::Id { id: id.to_owned() })
    }
}

/// The case that an earlier run left open.
pub fn open_case() -> Option<String> {
    left_open(&state_folder()?)
}

fn left_open(folder: &Path) -> Option<String> {
    let path = folder.join(FILE);
    let text = std::fs::read_to_string(&path).ok()?;
    let file: Result<File, _> = toml::from_str(&text);
    match file.ok().filter(|file| file.schema == SCHEMA).and_then(|file| parse_id(&file.id).ok()) {
        Some(id) => Some(id),
        None => {
            tracing::warn!(file = %path.display(), "the file of the open case cannot be read: it is taken for none");
            None
        }
    }
}

impl Case {
    /// The case that is asked for, else the one that was left open; None: neither. What cannot be kept is said and hinders nothing.
    pub fn begin(asked: Option<&str>) -> Option<Case> {
        Self::begin_in(state_folder().as_deref(), asked)
    }

    fn begin_in(folder: Option<&Path>, asked: Option<&str>) -> Option<Case> {
        let left = folder.and_then(left_open);
        let id = asked.map(str::to_owned).or_else(|| left.clone())?;
        let is_resumed = left.as_ref() == Some(&id);
        if let Some(left) = left.filter(|left| *left != id) {
            tracing::warn!(case = left, "this case was left open; it is closed, and another begins");
        }
        let file = folder.map(|folder| folder.join(FILE));
        if let Some(path) = file.as_deref().filter(|_| !is_resumed) {
            let text = toml::to_string(&File { schema: SCHEMA.to_owned(), id: id.clone() }).unwrap_or_default();
            let kept = path.parent().map_or(Ok(()), std::fs::create_dir_all).and_then(|()| write_durably(path, text.as_bytes()));
            if let Err(error) = kept {
                tracing::error!(file = %path.display(), %error, "the open case cannot be kept: after a crash it would not be resumed");
            }
        }
        Some(Case { id, is_resumed, file })
    }

    /// The run has ended as it was to end.
    pub fn close(self) {
        if let Some(path) = self.file
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::error!(file = %path.display(), %error, "the case cannot be closed: the next run would resume it; delete the file");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_lives_until_its_run_ends_well_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("state");
        let begin = |asked| Case::begin_in(Some(&folder), asked);
        assert_eq!(begin(None), None);
        let first = begin(Some("OR3/0007")).unwrap();
        assert!(!first.is_resumed);
        // Killed: the next run goes on, with or without its name.
        for asked in [None, Some("OR3/0007")] {
            assert!(begin(asked).is_some_and(|case| case.id == "OR3/0007" && case.is_resumed));
        }
        let other = begin(Some("OR3/0008")).unwrap();
        assert!(!other.is_resumed && left_open(&folder).as_deref() == Some("OR3/0008"), "nothing passes to the next");
        other.close();
        assert_eq!(begin(None), None);
        std::fs::write(folder.join(FILE), "id = 7").unwrap();
        assert_eq!(begin(None), None, "what cannot be read is no case");
    }

    #[test]
    fn ids_are_plain() {
        assert!(parse_id("2026-11-22/OR3/0007").is_ok() && parse_id("Müller_3.a").is_ok());
        for id in ["", "a b", "a\nb", "../\u{7}", &"x".repeat(65)] {
            assert!(parse_id(id).is_err(), "{id:?}");
        }
    }
}
