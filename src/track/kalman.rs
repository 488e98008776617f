//! Constant-velocity Kalman filters: on one coordinate (a box is followed by several of them side by side), and of a point
//! along and across an axis. (Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2: white-noise acceleration.)

/// Position, velocity and their covariance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coordinate {
    pub position: f32,
    pub velocity: f32,
    /// var(position), cov, var(velocity)
    covariance: [f32; 3],
}

/// What is believed of the motion and of the measurements, in the coordinate's units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Standard deviation of a measured position.
    pub measured: f32,
    /// Standard deviation of a velocity that nothing is known about.
    pub velocity: f32,
    /// Spectral density of acceleration: variance of the velocity gained in a second.
    pub agility: f32,
}

impl Coordinate {
    pub fn new(measured: f32, noise: Noise) -> Self {
        Coordinate { position: measured, velocity: 0.0, covariance: start(noise) }
    }

    pub fn predict(&mut self, dt_s: f32, noise: Noise) {
        self.position += self.velocity * dt_s;
        self.covariance = widened(self.covariance, dt_s, noise.agility);
    }

    pub fn update(&mut self, measured: f32, noise: Noise) {
        let (gain, velocity_gain, covariance) = narrowed(self.covariance, noise.measured);
        let surprise = measured - self.position;
        self.position += gain * surprise;
        self.velocity += velocity_gain * surprise;
        self.covariance = covariance;
    }
}

fn start(noise: Noise) -> [f32; 3] {
    [noise.measured.powi(2), 0.0, noise.velocity.powi(2)]
}

fn widened([p, c, v]: [f32; 3], dt_s: f32, agility: f32) -> [f32; 3] {
    [p + 2.0 * dt_s * c + dt_s * dt_s * v + agility * dt_s.powi(3) / 3.0, c + dt_s * v + agility * dt_s * dt_s / 2.0, v + agility * dt_s]
}

/// Gains for position and velocity, and what remains uncertain after a measurement.
fn narrowed([p, c, v]: [f32; 3], measured: f32) -> (f32, f32, [f32; 3]) {
    let total = p + measured * measured;
    let (gain, velocity_gain) = (p / total, c / total);
    (gain, velocity_gain, [(1.0 - gain) * p, (1.0 - gain) * c, v - velocity_gain * c])
}

/// One direction of a `Point`.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Direction {
    covariance: [f32; 3],
    /// Running mean of the surprise in standard deviations. Noise averages out; a manoeuvre pulls one way.
    pull: f32,
}

/// A point that moves with constant velocity until it is seen to do otherwise; what is measured of it is believed
/// differently along and across an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    pub position: [f32; 2],
    pub velocity: [f32; 2],
    along: Direction,
    across: Direction,
}

/// Weight of the past in `Direction::pull`, and how much faster a point may turn at a pull of 1.
const PULL_MEMORY: f32 = 0.75;
const MANOEUVRE: f32 = 12.0;

impl Direction {
    fn new(noise: Noise) -> Self {
        Direction { covariance: start(noise), pull: 0.0 }
    }

    fn predict(&mut self, dt_s: f32, noise: Noise) {
        let agility = noise.agility * (1.0 + MANOEUVRE * self.pull * self.pull).min(1.0 + 4.0 * MANOEUVRE);
        self.covariance = widened(self.covariance, dt_s, agility);
    }

    /// Gains for position and velocity.
    fn update(&mut self, surprise: f32, noise: Noise) -> (f32, f32) {
        let total = self.covariance[0] + noise.measured.powi(2);
        self.pull = PULL_MEMORY * self.pull + (1.0 - PULL_MEMORY) * (surprise / total.sqrt()).clamp(-3.0, 3.0);
        let (gain, velocity_gain, covariance) = narrowed(self.covariance, noise.measured);
        self.covariance = covariance;
        (gain, velocity_gain)
    }
}

impl Point {
    pub fn new(measured: [f32; 2], [along, across]: [Noise; 2]) -> Self {
        Point { position: measured, velocity: [0.0; 2], along: Direction::new(along), across: Direction::new(across) }
    }

    pub fn predict(&mut self, dt_s: f32, [along, across]: [Noise; 2]) {
        self.position = self.after(dt_s);
        self.along.predict(dt_s, along);
        self.across.predict(dt_s, across);
    }

    /// Where it will be.
    pub fn after(&self, dt_s: f32) -> [f32; 2] {
        [0, 1].map(|i| self.position[i] + self.velocity[i] * dt_s)
    }

    /// `axis`: unit vector of "along".
    pub fn update(&mut self, measured: [f32; 2], axis: [f32; 2], [along, across]: [Noise; 2]) {
        let normal = [-axis[1], axis[0]];
        let off = [measured[0] - self.position[0], measured[1] - self.position[1]];
        for (direction, belief, noise) in [(axis, &mut self.along, along), (normal, &mut self.across, across)] {
            let surprise = off[0] * direction[0] + off[1] * direction[1];
            let (gain, velocity_gain) = belief.update(surprise, noise);
            for (i, part) in direction.into_iter().enumerate() {
                self.position[i] += gain * surprise * part;
                self.velocity[i] += velocity_gain * surprise * part;
            }
        }
    }

    /// Its velocity was measured by itself: `deviation` is the standard deviation along and across the axis.
    pub fn update_velocity(&mut self, measured: [f32; 2], axis: [f32; 2], deviation: [f32; 2]) {
        let normal = [-axis[1], axis[0]];
        let off = [measured[0] - self.velocity[0], measured[1] - self.velocity[1]];
        for (direction, belief, deviation) in [(axis, &mut self.along, deviation[0]), (normal, &mut self.across, deviation[1])] {
            let surprise = off[0] * direction[0] + off[1] * direction[1];
            let [p, c, v] = belief.covariance;
            let total = v + deviation * deviation;
            let (gain, velocity_gain) = (c / total, v / total);
            belief.covariance = [p - gain * c, (1.0 - velocity_gain) * c, (1.0 - velocity_gain) * v];
            for (i, part) in direction.into_iter().enumerate() {
                self.position[i] += gain * surprise * part;
                self.velocity[i] += velocity_gain * surprise * part;
            }
        }
    }

    /// Standard deviation of the position, the larger of both directions.
    pub fn doubt(&self) -> f32 {
        self.along.covariance[0].max(self.across.covariance[0]).max(0.0).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOISE: Noise = Noise { measured: 2.0, velocity: 500.0, agility: 1e5 };

    #[test]
    fn steady_motion_is_learned_through_noise_and_gaps() {
        let mut coordinate = Coordinate::new(10.0, NOISE);
        let mut t = 0.0;
        for i in 1..120 {
            let dt = if i % 10 == 0 { 0.2 } else { 0.033 };
            t += dt;
            coordinate.predict(dt, NOISE);
            coordinate.update(10.0 + 300.0 * t + if i % 2 == 0 { 1.0 } else { -1.0 }, NOISE);
        }
        assert!((coordinate.velocity - 300.0).abs() < 40.0, "{}", coordinate.velocity);
        assert!((coordinate.position - (10.0 + 300.0 * t)).abs() < 2.0);
    }

    #[test]
    fn a_point_stands_stiller_across_than_along_and_follows_a_turn() {
        let noises = [NOISE, Noise { measured: 0.5, ..NOISE }];
        let axis = [0.6, 0.8];
        let mut point = Point::new([100.0, 100.0], noises);
        for i in 0..40 {
            point.predict(0.0167, noises);
            let wobble = if i % 2 == 0 { 2.0 } else { -2.0 };
            point.update([100.0 + wobble * axis[0], 100.0 + wobble * axis[1]], axis, noises);
        }
        assert!((point.position[0] - 100.0).hypot(point.position[1] - 100.0) < 1.0, "{point:?}");
        // It sets off at 400 px/s across its axis: within 0.15 s the velocity is known to a fifth.
        for i in 1..=9 {
            let way = 400.0 * 0.0167 * i as f32;
            point.predict(0.0167, noises);
            point.update([100.0 - 0.8 * way, 100.0 + 0.6 * way], axis, noises);
        }
        let [vx, vy] = point.velocity;
        assert!((vx + 320.0).hypot(vy - 240.0) < 80.0, "{point:?}");
    }

    #[test]
    fn a_measured_velocity_is_taken_over_as_far_as_it_is_certain() {
        let axis = [0.0, 1.0];
        let mut point = Point::new([100.0, 100.0], [NOISE; 2]);
        point.update_velocity([50.0, 80.0], axis, [5.0, 1e6]);
        assert!((point.velocity[1] - 80.0).abs() < 1.0 && point.velocity[0].abs() < 1.0, "{point:?}");
    }

    proptest! {
        /// Whatever is measured, the covariance stays one and the numbers stay numbers.
        #[test]
        fn the_covariance_stays_positive(steps in proptest::collection::vec((0.0f32..0.5, -1e4f32..1e4, any::<bool>()), 1..200)) {
            let mut coordinate = Coordinate::new(0.0, NOISE);
            for (dt, measured, seen) in steps {
                coordinate.predict(dt, NOISE);
                if seen { coordinate.update(measured, NOISE); }
                let [p, c, v] = coordinate.covariance;
                prop_assert!(p > 0.0 && v > 0.0 && p * v >= c * c * 0.99, "{p} {c} {v}");
                prop_assert!(coordinate.position.is_finite() && coordinate.velocity.is_finite());
            }
        }
    }
}
