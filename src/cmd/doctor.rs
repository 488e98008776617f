//! `keyhole doctor`: what this machine has, what is missing, and what that costs.

use crate::base::error::Finding;
use crate::base::inventory::{Item, State};
use crate::base::paths::{cache_folder, state_folder};
use crate::store::{self, Engines};
use crate::{capture, display, infer, overlay, pipeline};
use clap::Args;
use serde::Serialize;
use std::path::Path;

#[derive(Debug, Args)]
pub struct Arguments {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Items that belong together.
#[derive(Debug, Serialize)]
struct Section {
    name: &'static str,
    items: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Findings {
    schema: &'static str,
    version: &'static str,
    commit: &'static str,
    /// The worst of all items.
    state: State,
    sections: Vec<Section>,
}

pub fn main(arguments: &Arguments) -> anyhow::Result<()> {
    let sections = vec![
        Section { name: "machine", items: machine() },
        Section { name: "inputs", items: capture::inventory() },
        Section { name: "displays", items: display::inventory().into_iter().chain(overlay::inventory()).collect() },
        Section { name: "AI", items: infer::inventory().into_iter().chain(engines(Engines::find(None))).collect() },
        Section { name: "GPU", items: infer::cuda::inventory() },
    ];
    let state = sections.iter().flat_map(|section| &section.items).map(|item| item.state).max().unwrap_or(State::Ok);
    let found =
        Findings { schema: "keyhole.doctor/1", version: env!("CARGO_PKG_VERSION"), commit: env!("KEYHOLE_COMMIT"), state, sections };
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&found)?);
    } else {
        print!("{}", listing(&found));
    }
    match state {
        State::Missing => Err(Finding("what is marked MISSING must be there: without it there is no picture, or no AI".to_owned()).into()),
        _ => Ok(()),
    }
}

fn listing(found: &Findings) -> String {
    let mut text = format!("keyhole {} ({})\n", found.version, found.commit);
    for section in &found.sections {
        text += &format!("{}\n", section.name);
        for Item { state, text: item } in &section.items {
            text += &format!("  {:<8} {item}\n", state.name());
        }
    }
    text
}

fn machine() -> Vec<Item> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let state = if cores < 2 { State::Limited } else { State::Ok };
    let name = infer::processor();
    let name = name.split(" [").next().unwrap_or_default();
    let mut items = vec![Item::new(state, format!("{cores} cores ({name})"))];
    items.extend(pipeline::grants());
    items.push(match state_folder() {
        Some(folder) => space("state", &folder),
        None => Item::new(State::Limited, "no folder for what is kept from run to run: set STATE_DIRECTORY, XDG_STATE_HOME or HOME"),
    });
    items.push(space("cache", &cache_folder()));
    items
}

/// How much can be written where `folder` is, or would be made.
fn space(what: &str, folder: &Path) -> Item {
    let Some(there) = folder.ancestors().find(|folder| folder.is_dir()) else {
        return Item::new(State::Limited, format!("{what} '{}' cannot be made", folder.display()));
    };
    let is_writable = rustix::fs::access(there, rustix::fs::Access::WRITE_OK);
    let free = is_writable.and_then(|()| rustix::fs::statvfs(there)).map(|stat| (stat.f_bavail * stat.f_frsize) as f64 / 1e9);
    match free {
        Ok(gigabytes) => Item::new(State::Ok, format!("{what} '{}': {gigabytes:.1} GB free", folder.display())),
        Err(error) => Item::new(State::Limited, format!("{what} '{}' cannot be written ({error}): give it to this user", folder.display())),
    }
}

/// Every engine that is found; the AI does not run without one for the CPU.
fn engines(found: Result<Engines, store::StoreError>) -> Vec<Item> {
    let engines = match found {
        Ok(engines) => engines,
        Err(error) => return vec![Item::new(State::Missing, error.to_string())],
    };
    let of = |name: String| {
        let loaded = store::load(&engines.dir().join(&name));
        Item::of(loaded.map(|engine| format!("engine {name} {}: {}", engine.manifest.version, engine.seal)), State::Limited)
    };
    let items = engines.names().into_iter().map(of);
    let needed = engines.load_for("cpu").err().map(|error| Item::new(State::Missing, error.to_string()));
    items.chain(needed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_judged_by_the_one_it_would_be_made_in() {
        let parent = tempfile::tempdir().unwrap();
        let item = space("cache", &parent.path().join("a/b"));
        assert!(item.state == State::Ok && item.text.contains("a/b") && item.text.contains("GB free"), "{item:?}");
        let item = space("cache", Path::new("/proc/1/nothing"));
        assert!(item.state == State::Limited && item.text.contains("/proc/1/nothing"), "{item:?}");
    }

    #[test]
    fn without_an_engine_for_the_cpu_something_is_missing() {
        let nowhere = tempfile::tempdir().unwrap();
        let items = engines(Engines::find(Some(nowhere.path())));
        assert_eq!(items.iter().map(|item| item.state).collect::<Vec<_>>(), [State::Missing]);
    }

    #[test]
    fn every_item_stands_in_its_section_with_its_state() {
        let items = vec![Item::new(State::Ok, "two cores"), Item::new(State::Missing, "no engine; make one")];
        let sections = vec![Section { name: "machine", items }];
        let found = Findings { schema: "keyhole.doctor/1", version: "1.2", commit: "abc", state: State::Missing, sections };
        assert_eq!(listing(&found), "keyhole 1.2 (abc)\nmachine\n  ok       two cores\n  MISSING  no engine; make one\n");
    }
}
