//! Blood vessels: branching random walks, drawn once into the atlas as a strength and an owner a texel.

use super::map::Grid;
use super::noise::Rng;

/// A tree of vessels that lies on one layer of the anatomy.
#[derive(Debug, Clone, Copy)]
pub struct Tree {
    pub layer: u8,
    pub root: [f32; 2],
    pub heading: f32,
    pub length: f32,
    pub radius: f32,
    pub branches: u32,
}

#[derive(Debug)]
pub struct VesselMap {
    /// 0 none … 255 the middle of a vessel; texels as in the atlas.
    pub strength: Vec<u8>,
    pub layer: Vec<u8>,
}

pub fn draw(grid: &Grid, trees: &[Tree], rng: &mut Rng) -> VesselMap {
    let mut map = VesselMap { strength: vec![0; grid.len()], layer: vec![0; grid.len()] };
    for tree in trees {
        let mut open = vec![*tree];
        while let Some(branch) = open.pop() {
            walk(grid, &mut map, branch, rng, &mut open);
        }
    }
    map
}

fn walk(grid: &Grid, map: &mut VesselMap, tree: Tree, rng: &mut Rng, open: &mut Vec<Tree>) {
    const STEP: f32 = 0.006;
    let steps = (tree.length / STEP) as u32;
    let ([mut x, mut y], mut heading, mut curl) = (tree.root, tree.heading, 0.0);
    let fork_every = steps / (tree.branches + 1).max(1);
    for step in 0..steps {
        curl = curl * 0.80 + rng.range(-0.09, 0.09);
        heading += curl;
        let to = [x + STEP * heading.cos(), y + STEP * heading.sin()];
        let thin = 1.0 - 0.75 * step as f32 / steps as f32;
        stamp(grid, map, tree.layer, [x, y], to, tree.radius * thin);
        [x, y] = to;
        if tree.branches > 0 && fork_every > 0 && step % fork_every == fork_every - 1 {
            let side = if rng.bits() & 1 == 0 { 1.0 } else { -1.0 };
            open.push(Tree {
                root: to,
                heading: heading + side * rng.range(0.5, 1.1),
                length: tree.length * rng.range(0.35, 0.6),
                radius: tree.radius * thin * 0.7,
                branches: tree.branches / 2,
                ..tree
            });
        }
    }
}

/// One short piece with round ends and soft edges.
fn stamp(grid: &Grid, map: &mut VesselMap, layer: u8, from: [f32; 2], to: [f32; 2], radius: f32) {
    let [ax, ay] = grid.texel_of(from);
    let [bx, by] = grid.texel_of(to);
    // Thinner than a texel fades instead of breaking up.
    let wanted = radius * grid.texels_per_unit;
    let (r, fade) = (wanted.max(0.6), (wanted / 0.6).min(1.0));
    let reach = r + 1.0;
    let (x0, x1) = (ax.min(bx) - reach, ax.max(bx) + reach);
    let (y0, y1) = (ay.min(by) - reach, ay.max(by) + reach);
    let (dx, dy) = (bx - ax, by - ay);
    let inverse = 1.0 / (dx * dx + dy * dy).max(1e-6);
    for j in y0.max(0.0) as usize..=(y1.min(grid.height as f32 - 1.0).max(-1.0) as isize).max(0) as usize {
        for i in x0.max(0.0) as usize..=(x1.min(grid.width as f32 - 1.0).max(-1.0) as isize).max(0) as usize {
            let (px, py) = (i as f32 - ax, j as f32 - ay);
            let t = ((px * dx + py * dy) * inverse).clamp(0.0, 1.0);
            let d = ((px - t * dx).powi(2) + (py - t * dy).powi(2)).sqrt();
            let strength = (((r + 0.7 - d) / (0.5 * r + 0.7)).clamp(0.0, 1.0) * fade * 255.0) as u8;
            let at = j * grid.width + i;
            if strength > map.strength[at] {
                map.strength[at] = strength;
                map.layer[at] = layer;
            }
        }
    }
}
