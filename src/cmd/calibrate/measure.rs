//! An engine's heads against labelled pictures, pixel by pixel. Each patient of a data set counts alike, however many pictures there are.

use super::super::validate::read;
use crate::base::classes::{self, ClassKind};
use crate::base::ids::ClassId;
use crate::eval::{DataSet, IGNORE, Labelled, Logits, NO_CHANNEL, Reliability, Scored, near_boundary};
use crate::frame::FrameView;
use crate::infer::{Activation, HeadKind, OutputSpec};
use crate::track::Probe;
use anyhow::Context;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal, Write};

/// The band at boundaries in which errors are told apart, px of the picture.
const BAND_PX: usize = 10;
/// What an engine that was never calibrated calls sure, as `track` has it.
const UNCALIBRATED_SURE: f32 = 0.75;
/// Of each so many pixels on either axis one is fitted to.
const FIT_STEP: usize = 2;

/// What is measured of one class: a tissue, or that something is an instrument, of whatever kind.
pub struct ClassFigures {
    /// Index of the head.
    pub head: usize,
    /// Of the tissue head; None: instruments.
    pub channel: Option<usize>,
    pub id: Option<ClassId>,
    pub name: String,
    pub whole: Reliability,
    pub band: Reliability,
    /// Each labelled pixel by its probability.
    pub pixels: Scored,
    /// Of each data set: pixels that the head gives this class, by their probability, and all that is drawn as one, by its mean.
    pub named: Vec<Scored>,
    pub drawn: Vec<Scored>,
    /// Weight of what is labelled so.
    pub labelled: f64,
    pub patients: BTreeSet<String>,
}

/// All of one pass.
pub struct Measured {
    pub classes: Vec<ClassFigures>,
    /// Part of all pixels on which the heads abstain.
    pub abstained: f64,
    /// Part of the pixels of what is drawn that are not sure.
    pub unsure: f64,
    /// Pictures of which nothing can be said.
    pub unknown: usize,
}

/// The labels of one picture at the size of the maps.
struct Truth {
    ids: Vec<u8>,
    is_band: Vec<bool>,
}

/// Goes through all pictures of all data sets.
pub struct Walk<'a> {
    pub data: &'a [DataSet],
    pub known: &'a [ClassId],
    pub heads: &'a [OutputSpec],
}

impl Walk<'_> {
    /// Does the data set label what the head tells apart?
    pub fn fits(&self, data: &DataSet, head: &OutputSpec) -> bool {
        let table = classes::table();
        data.class_names().filter_map(|name| table.by_name(name)).any(|class| match head.kind {
            HeadKind::Instrument => class.kind == ClassKind::Instrument,
            _ => head.classes.contains(&class.id) && class.id != ClassId::BACKGROUND,
        })
    }

    /// Tells each picture, read by the probe as the manifest has its heads: its data set's index, weight and labels.
    fn each(&self, probe: &mut Probe, what: &str, mut tell: impl FnMut(&mut Probe, usize, &Labelled, f64, &Truth)) -> anyhow::Result<()> {
        let total: usize = self.data.iter().map(|data| data.pictures.len()).sum();
        let mut done = 0;
        for (index, data) in self.data.iter().enumerate() {
            let mut of_patient: BTreeMap<&Option<String>, usize> = BTreeMap::new();
            data.pictures.iter().for_each(|picture| *of_patient.entry(&picture.patient).or_default() += 1);
            for picture in &data.pictures {
                let in_picture = |error: anyhow::Error| anyhow::anyhow!("'{}': {error:#}", picture.image.display());
                let truth = show(probe, data, picture, self.known).map_err(in_picture)?;
                let pictures = of_patient.get(&picture.patient).copied().unwrap_or(1);
                tell(probe, index, picture, 1.0 / pictures as f64 / truth.ids.len() as f64, &truth);
                done += 1;
                progress(what, done, total);
            }
        }
        Ok(())
    }

    /// What each head's temperature is fitted to; None: it has no logits, or nothing is labelled for it.
    pub fn logits(&self, probe: &mut Probe) -> anyhow::Result<Vec<Option<Logits>>> {
        let mut all: Vec<Option<Logits>> = self.heads.iter().map(logits_of).collect();
        self.each(probe, "fitting", |probe, data, _, weight, truth| {
            let [width, height] = probe.size();
            for (index, (logits, head)) in all.iter_mut().zip(self.heads).enumerate() {
                let Some(logits) = logits.as_mut().filter(|_| self.fits(&self.data[data], head)) else { continue };
                for y in (0..height).step_by(FIT_STEP) {
                    for x in (0..width).step_by(FIT_STEP) {
                        let Some(channel) = truth_channel(head, truth.ids[y * width + x]) else { continue };
                        if logits.channels == 1 && head.channels() > 1 {
                            // Whether it is an instrument: the most probable kind of one.
                            let tools = probe.numbers(index, x, y).zip(&head.classes).filter(|(_, id)| **id != ClassId::BACKGROUND);
                            logits.logits.push(tools.map(|(number, _)| number).fold(f32::MIN, f32::max));
                        } else {
                            logits.logits.extend(probe.numbers(index, x, y));
                        }
                        logits.truth.push(if logits.channels == 1 { u8_if(channel != NO_CHANNEL) } else { channel });
                        logits.weight.push((weight * 1e6) as f32);
                    }
                }
            }
        })?;
        Ok(all.into_iter().map(|logits| logits.filter(|logits| !logits.truth.is_empty())).collect())
    }

    /// Measures the heads as `heads` has them.
    pub fn measure(&self, probe: &mut Probe, heads: &[OutputSpec], what: &str) -> anyhow::Result<Measured> {
        let mut classes = classes_of(heads, self.data.len());
        let (mut abstained, mut all, mut unsure, mut drawn, mut unknown) = (0.0, 0.0, 0.0, 0.0, 0);
        self.each(probe, what, |probe, data, picture, weight, truth| {
            if !probe.read(heads) {
                unknown += 1;
                return;
            }
            all += weight * truth.ids.len() as f64;
            abstained += weight * probe.mask().iter().filter(|&&id| id == ClassId::ABSTAINED.0).count() as f64;
            for class in &mut classes {
                if self.fits(&self.data[data], &heads[class.head]) {
                    class.pixels_of(probe, &heads[class.head], data, picture, weight, truth);
                }
            }
            for one in probe.drawn() {
                let Some(class) = classes.iter_mut().find(|class| class.id == one.tissue) else { continue };
                let (from, map) = (class.sure(heads), class.map_of(probe));
                drawn += weight * one.pixels.len() as f64;
                unsure += weight * one.pixels.iter().filter(|&&at| from >= 1.0 || map[at] < from).count() as f64;
                if !self.fits(&self.data[data], &heads[class.head]) {
                    continue;
                }
                for &at in &one.pixels {
                    if let Some(is_so) = class.is_so(&heads[class.head], truth.ids[at]) {
                        class.drawn[data].add(one.confidence, is_so, weight);
                    }
                }
            }
        })?;
        let part = |of: f64, all: f64| if all > 0.0 { of / all } else { 0.0 };
        Ok(Measured { classes, abstained: part(abstained, all), unsure: part(unsure, drawn), unknown })
    }
}

impl ClassFigures {
    /// None: nobody knows, or it lies under an instrument.
    fn is_so(&self, head: &OutputSpec, id: u8) -> Option<bool> {
        let channel = truth_channel(head, id)?;
        Some(match self.channel {
            Some(own) => usize::from(channel) == own,
            None => head.classes.get(usize::from(channel)).is_some_and(|id| *id != ClassId::BACKGROUND),
        })
    }

    fn pixels_of(&mut self, probe: &Probe, head: &OutputSpec, data: usize, picture: &Labelled, weight: f64, truth: &Truth) {
        let probabilities = self.map_of(probe);
        let mut is_labelled = false;
        for (at, (&p, &id)) in probabilities.iter().zip(&truth.ids).enumerate() {
            let Some(is_so) = self.is_so(head, id) else { continue };
            self.whole.add(p, is_so, weight);
            if truth.is_band[at] {
                self.band.add(p, is_so, weight);
            }
            self.pixels.add(p, is_so, weight);
            is_labelled |= is_so;
            self.labelled += if is_so { weight } else { 0.0 };
            let named = probe.mask()[at];
            let is_named = match self.id {
                Some(own) => named == own.0,
                None => named != IGNORE && classes::table().has_kind(ClassId(named), ClassKind::Instrument),
            };
            if is_named {
                self.named[data].add(p, is_so, weight);
            }
        }
        if is_labelled {
            let whose = picture.patient.as_deref().unwrap_or_default();
            self.patients.insert(format!("{data} {whose}"));
        }
    }

    fn map_of<'p>(&self, probe: &'p Probe) -> &'p [f32] {
        match self.channel {
            Some(channel) => probe.tissue(channel),
            None => probe.instrument().unwrap_or_default(),
        }
    }

    /// The probability from which it is sure; 1: never.
    pub fn sure(&self, heads: &[OutputSpec]) -> f32 {
        let head = &heads[self.head];
        let first = head.classes.iter().position(|id| *id != ClassId::BACKGROUND);
        let sure = head.calibration.sure.as_ref().zip(self.channel.or(first));
        sure.map_or(UNCALIBRATED_SURE, |(sure, channel)| sure[channel])
    }
}

/// Right and wrong weight of what is sure from `threshold` on, of all data sets.
pub fn sure_weights(sets: &[Scored], threshold: f32) -> [f64; 2] {
    let sums = sets.iter().map(|scored| if threshold < 1.0 { scored.from(threshold) } else { [0.0; 2] });
    sums.fold([0.0; 2], |sum, of| [sum[0] + of[0], sum[1] + of[1]])
}

/// What can be measured of these heads.
fn classes_of(heads: &[OutputSpec], sets: usize) -> Vec<ClassFigures> {
    let figures = |head: usize, channel: Option<usize>, id: Option<ClassId>, name: String| ClassFigures {
        head,
        channel,
        id,
        name,
        whole: Reliability::default(),
        band: Reliability::default(),
        pixels: Scored::default(),
        named: vec![Scored::default(); sets],
        drawn: vec![Scored::default(); sets],
        labelled: 0.0,
        patients: BTreeSet::new(),
    };
    let mut all = Vec::new();
    for (index, head) in heads.iter().enumerate() {
        let named = head.classes.iter().enumerate().filter(|(_, id)| **id != ClassId::BACKGROUND);
        if head.kind == HeadKind::Instrument {
            let names: Vec<&str> = named.map(|(_, id)| classes::table().name(*id)).collect();
            all.push(figures(index, None, None, names.join(" or ")));
        } else {
            all.extend(named.map(|(channel, id)| figures(index, Some(channel), Some(*id), classes::table().name(*id).to_owned())));
        }
    }
    all
}

fn logits_of(head: &OutputSpec) -> Option<Logits> {
    let tools = head.classes.iter().filter(|id| **id != ClassId::BACKGROUND).count();
    match (head.activation, head.kind) {
        (Activation::None, _) => None,
        (Activation::Softmax, _) => Some(Logits::new(true, head.channels())),
        (Activation::Sigmoid, HeadKind::Instrument) if tools > 0 => Some(Logits::new(false, 1)),
        (Activation::Sigmoid, _) => Some(Logits::new(false, head.channels())),
    }
}

/// The channel that a labelled pixel belongs to, `NO_CHANNEL` for background where the head has none. None: it is not known, or a
/// tissue under an instrument.
fn truth_channel(head: &OutputSpec, id: u8) -> Option<u8> {
    let is_tool = id != IGNORE && classes::table().has_kind(ClassId(id), ClassKind::Instrument);
    if id == IGNORE || (is_tool && head.kind != HeadKind::Instrument) {
        return None;
    }
    let id = if head.kind == HeadKind::Instrument && !is_tool { ClassId::BACKGROUND } else { ClassId(id) };
    let channel = |id: ClassId| head.classes.iter().position(|other| *other == id);
    let known = channel(id).or_else(|| channel(ClassId::BACKGROUND).filter(|_| !is_tool));
    let is_background = |channel: usize| head.classes[channel] == ClassId::BACKGROUND;
    Some(match known {
        Some(channel) if is_tool || head.activation == Activation::Softmax || !is_background(channel) => channel as u8,
        _ => NO_CHANNEL,
    })
}

fn u8_if(is: bool) -> u8 {
    if is { 0 } else { NO_CHANNEL }
}

fn show(probe: &mut Probe, data: &DataSet, picture: &Labelled, known: &[ClassId]) -> anyhow::Result<Truth> {
    let (layout, bytes) = read(&picture.image)?;
    probe.show(FrameView::new(&layout, &bytes).context("its bytes are not what its size says")?)?;
    let mask = data.mask(picture, known)?;
    let band = near_boundary(&mask.ids, mask.width, BAND_PX, IGNORE);
    let [width, height] = probe.size();
    let place =
        |i: usize| (2 * (i / width) + 1) * mask.height / (2 * height) * mask.width + (2 * (i % width) + 1) * mask.width / (2 * width);
    let ids = (0..width * height).map(|i| mask.ids[place(i)]).collect();
    Ok(Truth { ids, is_band: (0..width * height).map(|i| band[place(i)]).collect() })
}

fn progress(what: &str, done: usize, total: usize) {
    let mut error = std::io::stderr();
    if error.is_terminal() {
        let _ = write!(error, "\r{what}: {done} of {total} pictures{}", if done == total { "\n" } else { "" });
    }
}
