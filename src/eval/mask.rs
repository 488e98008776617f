//! Class masks: as files, and in the ids of the class table.

use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use std::io::BufReader;
use std::path::Path;

/// In labels: nobody knows.
pub const IGNORE: u8 = 255;

/// Class ids of the table, `IGNORE` where nobody knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    pub width: usize,
    pub height: usize,
    pub ids: Vec<u8>,
}

/// The id that a class of this name counts as where only `known` classes are told apart: others are background; instruments of a
/// kind that is not known are `instrument`, where that is.
pub fn counted_as(name: &str, known: &[ClassId]) -> u8 {
    let table = classes::table();
    let Some(class) = table.by_name(name) else { return 0 };
    if known.contains(&class.id) {
        return class.id.0;
    }
    let any = table.by_name("instrument").map(|any| any.id).filter(|any| class.kind == ClassKind::Instrument && known.contains(any));
    any.map_or(0, |any| any.0)
}

/// A PNG with one number of 8 bits a pixel, just as it is. Errors: why not, for people.
pub(super) fn read_png(path: &Path) -> Result<Mask, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().map_err(|e| e.to_string())?;
    let kind = reader.output_color_type();
    if !matches!(kind, (png::ColorType::Grayscale | png::ColorType::Indexed, png::BitDepth::Eight)) {
        return Err(format!("{kind:?}: a mask holds one class id of 8 bits a pixel"));
    }
    let mut ids = vec![0; reader.output_buffer_size().ok_or("too large")?];
    let info = reader.next_frame(&mut ids).map_err(|e| e.to_string())?;
    ids.truncate(info.buffer_size());
    Ok(Mask { width: info.width as usize, height: info.height as usize, ids })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_counted_as_what_the_engine_tells_apart() {
        let known = [ClassId(2), ClassId(13)];
        assert_eq!(["liver", "fat", "grasper", "instrument", "no such thing"].map(|name| counted_as(name, &known)), [2, 0, 13, 13, 0]);
        assert_eq!(counted_as("grasper", &[ClassId(5), ClassId(13)]), 5);
        assert_eq!(counted_as("grasper", &[ClassId(2)]), 0);
    }
}
