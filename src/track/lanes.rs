//! Long sums that come out the same, to the last bit, here and where a block of a GPU's threads shares the work: what has number i is
//! added to lane i modulo their count, one after the other, and at last the upper half of the lanes to the lower one until one is left.

/// Of a whole plane: a block's threads.
pub const LANES: usize = 256;
/// Of one row of it.
pub const ROW_LANES: usize = 32;

/// Of N sums at once.
#[derive(Debug)]
pub struct Lanes<const N: usize>([[f32; N]; LANES]);

impl<const N: usize> Default for Lanes<N> {
    fn default() -> Self {
        Lanes([[0.0; N]; LANES])
    }
}

impl<const N: usize> Lanes<N> {
    /// Of what has this number.
    pub fn add(&mut self, number: usize, terms: [f32; N]) {
        let lane = &mut self.0[number % LANES];
        *lane = std::array::from_fn(|k| lane[k] + terms[k]);
    }

    pub fn sums(mut self) -> [f32; N] {
        fold(&mut self.0, |lane, other| *lane = std::array::from_fn(|k| lane[k] + other[k]));
        self.0[0]
    }
}

/// Of numbers that lie one after the other, in L lanes.
pub fn sum<const L: usize>(numbers: &[f32]) -> f32 {
    let mut lanes = [0.0; L];
    let add = |lanes: &mut [f32; L], some: &[f32]| lanes.iter_mut().zip(some).for_each(|(lane, number)| *lane += number);
    let (whole, rest) = numbers.as_chunks::<L>();
    whole.iter().for_each(|some| add(&mut lanes, some));
    add(&mut lanes, rest);
    fold(&mut lanes, |lane, other| *lane += other);
    lanes[0]
}

fn fold<T>(mut lanes: &mut [T], add: impl Fn(&mut T, &T)) {
    while lanes.len() > 1 {
        let (lower, upper) = lanes.split_at_mut(lanes.len() / 2);
        lower.iter_mut().zip(&*upper).for_each(|(lane, other)| add(lane, other));
        lanes = lower;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Random;

    #[test]
    fn both_ways_to_add_up_are_one_and_near_the_sum() {
        let mut random = Random::new(7);
        for count in [0, 1, 31, 32, 33, 255, 256, 257, 5000] {
            let numbers: Vec<f32> = (0..count).map(|_| random.between(-1.0, 3.0)).collect();
            let mut lanes = Lanes::<2>::default();
            numbers.iter().enumerate().for_each(|(i, &number)| lanes.add(i, [number, 1.0]));
            assert_eq!(lanes.sums(), [sum::<LANES>(&numbers), count as f32], "{count}");
            let exact: f64 = numbers.iter().map(|&number| f64::from(number)).sum();
            for found in [sum::<ROW_LANES>(&numbers), sum::<LANES>(&numbers)] {
                assert!((f64::from(found) - exact).abs() < 2e-2, "{count}: {found} {exact}");
            }
        }
    }

    /// What is lost or not, lane by lane, tells the order.
    #[test]
    fn a_lane_takes_each_so_manyth_number_and_halves_meet() {
        let mut numbers = [0.0; 64];
        // In one lane: the small ones vanish beside the large one, one after the other.
        (numbers[3], numbers[35]) = (16_777_216.0, 1.0);
        assert_eq!(sum::<ROW_LANES>(&numbers), 16_777_216.0);
        // Lanes 5 and 21 meet first: together they count beside the large one.
        numbers[35] = 0.0;
        (numbers[5], numbers[21]) = (1.0, 1.0);
        assert_eq!(sum::<ROW_LANES>(&numbers), 16_777_218.0);
        // Lanes 3 and 19 meet first.
        (numbers[5], numbers[21], numbers[19], numbers[11]) = (0.0, 0.0, 1.0, 1.0);
        assert_eq!(sum::<ROW_LANES>(&numbers), 16_777_216.0);
    }
}
