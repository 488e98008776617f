//! The border code: a number in a few dim blocks beside the picture, read back at a second input while the appliance is in use.
//!
//! ```text
//!       0                 9      10 × 8 square blocks, grey on black; around them a quiet zone of one block, black
//!     0 █   █   █   █   █        above and at the right: grey and black in turns: size, threshold
//!     1 █ ┌─────────────┐ █
//!       █ │ the number  │        6 × 8 blocks: the words of `code`
//!     6 █ └─────────────┘
//!     7 █ █ █ █ █ █ █ █ █ █      at the left and below: grey throughout: orientation, level of grey
//! ```
//! No search for finders, no two copies: it is known where it was painted, and what is in doubt is left out, not guessed. Parts of two
//! numbers (a tear) and two numbers mixed are no number.

use super::code::{self, BITS};
use super::paint::DoesNotFit;
use super::reader::Capture;

pub const BORDER_COLUMNS: usize = 10;
pub const BORDER_ROWS: usize = 8;
/// Blocks of the number.
const NUMBER_COLUMNS: usize = BORDER_COLUMNS - 2;
/// Smaller ones are not legible on a wire that halves chroma or compresses.
pub const LEAST_BORDER_BLOCK_PX: usize = 4;
/// Of 255: a tenth of white's light.
const GREY: u8 = 80;
/// Least difference of grey and black that is looked at, in levels.
const LEAST_SWING: f32 = 24.0;
/// A block is clear where it is at most this far from grey or from black, with 0 black and 1 grey.
const CLEAR: f32 = 0.35;
/// Where a block is looked at, in blocks from its corner: 3 × 3 places.
const LOOKS: [f32; 3] = [0.3, 0.5, 0.7];
/// Steps of a search: places in blocks, sizes in parts.
const PLACE_STEP: f32 = 0.4;
const SIZES: [f32; 5] = [1.0, 0.975, 1.025, 0.95, 1.05];

/// Is this block grey?
fn is_grey(column: usize, row: usize, word: u64) -> bool {
    if column == 0 || row == BORDER_ROWS - 1 {
        return true;
    }
    if row == 0 {
        return column.is_multiple_of(2);
    }
    if column == BORDER_COLUMNS - 1 {
        return !row.is_multiple_of(2);
    }
    let bit = (row - 1) * NUMBER_COLUMNS + column - 1;
    word >> (BITS - 1 - bit) & 1 == 1
}

fn is_fixed(column: usize, row: usize) -> bool {
    column == 0 || column == BORDER_COLUMNS - 1 || row == 0 || row == BORDER_ROWS - 1
}

/// Paints `number` (modulo `NUMBERS`), opaque, into four bytes a pixel with its first block's corner at (`x`, `y`); `stride` in bytes.
/// Writes the blocks alone, and nothing where they reach beyond the plane.
pub fn paint_border(bgra: &mut [u8], stride: usize, (x, y): (usize, usize), block_px: usize, number: u32) -> Result<(), DoesNotFit> {
    let (width, height) = (BORDER_COLUMNS * block_px, BORDER_ROWS * block_px);
    if block_px == 0 || (x + width) * 4 > stride || (y + height) * stride > bgra.len() {
        return Err(DoesNotFit);
    }
    let word = code::encode(number);
    for (line, pixels) in bgra[y * stride..].chunks_exact_mut(stride).take(height).enumerate() {
        let row = &mut pixels[4 * x..4 * (x + width)];
        for (column, block) in row.chunks_exact_mut(4 * block_px).enumerate() {
            let level = if is_grey(column, line / block_px, word) { GREY } else { 0 };
            block.as_chunks_mut::<4>().0.fill([level, level, level, 255]);
        }
    }
    Ok(())
}

/// Where the code lies in a capture, in its pixels: the first block's corner, and the width and height of a block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BorderSpot {
    pub x: f32,
    pub y: f32,
    pub block: [f32; 2],
}

impl BorderSpot {
    /// The number, and how clear its least clear block is (1: fully grey or black, 0.3: the limit). None: what stands there is not
    /// the code, or in doubt.
    pub fn read(&self, capture: &Capture<'_>) -> Option<(u32, f32)> {
        let end = (self.x + self.block[0] * BORDER_COLUMNS as f32, self.y + self.block[1] * BORDER_ROWS as f32);
        if !(capture.contains(self.x, self.y) && capture.contains(end.0 - 0.5, end.1 - 0.5)) {
            return None;
        }
        let levels: [[f32; BORDER_COLUMNS]; BORDER_ROWS] =
            std::array::from_fn(|row| std::array::from_fn(|column| self.level(capture, column, row)));
        let blocks = || (0..BORDER_ROWS).flat_map(|row| (0..BORDER_COLUMNS).map(move |column| (column, row)));
        let mean = |wish: bool| {
            let fixed = blocks().filter(|&(column, row)| is_fixed(column, row) && is_grey(column, row, 0) == wish);
            let (sum, count) = fixed.fold((0.0, 0.0), |(sum, count), (column, row)| (sum + levels[row][column], count + 1.0));
            sum / count
        };
        let (black, grey) = (mean(false), mean(true));
        if grey - black < LEAST_SWING {
            return None;
        }
        let (mut word, mut unclear) = (0, 0.0_f32);
        for (column, row) in blocks() {
            let part = (levels[row][column] - black) / (grey - black);
            let says_grey = part > 0.5;
            unclear = unclear.max((part - if says_grey { 1.0 } else { 0.0 }).abs());
            if !is_fixed(column, row) {
                word = word << 1 | u64::from(says_grey);
            } else if says_grey != is_grey(column, row, 0) {
                return None;
            }
        }
        if unclear > CLEAR {
            return None;
        }
        code::decode(word).map(|number| (number, 1.0 - 2.0 * unclear))
    }

    fn level(&self, capture: &Capture<'_>, column: usize, row: usize) -> f32 {
        let at = |i: usize, part: f32, axis: usize| [self.x, self.y][axis] + (i as f32 + part) * self.block[axis];
        let sum = LOOKS
            .iter()
            .flat_map(|&down| LOOKS.map(|across| (across, down)))
            .fold(0, |sum, (across, down)| sum + u32::from(capture.pixel(at(column, across, 0), at(row, down, 1))));
        sum as f32 / (LOOKS.len() * LOOKS.len()) as f32
    }

    /// A quick look at the fixed blocks' middles.
    fn may_be(&self, capture: &Capture<'_>) -> bool {
        let at = |column: usize, row: usize| {
            capture.pixel(self.x + (column as f32 + 0.5) * self.block[0], self.y + (row as f32 + 0.5) * self.block[1])
        };
        let (grey, black) = (at(0, BORDER_ROWS - 1), at(BORDER_COLUMNS - 1, 0));
        if f32::from(grey.saturating_sub(black)) < LEAST_SWING / 2.0 {
            return false;
        }
        let middle = black / 2 + grey / 2;
        let sides = (0..BORDER_ROWS).flat_map(|row| [0, BORDER_COLUMNS - 1].map(|column| (column, row)));
        let ends = (0..BORDER_COLUMNS).flat_map(|column| [0, BORDER_ROWS - 1].map(|row| (column, row)));
        sides.chain(ends).all(|(column, row)| (at(column, row) > middle) == is_grey(column, row, 0))
    }

    /// The code near this place, at most `reach` pixels off and up to 5 % larger or smaller; the spot fits it best. None: it is not there.
    pub fn find(&self, capture: &Capture<'_>, reach: [f32; 2]) -> Option<(BorderSpot, u32)> {
        let steps = |axis: usize| (reach[axis] / (PLACE_STEP * self.block[axis])).ceil() as i32;
        for (across, down) in SIZES.iter().flat_map(|&down| SIZES.map(|across| (across, down))) {
            let block = [self.block[0] * across, self.block[1] * down];
            let room = [capture.width as f32 - block[0] * BORDER_COLUMNS as f32, capture.height as f32 - block[1] * BORDER_ROWS as f32];
            for j in -steps(1)..=steps(1) {
                let y = self.y + j as f32 * PLACE_STEP * self.block[1];
                for i in -steps(0)..=steps(0) {
                    let x = self.x + i as f32 * PLACE_STEP * self.block[0];
                    let spot = BorderSpot { x, y, block };
                    let is_inside = x >= 0.0 && y >= 0.0 && x <= room[0] && y <= room[1];
                    if is_inside
                        && spot.may_be(capture)
                        && let Some(found) = spot.fitted(capture)
                    {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    /// Moved and sized until its blocks are as clear as they get.
    fn fitted(mut self, capture: &Capture<'_>) -> Option<(BorderSpot, u32)> {
        let mut best = self.read(capture);
        for part in [0.25, 0.12, 0.06] {
            // Two rounds: a size that fits better may want another place.
            for _ in 0..2 {
                for (axis, sign) in [(0, 1.0), (0, -1.0), (1, 1.0), (1, -1.0)] {
                    let by = sign * part * self.block[axis];
                    let moved = match axis {
                        0 => BorderSpot { x: self.x + by, ..self },
                        _ => BorderSpot { y: self.y + by, ..self },
                    };
                    let mut sized = self;
                    sized.block[axis] += by / BORDER_COLUMNS as f32;
                    for tried in [moved, sized] {
                        let read = tried.read(capture);
                        if read.is_some_and(|(_, clarity)| best.is_none_or(|(_, most)| clarity > most)) {
                            (self, best) = (tried, read);
                        }
                    }
                }
            }
        }
        best.map(|(number, _)| (self, number))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Dice, Luma};
    use super::super::{NUMBERS, Reader};
    use super::*;
    use proptest::prelude::*;

    const SIZE: (usize, usize) = (320, 240);

    /// Black with a lit picture at the right, and the code at the left.
    fn scene(at: (usize, usize), block_px: usize, number: u32, dice: &mut Dice) -> Luma {
        let (width, height) = SIZE;
        let mut bgra = vec![0; 4 * width * height];
        paint_border(&mut bgra, 4 * width, at, block_px, number).unwrap();
        let mut data: Vec<u8> = bgra.chunks_exact(4).map(|pixel| pixel[1]).collect();
        for row in data.chunks_exact_mut(width) {
            row[width / 2..].iter_mut().for_each(|luma| *luma = 60 + dice.below(150) as u8);
        }
        Luma { data, width, height }
    }

    fn spot(at: (usize, usize), block_px: usize) -> BorderSpot {
        BorderSpot { x: at.0 as f32, y: at.1 as f32, block: [block_px as f32; 2] }
    }

    /// As a worse path has it: scaled by `by`, in limited range, blurred, with noise.
    fn worse(from: &Luma, by: [f32; 2], noise: usize, dice: &mut Dice) -> Luma {
        let size = [from.width, from.height];
        let [width, height] = [0, 1].map(|axis| (size[axis] as f32 * by[axis]) as usize);
        let at = |x: f32, y: f32| {
            let (x, y) = ((x.max(0.0) as usize).min(from.width - 1), (y.max(0.0) as usize).min(from.height - 1));
            f32::from(from.data[y * from.width + x])
        };
        let mut data = Vec::with_capacity(width * height);
        for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
            let (x, y) = ((x as f32 + 0.5) / by[0], (y as f32 + 0.5) / by[1]);
            let mean = [-0.7, 0.0, 0.7].iter().flat_map(|dy| [-0.7, 0.0, 0.7].map(|dx| at(x + dx, y + dy))).sum::<f32>() / 9.0;
            let level = 16.0 + mean * 219.0 / 255.0 + dice.below(2 * noise + 1) as f32 - noise as f32;
            data.push(level.clamp(0.0, 255.0) as u8);
        }
        Luma { data, width, height }
    }

    #[test]
    fn nothing_beside_the_code_s_own_blocks_is_written_and_no_white() {
        let (stride, at, block_px) = (4 * 100, (7, 5), 4);
        let mut plane = vec![9; stride * 60];
        paint_border(&mut plane, stride, at, block_px, 77).unwrap();
        for (i, pixel) in plane.chunks_exact(4).enumerate() {
            let is_inside = (7..7 + 40).contains(&(i % 100)) && (5..5 + 32).contains(&(i / 100));
            assert_eq!(pixel[3] == 255, is_inside);
            assert!(!is_inside || pixel[..3].iter().all(|&b| b == pixel[0] && b <= GREY));
        }
        let before = plane.clone();
        for (at, block_px) in [((61, 5), 4), ((0, 29), 4), ((0, 0), 0)] {
            assert_eq!(paint_border(&mut plane, stride, at, block_px, 1), Err(DoesNotFit));
        }
        assert_eq!(plane, before);
    }

    #[test]
    fn numbers_come_back_exactly_and_are_found_where_they_were_not_expected() {
        let mut dice = Dice(5);
        for i in 0..200 {
            let (number, block_px) = (dice.number(), 4 + dice.below(3));
            let at = (2 + dice.below(90), 2 + dice.below(180));
            let picture = scene(at, block_px, number, &mut dice);
            let here = spot(at, block_px);
            assert_eq!(here.read(&picture.capture()).map(|(number, _)| number), Some(number), "{i}");
            // The whole of the capture.
            let nowhere = BorderSpot { x: 150.0, y: 110.0, ..here };
            let (found, read) = nowhere.find(&picture.capture(), [320.0, 240.0]).expect("it is there");
            assert_eq!(read, number);
            assert!((found.x - here.x).abs() < 2.0 && (found.y - here.y).abs() < 2.0, "{found:?} {here:?}");
        }
        let empty = Luma { data: vec![0; 320 * 240], width: 320, height: 240 };
        assert_eq!(spot((0, 0), 4).find(&empty.capture(), [320.0, 240.0]), None);
        assert_eq!(spot((300, 230), 4).read(&empty.capture()), None, "beyond the capture");
    }

    #[test]
    fn a_path_that_scales_blurs_and_adds_noise_costs_readings_and_gives_no_wrong_number() {
        let (mut dice, mut read) = (Dice(11), 0);
        let rounds = 600;
        for i in 0..rounds {
            let (number, block_px) = (dice.number(), 6);
            let at = (4 + dice.below(60), 4 + dice.below(170));
            let picture = scene(at, block_px, number, &mut dice);
            let by = [0, 1].map(|_| 0.8 + dice.below(700) as f32 / 1_000.0);
            let noise = dice.below(if i % 2 == 0 { 8 } else { 40 });
            let seen = worse(&picture, by, noise, &mut dice);
            // Overscan: somewhere near, and not quite of that size.
            let off = |dice: &mut Dice| dice.below(13) as f32 - 6.0;
            let expected = BorderSpot {
                x: at.0 as f32 * by[0] + off(&mut dice),
                y: at.1 as f32 * by[1] + off(&mut dice),
                block: by.map(|by| block_px as f32 * by * (0.96 + dice.below(80) as f32 / 1_000.0)),
            };
            if let Some((_, found)) = expected.find(&seen.capture(), [16.0, 16.0]) {
                assert_eq!(found, number, "{i}");
                read += 1;
            }
        }
        println!("{read} of {rounds} read");
        assert!(read * 4 > rounds * 3, "{read}");
    }

    #[test]
    fn parts_of_two_numbers_and_two_numbers_mixed_are_no_third_one() {
        let (mut dice, here) = (Dice(3), spot((8, 8), 5));
        for i in 0..3_000 {
            let number = dice.number();
            let later = (number + 1 + dice.below(4) as u32) % NUMBERS;
            let [old, new] = [number, later].map(|n| scene((8, 8), 5, n, &mut dice));
            let torn = old.torn(&new, 8 + dice.below(BORDER_ROWS * 5));
            if let Some((read, _)) = here.read(&torn.capture()) {
                assert!([number, later].contains(&read), "{i}");
            }
            let part = dice.below(101) as u32;
            let mix = old.data.iter().zip(&new.data).map(|(&a, &b)| ((u32::from(a) * part + u32::from(b) * (100 - part)) / 100) as u8);
            let mixed = Luma { data: mix.collect(), ..old };
            if let Some((read, _)) = here.read(&mixed.capture()) {
                assert!([number, later].contains(&read), "{i}");
            }
        }
    }

    #[test]
    fn it_is_never_taken_for_the_self_test_s_marker() {
        let mut dice = Dice(8);
        let mut reader = Reader::new();
        for _ in 0..40 {
            let (number, at) = (dice.number(), (dice.below(60), dice.below(150)));
            let picture = scene(at, 5, number, &mut dice);
            assert!(reader.read(&picture.capture()).is_err());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn noise_is_no_number(seed in any::<u32>(), x in 0f32..250.0, y in 0f32..200.0, block in 3f32..9.0) {
            let mut dice = Dice(seed.into());
            let data = (0..320 * 240).map(|_| dice.below(256) as u8).collect();
            let noise = Luma { data, width: 320, height: 240 };
            let here = BorderSpot { x, y, block: [block; 2] };
            prop_assert_eq!(here.read(&noise.capture()), None);
            prop_assert_eq!(here.find(&noise.capture(), [40.0, 40.0]), None);
        }
    }
}
