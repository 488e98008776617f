//! Labelled pictures and clips on disk. Says file by file what is broken before anything is measured.
//!
//! ```text
//!   dataset.toml             name, licence, source, [classes] id = "name", [subgroups] "patient 3" = [files], "scope B" = [files]
//!   images/NAME.png|jpg      masks/NAME.png (class id a pixel, 255: nobody knows)
//!   masks.RATER/NAME.png     optional: other people's masks of the same picture; where masks/ has none, three or more of them
//!                            stand in for it (STAPLE)
//!   tracks/*.jsonl           optional: see `things`; pictures with boxes there need no mask
//!   NAME.mkv|mp4|avi|mov     the clip of tracks/NAME.jsonl
//! ```

use super::mask::{IGNORE, Mask, counted_as, read_png};
use super::raters::{FEWEST_RATERS, MOST_RATERS, consensus};
use super::things::{self, Thing, TruthFrame};
use crate::base::error::ErrorKind;
use crate::base::ids::ClassId;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// So many faults are told one by one.
const FAULTS_TOLD: usize = 50;
/// A subgroup with this first word names a patient.
const PATIENT: &str = "patient";
/// Folders of other people's masks.
const RATER: &str = "masks.";
const CLIPS: [&str; 4] = ["mkv", "mp4", "avi", "mov"];

#[derive(Debug, thiserror::Error)]
pub enum DataError {
    #[error("'{}' cannot be read: {source}; --data names a folder with dataset.toml, images/ and masks/", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("'{}': {reason}", .path.display())]
    Description { path: PathBuf, reason: String },
    #[error("the data set '{}' is broken:\n{}", .dir.display(), told(.faults))]
    Broken { dir: PathBuf, faults: Vec<String> },
}

impl DataError {
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Stop
    }
}

fn told(faults: &[String]) -> String {
    let mut text: String = faults.iter().take(FAULTS_TOLD).map(|fault| format!("  {fault}\n")).collect();
    if faults.len() > FAULTS_TOLD {
        text += &format!("  and {} more\n", faults.len() - FAULTS_TOLD);
    }
    text + "repair or remove these files"
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    name: String,
    licence: String,
    source: String,
    #[serde(default, rename = "uri")]
    _uri: Option<String>,
    classes: BTreeMap<String, String>,
    /// "kind value" → names of images and clips.
    #[serde(default)]
    subgroups: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
pub struct DataSet {
    pub name: String,
    pub licence: String,
    pub source: String,
    /// Lower-case hex, over the lines of `files`.
    pub sha256: String,
    /// Every file that is used, by name.
    pub files: Vec<FileLine>,
    pub pictures: Vec<Labelled>,
    pub clips: Vec<LabelledClip>,
    /// Names of those whose masks there are beside the reference.
    pub raters: Vec<String>,
    dir: PathBuf,
    /// Name of each id that masks may hold.
    classes: BTreeMap<u8, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileLine {
    /// Within the data set.
    pub path: String,
    /// Lower-case hex.
    pub sha256: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Labelled {
    /// File name of the image.
    pub name: String,
    pub image: PathBuf,
    pub mask: Option<PathBuf>,
    /// Index of the rater, and their mask.
    pub opinions: Vec<(usize, PathBuf)>,
    /// None: nobody labelled things in it.
    pub things: Option<Vec<Thing>>,
    /// None: nobody said whose picture it is; all of these count as one patient.
    pub patient: Option<String>,
    pub subgroups: Vec<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LabelledClip {
    /// File name of the clip.
    pub name: String,
    pub path: PathBuf,
    pub frames: Vec<TruthFrame>,
    pub patient: Option<String>,
    pub subgroups: Vec<String>,
}

/// What is done while a data set is looked through.
pub trait Visitor {
    /// Width and height of a picture; None: not known without decoding it. Or why it is none.
    fn size_of(&mut self, image: &Path) -> Result<Option<(usize, usize)>, String>;
    fn progress(&mut self, done: usize, total: usize);
}

/// Looks at no more than a PNG's header.
struct Headers;

impl Visitor for Headers {
    fn size_of(&mut self, image: &Path) -> Result<Option<(usize, usize)>, String> {
        if !image.extension().is_some_and(|is| is.eq_ignore_ascii_case("png")) {
            return Ok(None);
        }
        let file = std::fs::File::open(image).map_err(|error| error.to_string())?;
        let reader = png::Decoder::new(std::io::BufReader::new(file)).read_info().map_err(|error| error.to_string())?;
        Ok(Some((reader.info().width as usize, reader.info().height as usize)))
    }

    fn progress(&mut self, _done: usize, _total: usize) {}
}

impl DataSet {
    /// As `open_with`, but pictures are not decoded.
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        Self::open_with(dir, &mut Headers)
    }

    /// Looks through all of it. Errors: `Broken` with all that is wrong.
    pub fn open_with(dir: &Path, visitor: &mut dyn Visitor) -> Result<Self, DataError> {
        let path = dir.join("dataset.toml");
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        let refuse = |reason: String| DataError::Description { path: path.clone(), reason };
        let description: Description = toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        let mut classes = BTreeMap::new();
        for (id, name) in &description.classes {
            let number = id.parse::<u8>().ok().filter(|&number| number != IGNORE);
            classes.insert(number.ok_or_else(|| refuse(format!("[classes]: '{id}' is no id of 0 to 254")))?, name.clone());
        }
        let mut set = DataSet {
            name: description.name.clone(),
            licence: description.licence.clone(),
            source: description.source.clone(),
            sha256: String::new(),
            files: Vec::new(),
            pictures: Vec::new(),
            clips: Vec::new(),
            raters: Vec::new(),
            dir: dir.to_owned(),
            classes,
        };
        let mut faults = Vec::new();
        set.collect(&description, &mut faults)?;
        set.check(visitor, &mut faults);
        if set.pictures.is_empty() && set.clips.is_empty() && faults.is_empty() {
            faults.push("there is neither an image nor a clip".to_owned());
        }
        if faults.is_empty() { Ok(set) } else { Err(DataError::Broken { dir: dir.to_owned(), faults }) }
    }

    /// What there is, by name; no picture is opened.
    fn collect(&mut self, description: &Description, faults: &mut Vec<String>) -> Result<(), DataError> {
        let dir = self.dir.clone();
        let images = stems(&dir.join("images"), &["png", "jpg", "jpeg"], faults)?;
        let mut masks = stems(&dir.join("masks"), &["png"], faults)?;
        faults.extend(masks.keys().filter(|stem| !images.contains_key(*stem)).map(|stem| format!("masks/{stem}.png has no image")));
        let mut opinions = Vec::new();
        for (rater, folder) in rater_folders(&dir)? {
            let of_rater = stems(&folder, &["png"], faults)?;
            let orphans = of_rater.keys().filter(|stem| !images.contains_key(*stem));
            faults.extend(orphans.map(|stem| format!("{RATER}{rater}/{stem}.png has no image")));
            self.raters.push(rater);
            opinions.push(of_rater);
        }
        if self.raters.len() > MOST_RATERS {
            faults.push(format!("{} folders {RATER}RATER: at most {MOST_RATERS} are compared", self.raters.len()));
        }
        let mut things = self.read_tracks(description, faults)?;
        for (stem, image) in images {
            let name = file_name(&image);
            let (patient, subgroups) = groups_of(&name, description);
            let opinions: Vec<(usize, PathBuf)> =
                opinions.iter().enumerate().filter_map(|(rater, masks)| Some((rater, masks.get(&stem)?.clone()))).collect();
            let picture = Labelled { mask: masks.remove(&stem), opinions, things: things.remove(&name), name, image, patient, subgroups };
            match (&picture.mask, picture.opinions.len(), &picture.things) {
                (None, 0, None) => faults.push(format!("images/{} has no mask", picture.name)),
                (None, count, None) if count < FEWEST_RATERS => {
                    faults.push(format!("images/{} has masks of {count} raters: the reference is masks/, or three raters", picture.name));
                }
                _ => {}
            }
            self.pictures.push(picture);
        }
        faults.extend(things.keys().map(|name| format!("tracks/ name the image {name}, which is not among the images")));
        let names: BTreeSet<&String> = self.pictures.iter().map(|p| &p.name).chain(self.clips.iter().map(|clip| &clip.name)).collect();
        let mut patient_of: BTreeMap<&String, &String> = BTreeMap::new();
        for (group, files) in &description.subgroups {
            let missing = files.iter().filter(|file| !names.contains(file));
            faults.extend(missing.map(|file| format!("[subgroups] '{group}' names {file}, which is not among the images and clips")));
            for file in files.iter().filter(|_| group.starts_with(PATIENT)) {
                if let Some(other) = patient_of.insert(file, group) {
                    let twice = if other == group { format!("'{group}' twice") } else { format!("'{other}' and of '{group}'") };
                    faults.push(format!("[subgroups] {file} is of {twice}: a file is of one patient"));
                }
            }
        }
        Ok(())
    }

    /// Clips with their frames; and what is labelled in single pictures, by their names.
    fn read_tracks(&mut self, description: &Description, faults: &mut Vec<String>) -> Result<BTreeMap<String, Vec<Thing>>, DataError> {
        let mut of_pictures: BTreeMap<String, Vec<Thing>> = BTreeMap::new();
        for (stem, path) in stems(&self.dir.join("tracks"), &["jsonl"], faults)? {
            let shown = format!("tracks/{stem}.jsonl");
            let (frames, pictures, wrong) = things::read(&path, &shown);
            faults.extend(wrong);
            for picture in pictures {
                if of_pictures.insert(picture.image.clone(), picture.things).is_some() {
                    faults.push(format!("{shown}: {} is labelled twice", picture.image));
                }
            }
            self.files.push(FileLine { path: shown.clone(), sha256: String::new() });
            if frames.is_empty() {
                continue;
            }
            let clip = CLIPS.iter().map(|extension| self.dir.join(format!("{stem}.{extension}"))).find(|path| path.is_file());
            let Some(path) = clip else {
                faults.push(format!("{shown} has no clip: {stem}.mkv, .mp4, .avi or .mov beside dataset.toml"));
                continue;
            };
            let name = file_name(&path);
            let (patient, subgroups) = groups_of(&name, description);
            self.clips.push(LabelledClip { name, path, frames, patient, subgroups });
        }
        Ok(of_pictures)
    }

    /// Opens and hashes every file.
    fn check(&mut self, visitor: &mut dyn Visitor, faults: &mut Vec<String>) {
        let mut paths: Vec<PathBuf> = vec![self.dir.join("dataset.toml")];
        paths.extend(self.files.drain(..).map(|line| self.dir.join(line.path)));
        paths.extend(self.clips.iter().map(|clip| clip.path.clone()));
        for picture in &self.pictures {
            paths.push(picture.image.clone());
            paths.extend(picture.mask.iter().chain(picture.opinions.iter().map(|(_, mask)| mask)).cloned());
        }
        paths.sort();
        for path in &paths {
            let shown = self.shown(path);
            match sha256_of(path) {
                Ok(sha256) => self.files.push(FileLine { path: shown, sha256 }),
                Err(error) => faults.push(format!("{shown}: {error}")),
            }
        }
        let mut hash = Sha256::new();
        self.files.iter().for_each(|line| hash.update(format!("{}  {}\n", line.sha256, line.path)));
        self.sha256 = super::hex(&hash.finalize());
        let mut seen: BTreeMap<&str, &Labelled> = BTreeMap::new();
        let hashes: BTreeMap<&str, &str> = self.files.iter().map(|line| (line.path.as_str(), line.sha256.as_str())).collect();
        for (index, picture) in self.pictures.iter().enumerate() {
            if let Some(hash) = hashes.get(format!("images/{}", picture.name).as_str()) {
                let other = seen.insert(hash, picture).filter(|other| other.patient != picture.patient);
                faults.extend(
                    other.map(|other| format!("images/{} is the same file as images/{}, of another patient", picture.name, other.name)),
                );
            }
            let size = match visitor.size_of(&picture.image) {
                Ok(size) => size,
                Err(reason) => {
                    faults.push(format!("images/{}: {reason}", picture.name));
                    None
                }
            };
            let masks = picture.mask.iter().chain(picture.opinions.iter().map(|(_, mask)| mask));
            faults.extend(masks.filter_map(|mask| self.fault_of(mask, size)));
            visitor.progress(index + 1, self.pictures.len());
        }
    }

    fn fault_of(&self, path: &Path, size: Option<(usize, usize)>) -> Option<String> {
        let shown = self.shown(path);
        let mask = match read_png(path) {
            Ok(mask) => mask,
            Err(reason) => return Some(format!("{shown}: {reason}")),
        };
        let unknown: BTreeSet<u8> = mask.ids.iter().copied().filter(|id| *id != IGNORE && !self.classes.contains_key(id)).collect();
        if !unknown.is_empty() {
            let ids: Vec<String> = unknown.iter().take(8).map(u8::to_string).collect();
            return Some(format!("{shown}: class id {} is not in [classes]", ids.join(", ")));
        }
        let (width, height) = size?;
        let differs = (width, height) != (mask.width, mask.height);
        differs.then(|| format!("{shown}: {}×{}, but its image is {width}×{height}", mask.width, mask.height))
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(&self.dir).unwrap_or(path).to_string_lossy().into_owned()
    }

    /// Names of the classes that masks may hold.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.values().map(String::as_str)
    }

    /// Those of the `known` classes that the masks would name: of others nobody said where they are, and nothing can be measured.
    pub fn labelled(&self, known: &[ClassId]) -> Vec<ClassId> {
        let named: BTreeSet<u8> = self.classes.values().map(|name| counted_as(name, known)).collect();
        known.iter().copied().filter(|class| named.contains(&class.0)).collect()
    }

    /// The truth of a picture, in the ids of the class table (see `counted_as`): its mask, else what its raters say together. None
    /// where only things are labelled.
    pub fn truth(&self, picture: &Labelled, known: &[ClassId]) -> Result<Option<Mask>, DataError> {
        if let Some(mask) = &picture.mask {
            return self.read(mask, known).map(Some);
        }
        let opinions = self.opinions(picture, known)?;
        let Some((_, first)) = opinions.first().filter(|_| opinions.len() >= FEWEST_RATERS) else { return Ok(None) };
        let masks: Vec<&[u8]> = opinions.iter().map(|(_, mask)| &mask.ids[..]).collect();
        let ids: Vec<u8> = known.iter().map(|class| class.0).collect();
        Ok(Some(Mask { ids: consensus(&masks, &ids), width: first.width, height: first.height }))
    }

    /// As `truth`, where there has to be one.
    pub fn mask(&self, picture: &Labelled, known: &[ClassId]) -> Result<Mask, DataError> {
        let none = || DataError::Broken { dir: self.dir.clone(), faults: vec![format!("images/{} has no mask", picture.name)] };
        self.truth(picture, known)?.ok_or_else(none)
    }

    /// Each rater's mask of a picture, with the rater's index, as `truth`.
    pub fn opinions(&self, picture: &Labelled, known: &[ClassId]) -> Result<Vec<(usize, Mask)>, DataError> {
        picture.opinions.iter().map(|(rater, path)| Ok((*rater, self.read(path, known)?))).collect()
    }

    fn read(&self, path: &Path, known: &[ClassId]) -> Result<Mask, DataError> {
        let failed = |reason| DataError::Broken { dir: self.dir.clone(), faults: vec![format!("{}: {reason}", self.shown(path))] };
        let mut mask = read_png(path).map_err(failed)?;
        let mut to = [0; 256];
        to[usize::from(IGNORE)] = IGNORE;
        self.classes.iter().for_each(|(&id, name)| to[usize::from(id)] = counted_as(name, known));
        mask.ids.iter_mut().for_each(|id| *id = to[usize::from(*id)]);
        Ok(mask)
    }
}

fn groups_of(name: &String, description: &Description) -> (Option<String>, Vec<String>) {
    let groups = || description.subgroups.iter().filter(|(_, files)| files.contains(name)).map(|(group, _)| group);
    let patient = groups().find_map(|group| group.strip_prefix(PATIENT)).map(|name| name.trim().to_owned());
    (patient, groups().filter(|group| !group.starts_with(PATIENT)).cloned().collect())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn sha256_of(path: &Path) -> std::io::Result<String> {
    let mut hash = Sha256::new();
    let mut file = std::fs::File::open(path)?;
    let mut piece = vec![0; 1 << 16];
    loop {
        match std::io::Read::read(&mut file, &mut piece)? {
            0 => return Ok(super::hex(&hash.finalize())),
            count => hash.update(&piece[..count]),
        }
    }
}

/// Names of raters and their folders, sorted.
fn rater_folders(dir: &Path) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: dir.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if let Some(rater) = file_name(&path).strip_prefix(RATER).filter(|rater| !rater.is_empty() && path.is_dir()) {
            found.insert(rater.to_owned(), path);
        }
    }
    Ok(found)
}

/// Files with these extensions by their stems; a folder that is not there is empty.
fn stems(folder: &Path, extensions: &[&str], faults: &mut Vec<String>) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut found = BTreeMap::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
        other => other.map_err(failed)?,
    };
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    paths.sort();
    for path in paths {
        let is_one = path.extension().is_some_and(|is| extensions.iter().any(|one| is.eq_ignore_ascii_case(one)));
        let Some(stem) = path.file_stem().filter(|_| is_one).map(|stem| stem.to_string_lossy().into_owned()) else { continue };
        if let Some(other) = found.insert(stem, path.clone()) {
            let folder = file_name(folder);
            faults.push(format!("{folder}/{} and {folder}/{} have the same name before the dot", file_name(&other), file_name(&path)));
        }
    }
    Ok(found)
}

#[cfg(test)]
#[path = "labelled_tests.rs"]
mod tests;
