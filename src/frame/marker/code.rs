//! A frame number as 48 black and white blocks, for detection only: nothing is ever corrected.
//!
//! ```text
//!   24 bits   the number, binary-reflected Gray: its successor differs in one of them
//!   23 bits   check, CRC with the generator polynomial of the quadratic residue code of length 47
//!    1 bit    parity over all
//! ```
//! That is the extended quadratic residue code [48, 24, 12]: two numbers differ in 12 blocks or more. Three rows of 16 blocks: a
//! tear between rows of two numbers changes one row alone against one of the two, a burst of at most 16 < 23 bits,
//! which a CRC of degree 23 always sees. The mask keeps plain areas and stripes at least 6 blocks away from any number.

/// Numbers are counted modulo this: 77 hours at 60 frames a second.
pub const NUMBERS: u32 = 1 << 24;
pub const CODE_ROWS: usize = 3;
pub const CODE_COLUMNS: usize = 16;
pub const BITS: usize = CODE_ROWS * CODE_COLUMNS;
const CHECK_BITS: usize = 23;
/// x^23 + x^19 + x^18 + x^14 + x^13 + x^12 + x^10 + x^9 + x^7 + x^6 + x^5 + x^3 + x^2 + x + 1
const GENERATOR: u64 = 0x8c76ef;
const MASK: u64 = 0x3333_6666_cccc;

/// Bit 47 is the first block of the first row; set is white in the upper copy, black in the lower.
pub fn encode(number: u32) -> u64 {
    let number = u64::from(number % NUMBERS);
    let gray = (number ^ number >> 1) << CHECK_BITS;
    let mut rest = gray;
    for bit in (CHECK_BITS..BITS - 1).rev() {
        if rest >> bit & 1 == 1 {
            rest ^= GENERATOR << (bit - CHECK_BITS);
        }
    }
    let word = gray | rest;
    (word << 1 | u64::from(word.count_ones() & 1)) ^ MASK
}

/// None: not a code word.
pub fn decode(word: u64) -> Option<u32> {
    let mut number = ((word ^ MASK) >> (CHECK_BITS + 1)) as u32;
    for shift in [1, 2, 4, 8, 16] {
        number ^= number >> shift;
    }
    (number < NUMBERS && encode(number) == word).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All 2^24 words in the order of a Gray counter: each differs from the last by one generator row.
    fn least_distance(from: u64) -> u32 {
        let zero = encode(0);
        let rows: Vec<u64> = (0..24).map(|bit| encode(ungray(1 << bit)) ^ zero).collect();
        let mut word = zero;
        let mut least = if word == from { u32::MAX } else { (word ^ from).count_ones() };
        for count in 1..NUMBERS {
            word ^= rows[count.trailing_zeros() as usize];
            least = least.min((word ^ from).count_ones());
        }
        least
    }

    fn ungray(gray: u32) -> u32 {
        (0..24).fold(0, |number, shift| number ^ gray >> shift)
    }

    #[test]
    fn numbers_come_back_and_successors_differ_in_one_number_bit() {
        for number in (0..NUMBERS).step_by(997).chain([0, 1, NUMBERS - 1]) {
            assert_eq!(decode(encode(number)), Some(number));
            let next = encode(number + 1) ^ encode(number);
            assert_eq!((next >> 24).count_ones(), 1);
            assert!(next.count_ones() >= 12);
        }
        assert_eq!(encode(NUMBERS + 5), encode(5));
    }

    #[test]
    fn two_numbers_differ_in_twelve_blocks_or_more() {
        assert_eq!(least_distance(encode(0)), 12);
    }

    #[test]
    fn plain_areas_and_stripes_are_no_number() {
        for plain in [0, 0xffff_0000_0000, 0xffff_0000, 0xffff, 0xaaaa_5555_aaaa, 0xaaaa_aaaa_aaaa, 0xff00_ff00_ff00] {
            for word in [plain, plain ^ ((1 << 48) - 1)] {
                assert!(least_distance(word) >= 6, "{word:x}");
            }
        }
    }

    #[test]
    fn a_tear_between_rows_is_never_a_third_number() {
        for number in (0..NUMBERS).step_by(9973) {
            for later in [1, 2, 3, 60, 4097] {
                let (old, new) = (encode(number), encode(number + later));
                for rows in [0xffff_0000_0000, 0xffff_ffff_0000_u64] {
                    let read = decode(new & rows | old & !rows);
                    assert!(read.is_none_or(|n| n == number || n == (number + later) % NUMBERS));
                }
            }
        }
    }
}
