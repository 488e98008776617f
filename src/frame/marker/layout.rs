//! Which block is what, and where the marker lies in a picture.

use super::code::{self, CODE_COLUMNS, CODE_ROWS};

pub const COLUMNS: usize = 34;
pub const ROWS: usize = 26;
/// Side of a finder, in blocks.
pub const FINDER: usize = 7;
/// Upper left blocks of the finders: upper left, upper right, lower left, lower right.
pub const FINDERS: [(usize, usize); 4] = [(1, 1), (COLUMNS - 8, 1), (1, ROWS - 8), (COLUMNS - 8, ROWS - 8)];
/// First block of the upper and of the lower copy.
pub const COPIES: [(usize, usize); 2] = [(9, 3), (9, 20)];
/// Column, row, width, height in blocks.
pub const PATCH: [usize; 4] = [1, 9, 7, 8];
pub const BARS: usize = 8;
pub const BAR_WIDTH: usize = 3;
pub const BAR_HEIGHT: usize = 4;
pub const FIRST_BAR: (usize, usize) = (9, 9);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Block {
    /// White, and not looked at.
    Quiet,
    /// The same in every frame.
    Fixed {
        white: bool,
    },
    /// `row`, `column` in a copy.
    Code {
        lower: bool,
        bit: usize,
    },
    Patch,
    /// 0..8 colour bars, 8..16 grey steps.
    Bar(usize),
}

impl Block {
    pub fn at(column: usize, row: usize) -> Block {
        if column == 0 || row == 0 || column == COLUMNS - 1 || row == ROWS - 1 {
            return Block::Quiet;
        }
        for (left, top) in FINDERS {
            if (left..left + FINDER).contains(&column) && (top..top + FINDER).contains(&row) {
                let ring = (column - left).abs_diff(FINDER / 2).max((row - top).abs_diff(FINDER / 2));
                return Block::Fixed { white: ring == 2 };
            }
        }
        let in_code_columns = (COPIES[0].0..COPIES[0].0 + CODE_COLUMNS).contains(&column);
        for (lower, (left, top)) in [(false, COPIES[0]), (true, COPIES[1])] {
            if in_code_columns && (top..top + CODE_ROWS).contains(&row) {
                return Block::Code { lower, bit: (row - top) * CODE_COLUMNS + column - left };
            }
        }
        let [left, top, width, height] = PATCH;
        if (top..top + height).contains(&row) {
            if (left..left + width).contains(&column) {
                return Block::Patch;
            }
            if column >= FIRST_BAR.0 {
                return Block::Bar((row - FIRST_BAR.1) / BAR_HEIGHT * BARS + (column - FIRST_BAR.0) / BAR_WIDTH);
            }
        }
        // Three lines of timing, so set that no mirrored or turned marker has them in the same places.
        let white = match row {
            1 | 24 if in_code_columns => column.is_multiple_of(2),
            7 if in_code_columns => !column.is_multiple_of(2),
            _ => true,
        };
        Block::Fixed { white }
    }

    /// Black or white in frame `number`, whose code word is `word`; None: a bar.
    pub fn is_white(self, number: u32, word: u64) -> Option<bool> {
        match self {
            Block::Quiet => Some(true),
            Block::Fixed { white } => Some(white),
            Block::Code { lower, bit } => Some((word >> (code::BITS - 1 - bit) & 1 == 1) != lower),
            Block::Patch => Some(number & 1 == 1),
            Block::Bar(_) => None,
        }
    }
}

/// Where the marker is painted, in pixels of the source picture. All even, so that chroma samples do not cross blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    x: usize,
    y: usize,
    block_px: usize,
}

impl Placement {
    /// Half of it is the smallest block that a reader is held to.
    pub const MIN_BLOCK_PX: usize = 12;

    /// None: an odd number, or a block below 2 pixels.
    pub fn at(x: usize, y: usize, block_px: usize) -> Option<Self> {
        let even = (x | y | block_px).is_multiple_of(2);
        (even && block_px >= 2).then_some(Placement { x, y, block_px })
    }

    /// In the middle of a picture, where overscan does not reach; 16 pixels a block at 1920 × 1080.
    /// None: the picture is below 408 × 312.
    pub fn centred(width: usize, height: usize) -> Option<Self> {
        let block_px = (width / 120).min(height / 67).max(Self::MIN_BLOCK_PX) & !1;
        let x = width.checked_sub(COLUMNS * block_px)? / 2;
        let y = height.checked_sub(ROWS * block_px)? / 2;
        Placement::at(x & !1, y & !1, block_px)
    }

    /// The same marker at another place: a test may move it from frame to frame.
    pub fn moved_to(self, x: usize, y: usize) -> Option<Self> {
        Placement::at(x, y, self.block_px)
    }

    pub fn x(self) -> usize {
        self.x
    }

    pub fn y(self) -> usize {
        self.y
    }

    pub fn block_px(self) -> usize {
        self.block_px
    }

    /// In pixels.
    pub fn width(self) -> usize {
        COLUMNS * self.block_px
    }

    /// In pixels.
    pub fn height(self) -> usize {
        ROWS * self.block_px
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_of_the_code_is_there_once_in_each_copy() {
        let mut seen = [[0; code::BITS]; 2];
        let mut bars = [0; 2 * BARS];
        let mut patch = 0;
        for (column, row) in (0..COLUMNS).flat_map(|column| (0..ROWS).map(move |row| (column, row))) {
            match Block::at(column, row) {
                Block::Code { lower, bit } => seen[usize::from(lower)][bit] += 1,
                Block::Bar(bar) => bars[bar] += 1,
                Block::Patch => patch += 1,
                _ => {}
            }
        }
        assert_eq!(seen, [[1; code::BITS]; 2]);
        assert_eq!(bars, [BAR_WIDTH * BAR_HEIGHT; 2 * BARS]);
        assert_eq!(patch, PATCH[2] * PATCH[3]);
    }

    #[test]
    fn a_mirrored_or_turned_marker_differs_in_many_fixed_blocks() {
        type Turn = fn(usize, usize) -> (usize, usize);
        let turns: [Turn; 3] = [|c, r| (COLUMNS - 1 - c, r), |c, r| (c, ROWS - 1 - r), |c, r| (COLUMNS - 1 - c, ROWS - 1 - r)];
        for turn in turns {
            let differ = (0..COLUMNS * ROWS)
                .filter(|i| {
                    let (column, row) = (i % COLUMNS, i / COLUMNS);
                    let (to_column, to_row) = turn(column, row);
                    matches!((Block::at(column, row), Block::at(to_column, to_row)),
                        (Block::Fixed { white: a }, Block::Fixed { white: b }) if a != b)
                })
                .count();
            assert!(differ >= 16, "{differ}");
        }
    }

    #[test]
    fn placements_lie_inside_their_pictures() {
        for (width, height, block_px) in [(408, 312, 12), (640, 480, 12), (1280, 720, 12), (1920, 1080, 16), (3840, 2160, 32)] {
            let placement = Placement::centred(width, height).unwrap();
            assert_eq!(placement.block_px(), block_px);
            assert!(placement.x() + placement.width() <= width && placement.y() + placement.height() <= height);
        }
        assert!(Placement::centred(406, 312).is_none());
        assert!(Placement::at(1, 0, 12).is_none() && Placement::at(0, 0, 0).is_none());
    }
}
