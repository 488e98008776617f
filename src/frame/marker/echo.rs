//! The echo: a number alone, in a strip under the marker, laid over the picture by whoever answers to an earlier one. Two numbers
//! are then read in one look: which picture is up, and which one is answered.
//!
//! ```text
//!          8 9              24 25     blocks of the marker's own size, placed by its geometry: no finders
//!     26   ┌──────────────────┐
//!   26–28  │ upper copy       │       white at the sides and below; above lies the marker's own quiet zone
//!   29–31  │ lower copy, inverted
//!     32   └──────────────────┘
//! ```

use super::code::{self, CODE_COLUMNS, CODE_ROWS};
use super::layout::{COPIES, Placement, ROWS};
use super::paint::DoesNotFit;
use super::reader::{Capture, Reader, Reading, Unread};

/// Blocks: from the marker's first column, and under its last row.
const LEFT: usize = COPIES[0].0 - 1;
const COLUMNS: usize = CODE_COLUMNS + 2;
pub const ECHO_ROWS: usize = 2 * CODE_ROWS + 1;

/// First pixel, width and height of the echo under a marker: x, y, width, height.
pub fn echo_rect(placement: Placement) -> [usize; 4] {
    let block_px = placement.block_px();
    [placement.x() + LEFT * block_px, placement.y() + ROWS * block_px, COLUMNS * block_px, ECHO_ROWS * block_px]
}

/// Paints `number` (modulo `NUMBERS`) under a marker that lies at `placement`, opaque, into four bytes a pixel; `stride` in bytes. Writes
/// `echo_rect` only, and nothing where that reaches beyond the plane.
pub fn paint_echo(bgra: &mut [u8], stride: usize, placement: Placement, number: u32) -> Result<(), DoesNotFit> {
    let ([x, y, width, height], block_px) = (echo_rect(placement), placement.block_px());
    if (x + width) * 4 > stride || (y + height) * stride > bgra.len() {
        return Err(DoesNotFit);
    }
    let word = code::encode(number);
    for (line, pixels) in bgra[y * stride..].chunks_exact_mut(stride).take(height).enumerate() {
        let row = &mut pixels[4 * x..4 * (x + width)];
        for (column, block) in row.chunks_exact_mut(4 * block_px).enumerate() {
            let level = if is_white(column, line / block_px, word) { 255 } else { 0 };
            block.as_chunks_mut::<4>().0.fill([level, level, level, 255]);
        }
    }
    Ok(())
}

/// A block of the echo, from its own upper left one.
fn is_white(column: usize, row: usize, word: u64) -> bool {
    if !(1..=CODE_COLUMNS).contains(&column) || row >= 2 * CODE_ROWS {
        return true;
    }
    let bit = row % CODE_ROWS * CODE_COLUMNS + column - 1;
    (word >> (code::BITS - 1 - bit) & 1 == 1) != (row >= CODE_ROWS)
}

impl Reader {
    /// The number under a marker that was just read in the same capture. `NotFound`: nothing is laid over the picture there, or it
    /// lies beyond the capture.
    pub fn read_echo(&self, capture: &Capture<'_>, marker: &Reading) -> Result<u32, Unread> {
        let sides = [LEFT, LEFT + COLUMNS - 1];
        let border = (ROWS..ROWS + ECHO_ROWS).flat_map(|row| sides.map(|column| (column, row)));
        Reader::read_copies(capture, marker, border, [(COPIES[0].0, ROWS), (COPIES[0].0, ROWS + CODE_ROWS)])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, LIMITED, Luma, Path};
    use super::super::{NUMBERS, Reader};
    use super::*;

    /// As `paint_echo` puts it, in luma.
    fn lay(on: &mut Luma, placement: Placement, number: u32) {
        let mut layer = vec![0; 4 * on.width * on.height];
        paint_echo(&mut layer, 4 * on.width, placement, number).unwrap();
        for (luma, pixel) in on.data.iter_mut().zip(layer.as_chunks::<4>().0) {
            if pixel[3] == 255 {
                *luma = LIMITED.ycbcr([f32::from(pixel[0]) / 255.0; 3])[0];
            }
        }
    }

    fn scene(dice: &mut Dice) -> (Luma, Placement) {
        let placement = Placement::at(36, 36, Placement::MIN_BLOCK_PX).unwrap();
        let height = placement.height() + ECHO_ROWS * placement.block_px() + 72;
        (Luma::background(placement.width() + 72, height, dice), placement)
    }

    #[test]
    fn nothing_beside_the_echo_s_own_rectangle_is_written() {
        let placement = Placement::at(2, 4, 2).unwrap();
        let [x, y, width, height] = echo_rect(placement);
        let (columns, rows) = (x + width + 3, y + height);
        let mut layer = vec![7; 4 * columns * rows];
        paint_echo(&mut layer, 4 * columns, placement, 5).unwrap();
        for (i, pixel) in layer.chunks_exact(4).enumerate() {
            let inside = (x..x + width).contains(&(i % columns)) && (y..y + height).contains(&(i / columns));
            assert_eq!(pixel[3] == 255, inside, "{i}");
        }
        let before = layer.clone();
        assert_eq!(paint_echo(&mut layer[..4 * columns * (rows - 1)], 4 * columns, placement, 6), Err(DoesNotFit));
        assert_eq!(paint_echo(&mut layer, 4 * (x + width - 1), placement, 6), Err(DoesNotFit));
        assert_eq!(layer, before);
    }

    #[test]
    fn both_numbers_come_back_through_bad_paths_and_none_is_ever_wrong() {
        let (mut dice, mut markers, mut echoes) = (Dice(77), 0, 0);
        for i in 0..400 {
            let (mut picture, placement) = scene(&mut dice);
            let (number, answered) = (dice.number(), dice.number());
            picture.paint(LIMITED, placement, number);
            lay(&mut picture, placement, answered);
            let path = if i % 2 == 0 { Path::moderate(&mut dice) } else { Path::hard(&mut dice) };
            let (seen, mut reader) = (path.run(&picture, &mut dice), Reader::new());
            let Ok(reading) = reader.read(&seen.capture()) else { continue };
            assert_eq!(reading.number, number);
            markers += 1;
            match reader.read_echo(&seen.capture(), &reading) {
                Ok(read) => {
                    assert_eq!(read, answered, "{path:?}");
                    echoes += 1;
                }
                Err(Unread::Torn { upper, lower }) => assert!([upper, lower].iter().flatten().all(|&n| n == answered), "{path:?}"),
                Err(_) => {}
            }
        }
        println!("{echoes} echoes of {markers} markers");
        assert!(markers > 200 && echoes * 10 > markers * 9, "{echoes} of {markers}");
    }

    #[test]
    fn where_nothing_is_laid_no_number_is_read_and_parts_of_two_are_no_number() {
        let mut dice = Dice(3);
        for i in 0..300 {
            let (mut picture, placement) = scene(&mut dice);
            let number = dice.number();
            picture.paint(LIMITED, placement, number);
            let mut reader = Reader::new();
            if let Ok(reading) = reader.read(&picture.capture()) {
                assert!(reader.read_echo(&picture.capture(), &reading).is_err(), "{i}");
            }
            let (mut old, mut new) = (picture.clone(), picture);
            let answers = [number, (number + 1 + dice.below(3) as u32) % NUMBERS];
            lay(&mut old, placement, answers[0]);
            lay(&mut new, placement, answers[1]);
            let [_, top, _, height] = echo_rect(placement);
            let torn = old.torn(&new, top + dice.below(height));
            if let Ok(reading) = reader.read(&torn.capture())
                && let Ok(read) = reader.read_echo(&torn.capture(), &reading)
            {
                assert!(answers.contains(&read), "{i}: {read}");
            }
        }
    }

    #[test]
    fn an_echo_beyond_the_capture_is_not_found() {
        let mut dice = Dice(9);
        let (mut picture, placement) = scene(&mut dice);
        picture.paint(LIMITED, placement, 12);
        lay(&mut picture, placement, 11);
        let mut reader = Reader::new();
        let reading = reader.read(&picture.capture()).unwrap();
        assert_eq!(reader.read_echo(&picture.capture(), &reading), Ok(11));
        let height = placement.y() + placement.height() + 20;
        let cut = Luma { data: picture.data[..picture.width * height].to_vec(), height, ..picture };
        let reading = reader.read(&cut.capture()).unwrap();
        assert_eq!(reader.read_echo(&cut.capture(), &reading), Err(Unread::NotFound));
    }
}
