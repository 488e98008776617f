//! The room table: `use crate::room` lines against what each room may import.

use crate::{files, root};
use std::collections::BTreeSet;

/// Room → rooms it may import besides `base` and itself.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("frame", &[]),
    ("scene", &["frame"]),
    ("store", &[]),
    ("capture", &["frame"]),
    ("link", &["frame", "scene"]),
    ("infer", &["frame", "store"]),
    ("track", &["frame", "infer", "scene", "store"]),
    ("overlay", &["frame", "scene"]),
    ("display", &["frame", "scene", "overlay"]),
    ("record", &["frame", "scene"]),
    ("guard", &["frame", "scene", "store"]),
    ("eval", &["scene", "store", "infer"]),
    ("config", &["store", "capture", "link", "infer", "track", "overlay", "display", "record", "guard", "pipeline"]),
    ("pipeline", &["frame", "scene", "store", "capture", "link", "infer", "track", "overlay", "display", "record", "guard", "config"]),
    (
        "cmd",
        &[
            "frame", "scene", "store", "capture", "link", "infer", "track", "overlay", "display", "record", "guard", "eval", "config",
            "pipeline",
        ],
    ),
    ("main", &["cmd"]),
    ("lib", &[]),
];
/// Lines a file may have before it wants dividing.
const LINES_A_FILE: usize = 600;

fn room_of(relative: &str) -> &str {
    relative.split(['/', '.']).next().unwrap()
}

/// Every `crate::room` that a source text names, in code (comments do not count).
fn named_rooms(source: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for line in source.lines().map(|line| line.split("//").next().unwrap_or("")) {
        for (at, _) in line.match_indices("crate::").chain(line.match_indices("keyhole::")) {
            let rest = &line[at..];
            let rest = &rest[rest.find("::").unwrap() + 2..];
            if let Some(group) = rest.strip_prefix('{') {
                for item in group.split('}').next().unwrap_or("").split(',') {
                    rooms.insert(item.trim().split("::").next().unwrap_or("").to_owned());
                }
            } else {
                rooms.insert(rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect());
            }
        }
    }
    rooms.remove("");
    rooms
}

#[test]
fn rooms_import_only_what_the_table_allows() {
    let src = root().join("src");
    let mut seen = BTreeSet::new();
    for path in files(&src, "rs") {
        let relative = path.strip_prefix(&src).unwrap().to_str().unwrap();
        let room = room_of(relative);
        seen.insert(room.to_owned());
        let (_, allowed) =
            MAY_IMPORT.iter().find(|(name, _)| *name == room).unwrap_or_else(|| panic!("{relative}: room '{room}' is not in the table"));
        for named in named_rooms(&std::fs::read_to_string(&path).unwrap()) {
            let is_room = MAY_IMPORT.iter().any(|(name, _)| *name == named);
            assert!(
                !is_room || named == room || named == "base" || allowed.contains(&named.as_str()),
                "{relative} imports crate::{named}; '{room}' may import: base {allowed:?}"
            );
        }
    }
    assert!(seen.len() > 10, "the walk found only {seen:?}");
}

#[test]
fn the_import_reader_sees_groups_and_paths() {
    let rooms = named_rooms("use crate::{frame::Frame, scene::Scene};\nlet x = crate::overlay::Rect; // crate::link\n");
    assert_eq!(rooms.into_iter().collect::<Vec<_>>(), ["frame", "overlay", "scene"]);
}

#[test]
fn no_file_outgrows_its_room() {
    for path in files(&root().join("src"), "rs") {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines <= LINES_A_FILE, "{} has {lines} lines; divide it", path.display());
    }
}

#[test]
fn unsafe_blocks_say_why_they_are_sound() {
    for path in files(&root().join("src"), "rs") {
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap();
            if code.contains("unsafe {") || code.contains("unsafe impl") {
                let explained = lines[i.saturating_sub(6)..=i].iter().any(|l| l.contains("SAFETY:"));
                assert!(explained, "{}:{}: unsafe without a SAFETY line", path.display(), i + 1);
            }
        }
    }
}
