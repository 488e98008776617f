//! The operating field at rest: which organ lies where, its colour and its relief. Layers stand from back to front.

use super::noise::{Rng, Tile, mix, smoothstep};
use super::vessels::Tree;
use std::f32::consts::PI;

/// One organ's look. Colours are display-encoded, 0..1.
#[derive(Debug, Clone)]
pub struct Layer {
    pub class: u8,
    colour: [f32; 3],
    mottle: [f32; 3],
    vessel: [f32; 3],
    gloss: f32,
    /// How wide its edge is rounded, picture heights.
    round: f32,
    coarse_bump: f32,
    fine_bump: f32,
    shape: Shape,
}

#[derive(Debug, Clone)]
enum Shape {
    Everywhere,
    /// Centre, radii, rotation.
    Ellipse([f32; 2], [f32; 2], f32),
    /// A chain of balls, each joined to the next by their common tangents.
    Chain(Vec<([f32; 2], f32)>),
}

/// What one point of the resting scene is.
#[derive(Debug, Clone, Copy)]
pub struct Surface {
    pub layer: u8,
    pub colour: [f32; 3],
    pub height: f32,
    pub gloss: f32,
    /// How much the organs in front shade it, 0..1.
    pub shade: f32,
}

#[derive(Debug)]
pub struct Anatomy {
    pub layers: Vec<Layer>,
    pub trees: Vec<Tree>,
    soft: Tile,
    rough: Tile,
    grain: Tile,
    lobules: Tile,
    /// Where the gallbladder's body is: what the grasper goes for.
    pub gallbladder_in_scene: [f32; 2],
    pub neck_in_scene: [f32; 2],
}

const WALL: usize = 0;
const FAT: u8 = 4;
const LIVER: u8 = 2;
const GALLBLADDER: u8 = 10;

impl Anatomy {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let r = &mut rng;
        let soft = Tile::fractal(r, 4, 5, 0.55);
        let rough = Tile::fractal(r, 16, 5, 0.60);
        let grain = Tile::fractal(r, 64, 3, 0.8);
        let lobules = Tile::lumps(r, 9);

        let bright = r.range(0.9, 1.1);
        // Patients differ more in brightness than in hue.
        let tint = |r: &mut Rng, c: [f32; 3]| {
            let tone = bright * r.range(0.92, 1.08);
            c.map(|v| (v * tone * r.range(0.97, 1.03)).min(1.0))
        };
        let liver_colour = [[0.34, 0.110, 0.115], [0.30, 0.105, 0.115], [0.35, 0.128, 0.115]][r.below(3)];
        let liver_colour = tint(r, liver_colour);
        let liver_mottle = [0.055, 0.026, 0.026];
        let gall = [[0.80, 0.66, 0.44], [0.72, 0.65, 0.50], [0.64, 0.63, 0.45]][r.below(3)];
        let gall = tint(r, gall);
        let blood = [0.40, 0.05, 0.06];
        let lean = r.range(-0.10, 0.12);
        let (gx, size) = (r.range(-0.22, -0.06), r.range(0.88, 1.12));
        let neck = [gx + 0.20 + lean, 0.26 + r.range(-0.05, 0.05)];
        let body = [gx + 0.05 + lean * 0.5, 0.0];
        let fat_at = [neck[0] + r.range(0.30, 0.38), r.range(0.36, 0.42)];
        let liver = |round, shape| Layer {
            class: LIVER,
            colour: liver_colour,
            mottle: liver_mottle,
            vessel: [0.55, 0.25, 0.24],
            gloss: 0.9,
            round,
            coarse_bump: 0.0055,
            fine_bump: 0.00026,
            shape,
        };
        let mut layers = vec![
            Layer {
                class: 1,
                colour: tint(r, [0.60, 0.28, 0.22]),
                mottle: [0.16, 0.10, 0.06],
                vessel: [0.45, 0.10, 0.10],
                gloss: 0.25,
                round: 0.05,
                coarse_bump: 0.012,
                fine_bump: 0.00010,
                shape: Shape::Everywhere,
            },
            liver(
                0.10,
                Shape::Ellipse(
                    [r.range(0.18, 0.28), r.range(-0.40, -0.32)],
                    [r.range(0.72, 0.82), r.range(0.54, 0.62)],
                    r.range(-0.1, 0.1),
                ),
            ),
            Layer {
                class: 12,
                colour: [0.80, 0.62, 0.58],
                mottle: [0.10, 0.10, 0.10],
                vessel: [0.62, 0.30, 0.32],
                gloss: 0.5,
                round: 0.04,
                coarse_bump: 0.01,
                fine_bump: 0.00012,
                shape: Shape::Chain(vec![([0.40, -0.80], 0.13), ([0.46, -0.42], 0.08), ([0.50, -0.12], 0.03)]),
            },
            liver(
                0.20,
                Shape::Ellipse(
                    [r.range(0.66, 0.76), r.range(-0.22, -0.12)],
                    [r.range(0.24, 0.30), r.range(0.56, 0.66)],
                    r.range(-0.35, -0.15),
                ),
            ),
            liver(
                0.09,
                Shape::Ellipse(
                    [r.range(-0.72, -0.6), r.range(0.18, 0.28)],
                    [r.range(0.56, 0.66), r.range(0.32, 0.40)],
                    r.range(-0.1, 0.25),
                ),
            ),
            Layer {
                class: 3,
                colour: tint(r, [0.80, 0.56, 0.46]),
                mottle: [0.10, 0.10, 0.09],
                vessel: [0.66, 0.22, 0.20],
                gloss: 0.7,
                round: 0.16,
                coarse_bump: 0.012,
                fine_bump: 0.00012,
                shape: Shape::Ellipse(
                    [r.range(-0.2, 0.35), r.range(0.74, 0.80)],
                    [r.range(0.7, 0.9), r.range(0.30, 0.36)],
                    r.range(-0.1, 0.1),
                ),
            },
            Layer {
                class: 8,
                colour: [0.78, 0.50, 0.34],
                mottle: [0.10, 0.12, 0.10],
                vessel: [0.60, 0.14, 0.12],
                gloss: 0.8,
                round: 0.04,
                coarse_bump: 0.006,
                fine_bump: 0.00012,
                shape: Shape::Chain(vec![
                    (neck, 0.05),
                    ([neck[0] + 0.09, neck[1] + 0.08], 0.030),
                    ([fat_at[0] - 0.10, fat_at[1] + 0.02], 0.05),
                ]),
            },
            Layer {
                class: FAT,
                colour: tint(r, [0.82, 0.60, 0.31]),
                mottle: [0.12, 0.12, 0.10],
                vessel: [0.66, 0.18, 0.12],
                gloss: 0.8,
                round: 0.07,
                coarse_bump: 0.006,
                fine_bump: 0.00012,
                shape: Shape::Chain(vec![
                    ([neck[0] + 0.03, neck[1] + 0.09], 0.07),
                    (fat_at, r.range(0.12, 0.15)),
                    ([fat_at[0] + 0.5, fat_at[1] + r.range(-0.02, 0.10)], r.range(0.14, 0.20)),
                ]),
            },
            Layer {
                class: GALLBLADDER,
                colour: gall,
                mottle: [0.07, 0.05, 0.02],
                vessel: [0.52, 0.22, 0.27],
                gloss: 1.0,
                round: 0.17 * size,
                coarse_bump: 0.0022,
                fine_bump: 0.00006,
                shape: Shape::Chain(vec![
                    ([gx - 0.02, -0.46], 0.125 * size),
                    ([gx + 0.03 + lean * 0.2, -0.20], 0.155 * size),
                    ([body[0], 0.04], 0.165 * size),
                    ([body[0] * 0.45 + neck[0] * 0.55, 0.04 * 0.45 + neck[1] * 0.55], 0.112 * size),
                    (neck, 0.050),
                ]),
            },
        ];
        if r.bits().is_multiple_of(3) {
            // A small bleeding beside the neck.
            layers.insert(
                7,
                Layer {
                    class: 7,
                    colour: blood,
                    mottle: [0.08, 0.01, 0.01],
                    vessel: blood,
                    gloss: 1.0,
                    round: 0.02,
                    coarse_bump: 0.004,
                    fine_bump: 0.00012,
                    shape: Shape::Ellipse([neck[0] + 0.05, neck[1] + 0.05], [0.10, 0.05], 0.6),
                },
            );
        }
        let trees = grow(&layers, r, body, fat_at);
        Anatomy { layers, trees, soft, rough, grain, lobules, gallbladder_in_scene: body, neck_in_scene: neck }
    }

    /// What lies at `p`; `vessel` 0..1 and the layer that the vessel belongs to come from the vessel map.
    pub fn at(&self, p: [f32; 2], vessel: f32, vessel_layer: u8) -> Surface {
        let [x, y] = p;
        let wobble = [self.soft.at(x * 0.5 + 0.1, y * 0.5), self.soft.at(x * 0.5 + 0.6, y * 0.5 + 0.4)];
        let q = [x + 0.035 * wobble[0], y + 0.035 * wobble[1]];
        let mut shade = 1.0f32;
        let mut top = (WALL, -1.0f32);
        for (index, layer) in self.layers.iter().enumerate().rev() {
            let d = layer.shape.distance(q);
            if d <= 0.0 {
                top = (index, d);
                break;
            }
            if d < 0.16 {
                // Things in front keep light from what lies close behind them.
                shade *= 1.0 - 0.50 * (-d * 38.0).exp() - 0.12 * smoothstep(0.16, 0.0, d);
            }
        }
        let (index, d) = top;
        let layer = &self.layers[index];
        let coarse = self.soft.at(x * 1.3 + 0.37, y * 1.3 + 0.11 * index as f32);
        let fine = self.rough.at(x * 1.9 + 0.2 * index as f32, y * 1.9);
        let grain = self.grain.at(x * 2.3, y * 2.3);
        let edge = (1.0 + d / layer.round).clamp(0.0, 1.0);
        let mut height = layer.round * (1.0 - edge * edge).max(0.0).sqrt();
        height += layer.coarse_bump * coarse * 1.5 + layer.fine_bump * (fine * 3.0 + grain);
        let mut tone = 0.55 * coarse + 0.35 * fine + 0.18 * grain;
        let mut colour = layer.colour;
        match layer.class {
            FAT => {
                let lump = self.lobules.at(q[0] * 0.85 + 0.02 * fine, q[1] * 1.2 + 0.02 * coarse);
                height += 0.016 * lump;
                tone += 0.35 * (lump - 0.6);
                let red = smoothstep(0.30, 0.0, lump) * 0.45;
                colour = blend(colour, [0.66, 0.28, 0.16], red);
            }
            GALLBLADDER => {
                // Bile shines through as grey-blue; the neck is fatty.
                let bile = smoothstep(-0.2, 0.7, self.soft.at(x * 0.9, y * 0.7 + 0.3) + 0.25);
                colour = blend(colour, [0.57, 0.57, 0.58], 0.50 * bile);
                colour = blend(colour, [0.86, 0.62, 0.36], smoothstep(0.08, 0.3, y) * 0.7);
            }
            LIVER => tone += 0.35 * self.grain.at(x * 5.1, y * 5.1),
            1 => {
                let yellow = smoothstep(0.1, 0.7, self.soft.at(x * 0.6 + 0.7, y * 0.6));
                colour = blend(colour, [0.72, 0.42, 0.16], 0.6 * yellow);
                shade *= mix(0.55, 0.75, smoothstep(-0.5, 0.5, -y));
            }
            _ => {}
        }
        for (c, m) in colour.iter_mut().zip(layer.mottle) {
            *c += m * tone;
        }
        if vessel > 0.0 && usize::from(vessel_layer) == index {
            colour = blend(colour, layer.vessel, 0.55 * vessel);
            height += 0.0012 * vessel;
        }
        Surface { layer: index as u8, colour, height, gloss: layer.gloss, shade }
    }
}

fn blend(a: [f32; 3], b: [f32; 3], t: f32) -> [f32; 3] {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

fn grow(layers: &[Layer], r: &mut Rng, body: [f32; 2], fat_at: [f32; 2]) -> Vec<Tree> {
    let mut trees = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let layer_id = index as u8;
        let mut tree = |root: [f32; 2], heading: f32, length: f32, radius: f32, branches: u32| {
            trees.push(Tree { layer: layer_id, root, heading, length, radius, branches });
        };
        match layer.class {
            GALLBLADDER => {
                for _ in 0..6 {
                    let root = [body[0] + r.range(-0.12, 0.12), r.range(-0.5, 0.2)];
                    tree(root, r.range(0.2 * PI, 0.8 * PI), r.range(0.25, 0.5), r.range(0.0016, 0.0034), 5);
                }
            }
            1 => {
                for _ in 0..22 {
                    tree([r.range(-1.0, 1.0), r.range(-0.6, 0.6)], r.range(-PI, PI), r.range(0.3, 0.7), r.range(0.0015, 0.004), 6);
                }
            }
            LIVER => {
                for _ in 0..10 {
                    tree([r.range(-1.0, 1.0), r.range(-0.5, 0.5)], r.range(-PI, PI), r.range(0.05, 0.16), r.range(0.0007, 0.0014), 6);
                }
            }
            FAT | 3 => {
                for _ in 0..9 {
                    let root = [fat_at[0] + r.range(-0.5, 0.4), fat_at[1] + r.range(-0.12, 0.16)];
                    tree(root, r.range(-0.6, 0.6), r.range(0.1, 0.3), r.range(0.001, 0.0028), 4);
                }
            }
            _ => {}
        }
    }
    trees
}

impl Shape {
    /// Signed distance, negative inside; exact near the border.
    fn distance(&self, p: [f32; 2]) -> f32 {
        match self {
            Shape::Everywhere => -1.0,
            Shape::Ellipse(centre, radii, turn) => {
                let (sin, cos) = turn.sin_cos();
                let (x, y) = (p[0] - centre[0], p[1] - centre[1]);
                let (x, y) = ((x * cos + y * sin) / radii[0], (y * cos - x * sin) / radii[1]);
                let (n, g) = ((x * x + y * y).sqrt(), ((x / radii[0]).powi(2) + (y / radii[1]).powi(2)).sqrt());
                if g < 1e-6 { -radii[0].min(radii[1]) } else { n * (n - 1.0) / g }
            }
            Shape::Chain(balls) => {
                let mut best = f32::MAX;
                for pair in balls.windows(2) {
                    let d = cone(p, pair[0], pair[1]);
                    // Smooth union, so that the chain has no creases.
                    let h = (0.03 - (best - d).abs()).max(0.0) / 0.03;
                    best = best.min(d) - h * h * 0.0075;
                }
                best
            }
        }
    }
}

/// Two balls and their common tangents.
fn cone(p: [f32; 2], (a, ra): ([f32; 2], f32), (b, rb): ([f32; 2], f32)) -> f32 {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let length = (dx * dx + dy * dy).sqrt().max(1e-6);
    let (px, py) = (p[0] - a[0], p[1] - a[1]);
    let along = (px * dx + py * dy) / length;
    let across = ((px * dy - py * dx) / length).abs();
    let sin = ((ra - rb) / length).clamp(-0.99, 0.99);
    let cos = (1.0 - sin * sin).sqrt();
    let t = along - across * sin / cos;
    if t <= 0.0 {
        (px * px + py * py).sqrt() - ra
    } else if t >= length {
        ((p[0] - b[0]).powi(2) + (p[1] - b[1]).powi(2)).sqrt() - rb
    } else {
        along * sin + across * cos - ra
    }
}
