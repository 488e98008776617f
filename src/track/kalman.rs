//! Constant-velocity Kalman filter on one coordinate; a box or a tip is followed by several of them side by side.
//! (Bar-Shalom, Li, Kirubarajan 2001, section 6.2.2: white-noise acceleration.)

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
        Coordinate { position: measured, velocity: 0.0, covariance: [noise.measured.powi(2), 0.0, noise.velocity.powi(2)] }
    }

    pub fn predict(&mut self, dt_s: f32, noise: Noise) {
        let [p, c, v] = self.covariance;
        let q = noise.agility;
        self.position += self.velocity * dt_s;
        self.covariance =
            [p + 2.0 * dt_s * c + dt_s * dt_s * v + q * dt_s.powi(3) / 3.0, c + dt_s * v + q * dt_s * dt_s / 2.0, v + q * dt_s];
    }

    pub fn update(&mut self, measured: f32, noise: Noise) {
        let [p, c, v] = self.covariance;
        let total = p + noise.measured.powi(2);
        let (gain, velocity_gain) = (p / total, c / total);
        let surprise = measured - self.position;
        self.position += gain * surprise;
        self.velocity += velocity_gain * surprise;
        self.covariance = [(1.0 - gain) * p, (1.0 - gain) * c, v - velocity_gain * c];
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
