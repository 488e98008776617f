//! The signs of the banners: each is told from the others by its shape alone, also by who sees no colour and reads no word.

use crate::base::hud::Banner;
use egui::{Color32, Painter, Pos2, Rect, Shape, Stroke, pos2};

/// R, G, B of a banner's words and sign.
pub(super) fn ink(banner: Banner) -> [u8; 3] {
    match banner {
        Banner::AiOff | Banner::BlackPicture => [235, 235, 235],
        Banner::AiStale | Banner::FrozenPicture | Banner::FaultyPicture => [255, 196, 80],
        Banner::AiUnknown => [170, 215, 255],
        Banner::NoSignal => [255, 255, 255],
    }
}

/// Draws the sign into the square `within`.
pub(super) fn draw(painter: &Painter, banner: Banner, within: Rect, colour: Color32) {
    let at = |x: f32, y: f32| pos2(within.left() + x * within.width(), within.top() + y * within.height());
    let stroke = Stroke::new((within.width() * 0.09).max(1.0), colour);
    let line = |points: &[(f32, f32)]| {
        painter.line(points.iter().map(|&(x, y)| at(x, y)).collect(), stroke);
    };
    let closed = |points: &[(f32, f32)]| {
        let points: Vec<Pos2> = points.iter().map(|&(x, y)| at(x, y)).collect();
        painter.add(Shape::closed_line(points, stroke));
    };
    let filled = |left: f32, top: f32, right: f32, bottom: f32| {
        painter.rect_filled(Rect::from_min_max(at(left, top), at(right, bottom)), 0.0, colour);
    };
    let screen = [(0.04, 0.16), (0.96, 0.16), (0.96, 0.84), (0.04, 0.84)];
    match banner {
        // A crossed-out ring.
        Banner::AiOff => {
            painter.circle_stroke(within.center(), within.width() * 0.42, stroke);
            line(&[(0.2, 0.8), (0.8, 0.2)]);
        }
        // An hourglass.
        Banner::AiStale => {
            closed(&[(0.18, 0.08), (0.82, 0.08), (0.18, 0.92), (0.82, 0.92)]);
        }
        // A question mark in a diamond.
        Banner::AiUnknown => {
            closed(&[(0.5, 0.0), (1.0, 0.5), (0.5, 1.0), (0.0, 0.5)]);
            line(&[(0.38, 0.4), (0.4, 0.32), (0.5, 0.27), (0.6, 0.32), (0.61, 0.42), (0.5, 0.52), (0.5, 0.6)]);
            filled(0.45, 0.67, 0.55, 0.77);
        }
        // A crossed-out screen.
        Banner::NoSignal => {
            closed(&screen);
            line(&[(0.3, 0.35), (0.7, 0.65)]);
            line(&[(0.3, 0.65), (0.7, 0.35)]);
        }
        // A screen that is halted: two bars.
        Banner::FrozenPicture => {
            closed(&screen);
            filled(0.33, 0.32, 0.44, 0.68);
            filled(0.56, 0.32, 0.67, 0.68);
        }
        // A screen whose lower part has slipped.
        Banner::FaultyPicture => {
            closed(&[(0.04, 0.16), (0.8, 0.16), (0.8, 0.5), (0.96, 0.5), (0.96, 0.84), (0.2, 0.84), (0.2, 0.5), (0.04, 0.5)]);
            line(&[(0.2, 0.5), (0.8, 0.5)]);
        }
        // A screen with nothing but a filled field.
        Banner::BlackPicture => {
            closed(&screen);
            filled(0.2, 0.32, 0.8, 0.68);
        }
    }
}
