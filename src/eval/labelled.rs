//! Labelled pictures on disk: `dataset.toml`, `images/`, `masks/` (class id a pixel). Says file by file what is broken before
//! anything is measured.

use crate::base::classes::{self, ClassKind};
use crate::base::error::ErrorKind;
use crate::base::ids::ClassId;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// In labels: nobody knows.
pub const IGNORE: u8 = 255;
/// So many faults are told one by one.
const FAULTS_TOLD: usize = 20;
/// A subgroup with this first word names a patient.
const PATIENT: &str = "patient";

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
    #[serde(default)]
    uri: Option<String>,
    classes: BTreeMap<String, String>,
    /// "kind value" → names of images.
    #[serde(default)]
    subgroups: BTreeMap<String, Vec<String>>,
}

#[derive(Debug)]
pub struct DataSet {
    pub name: String,
    pub licence: String,
    /// Lower-case hex, over the names and bytes of description, images and masks.
    pub sha256: String,
    pub pictures: Vec<Labelled>,
    /// Name of each id that masks may hold.
    classes: BTreeMap<u8, String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    /// File name of the image.
    pub name: String,
    pub image: PathBuf,
    pub mask: PathBuf,
    /// None: nobody said whose picture it is; all of these count as one patient.
    pub patient: Option<String>,
    pub subgroups: Vec<String>,
}

/// Class ids of the table, `IGNORE` where nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub ids: Vec<u8>,
}

impl DataSet {
    pub fn open(dir: &Path) -> Result<Self, DataError> {
        let path = dir.join("dataset.toml");
        let text = std::fs::read_to_string(&path).map_err(|source| DataError::Read { path: path.clone(), source })?;
        let refuse = |reason: String| DataError::Description { path: path.clone(), reason };
        let description: Description = toml::from_str(&text).map_err(|error| refuse(error.to_string().trim_end().to_owned()))?;
        let mut classes = BTreeMap::new();
        for (id, name) in description.classes {
            let number = id.parse::<u8>().ok().filter(|&number| number != IGNORE);
            classes.insert(number.ok_or_else(|| refuse(format!("[classes]: '{id}' is no id of 0 to 254")))?, name);
        }
        let (mut faults, mut hash) = (Vec::new(), Sha256::new());
        hash.update(text.as_bytes());
        let (images, masks) = (stems(&dir.join("images"), &["png", "jpg", "jpeg"])?, stems(&dir.join("masks"), &["png"])?);
        let orphans = masks.keys().filter(|stem| !images.contains_key(*stem));
        faults.extend(orphans.map(|stem| format!("masks/{stem}.png has no image")));
        let mut pictures = Vec::new();
        for (stem, image) in images {
            let name = image.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(mask) = masks.get(&stem) else {
                faults.push(format!("images/{name} has no mask"));
                continue;
            };
            for path in [&image, mask] {
                hash.update(path.strip_prefix(dir).unwrap_or(path).to_string_lossy().as_bytes());
                hash.update(std::fs::read(path).map_err(|source| DataError::Read { path: path.clone(), source })?);
            }
            let groups: Vec<&String> =
                description.subgroups.iter().filter(|(_, files)| files.contains(&name)).map(|(group, _)| group).collect();
            let patient = groups.iter().find_map(|group| group.strip_prefix(PATIENT)).map(|name| name.trim().to_owned());
            let subgroups = groups.into_iter().filter(|group| !group.starts_with(PATIENT)).cloned().collect();
            pictures.push(Labelled { name, image, mask: mask.clone(), patient, subgroups });
        }
        let names: BTreeSet<&String> = pictures.iter().map(|picture| &picture.name).collect();
        for (group, files) in &description.subgroups {
            let missing = files.iter().filter(|file| !names.contains(file));
            faults.extend(missing.map(|file| format!("[subgroups] '{group}' names {file}, which is not among the images")));
        }
        if pictures.is_empty() && faults.is_empty() {
            faults.push("there is no image".to_owned());
        }
        let _ = (description.source, description.uri);
        let set = DataSet { name: description.name, licence: description.licence, sha256: super::hex(&hash.finalize()), pictures, classes };
        faults.extend(set.pictures.iter().filter_map(|picture| set.fault_of(picture)));
        if faults.is_empty() { Ok(set) } else { Err(DataError::Broken { dir: dir.to_owned(), faults }) }
    }

    /// Names of the classes that masks may hold.
    pub fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.values().map(String::as_str)
    }

    fn fault_of(&self, picture: &Labelled) -> Option<String> {
        let (width, height, ids) = match grey(&picture.mask) {
            Ok(mask) => mask,
            Err(reason) => return Some(format!("{}: {reason}", picture.mask.display())),
        };
        let unknown = ids.iter().find(|id| **id != IGNORE && !self.classes.contains_key(id));
        if let Some(id) = unknown {
            return Some(format!("{}: class id {id} is not in [classes]", picture.mask.display()));
        }
        let size = image_size(&picture.image)?;
        (size != (width, height)).then(|| format!("{}: {width}×{height}, but its image is {}×{}", picture.mask.display(), size.0, size.1))
    }

    /// The truth of a picture, in the ids of the class table. Classes that are not among `known` are background; instruments of a
    /// kind that is not known are `instrument`, where that is.
    pub fn mask(&self, picture: &Labelled, known: &[ClassId]) -> Result<Mask, DataError> {
        let failed = |reason| DataError::Broken { dir: picture.mask.clone(), faults: vec![reason] };
        let (width, height, mut ids) = grey(&picture.mask).map_err(failed)?;
        let mut to = [0; 256];
        to[usize::from(IGNORE)] = IGNORE;
        self.classes.iter().for_each(|(&id, name)| to[usize::from(id)] = counted_as(name, known));
        ids.iter_mut().for_each(|id| *id = to[usize::from(*id)]);
        Ok(Mask { width, height, ids })
    }
}

/// The id that a class of this name counts as where only `known` classes are told apart.
pub fn counted_as(name: &str, known: &[ClassId]) -> u8 {
    let table = classes::table();
    let Some(class) = table.by_name(name) else { return 0 };
    if known.contains(&class.id) {
        return class.id.0;
    }
    let any = table.by_name("instrument").map(|any| any.id).filter(|any| class.kind == ClassKind::Instrument && known.contains(any));
    any.map_or(0, |any| any.0)
}

fn stems(folder: &Path, extensions: &[&str]) -> Result<BTreeMap<String, PathBuf>, DataError> {
    let failed = |source| DataError::Read { path: folder.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_one = path.extension().is_some_and(|is| extensions.iter().any(|one| is.eq_ignore_ascii_case(one)));
        if let (true, Some(stem)) = (is_one, path.file_stem()) {
            found.insert(stem.to_string_lossy().into_owned(), path);
        }
    }
    Ok(found)
}

fn grey(path: &Path) -> Result<(usize, usize, Vec<u8>), String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(|e| e.to_string())?;
    let kind = reader.output_color_type();
    if !matches!(kind, (png::ColorType::Grayscale | png::ColorType::Indexed, png::BitDepth::Eight)) {
        return Err(format!("{kind:?}: a mask holds one class id of 8 bits a pixel"));
    }
    let mut bytes = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut bytes).map_err(|e| e.to_string())?;
    bytes.truncate(info.buffer_size());
    Ok((info.width as usize, info.height as usize, bytes))
}

/// Of a PNG; None for what is not one.
fn image_size(path: &Path) -> Option<(usize, usize)> {
    let file = std::fs::File::open(path).ok()?;
    let reader = png::Decoder::new(BufReader::new(file)).read_info().ok()?;
    Some((reader.info().width as usize, reader.info().height as usize))
}
