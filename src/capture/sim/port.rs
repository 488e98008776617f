//! Out through the trocar and in again: the port closes over the scene, the room, and back.

use super::canvas::{Canvas, cover};
use super::drawing::{Content, Place};
use super::noise::{mix, smoothstep};

/// Where the scope is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum View {
    /// In the trocar: its far end, with the whole scene in it, is so large (1: fills the picture).
    Tube(f32),
    /// In the room; how much light blinds the camera, 0..1.
    Room(f32),
}

impl View {
    /// At `t` of the event, 0..1.
    pub fn at(t: f32) -> View {
        const TUBE: f32 = 0.24;
        let edge = t.min(1.0 - t);
        if edge < TUBE {
            // Slowly at first: the rim comes in from the sides, then everything shrinks.
            let closed = edge / TUBE;
            View::Tube(mix(1.12, 0.10, closed * closed * (1.6 - 0.6 * closed)))
        } else {
            View::Room(smoothstep(0.05, 0.0, edge - TUBE))
        }
    }
}

/// How small the scene is seen. While the tube's end is larger than the picture it only hides the sides.
fn scale(content: &Content, size: f32) -> f32 {
    (size * content.radius / content.radius.min(0.49)).min(1.0)
}

/// The point of the scene that is seen at `point` of the picture through the tube's end, or None on its wall.
pub fn through(content: &Content, size: f32, point: [f32; 2]) -> Option<[f32; 2]> {
    let (dx, dy) = (point[0] - content.centre[0], point[1] - content.centre[1]);
    let far = (dx * dx + dy * dy).sqrt();
    let scale = scale(content, size);
    (far < size * content.radius).then(|| [content.centre[0] + dx / scale, content.centre[1] + dy / scale])
}

/// Where a point of the scene is seen through the tube's end.
pub fn seen(content: &Content, size: f32, place: Place, [x, y]: [f32; 2]) -> [f32; 2] {
    let centre = place.pixel(content.centre);
    let scale = scale(content, size);
    [centre[0] + (x - centre[0]) * scale, centre[1] + (y - centre[1]) * scale]
}

/// Draws the tube's wall around the scene and the scene small in its end; `hidden` goes with it.
pub fn draw(canvas: &mut Canvas, content: &Content, size: f32, hidden: &mut [f32]) {
    let (place, before, was_hidden) = (content.place(), canvas.clone(), hidden.to_vec());
    let (width, height) = (canvas.width, canvas.height);
    for (at, pixel) in canvas.pixels.iter_mut().enumerate() {
        let (x, y) = (at % width, at / width);
        let light = f32::from(content.light_row(y)[x]) / 256.0;
        if light <= 0.0 {
            continue;
        }
        let point = [place.x(x), place.y(y)];
        let (dx, dy) = (point[0] - content.centre[0], point[1] - content.centre[1]);
        let far = (dx * dx + dy * dy).sqrt();
        let rim = size * content.radius;
        *pixel = match through(content, size, point) {
            Some(from) => {
                let [u, v] = place.pixel(from);
                let (u, v) = (u - 0.5, v - 0.5);
                let near = (v.round().clamp(0.0, height as f32 - 1.0) as usize) * width + u.round().clamp(0.0, width as f32 - 1.0) as usize;
                hidden[at] = was_hidden[near];
                let seen = before.sample(u, v);
                let shade = mix(1.0, 0.45, smoothstep(0.80, 1.0, far / rim)) * mix(0.55, 1.0, size.min(1.0));
                seen.map(|v| v * shade)
            }
            None => {
                hidden[at] = 0.0;
                // The wall: steel, wet, darker the deeper; the lamp draws streaks along it and rings around.
                let depth = (rim / far).clamp(0.0, 1.0);
                let angle = dy.atan2(dx);
                let streak = 0.5 + 0.5 * (angle * 2.0 + 0.6).cos();
                let ring = 0.5 + 0.5 * ((1.0 / depth).ln() * 26.0).sin();
                let lit = (1.0 - depth).powf(0.7) * (0.35 + 0.75 * streak.powi(3)) + 0.05 * ring * (1.0 - depth);
                let mut wall = [0.62, 0.63, 0.66].map(|c| c * lit * light.min(1.2) + 0.02);
                let lip = smoothstep(0.045, 0.0, far / rim - 1.0);
                cover(&mut wall, [0.55, 0.52, 0.50].map(|c| c * (0.35 + 0.65 * streak)), lip * 0.75);
                wall
            }
        };
        for v in pixel.iter_mut() {
            *v = v.clamp(0.0, 1.0);
        }
    }
}
