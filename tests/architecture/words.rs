//! What the surgeon reads stands in one table (`base::texts`), or it would be in one language only.

use crate::root;

/// Files that paint words or put them together. Everything else hands them a `Text`.
const SPEAKERS: [&str; 8] = [
    "base/hud.rs",
    "display/hud/mod.rs",
    "display/hud/bars.rs",
    "display/hud/layout.rs",
    "display/hud/screen.rs",
    "display/hud/sign.rs",
    "overlay/lettering.rs",
    "overlay/marks.rs",
];
/// Not read by anybody: the font's, the thread's, and what a panic would say.
const OTHERS: [&str; 5] = ["Hack", "hud", "a thread", "the built-in font is a font", ""];

/// String literals of a source text before its tests, without comments, names in braces taken out.
fn literals(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    for line in code.lines().map(|line| line.split("//").next().unwrap()) {
        for literal in line.split('"').skip(1).step_by(2) {
            let mut words = literal.to_owned();
            while let (Some(from), Some(to)) = (words.find('{'), words.find('}')) {
                words.replace_range(from..=to.max(from), "");
            }
            found.push(words.replace("\\u", ""));
        }
    }
    found
}

#[test]
fn what_is_shown_to_a_surgeon_is_in_the_text_table() {
    let mut checked = 0;
    for file in SPEAKERS {
        let source = std::fs::read_to_string(root().join("src").join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        for words in literals(&source) {
            checked += 1;
            let has_word = words.split(|c: char| !c.is_alphabetic()).any(|word| word.chars().count() > 1);
            assert!(!has_word || OTHERS.contains(&words.as_str()), "src/{file} says '{words}': put it into base::texts");
        }
    }
    assert!(checked > 10);
    assert_eq!(literals("let a = \"{x} ms\"; // \"no\"\n"), [" ms"]);
}
