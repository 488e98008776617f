//! What the camera's electronics make of a picture: vendors' looks, narrow-band and fluorescence imaging, unsteady light,
//! electrosurgery in the cable.

use super::canvas::{Canvas, cover};
use super::drawing::Content;
use super::noise::{Rng, mix, smoothstep};
use super::script::Look;

/// `glow` (0..1 a pixel) is asked for ICG only: how much of the dye is there.
pub fn look(canvas: &mut Canvas, look: Look, glow: &dyn Fn() -> Vec<f32>) {
    // White balance, gamma (below 1 brightens), contrast, saturation, sharpening.
    let (balance, gamma, contrast, saturation, sharpening) = match look {
        Look::Standard => return,
        Look::A => ([1.10, 1.0, 0.84], 1.12, 1.06, 1.32, 0.7),
        Look::B => ([0.90, 1.02, 1.20], 0.78, 0.92, 0.80, 0.0),
        Look::C => ([0.98, 1.02, 1.04], 1.0, 1.22, 1.05, 2.6),
        Look::Nbi => return narrow_band(canvas),
        Look::Icg => return fluorescence(canvas, &glow()),
    };
    sharpen(canvas, sharpening);
    for pixel in &mut canvas.pixels {
        // Black stays black, also where contrast would lift it.
        let there = smoothstep(0.0, 0.03, luma(*pixel));
        let graded = [0, 1, 2].map(|k| {
            let v = (pixel[k] * balance[k]).clamp(0.0, 1.0).powf(gamma);
            (v - 0.35) * contrast + 0.35
        });
        let grey = luma(graded);
        *pixel = graded.map(|v| (mix(grey, v, saturation) * there).clamp(0.0, 1.0));
    }
}

fn luma([r, g, b]: [f32; 3]) -> f32 {
    0.213 * r + 0.715 * g + 0.072 * b
}

/// Unsharp mask, as cameras do: strong, and with a halo that can be seen.
fn sharpen(canvas: &mut Canvas, strength: f32) {
    if strength > 0.0 {
        let soft = canvas.boxed((canvas.height / 360).max(1));
        for (pixel, soft) in canvas.pixels.iter_mut().zip(&soft.pixels) {
            let edge = luma(*pixel) - luma(*soft);
            *pixel = pixel.map(|v| (v + strength * edge).clamp(0.0, 1.0));
        }
    }
}

/// Blue (415 nm) and green (540 nm) light only: blue is shown as green and blue, green as red.
fn narrow_band(canvas: &mut Canvas) {
    let soft = canvas.boxed((canvas.height / 60).max(1));
    for (pixel, soft) in canvas.pixels.iter_mut().zip(&soft.pixels) {
        let [r, g, b] = *pixel;
        let white = smoothstep(0.55, 0.95, g.min(b));
        // Haemoglobin swallows both bands: what is redder than its surroundings turns dark brown.
        let redness = |p: [f32; 3]| (p[0] - 0.5 * (p[1] + p[2])) / (p[0] + 0.05);
        let local = redness(*pixel) - redness(*soft) + 0.9 * (soft[1] - g).max(0.0);
        let vessel = smoothstep(0.015, 0.12, local) * (1.0 - white);
        let red = smoothstep(0.30, 0.80, redness(*pixel));
        let (deep, shallow) = (g * 1.15 + 0.10 * r, 0.75 * b + 0.45 * g + 0.10 * r);
        let mucosa = [deep * 0.62, shallow * 1.02, shallow * 0.92];
        let dark = [0.16 * r + 0.42 * deep, 0.46 * shallow, 0.26 * shallow];
        let mut out = [0, 1, 2].map(|k| mix(mucosa[k], dark[k], (vessel + 0.30 * red).min(1.0)));
        cover(&mut out, [g * 0.92, (g + b) * 0.5, b], white);
        *pixel = out.map(|v| v.clamp(0.0, 1.0));
    }
}

/// Near-infrared over a darkened grey picture: the dye glows green, and its light spreads.
fn fluorescence(canvas: &mut Canvas, glow: &[f32]) {
    let mut light = Canvas::new(canvas.width, canvas.height);
    for ((to, from), glow) in light.pixels.iter_mut().zip(&canvas.pixels).zip(glow) {
        let shape = 0.35 + 1.1 * luma(*from);
        *to = [*glow * shape; 3];
    }
    let near = light.defocused(0.008 * canvas.height as f32);
    let far = light.defocused(0.045 * canvas.height as f32);
    for (at, pixel) in canvas.pixels.iter_mut().enumerate() {
        let dim = 0.30 * luma(*pixel);
        let dye = 0.75 * near.pixels[at][0] + 0.35 * far.pixels[at][0];
        *pixel = [dim * 0.9 + 0.10 * dye * dye, dim + 0.95 * dye, dim * 0.95 + 0.22 * dye].map(|v| v.clamp(0.0, 1.0));
    }
}

/// The lamp's brightness swings, a little differently in each picture.
pub fn flicker(canvas: &mut Canvas, level: f32, t_s: f32, rng: &mut Rng) {
    let swing = (t_s * 2.0 * std::f32::consts::PI * 9.3).sin() * 0.7 + rng.range(-0.5, 0.5);
    let gain = 1.0 + 0.45 * level * swing;
    for pixel in &mut canvas.pixels {
        *pixel = pixel.map(|v| (v * gain).min(1.0));
    }
}

/// Bands that are torn aside, bright lines and coloured snow: other ones in each picture.
pub fn interference(canvas: &mut Canvas, level: f32, rng: &mut Rng) {
    let (width, height) = (canvas.width, canvas.height);
    let bands = 2 + (level * 7.0) as usize;
    for _ in 0..bands {
        let (from, tall) = (rng.below(height), 2 + (rng.unit() * 0.10 * level * height as f32) as usize);
        let (shift, tint) = (rng.range(-0.05, 0.05) * level * width as f32, [0, 1, 2].map(|_| rng.range(-0.22, 0.22) * level));
        for y in from..(from + tall).min(height) {
            let tear = shift * (1.0 + 0.6 * ((y - from) as f32 * 0.7).sin()) + rng.range(-1.0, 1.0) * level;
            let row = &mut canvas.pixels[y * width..][..width];
            row.rotate_right(tear.rem_euclid(width as f32) as usize % width);
            for pixel in row.iter_mut() {
                let snow = if rng.unit() < 0.25 * level { rng.range(-0.5, 0.7) } else { 0.0 };
                *pixel = [0, 1, 2].map(|k| (pixel[k] + tint[k] + snow).clamp(0.0, 1.0));
            }
        }
    }
    for _ in 0..(level * 14.0) as usize {
        let (y, from) = (rng.below(height), rng.below(width));
        let (to, bright) = ((from + rng.below(width / 3 + 1)).min(width), rng.range(0.3, 1.0));
        for pixel in &mut canvas.pixels[y * width + from..y * width + to] {
            cover(pixel, [bright; 3], 0.8);
        }
    }
}

/// The room outside: a bright lamp, drapes in blue and green, skin; all out of focus.
pub fn room(width: usize, height: usize, content: &Content, clouds: &super::fluids::Clouds, sway: [f32; 2]) -> Canvas {
    let by = 2;
    let mut room = Canvas::new(width.div_ceil(by), height.div_ceil(by));
    let place = content.place();
    for at in 0..room.pixels.len() {
        let (x, y) = (place.x(at % room.width * by) + sway[0], place.y(at / room.width * by) + sway[1]);
        let fold = clouds.soft.at(x * 0.35 + 0.1 * y, y * 0.16) + 0.25 * clouds.fine.at(x * 0.3 + 0.2, y * 0.1);
        let shade = 0.55 + 0.45 * fold;
        let mut colour = [0.10, 0.36, 0.46].map(|c| c * shade);
        // Iodine-stained skin between the drapes.
        let skin = smoothstep(0.03, -0.03, (x + 0.30 - 0.3 * y).hypot((y - 0.36) * 1.3) - 0.26 + 0.07 * fold);
        cover(&mut colour, [0.62, 0.38, 0.20].map(|c| c * (0.75 + 0.3 * fold)), skin);
        // A gloved hand's edge.
        let knuckle = 0.035 * (x * 38.0 + 4.0 * y).sin() + 0.03 * fold;
        let glove = smoothstep(0.02, -0.02, (x - 0.55 + 0.35 * y).hypot((y - 0.40) * 0.75) - 0.25 + knuckle);
        cover(&mut colour, [0.80, 0.80, 0.74].map(|c| c * (0.7 + 0.3 * fold)), glove);
        // Above: the dark ceiling with the lamp.
        let above = smoothstep(-0.06, -0.24, y + 0.22 * x + 0.12 * fold);
        cover(&mut colour, [0.13, 0.13, 0.14], above);
        for (lx, ly, size) in [(0.10, -0.34, 0.115), (0.34, -0.28, 0.085), (-0.10, -0.26, 0.085)] {
            let d = (x - lx).hypot((y - ly) * 1.2);
            let lamp = smoothstep(size, size * 0.72, d);
            let halo = 0.55 * (-(d / 0.22).powi(2)).exp();
            colour = colour.map(|c| c + halo * 0.5 + lamp);
        }
        room.pixels[at] = colour.map(|c| c.clamp(0.0, 1.0));
    }
    let blurred = room.defocused(0.011 * height as f32);
    let mut out = Canvas::new(width, height);
    for (at, pixel) in out.pixels.iter_mut().enumerate() {
        let (x, y) = (at % width, at / width);
        let edge = (f32::from(content.light_row(y)[x]) / 120.0).min(1.0);
        *pixel = blurred.sample(x as f32 / by as f32, y as f32 / by as f32).map(|v| v * edge);
    }
    out
}
