use super::*;
use crate::frame::cuda::testing::{Runner, input, on_every_device, output, value};
use crate::overlay::blend::{over, premultiplied};
use crate::overlay::raster::{Point, Raster};
use crate::overlay::{Layer, Tiles};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;

/// A map of regions, where their borders run, and how they look.
#[derive(Debug, Clone)]
struct Case {
    map: [usize; 2],
    regions: Vec<u16>,
    edges: Vec<[u8; 2]>,
    /// Of each region; the same look may serve several.
    look_of: Vec<u8>,
    looks: Vec<(Layered, Option<Pen>, u32)>,
    picture: [usize; 2],
    scale: [f32; 2],
    shift: [f32; 2],
}

fn pens() -> impl Strategy<Value = Option<Pen>> {
    let pen = (0.6f32..2.5, 0.3f32..1.5, any::<[u8; 3]>(), 30u8..=255).prop_map(|(core_radius, casing, rgb, opacity)| Pen {
        core_radius,
        casing_radius: core_radius + casing,
        rgb,
        opacity,
    });
    prop::option::weighted(0.8, pen)
}

fn cases() -> impl Strategy<Value = Case> {
    let tint = prop::option::of((any::<[u8; 3]>(), 20u8..200)).prop_map(|tint| tint.map_or(0, |(rgb, alpha)| premultiplied(rgb, alpha)));
    let looks = (prop::collection::vec((pens(), tint.clone()), 1..3), prop::collection::vec((pens(), tint), 1..3));
    let geometry = ([1.5f32..9.0, 1.5f32..9.0], [-0.4f32..0.4, -0.4f32..0.4]);
    (2usize..10, 2usize..8, looks, geometry).prop_flat_map(|(width, height, (tissues, instruments), (scale, shift))| {
        let looks: Vec<_> = tissues
            .into_iter()
            .map(|(pen, tint)| (Layered::Tissue, pen, tint))
            .chain(instruments.into_iter().map(|(pen, tint)| (Layered::Instrument, pen, tint)))
            .collect();
        let (pixels, regions) = (width * height, looks.len() + 2);
        let look_of = prop::collection::vec(0..=looks.len() as u8, regions);
        // Within what mask_edges gives.
        let edges = prop::collection::vec([5u8..=251, 5u8..=251], pixels);
        (prop::collection::vec(0..regions as u16, pixels), edges, look_of).prop_map(move |(regions, edges, look_of)| Case {
            map: [width, height],
            regions,
            edges,
            look_of,
            looks: looks.clone(),
            // The map lies over the whole picture, to a part of a map pixel.
            picture: [width as f32 * scale[0], height as f32 * scale[1]].map(|side| (side.round() as usize).max(16)),
            scale,
            shift,
        })
    })
}

fn texture(runner: &Runner, case: &Case) -> Vec<u32> {
    let mut looks = Looks::default();
    for (kind, pen, tint) in &case.looks {
        looks.add(*kind, pen.as_ref(), *tint).unwrap();
    }
    let plan = OverlayPlan::new(case.map, case.picture, case.scale, case.shift, &looks);
    let mut texture = vec![0x1234_5678u32; case.picture[0] * case.picture[1]];
    let mut args = [
        value(&plan.params),
        input(&case.regions),
        input(&case.edges),
        input(&case.look_of),
        input(&looks.looks),
        input(&looks.palettes),
        output(&mut texture),
    ];
    runner.run(&plan.launch, &mut args);
    texture
}

/// A side between two neighbouring pixels of the map: the upper or left one, and whether the other lies below it.
type Side = (i32, i32, bool);

impl Case {
    fn look(&self, x: i32, y: i32) -> u8 {
        let [w, h] = self.map.map(|side| side as i32);
        if x < 0 || y < 0 || x >= w || y >= h { 0 } else { self.look_of[usize::from(self.regions[(y * w + x) as usize])] }
    }

    /// Where the border crosses the way between the two pixels of a side, in the picture.
    fn point(&self, (x, y, is_below): Side) -> Point {
        let [w, h] = self.map.map(|side| side as i32);
        let is_known = (0..w).contains(&x) && (0..h).contains(&y);
        let off = if is_known { f32::from(self.edges[(y * w + x) as usize][usize::from(is_below)]) / 256.0 } else { 0.5 };
        let place = |axis: usize, pixel: i32, off: f32| {
            ((pixel as f32 + 0.5 + off + self.shift[axis]) * self.scale[axis]).clamp(0.0, self.picture[axis] as f32)
        };
        if is_below { [place(0, x, 0.0), place(1, y, off)] } else { [place(0, x, off), place(1, y, 0.0)] }
    }

    /// The border of a look: marching squares, regions connected by sides.
    fn segments(&self, look: u8) -> Vec<[Side; 2]> {
        let mut all = Vec::new();
        for (x, y) in (-1..self.map[1] as i32).flat_map(|y| (-1..self.map[0] as i32).map(move |x| (x, y))) {
            let sides: [Side; 4] = [(x, y, false), (x + 1, y, true), (x, y + 1, false), (x, y, true)];
            let corners = [(x, y), (x + 1, y), (x + 1, y + 1), (x, y + 1)].map(|(x, y)| self.look(x, y) == look);
            let crossed: Vec<usize> = (0..4).filter(|&i| corners[i] != corners[(i + 1) % 4]).collect();
            match crossed[..] {
                [a, b] => all.push([sides[a], sides[b]]),
                [] => {}
                _ if corners[0] => all.extend([[sides[3], sides[0]], [sides[1], sides[2]]]),
                _ => all.extend([[sides[0], sides[1]], [sides[2], sides[3]]]),
            }
        }
        all
    }
}

/// The closed lines that segments make: each side is met by two of them.
fn closed_lines(case: &Case, segments: &[[Side; 2]]) -> Vec<Vec<Point>> {
    let mut at: BTreeMap<Side, Vec<usize>> = BTreeMap::new();
    for (index, segment) in segments.iter().enumerate() {
        segment.iter().for_each(|side| at.entry(*side).or_default().push(index));
    }
    assert!(at.values().all(|both| both.len() == 2), "a border that ends");
    let mut is_used = vec![false; segments.len()];
    let mut lines = Vec::new();
    for first in 0..segments.len() {
        let (mut line, mut index, mut side) = (Vec::new(), first, segments[first][0]);
        while !is_used[index] {
            is_used[index] = true;
            line.push(case.point(side));
            let [a, b] = segments[index];
            side = if a == side { b } else { a };
            let both = &at[&side];
            index = if both[0] == index { both[1] } else { both[0] };
        }
        if !line.is_empty() {
            lines.push(line);
        }
    }
    lines
}

/// What the painter's own rasteriser makes of the same borders, in the painter's order.
fn reference(case: &Case) -> Vec<u32> {
    let [width, height] = case.picture;
    let (mut raster, mut layer, mut touched) = (Raster::new(width, height), Layer::new(width, height), Tiles::new(width, height));
    let borders: Vec<_> = (1..=case.looks.len() as u8)
        .map(|look| case.segments(look))
        .map(|segments| {
            let lines = closed_lines(case, &segments);
            (segments, lines)
        })
        .collect();
    let mut draw = |raster: &mut Raster, layer: &mut Layer, wanted: Layered| {
        for ((kind, pen, tint), (segments, lines)) in case.looks.iter().zip(&borders) {
            if *kind != wanted {
                continue;
            }
            if *tint != 0 {
                raster.area(lines.iter().map(|line| &line[..]), |y, x0, x1| {
                    for pixel in layer.row_mut(y, x0, x1).as_chunks_mut::<4>().0 {
                        *pixel = over(*tint, u32::from_le_bytes(*pixel)).to_le_bytes();
                    }
                });
            }
            if let Some(pen) = pen {
                segments.iter().for_each(|[a, b]| raster.line(case.point(*a), case.point(*b), pen));
                raster.finish(pen, layer, &mut touched);
            }
        }
    };
    draw(&mut raster, &mut layer, Layered::Tissue);
    for ((kind, ..), (_, lines)) in case.looks.iter().zip(&borders) {
        if *kind == Layered::Instrument {
            raster.area(lines.iter().map(|line| &line[..]), |y, x0, x1| layer.row_mut(y, x0, x1).fill(0));
        }
    }
    draw(&mut raster, &mut layer, Layered::Instrument);
    layer.data.as_chunks::<4>().0.iter().map(|pixel| u32::from_le_bytes(*pixel)).collect()
}

#[test]
fn from_the_same_borders_the_kernel_makes_the_painters_pixels() {
    on_every_device("from_the_same_borders_the_kernel_makes_the_painters_pixels", |runner| {
        let covered = std::cell::Cell::new(0usize);
        let config = Config { cases: 50, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
        let test = |case: Case| {
            let (found, expected) = (texture(runner, &case), reference(&case));
            let width = case.picture[0];
            let off = found.iter().zip(&expected).position(|(found, expected)| found != expected);
            prop_assert_eq!(off.map(|at| (at % width, at / width, format!("{:08x} {:08x}", found[at], expected[at]))), None);
            covered.set(covered.get() + expected.iter().filter(|pixel| **pixel != 0).count());
            Ok(())
        };
        TestRunner::new(config).run(&cases(), test).unwrap();
        assert!(covered.get() > 10_000, "hardly anything was drawn");
    });
}

/// A disc of tissue with an instrument across it: tissue keeps out of the instrument, which has its own tint.
#[test]
fn tissue_keeps_out_of_an_instrument_and_nothing_is_drawn_far_from_a_border() {
    on_every_device("tissue_keeps_out_of_an_instrument_and_nothing_is_drawn_far_from_a_border", |runner| {
        let map = [24usize, 16usize];
        let regions: Vec<u16> = (0..map[0] * map[1])
            .map(|at| {
                let (x, y) = ((at % map[0]) as i32, (at / map[0]) as i32);
                if (7..10).contains(&y) { 2 } else { u16::from((x - 12).pow(2) + (y - 8).pow(2) < 40) }
            })
            .collect();
        let pen = Pen { core_radius: 1.0, casing_radius: 2.0, rgb: [255, 200, 0], opacity: 255 };
        let case = Case {
            map,
            regions,
            edges: vec![[128; 2]; map[0] * map[1]],
            look_of: vec![0, 1, 2],
            looks: vec![(Layered::Tissue, Some(pen), premultiplied([0, 255, 0], 100)), (Layered::Instrument, Some(pen), 0)],
            picture: [192, 128],
            scale: [8.0; 2],
            shift: [0.0; 2],
        };
        let texture = texture(runner, &case);
        assert_eq!(texture, reference(&case));
        let at = |x: usize, y: usize| texture[y * 192 + x];
        assert_eq!(at(100, 68), 0, "inside the instrument");
        assert_eq!(at(100, 40), premultiplied([0, 255, 0], 100), "inside the tissue");
        assert_eq!(at(4, 4), 0, "outside of both");
        assert_eq!(at(60, 56), premultiplied([255, 200, 0], 255), "on the instrument's border");
    });
}

#[test]
fn a_launch_covers_the_picture_and_looks_far_enough() {
    let mut looks = Looks::default();
    let pen = Pen { core_radius: 1.5, casing_radius: 2.75, rgb: [255; 3], opacity: 255 };
    assert_eq!([looks.add(Layered::Tissue, Some(&pen), 0), looks.add(Layered::Instrument, None, 7)], [Some(1), Some(2)]);
    assert_eq!((looks.looks.len(), looks.palettes.len()), (3, 3 * 256));
    let plan = OverlayPlan::new([320, 180], [1921, 1080], [6.003_125, 6.0], [0.0; 2], &looks);
    assert_eq!((plan.launch.grid, plan.launch.block), ([121, 68, 1], [16, 16, 1]));
    // 3.25 px are less than one cell; on a map as fine as the picture they are four.
    assert_eq!(plan.params.cells, [1, 1]);
    assert_eq!(OverlayPlan::new([64, 64], [64, 64], [1.0; 2], [0.0; 2], &looks).params.cells, [4, 4]);
    let more = (0..MOST_LOOKS).filter_map(|_| looks.add(Layered::Instrument, Some(&pen), 0)).count();
    assert_eq!(more, MOST_LOOKS - 3);
}
