//! The overlay's answer to a numbered picture: in a self-test each scene is drawn as the number of the picture that it was computed from, and
//! goes the overlay's own way (AI process, choice, layer, compositor, present). Whoever looks from outside then sees when each picture was
//! answered, whatever the AI made of it. A run that no self-test looks at has none.

use crate::capture::PatternSpec;
use crate::frame::marker::{ECHO_ROWS, NUMBERS, Placement, echo_rect, paint_echo};
use crate::overlay::{Layer, Rect};
use crate::scene::Scene;

#[derive(Debug, Clone, PartialEq)]
pub struct Echo {
    pattern: PatternSpec,
    placement: Placement,
}

impl Echo {
    /// None: there is no room under the marker.
    pub fn of(pattern: &PatternSpec) -> Option<Echo> {
        let placement = pattern.placement()?;
        let has_room = placement.y() + placement.height() + ECHO_ROWS * placement.block_px() <= pattern.height;
        has_room.then(|| Echo { pattern: pattern.clone(), placement })
    }

    /// Puts the answer alone on the layer; nothing where the layer is of another size.
    pub fn paint(&self, scene: &Scene, layer: &mut Layer) {
        layer.clear();
        let number = (self.pattern.number_at(scene.pts_ns) % u64::from(NUMBERS)) as u32;
        let stride = 4 * layer.width;
        let [x, y, width, height] = echo_rect(self.placement);
        if paint_echo(&mut layer.data, stride, self.placement, number).is_ok() {
            layer.rects.push(Rect { x0: x, y0: y, x1: x + width, y1: y + height });
        }
    }
}
