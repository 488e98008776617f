//! `hw/requirements.toml`: each requirement names its hazard and at least one test that exists.

use crate::{files, root};
use serde::Deserialize;
use std::collections::BTreeSet;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirements {
    requirement: Vec<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Requirement {
    id: String,
    behaviour: String,
    hazard: String,
    /// Names of test functions, or `soak: NAME` for a row of `make long`, or `bench: NAME`.
    tests: Vec<String>,
}

#[test]
fn every_requirement_has_a_test_that_exists() {
    let requirements: Requirements = toml::from_str(&std::fs::read_to_string(root().join("hw/requirements.toml")).unwrap()).unwrap();
    assert!(!requirements.requirement.is_empty());
    let mut sources = String::new();
    for dir in ["src", "tests"] {
        for path in files(&root().join(dir), "rs") {
            sources.push_str(&std::fs::read_to_string(path).unwrap());
        }
    }
    let soak = std::fs::read_to_string(root().join("hw/soak.sh")).unwrap();
    let mut ids = BTreeSet::new();
    for r in &requirements.requirement {
        assert!(ids.insert(&r.id), "{}: the id is used twice", r.id);
        assert!(!r.behaviour.is_empty() && !r.hazard.is_empty(), "{}: behaviour and hazard must be said", r.id);
        assert!(!r.tests.is_empty(), "{}: no test", r.id);
        for test in &r.tests {
            let exists = match test.split_once(": ") {
                Some(("soak", name)) => soak.contains(name),
                _ => sources.contains(&format!("fn {test}(")),
            };
            assert!(exists, "{}: there is no test '{test}'", r.id);
        }
    }
}
