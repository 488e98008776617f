//! The limits that the self-test judges by: compiled in (hw/limits.toml), so that a lost or edited file loosens nothing, and a
//! site's own on top of them. What is measured, and what follows from a limit that is exceeded, do not belong here.
//!
//! A site's file, signed at commissioning (`sign_site`):
//! ```toml
//! schema = "keyhole.site-limits/1"
//! by = "Dr. A, biomedical engineering"
//! date = "2026-11-22"
//! why = "theatre 2: the monitor holds one picture back"
//! [[limit]]
//! id = "video_delay_ms"
//! value = 18.0                # as in hw/limits.toml: one number, or two for "within"
//! ```

use super::bound::{Bound, Numbers, Side};
use super::error::LimitsError;
use crate::base::mode::Mode;
use crate::store::{self, PublicKey, Seal, SecretKey};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::path::Path;

const SCHEMA: &str = "keyhole.limits/1";
const SITE_SCHEMA: &str = "keyhole.site-limits/1";
const SHIPPED: &str = include_str!("../../hw/limits.toml");
/// What a reader is told to call the compiled text.
const SHIPPED_NAME: &str = "hw/limits.toml";
const COPY_LIMIT_BYTES: u64 = 1 << 20;

/// One limit, as it is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    pub id: String,
    /// In plain words.
    pub what: String,
    pub unit: String,
    pub side: Side,
    /// Beyond it: fail. Nobody sets it wider.
    pub hard: Option<Bound>,
    /// Beyond it: pass with limits.
    pub default: Option<Bound>,
    /// What the site has set: hard there.
    pub site: Option<Bound>,
    /// A site may set it wider than the default, up to `hard`.
    pub may_site_set: bool,
    /// The standard's clause, the paper, or who chose it.
    pub source: String,
}

impl Limit {
    /// What is judged first: the site's, else the default, else the hard one. None: nobody has set it yet.
    pub fn in_force(&self) -> Option<Bound> {
        self.site.or(self.default).or(self.hard)
    }

    /// The bound whose violation is a failure, where there is one.
    pub fn failing(&self) -> Option<Bound> {
        self.site.or(self.hard)
    }

    /// The same limit, narrower, as an engine's manifest asks for.
    pub fn tightened(&self, to: Bound, by: &str) -> Result<Limit, LimitsError> {
        if self.in_force().is_some_and(|bound| !to.is_within(bound)) {
            let (allowed, asked) = (self.in_force().map_or(String::new(), |bound| bound.to_string()), to.to_string());
            return Err(LimitsError::Loosened { by: by.to_owned(), id: self.id.clone(), asked, allowed });
        }
        Ok(Limit { site: Some(to), source: format!("{}; {by}: {to}", self.source), ..self.clone() })
    }

    /// "at most 100 ms (hard: at most 120 ms)"
    pub fn words(&self) -> String {
        match (self.in_force(), self.hard) {
            (None, _) => "not set yet".to_owned(),
            (Some(bound), Some(hard)) if bound != hard => format!("{} (never {})", bound.words(&self.unit), beyond(hard, &self.unit)),
            (Some(bound), _) => bound.words(&self.unit),
        }
    }
}

fn beyond(hard: Bound, unit: &str) -> String {
    let words = hard.words(unit);
    match hard {
        Bound::AtMost(_) => words.replace("at most", "over"),
        Bound::AtLeast(_) => words.replace("at least", "under"),
        Bound::Within(..) => format!("outside {words}"),
    }
}

/// Who has set the site's limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Site {
    pub by: String,
    pub date: String,
    pub why: String,
    pub seal: Seal,
}

/// All limits in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    limits: Vec<Limit>,
    pub site: Option<Site>,
    /// Of the compiled text and the site's file: lower-case hex.
    pub sha256: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    schema: String,
    limit: Vec<Row>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    id: String,
    what: String,
    unit: String,
    bound: Side,
    hard: Option<Numbers>,
    default: Option<Numbers>,
    #[serde(default)]
    site: bool,
    source: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteFile {
    schema: String,
    by: String,
    date: String,
    why: String,
    limit: Vec<SiteRow>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SiteRow {
    id: String,
    value: Numbers,
}

impl Limits {
    /// As they are compiled in.
    pub fn shipped() -> Limits {
        let limits = parse(SHIPPED).expect("the compiled limits are valid: a test reads them");
        Limits { limits, site: None, sha256: hash(&[SHIPPED.as_bytes()]) }
    }

    /// What a self-test judges by. `copy`: where the shipped file was installed; it may be missing, it may not differ. `site`: the
    /// site's file. In clinical mode one of the `trusted` keys must have signed it.
    pub fn load(copy: Option<&Path>, site: Option<&Path>, mode: Mode, trusted: &[PublicKey]) -> Result<Limits, LimitsError> {
        let mut limits = Limits::shipped();
        if let Some(path) = copy {
            limits.check_copy(path)?;
        }
        if let Some(path) = site {
            limits.set_site(path)?;
            if let (Mode::Clinical, Some(site)) = (mode, &limits.site) {
                site.seal
                    .check_clinical("", trusted)
                    .map_err(|_| LimitsError::Untrusted { path: path.to_owned(), seal: site.seal.to_string() })?;
            }
        }
        Ok(limits)
    }

    pub fn get(&self, id: &str) -> Option<&Limit> {
        self.limits.iter().find(|limit| limit.id == id)
    }

    /// The number of a limit of one side, for rules that need it: the bound in force.
    pub fn number(&self, id: &str) -> Option<f64> {
        match self.get(id)?.in_force()? {
            Bound::AtMost(number) | Bound::AtLeast(number) => Some(number),
            Bound::Within(..) => None,
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Limit> {
        self.limits.iter()
    }

    /// An installed copy says the same as the compiled text, or is not there.
    fn check_copy(&self, path: &Path) -> Result<(), LimitsError> {
        let read = |source| LimitsError::Read { path: path.to_owned(), source };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(read(error)),
            Ok(meta) if meta.len() > COPY_LIMIT_BYTES => {
                return Err(LimitsError::Syntax {
                    file: path.display().to_string(),
                    reason: format!("longer than {COPY_LIMIT_BYTES} bytes"),
                });
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(read)?;
        let found = parse(&text).map_err(|reason| LimitsError::Syntax { file: path.display().to_string(), reason })?;
        let differs = |id: &str, compiled: Option<&Limit>, found: Option<&Limit>| {
            let said = |limit: Option<&Limit>| limit.map_or("no such limit".to_owned(), described);
            LimitsError::Differs { path: path.to_owned(), id: id.to_owned(), compiled: said(compiled), found: said(found) }
        };
        for limit in &self.limits {
            let other = found.iter().find(|other| other.id == limit.id);
            // Words may be corrected in a copy; what is judged may not.
            if other.is_none_or(|other| described(other) != described(limit)) {
                return Err(differs(&limit.id, Some(limit), other));
            }
        }
        match found.iter().find(|other| self.get(&other.id).is_none()) {
            Some(more) => Err(differs(&more.id, None, Some(more))),
            None => Ok(()),
        }
    }

    fn set_site(&mut self, path: &Path) -> Result<(), LimitsError> {
        let (bytes, seal) = store::read_site_limits(path).map_err(|source| LimitsError::Seal { path: path.to_owned(), source })?;
        let name = path.display().to_string();
        let text = std::str::from_utf8(&bytes).map_err(|e| LimitsError::Syntax { file: name.clone(), reason: e.to_string() })?;
        let file = self.with_site(&name, text)?;
        self.site = Some(Site { by: file.by, date: file.date, why: file.why, seal });
        self.sha256 = hash(&[SHIPPED.as_bytes(), &bytes]);
        Ok(())
    }

    /// All of the site's limits, or none.
    fn with_site(&mut self, name: &str, text: &str) -> Result<SiteFile, LimitsError> {
        let bad = |reason: String| LimitsError::Syntax { file: name.to_owned(), reason };
        let file: SiteFile = toml::from_str(text).map_err(|e| bad(e.to_string().trim_end().to_owned()))?;
        if file.schema != SITE_SCHEMA {
            return Err(bad(format!("schema: expected '{SITE_SCHEMA}', found '{}'", file.schema)));
        }
        for (field, words) in [("by", &file.by), ("date", &file.date), ("why", &file.why)] {
            if words.trim().is_empty() || words.chars().any(char::is_control) {
                return Err(bad(format!("{field}: one line is expected, not empty")));
            }
        }
        let mut limits = self.limits.clone();
        for row in &file.limit {
            let Some(limit) = limits.iter_mut().find(|limit| limit.id == row.id) else {
                return Err(bad(format!("there is no limit '{}'; hw/limits.toml names them all", row.id)));
            };
            if limit.site.is_some() {
                return Err(bad(format!("'{}' is set twice", row.id)));
            }
            let asked = Bound::of(limit.side, row.value).map_err(|reason| bad(format!("{}: {reason}", row.id)))?;
            let allowed = if limit.may_site_set { limit.hard } else { limit.default.or(limit.hard) };
            if let Some(allowed) = allowed.filter(|allowed| !asked.is_within(*allowed)) {
                let (by, id) = (name.to_owned(), limit.id.clone());
                return Err(LimitsError::Loosened { by, id, asked: asked.words(&limit.unit), allowed: allowed.words(&limit.unit) });
            }
            limit.site = Some(asked);
            limit.source = format!("set by the site ({}, {}: {}); shipped: {}", file.by, file.date, file.why, limit.source);
        }
        self.limits = limits;
        Ok(file)
    }
}

/// Signs a site's file, after reading it: `theatre-2.toml` → `theatre-2.signature.toml`.
pub fn sign_site(path: &Path, key: &SecretKey) -> Result<Limits, LimitsError> {
    // A broken seal of an older text does not keep the new one from being signed.
    let text = std::fs::read_to_string(path).map_err(|source| LimitsError::Read { path: path.to_owned(), source })?;
    Limits::shipped().with_site(&path.display().to_string(), &text)?;
    store::sign_site_limits(path, key).map_err(|source| LimitsError::Seal { path: path.to_owned(), source })?;
    Limits::load(None, Some(path), Mode::Demo, &[])
}

/// What is judged, without the words.
fn described(limit: &Limit) -> String {
    let part = |name: &str, bound: Option<Bound>| bound.map(|bound| format!("{name} {}", bound.words(&limit.unit)));
    let mut parts: Vec<String> = [part("hard", limit.hard), part("default", limit.default)].into_iter().flatten().collect();
    if limit.may_site_set {
        parts.push("a site may set it".to_owned());
    }
    parts.join(", ")
}

fn parse(text: &str) -> Result<Vec<Limit>, String> {
    let file: File = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    if file.schema != SCHEMA {
        return Err(format!("schema: expected '{SCHEMA}', found '{}' (this is {SHIPPED_NAME} of another version)", file.schema));
    }
    let mut limits: Vec<Limit> = Vec::with_capacity(file.limit.len());
    for row in file.limit {
        let limit = limit(row)?;
        if limits.iter().any(|other| other.id == limit.id) {
            return Err(format!("'{}' is there twice", limit.id));
        }
        limits.push(limit);
    }
    Ok(limits)
}

fn limit(row: Row) -> Result<Limit, String> {
    let Row { id, what, unit, bound: side, hard, default, site: may_site_set, source } = row;
    if id.is_empty() || !id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(format!("id: '{id}' is no name of a limit: small letters, digits and _ are expected"));
    }
    for (field, words) in [("what", &what), ("unit", &unit), ("source", &source)] {
        if words.trim().is_empty() || words.chars().any(char::is_control) {
            return Err(format!("{id}: {field}: one line is expected, not empty"));
        }
    }
    let bound = |field: &str, numbers: Option<Numbers>| {
        numbers.map(|numbers| Bound::of(side, numbers).map_err(|reason| format!("{id}: {field}: {reason}"))).transpose()
    };
    let (hard, default) = (bound("hard", hard)?, bound("default", default)?);
    match (hard, default) {
        (Some(hard), Some(default)) if !default.is_within(hard) => return Err(format!("{id}: the default is wider than the hard limit")),
        (None, None) if !may_site_set => return Err(format!("{id}: without hard and default it is the site's: site = true is expected")),
        (None, Some(_)) if may_site_set => return Err(format!("{id}: what a site may set needs a hard limit that bounds it")),
        (Some(_), None) if may_site_set => {
            return Err(format!("{id}: what is hard alone is not the site's to set: site = true is not expected"));
        }
        _ => {}
    }
    Ok(Limit { id, what, unit, side, hard, default, site: None, may_site_set, source })
}

fn hash(parts: &[&[u8]]) -> String {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    store::hex(&hasher.finalize())
}

#[cfg(test)]
#[path = "limits_tests.rs"]
mod tests;
