//! What lies on the lens or happens in it: fog, drops, dirt, focus, and a shutter that is open for too long.

use super::canvas::{Canvas, cover};
use super::drawing::Content;
use super::fluids::Clouds;
use super::noise::{Rng, mix, smoothstep};

/// Condensation: everything is veiled and soft, unevenly.
pub fn fog(canvas: &mut Canvas, clouds: &Clouds, content: &Content, level: f32, hidden: &mut [f32]) {
    let soft = canvas.defocused(level * 0.020 * canvas.height as f32);
    let place = content.place();
    for (at, pixel) in canvas.pixels.iter_mut().enumerate() {
        let (x, y) = (at % canvas.width, at / canvas.width);
        let light = f32::from(content.light_row(y)[x]) / 256.0;
        if light <= 0.0 {
            continue;
        }
        let (px, py) = (place.x(x) - content.centre[0], place.y(y) - content.centre[1]);
        // It clears from the middle, in patches.
        let patch = clouds.soft.at(px * 0.45 + 0.1, py * 0.45 + 0.6);
        let far = (px * px + py * py).sqrt() / content.radius;
        let here = smoothstep(0.0, 1.0, level * 1.55 - 0.38 * (1.0 - far) + 0.22 * patch - 0.1);
        cover(pixel, soft.pixels[at], (here * 1.6).min(1.0));
        let veil = mix(0.40, 0.66, light.min(1.0));
        let alpha = 0.74 * here;
        cover(pixel, [veil * 1.02, veil * 0.96, veil * 0.92], alpha);
        hidden[at] += (1.0 - hidden[at]) * alpha;
    }
}

#[derive(Debug, Clone, Copy)]
struct Drop {
    at: [f32; 2],
    radius: f32,
    skew: f32,
}

/// Drops and dirt stay where they are on the lens: the same for one seed.
#[derive(Debug)]
pub struct Lens {
    drops: Vec<Drop>,
    dirt: Vec<Drop>,
}

impl Lens {
    pub fn new(seed: u64, content: &Content) -> Self {
        let r = &mut Rng::new(seed, 7);
        let mut scatter = |count: usize, least: f32, most: f32| -> Vec<Drop> {
            (0..count)
                .map(|_| {
                    let (angle, away) = (r.range(0.0, std::f32::consts::TAU), content.radius * r.unit().sqrt() * 0.92);
                    let at = [content.centre[0] + away * angle.cos(), content.centre[1] + away * angle.sin()];
                    let small = r.unit();
                    Drop { at, radius: mix(least, most, small * small.sqrt()), skew: r.range(-0.25, 0.25) }
                })
                .collect()
        };
        Lens { drops: scatter(26, 0.022, 0.150), dirt: scatter(10, 0.06, 0.24) }
    }

    /// Each drop is a lens of its own: the scene upside down and small in it, a dark rim, a bright spot.
    pub fn drops(&self, canvas: &mut Canvas, content: &Content, level: f32, hidden: &mut [f32]) {
        let behind = canvas.defocused(0.006 * canvas.height as f32);
        let place = content.place();
        let count = (level * self.drops.len() as f32).ceil() as usize;
        for drop in &self.drops[..count.min(self.drops.len())] {
            let radius = drop.radius * mix(0.5, 1.0, level);
            for_each_near(canvas, content, drop.at, radius * 1.4, |pixel, at, [dx, dy]| {
                let (dx, dy) = (dx + drop.skew * dy, dy * (1.0 - 0.5 * drop.skew));
                let d = (dx * dx + dy * dy).sqrt() / radius;
                if d >= 1.12 {
                    return;
                }
                let inside = smoothstep(1.04, 0.94, d);
                // Steeper towards the rim, as in a ball.
                let bend = -1.5 - 2.2 * d * d;
                let from = place.pixel([drop.at[0] + dx * bend, drop.at[1] + dy * bend]);
                let mut seen = behind.sample(from[0] - 0.5, from[1] - 0.5);
                let (rim, below) = (smoothstep(0.62, 1.0, d), dy / radius);
                seen = seen.map(|v| (v * (1.10 - 0.62 * rim) + 0.30 * rim * below.max(0.0)).min(1.0));
                let (hx, hy) = (dx / radius + 0.34, dy / radius + 0.42);
                let glint = smoothstep(0.17, 0.07, (hx * hx + 1.8 * hy * hy).sqrt());
                seen = seen.map(|v| mix(v, 0.98, 0.9 * glint));
                cover(pixel, seen, inside);
                // A faint dark ring where it meets the glass.
                let ring = smoothstep(0.12, 0.0, (d - 1.02).abs()) * 0.35;
                cover(pixel, [0.05; 3], ring);
                hidden[at] = hidden[at].max(inside);
            });
        }
    }

    /// Smears of blood and tissue, too near to be sharp.
    pub fn dirt(&self, canvas: &mut Canvas, clouds: &Clouds, content: &Content, level: f32, hidden: &mut [f32]) {
        let count = (level * self.dirt.len() as f32).ceil() as usize;
        for (n, spot) in self.dirt[..count.min(self.dirt.len())].iter().enumerate() {
            for_each_near(canvas, content, spot.at, spot.radius * 2.2, |pixel, at, [dx, dy]| {
                let ragged = 0.45 * clouds.soft.at(dx * 1.1 + 0.13 * n as f32, dy * 1.1) + 0.10 * clouds.fine.at(dx, dy + 0.1 * n as f32);
                let d = (dx * dx + (1.0 + 0.6 * spot.skew) * dy * dy).sqrt() / spot.radius + ragged;
                let alpha = smoothstep(1.15, 0.35, d) * mix(0.55, 0.94, level);
                let thick = smoothstep(0.9, 0.1, d);
                let colour = [mix(0.42, 0.19, thick), mix(0.13, 0.035, thick), mix(0.09, 0.03, thick)];
                cover(pixel, colour, alpha);
                hidden[at] += (1.0 - hidden[at]) * alpha;
            });
        }
    }
}

/// Pixels of the content within `reach` (picture heights) of `centre`, with their way from it.
fn for_each_near(
    canvas: &mut Canvas,
    content: &Content,
    centre: [f32; 2],
    reach: f32,
    mut with: impl FnMut(&mut [f32; 3], usize, [f32; 2]),
) {
    let place = content.place();
    let (low, high) = (place.pixel([centre[0] - reach, centre[1] - reach]), place.pixel([centre[0] + reach, centre[1] + reach]));
    let range = |from: f32, to: f32, side: usize| from.max(0.0) as usize..(to.max(0.0) as usize + 1).min(side);
    for y in range(low[1], high[1], canvas.height) {
        let light = content.light_row(y);
        for x in range(low[0], high[0], canvas.width) {
            if light[x] > 0 {
                let at = y * canvas.width + x;
                with(&mut canvas.pixels[at], at, [place.x(x) - centre[0], place.y(y) - centre[1]]);
            }
        }
    }
}

/// The mean over the time that the shutter is open; `moved` says how far (picture heights) a point goes in it.
pub fn swept(canvas: &Canvas, content: &Content, moved: impl Fn([f32; 2]) -> [f32; 2]) -> Canvas {
    const TAPS: usize = 15;
    const NODE: usize = 16;
    let place = content.place();
    let columns = canvas.width / NODE + 2;
    let nodes: Vec<[f32; 2]> = (0..columns * (canvas.height / NODE + 2))
        .map(|n| moved([place.x(n % columns * NODE), place.y(n / columns * NODE)]).map(|v| v * canvas.height as f32))
        .collect();
    let mut out = Canvas::new(canvas.width, canvas.height);
    for (at, pixel) in out.pixels.iter_mut().enumerate() {
        let (x, y) = (at % canvas.width, at / canvas.width);
        if content.light_row(y)[x] == 0 {
            continue;
        }
        let [dx, dy] = nodes[(y + NODE / 2) / NODE * columns + (x + NODE / 2) / NODE];
        let mut sum = [0.0; 3];
        for tap in 0..TAPS {
            let t = tap as f32 / (TAPS - 1) as f32 - 0.5;
            let seen = canvas.sample(x as f32 + dx * t, y as f32 + dy * t);
            sum = [0, 1, 2].map(|k| sum[k] + seen[k]);
        }
        *pixel = sum.map(|v| v / TAPS as f32);
    }
    out
}
