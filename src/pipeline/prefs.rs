//! The operator's choices, kept from one run to the next in one small TOML file. A missing file means none; a bad one is
//! named and left alone until the next choice replaces it: never fatal. Only what an operator chose is in it; limits and
//! devices belong to the config.

use crate::base::classes;
use crate::base::files::write_durably;
use crate::base::say::say;
use crate::base::slot::{Slot, Wake};
use crate::base::texts::Language;
use crate::overlay::OverlayMode;
use crate::pipeline::controls::Choices;
use serde::{Deserialize, Serialize};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const SCHEMA: &str = "keyhole.preferences/1";
/// More than this is not ours.
const MOST_BYTES: u64 = 64 * 1024;

/// The file. What is missing in it was not chosen.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    overlay: Option<bool>,
    look: Option<OverlayMode>,
    opacity: Option<f32>,
    /// Names of classes that are switched off.
    hidden: Option<Vec<String>>,
    hud: Option<bool>,
    language: Option<Language>,
}

#[derive(Debug, thiserror::Error)]
#[error("the preferences in {path} cannot be {what} ({reason}); the run goes on without, and the next choice writes the file anew", path = path.display())]
pub struct PrefsError {
    path: PathBuf,
    what: &'static str,
    reason: String,
}

/// `$STATE_DIRECTORY/preferences.toml`, else `$XDG_STATE_HOME/keyhole/…`, else `~/.local/state/keyhole/…`.
pub fn default_path() -> Option<PathBuf> {
    Some(crate::base::paths::state_folder()?.join("preferences.toml"))
}

/// What was kept, laid over `defaults`.
pub fn load(path: &Path, defaults: Choices) -> Result<Choices, PrefsError> {
    let fail = |reason: String| PrefsError { path: path.to_owned(), what: "read", reason };
    let file = match std::fs::File::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(defaults),
        other => other.map_err(|error| fail(error.to_string()))?,
    };
    let mut text = String::new();
    file.take(MOST_BYTES + 1).read_to_string(&mut text).map_err(|error| fail(error.to_string()))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(fail(format!("it has more than {MOST_BYTES} bytes")));
    }
    parse(&text, defaults).map_err(fail)
}

fn parse(text: &str, defaults: Choices) -> Result<Choices, String> {
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    if file.schema != SCHEMA {
        return Err(format!("its schema is '{}', not '{SCHEMA}'", file.schema));
    }
    let mut choices = defaults;
    if let Some(names) = &file.hidden {
        choices.hidden = Default::default();
        for name in names {
            let class = classes::table().by_name(name).filter(|class| class.kind.is_region());
            choices.hidden.set(class.ok_or_else(|| format!("'{name}' is no class that is drawn"))?.id, true);
        }
    }
    match file.look {
        Some(OverlayMode::Off) => return Err("look is outline or fill".into()),
        Some(look) => choices.look = look,
        None => {}
    }
    match file.opacity {
        Some(opacity) if !(0.1..=1.0).contains(&opacity) => return Err(format!("opacity {opacity} is outside 0.1 to 1")),
        Some(opacity) => choices.opacity = opacity,
        None => {}
    }
    choices.is_on = file.overlay.unwrap_or(choices.is_on);
    choices.hud = file.hud.unwrap_or(choices.hud);
    choices.language = file.language.unwrap_or(choices.language);
    Ok(choices)
}

/// Writes the file whole or not at all: a new file beside it, flushed to the disk, takes its name.
pub fn save(path: &Path, choices: &Choices) -> Result<(), PrefsError> {
    let fail = |reason: String| PrefsError { path: path.to_owned(), what: "written", reason };
    let file = File {
        schema: SCHEMA.into(),
        overlay: Some(choices.is_on),
        look: Some(choices.look),
        opacity: Some(choices.opacity),
        hidden: Some(choices.hidden.names().map(str::to_owned).collect()),
        hud: Some(choices.hud),
        language: Some(choices.language),
    };
    let text = toml::to_string(&file).map_err(|error| fail(error.to_string()))?;
    let folder = path.parent().ok_or_else(|| fail("it has no folder".into()))?;
    std::fs::create_dir_all(folder).and_then(|()| write_durably(path, text.as_bytes())).map_err(|error| fail(error.to_string()))
}

/// Writes choices on a thread of its own, the newest only; whoever offers them never waits.
pub struct Keeper {
    newest: Arc<Slot<Choices>>,
    wake: Arc<Wake>,
    is_ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    pub fn start(path: PathBuf) -> std::io::Result<Self> {
        let wake = Arc::new(Wake::default());
        let newest = Arc::new(Slot::new(1, wake.clone()));
        let is_ending = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new().name("prefs".into()).spawn({
            let (newest, wake, is_ending) = (newest.clone(), wake.clone(), is_ending.clone());
            move || {
                let mut has_failed = false;
                loop {
                    // Read first: what was offered before the end is still written.
                    let is_last = is_ending.load(Ordering::Acquire);
                    while let Some(choices) = newest.pop() {
                        if let Err(error) = save(&path, &choices)
                            && !std::mem::replace(&mut has_failed, true)
                        {
                            say(format_args!("{error}"));
                        }
                    }
                    if is_last {
                        return;
                    }
                    wake.wait(Duration::from_secs(3600));
                }
            }
        })?;
        Ok(Keeper { newest, wake, is_ending, thread: Some(thread) })
    }

    pub fn offer(&self, choices: Choices) {
        // One that was not written yet is out of date.
        let _ = self.newest.push(choices);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.is_ending.store(true, Ordering::Release);
        self.wake.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::controls::tests::choices;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_comes_back_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/keyhole/preferences.toml");
        assert_eq!(load(&path, choices()).unwrap(), choices(), "no file, no choices");
        let mut chosen = Choices { is_on: false, look: OverlayMode::Fill, opacity: 0.55, hud: false, language: Language::De, ..choices() };
        chosen.hidden.toggle_group(2);
        save(&path, &chosen).unwrap();
        assert_eq!(load(&path, choices()).unwrap(), chosen);
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["preferences.toml"]);
    }

    #[test]
    fn a_bad_file_is_named_and_gives_no_choices() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preferences.toml");
        let head = format!("schema = '{SCHEMA}'\n");
        let huge = format!("{head}# {}", "x".repeat(MOST_BYTES as usize));
        let bad = ["", "not toml at all [", "schema = 'other/1'", "hud = true", huge.as_str()];
        let keys = ["opacity = 0.0", "opacity = nan", "look = 'off'", "hidden = ['spleen']", "max_age_ms = 500"];
        for text in bad.iter().map(|text| (*text).to_owned()).chain(keys.iter().map(|key| format!("{head}{key}\n"))) {
            std::fs::write(&path, &text).unwrap();
            let error = load(&path, choices()).unwrap_err().to_string();
            assert!(error.contains("preferences.toml"), "{error}");
        }
        std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
        assert!(load(&path, choices()).is_err());
        assert!(load(folder.path(), choices()).is_err(), "a folder is no file");
        std::fs::write(&path, format!("{head}hud = false\n")).unwrap();
        assert_eq!(load(&path, choices()).unwrap(), Choices { hud: false, ..choices() }, "the rest stays as it was");
    }

    #[test]
    fn the_keeper_writes_the_last_choice_and_survives_a_place_that_cannot_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("preferences.toml");
        let keeper = Keeper::start(path.clone()).unwrap();
        for opacity in [0.4, 0.55, 0.7] {
            keeper.offer(Choices { opacity, ..choices() });
        }
        drop(keeper);
        assert_eq!(load(&path, choices()).unwrap().opacity, 0.7);
        std::fs::write(folder.path().join("file"), "").unwrap();
        let keeper = Keeper::start(folder.path().join("file/preferences.toml")).unwrap();
        keeper.offer(choices());
        drop(keeper);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
            let _ = parse(&text, choices());
            let _ = parse(&format!("schema = '{SCHEMA}'\n{text}"), choices());
        }
    }
}
