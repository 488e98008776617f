//! Every crate that is built in has a licence that `deny.toml` allows.

use crate::root;
use serde_json::Value;
use std::process::Command;

fn allowed() -> Vec<String> {
    let deny: toml::Table = toml::from_str(&std::fs::read_to_string(root().join("deny.toml")).unwrap()).unwrap();
    deny["licenses"]["allow"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned()).collect()
}

/// SPDX expressions: OR, AND, parentheses; `WITH` belongs to its licence.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut tokens = spaced.split_whitespace().peekable();
    fn any<'a, I: Iterator<Item = &'a str>>(tokens: &mut std::iter::Peekable<I>, allowed: &[String]) -> bool {
        let mut ok = all(tokens, allowed);
        while tokens.next_if_eq(&"OR").is_some() {
            ok |= all(tokens, allowed);
        }
        ok
    }
    fn all<'a, I: Iterator<Item = &'a str>>(tokens: &mut std::iter::Peekable<I>, allowed: &[String]) -> bool {
        let mut ok = one(tokens, allowed);
        while tokens.next_if_eq(&"AND").is_some() {
            ok &= one(tokens, allowed);
        }
        ok
    }
    fn one<'a, I: Iterator<Item = &'a str>>(tokens: &mut std::iter::Peekable<I>, allowed: &[String]) -> bool {
        match tokens.next() {
            Some("(") => {
                let ok = any(tokens, allowed);
                tokens.next_if_eq(&")").is_some() && ok
            }
            Some(licence) => {
                let mut name = licence.to_owned();
                if tokens.next_if_eq(&"WITH").is_some() {
                    name = format!("{name} WITH {}", tokens.next().unwrap_or(""));
                }
                allowed.contains(&name)
            }
            None => false,
        }
    }
    any(&mut tokens, allowed) && tokens.next().is_none()
}

#[test]
fn expressions_are_read_as_spdx_says() {
    let allowed = ["MIT".to_owned(), "Zlib".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    assert!(is_allowed("GPL-3.0 OR MIT", &allowed));
    assert!(is_allowed("(GPL-3.0 OR Zlib) AND MIT", &allowed));
    assert!(is_allowed("Apache-2.0 WITH LLVM-exception", &allowed));
    assert!(is_allowed("MIT/Apache-2.0", &allowed));
    for refused in ["GPL-3.0", "MIT AND GPL-3.0", "Apache-2.0", ""] {
        assert!(!is_allowed(refused, &allowed), "{refused}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let allowed = allowed();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 50);
    let resolved: Vec<&str> = metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    let refused: Vec<String> = packages
        .iter()
        .filter(|p| resolved.contains(&p["id"].as_str().unwrap()))
        .filter(|p| !is_allowed(p["license"].as_str().unwrap_or(""), &allowed))
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect();
    assert!(refused.is_empty(), "licences that deny.toml does not allow:\n{}", refused.join("\n"));
}
