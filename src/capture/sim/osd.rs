//! What a camera writes into its own picture: letters, its menu, its picture in picture.

use super::canvas::{Canvas, cover};
use ab_glyph::{Font, FontRef, ScaleFont, point};

/// The built-in font. Without it (it is part of the program) nothing is written.
#[derive(Debug)]
pub struct Letters(Option<FontRef<'static>>);

impl Letters {
    pub fn new() -> Self {
        Letters(FontRef::try_from_slice(epaint_default_fonts::HACK_REGULAR).ok())
    }

    /// Writes one line whose upper left corner is (`x`, `y`), `size` pixels high. Returns its width.
    pub fn write(&self, canvas: &mut Canvas, (x, y): (f32, f32), size: f32, colour: [f32; 3], text: &str) -> f32 {
        let Some(font) = &self.0 else { return 0.0 };
        let font = font.as_scaled(size);
        let mut along = x;
        for letter in text.chars() {
            let mut glyph = font.scaled_glyph(letter);
            glyph.position = point(along, y + font.ascent());
            along += font.h_advance(glyph.id);
            let Some(outline) = font.outline_glyph(glyph) else { continue };
            let bounds = outline.px_bounds();
            outline.draw(|i, j, coverage| {
                let (px, py) = (bounds.min.x as isize + i as isize, bounds.min.y as isize + j as isize);
                if (0..canvas.width as isize).contains(&px) && (0..canvas.height as isize).contains(&py) {
                    cover(&mut canvas.pixels[py as usize * canvas.width + px as usize], colour, coverage.min(1.0));
                }
            });
        }
        along - x
    }
}

/// `[x0, y0, x1, y1]` in pixels, half open, inside the canvas.
pub type Area = [usize; 4];

fn area(canvas: &Canvas, [x0, y0, x1, y1]: [f32; 4]) -> Area {
    let side = |v: f32, side: usize| ((v * side as f32) as usize).min(side);
    [side(x0, canvas.width), side(y0, canvas.height), side(x1, canvas.width), side(y1, canvas.height)]
}

fn fill(canvas: &mut Canvas, [x0, y0, x1, y1]: Area, colour: [f32; 3], alpha: f32) {
    for y in y0..y1 {
        for pixel in &mut canvas.pixels[y * canvas.width + x0..y * canvas.width + x1] {
            cover(pixel, colour, alpha);
        }
    }
}

const LINES: [(&str, &str); 6] =
    [("WHITE BALANCE", "AUTO"), ("BRIGHTNESS", "+2"), ("ENHANCEMENT", "HIGH"), ("GAMMA", "2.2"), ("SHUTTER", "1/250"), ("ROTATION", "OFF")];

/// Returns what is covered.
pub fn menu(canvas: &mut Canvas, letters: &Letters) -> [Area; 2] {
    let panel = area(canvas, [0.06, 0.10, 0.40, 0.62]);
    let (width, height) = ((panel[2] - panel[0]) as f32, (panel[3] - panel[1]) as f32);
    fill(canvas, panel, [0.05, 0.07, 0.16], 0.93);
    let line = height / 8.0;
    let bar = [panel[0], panel[1], panel[2], panel[1] + line as usize];
    fill(canvas, bar, [0.16, 0.30, 0.62], 1.0);
    let (left, size) = (panel[0] as f32 + 0.05 * width, line * 0.62);
    letters.write(canvas, (left, panel[1] as f32 + 0.18 * line), size, [1.0; 3], "CAMERA SETUP");
    for (n, (name, value)) in LINES.iter().enumerate() {
        let y = panel[1] as f32 + line * (n as f32 + 1.5);
        let chosen = n == 2;
        if chosen {
            let row = [panel[0], y as usize, panel[2], (y + line) as usize];
            fill(canvas, row, [0.92, 0.80, 0.20], 1.0);
        }
        let colour = if chosen { [0.05; 3] } else { [0.92; 3] };
        letters.write(canvas, (left, y + 0.16 * line), size, colour, name);
        letters.write(canvas, (left + 0.66 * width, y + 0.16 * line), size, colour, value);
    }
    let status = area(canvas, [0.70, 0.91, 0.97, 0.98]);
    fill(canvas, status, [0.04; 3], 0.9);
    let tall = (status[3] - status[1]) as f32;
    letters.write(canvas, (status[0] as f32 + 0.4 * tall, status[1] as f32 + 0.2 * tall), tall * 0.6, [0.4, 1.0, 0.4], "ZOOM 1.2x  WB OK");
    [panel, status]
}

/// Puts a small copy of `from` into the lower right corner, with a frame. Returns what is covered.
pub fn picture_in_picture(canvas: &mut Canvas, from: &Canvas) -> Area {
    let frame = area(canvas, [0.68, 0.66, 0.98, 0.96]);
    fill(canvas, frame, [0.85; 3], 1.0);
    let edge = (canvas.height / 180).max(1);
    let inner = [frame[0] + edge, frame[1] + edge, frame[2].saturating_sub(edge), frame[3].saturating_sub(edge)];
    let (width, height) = ((inner[2].saturating_sub(inner[0])).max(1) as f32, (inner[3].saturating_sub(inner[1])).max(1) as f32);
    let small = from.shrunk(3);
    for y in inner[1]..inner[3] {
        for x in inner[0]..inner[2] {
            let at = [(x - inner[0]) as f32 / width * small.width as f32, (y - inner[1]) as f32 / height * small.height as f32];
            canvas.pixels[y * canvas.width + x] = small.sample(at[0], at[1]);
        }
    }
    frame
}
