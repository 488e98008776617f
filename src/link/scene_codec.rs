//! A `Scene` as bytes, little-endian, and back. The reader takes any bytes: it never panics, and reserves memory only for
//! counts that lie within `scene::limits` and that the bytes at hand can fill. It checks form alone; `Scene::check` is
//! asked about meaning.
//!
//! ```text
//!   frame u64  pts_ns u64  capture_ns u64  picture 2×u32  frame_state u8  unknown_px u64  times 3×u64
//!   tracks u16 × { id u32  class u8  state u8  has u8 (1 tip, 2 axis)  confidence f32  bbox 4×f32  [tip 2×f32]  [axis 2×f32]
//!                  velocity 2×f32  outlines }
//!   tissues u16 × { class u8  state u8  confidence f32  area_px u64  outlines }
//!   findings u16 × { id u32  class u8  state u8  confidence f32  bbox 4×f32 }
//!   frame classes u16 × { class u8  state u8  confidence f32 }
//!   departed u16 × { id u32  class u8  at 2×f32  seen_ns u64 }
//!   reset u8 (0 none, 1 start, 2 gap, 3 cut, 4 format)
//!   gate u8 (0 none, 1 within, 2 no content, 3 out of body, 4 other modality, 5 covered, 6 off cohort; + 128: distance f32 follows)
//!   mask: width u32  height u32  ids width×height×u8
//!   outlines: count u16 × { points u16 × 2×f32 }
//! ```

use crate::base::ids::{ClassId, FrameId, TrackId};
use crate::scene::{
    AnalysisTimes, Departed, Finding, FrameClass, Gate, Outline, Reset, Scene, Spare, Tissue, Track, Trust, Verdict, limits,
};

const HAS_TIP: u8 = 1;
const HAS_AXIS: u8 = 2;
const HAS_DISTANCE: u8 = 128;
/// Fewest bytes of a track and of a tissue: no count is believed that the bytes at hand cannot fill.
const TRACK_MIN_BYTES: usize = 37;
const TISSUE_MIN_BYTES: usize = 16;
const FINDING_BYTES: usize = 26;
const FRAME_CLASS_BYTES: usize = 6;
const DEPARTED_BYTES: usize = 21;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SceneBytesFault {
    #[error("the bytes of a scene end too early or too late")]
    Length,
    #[error("too many {0}")]
    TooMany(&'static str),
    #[error("{0} has no such value")]
    Value(&'static str),
}

/// Appends `scene` to `out`. Counts beyond `scene::limits` are refused, as the reader would refuse them.
pub fn encode_scene(scene: &Scene, out: &mut Vec<u8>) -> Result<(), SceneBytesFault> {
    let mut w = Writer(out);
    w.u64(scene.frame.0);
    w.u64(scene.pts_ns);
    w.u64(scene.capture_ns);
    w.u32(scene.picture[0]);
    w.u32(scene.picture[1]);
    w.u8(trust_byte(scene.frame_state));
    w.u64(scene.unknown_px);
    w.u64(scene.times.preprocess_ns);
    w.u64(scene.times.infer_ns);
    w.u64(scene.times.track_ns);

    w.count(scene.tracks.len(), limits::TRACKS, "tracks")?;
    for track in &scene.tracks {
        w.u32(track.id.0);
        w.u8(track.class.0);
        w.u8(trust_byte(track.state));
        w.u8(if track.tip.is_some() { HAS_TIP } else { 0 } | if track.axis.is_some() { HAS_AXIS } else { 0 });
        w.f32s(&[track.confidence]);
        w.f32s(&track.bbox);
        w.f32s(track.tip.as_ref().map_or(&[], |tip| tip));
        w.f32s(track.axis.as_ref().map_or(&[], |axis| axis));
        w.f32s(&track.velocity_px_s);
        w.outlines(&track.outlines)?;
    }
    w.count(scene.tissues.len(), limits::TISSUES, "tissues")?;
    for tissue in &scene.tissues {
        w.u8(tissue.class.0);
        w.u8(trust_byte(tissue.state));
        w.f32s(&[tissue.confidence]);
        w.u64(tissue.area_px);
        w.outlines(&tissue.outlines)?;
    }
    w.count(scene.findings.len(), limits::FINDINGS, "findings")?;
    for finding in &scene.findings {
        w.u32(finding.id.0);
        w.u8(finding.class.0);
        w.u8(trust_byte(finding.state));
        w.f32s(&[finding.confidence]);
        w.f32s(&finding.bbox);
    }
    w.count(scene.frame_classes.len(), limits::FRAME_CLASSES, "frame classes")?;
    for frame_class in &scene.frame_classes {
        w.u8(frame_class.class.0);
        w.u8(trust_byte(frame_class.state));
        w.f32s(&[frame_class.confidence]);
    }
    w.count(scene.departed.len(), limits::DEPARTED, "departed instruments")?;
    for departed in &scene.departed {
        w.u32(departed.id.0);
        w.u8(departed.class.0);
        w.f32s(&departed.at);
        w.u64(departed.seen_ns);
    }
    w.u8(reset_byte(scene.reset));
    w.gate(scene.gate);
    w.u32(scene.mask.width);
    w.u32(scene.mask.height);
    w.0.extend_from_slice(&scene.mask.ids);
    Ok(())
}

/// The scene that `bytes` hold, to the last byte, in memory of `spare`.
pub fn decode_scene(bytes: &[u8], spare: &mut Spare) -> Result<Scene, SceneBytesFault> {
    let mut scene = spare.scene();
    let mut reader = Reader { rest: bytes, outlines_left: limits::OUTLINES, points_left: limits::POINTS };
    match reader.scene(&mut scene, spare) {
        Ok(()) => Ok(scene),
        Err(fault) => {
            spare.keep(scene);
            Err(fault)
        }
    }
}

fn trust_byte(trust: Trust) -> u8 {
    match trust {
        Trust::Sure => 0,
        Trust::Unsure => 1,
        Trust::Unknown => 2,
    }
}

fn reset_byte(reset: Option<Reset>) -> u8 {
    match reset {
        None => 0,
        Some(Reset::Start) => 1,
        Some(Reset::Gap) => 2,
        Some(Reset::Cut) => 3,
        Some(Reset::Format) => 4,
    }
}

fn verdict_byte(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Within => 1,
        Verdict::NoContent => 2,
        Verdict::OutOfBody => 3,
        Verdict::OtherModality => 4,
        Verdict::Covered => 5,
        Verdict::OffCohort => 6,
    }
}

struct Writer<'a>(&'a mut Vec<u8>);

impl Writer<'_> {
    fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn f32s(&mut self, values: &[f32]) {
        values.iter().for_each(|value| self.0.extend_from_slice(&value.to_le_bytes()));
    }

    fn gate(&mut self, gate: Option<Gate>) {
        let distance = gate.and_then(|gate| gate.distance);
        let has = if distance.is_some() { HAS_DISTANCE } else { 0 };
        self.u8(gate.map_or(0, |gate| verdict_byte(gate.verdict)) | has);
        self.f32s(distance.as_slice());
    }

    fn count(&mut self, count: usize, limit: usize, what: &'static str) -> Result<(), SceneBytesFault> {
        match u16::try_from(count) {
            Ok(count) if usize::from(count) <= limit => {
                self.0.extend_from_slice(&count.to_le_bytes());
                Ok(())
            }
            _ => Err(SceneBytesFault::TooMany(what)),
        }
    }

    fn outlines(&mut self, outlines: &[Outline]) -> Result<(), SceneBytesFault> {
        self.count(outlines.len(), limits::OUTLINES, "outlines")?;
        for outline in outlines {
            self.count(outline.len(), limits::POINTS, "outline points")?;
            outline.iter().for_each(|point| self.f32s(point));
        }
        Ok(())
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    outlines_left: usize,
    points_left: usize,
}

impl Reader<'_> {
    /// Into a scene of nothing.
    fn scene(&mut self, scene: &mut Scene, spare: &mut Spare) -> Result<(), SceneBytesFault> {
        scene.frame = FrameId(self.u64()?);
        (scene.pts_ns, scene.capture_ns) = (self.u64()?, self.u64()?);
        scene.picture = [self.u32()?, self.u32()?];
        scene.frame_state = self.trust()?;
        scene.unknown_px = self.u64()?;
        scene.times = AnalysisTimes { preprocess_ns: self.u64()?, infer_ns: self.u64()?, track_ns: self.u64()? };

        for _ in 0..self.count(limits::TRACKS, TRACK_MIN_BYTES, "tracks")? {
            let id = TrackId(self.u32()?);
            let class = ClassId(self.u8()?);
            let state = self.trust()?;
            let has = self.u8()?;
            if has & !(HAS_TIP | HAS_AXIS) != 0 {
                return Err(SceneBytesFault::Value("a track's flags"));
            }
            let [confidence] = self.f32s()?;
            let bbox = self.f32s()?;
            let tip = if has & HAS_TIP != 0 { Some(self.f32s()?) } else { None };
            let axis = if has & HAS_AXIS != 0 { Some(self.f32s()?) } else { None };
            let velocity_px_s = self.f32s()?;
            let outlines = self.outlines(spare)?;
            scene.tracks.push(Track { id, class, confidence, state, bbox, tip, axis, velocity_px_s, outlines });
        }
        for _ in 0..self.count(limits::TISSUES, TISSUE_MIN_BYTES, "tissues")? {
            let class = ClassId(self.u8()?);
            let state = self.trust()?;
            let [confidence] = self.f32s()?;
            let area_px = self.u64()?;
            scene.tissues.push(Tissue { class, area_px, confidence, state, outlines: self.outlines(spare)? });
        }
        for _ in 0..self.count(limits::FINDINGS, FINDING_BYTES, "findings")? {
            let id = TrackId(self.u32()?);
            let class = ClassId(self.u8()?);
            let state = self.trust()?;
            let [confidence] = self.f32s()?;
            scene.findings.push(Finding { id, class, confidence, state, bbox: self.f32s()? });
        }
        for _ in 0..self.count(limits::FRAME_CLASSES, FRAME_CLASS_BYTES, "frame classes")? {
            let class = ClassId(self.u8()?);
            let state = self.trust()?;
            let [confidence] = self.f32s()?;
            scene.frame_classes.push(FrameClass { class, confidence, state });
        }
        for _ in 0..self.count(limits::DEPARTED, DEPARTED_BYTES, "departed instruments")? {
            let id = TrackId(self.u32()?);
            let class = ClassId(self.u8()?);
            let at = self.f32s()?;
            scene.departed.push(Departed { id, class, at, seen_ns: self.u64()? });
        }
        scene.reset = self.reset()?;
        scene.gate = self.gate()?;
        let (width, height) = (self.u32()?, self.u32()?);
        if width > limits::MASK_SIDE || height > limits::MASK_SIDE {
            return Err(SceneBytesFault::TooMany("mask pixels"));
        }
        if self.rest.len() != width as usize * height as usize {
            return Err(SceneBytesFault::Length);
        }
        (scene.mask.width, scene.mask.height) = (width, height);
        scene.mask.ids.extend_from_slice(self.rest);
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], SceneBytesFault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(SceneBytesFault::Length)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, SceneBytesFault> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, SceneBytesFault> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, SceneBytesFault> {
        self.take().map(u64::from_le_bytes)
    }

    fn f32s<const N: usize>(&mut self) -> Result<[f32; N], SceneBytesFault> {
        let mut values = [0.0; N];
        for value in &mut values {
            *value = f32::from_le_bytes(self.take()?);
        }
        Ok(values)
    }

    fn trust(&mut self) -> Result<Trust, SceneBytesFault> {
        match self.u8()? {
            0 => Ok(Trust::Sure),
            1 => Ok(Trust::Unsure),
            2 => Ok(Trust::Unknown),
            _ => Err(SceneBytesFault::Value("a trust")),
        }
    }

    fn reset(&mut self) -> Result<Option<Reset>, SceneBytesFault> {
        match self.u8()? {
            0 => Ok(None),
            1 => Ok(Some(Reset::Start)),
            2 => Ok(Some(Reset::Gap)),
            3 => Ok(Some(Reset::Cut)),
            4 => Ok(Some(Reset::Format)),
            _ => Err(SceneBytesFault::Value("a reset")),
        }
    }

    fn gate(&mut self) -> Result<Option<Gate>, SceneBytesFault> {
        let byte = self.u8()?;
        if byte == 0 {
            return Ok(None);
        }
        let verdict = Verdict::ALL.into_iter().find(|&verdict| verdict_byte(verdict) == byte & !HAS_DISTANCE);
        let verdict = verdict.ok_or(SceneBytesFault::Value("a gate"))?;
        let distance = if byte & HAS_DISTANCE != 0 { Some(self.f32s::<1>()?[0]) } else { None };
        Ok(Some(Gate { verdict, distance }))
    }

    /// A count that is within its limit and that the bytes at hand can fill.
    fn count(&mut self, limit: usize, min_bytes: usize, what: &'static str) -> Result<usize, SceneBytesFault> {
        let count = usize::from(u16::from_le_bytes(self.take()?));
        if count > limit {
            return Err(SceneBytesFault::TooMany(what));
        }
        if count * min_bytes > self.rest.len() {
            return Err(SceneBytesFault::Length);
        }
        Ok(count)
    }

    fn outlines(&mut self, spare: &mut Spare) -> Result<Vec<Outline>, SceneBytesFault> {
        let count = self.count(self.outlines_left, 2, "outlines")?;
        self.outlines_left -= count;
        let mut outlines = spare.outlines();
        for _ in 0..count {
            let points = self.count(self.points_left, 8, "outline points")?;
            self.points_left -= points;
            let mut outline = spare.outline();
            for _ in 0..points {
                outline.push(self.f32s()?);
            }
            outlines.push(outline);
        }
        Ok(outlines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::socket::MAX_PACKET_BYTES;
    use crate::scene::ClassMask;
    use proptest::prelude::*;

    fn trust() -> impl Strategy<Value = Trust> {
        prop_oneof![Just(Trust::Sure), Just(Trust::Unsure), Just(Trust::Unknown)]
    }

    fn outlines() -> impl Strategy<Value = Vec<Outline>> {
        proptest::collection::vec(proptest::collection::vec(any::<[f32; 2]>(), 0..9), 0..4)
    }

    fn track() -> impl Strategy<Value = Track> {
        let head = (any::<u32>(), any::<u8>(), any::<f32>(), trust());
        let body = (any::<[f32; 4]>(), any::<Option<[f32; 2]>>(), any::<Option<[f32; 2]>>(), any::<[f32; 2]>(), outlines());
        (head, body).prop_map(|((id, class, confidence, state), (bbox, tip, axis, velocity_px_s, outlines))| Track {
            id: TrackId(id),
            class: ClassId(class),
            confidence,
            state,
            bbox,
            tip,
            axis,
            velocity_px_s,
            outlines,
        })
    }

    fn tissue() -> impl Strategy<Value = Tissue> {
        (any::<u8>(), any::<u64>(), any::<f32>(), trust(), outlines()).prop_map(|(class, area_px, confidence, state, outlines)| Tissue {
            class: ClassId(class),
            area_px,
            confidence,
            state,
            outlines,
        })
    }

    fn finding() -> impl Strategy<Value = Finding> {
        (any::<u32>(), any::<u8>(), any::<f32>(), trust(), any::<[f32; 4]>()).prop_map(|(id, class, confidence, state, bbox)| Finding {
            id: TrackId(id),
            class: ClassId(class),
            confidence,
            state,
            bbox,
        })
    }

    fn scene() -> impl Strategy<Value = Scene> {
        let head = (any::<[u64; 4]>(), any::<[u32; 2]>(), trust(), any::<[u64; 3]>());
        let lists = (proptest::collection::vec(track(), 0..5), proptest::collection::vec(tissue(), 0..5));
        let more = (
            proptest::collection::vec(finding(), 0..4),
            proptest::collection::vec((any::<u8>(), any::<f32>(), trust()), 0..4),
            proptest::collection::vec((any::<u32>(), any::<u8>(), any::<[f32; 2]>(), any::<u64>()), 0..4),
            prop_oneof![Just(None), Just(Some(Reset::Start)), Just(Some(Reset::Gap)), Just(Some(Reset::Cut)), Just(Some(Reset::Format))],
        );
        let more = more.prop_map(|(findings, frame_classes, departed, reset)| {
            let frame_class = |(class, confidence, state)| FrameClass { class: ClassId(class), confidence, state };
            let gone = |(id, class, at, seen_ns)| Departed { id: TrackId(id), class: ClassId(class), at, seen_ns };
            let frame_classes: Vec<FrameClass> = frame_classes.into_iter().map(frame_class).collect();
            (findings, frame_classes, departed.into_iter().map(gone).collect::<Vec<_>>(), reset)
        });
        let verdict = prop::sample::select(&Verdict::ALL[..]);
        let gate = proptest::option::of((verdict, any::<Option<f32>>()).prop_map(|(verdict, distance)| Gate { verdict, distance }));
        (head, lists, more, (0u32..20, 0u32..20), any::<u8>(), gate).prop_map(
            |((n, picture, frame_state, t), (tracks, tissues), (findings, frame_classes, departed, reset), (width, height), id, gate)| {
                Scene {
                    frame: FrameId(n[0]),
                    pts_ns: n[1],
                    capture_ns: n[2],
                    picture,
                    frame_state,
                    tracks,
                    tissues,
                    findings,
                    frame_classes,
                    departed,
                    reset,
                    gate,
                    unknown_px: n[3],
                    mask: ClassMask { width, height, ids: (0..width * height).map(|i| id.wrapping_add(i as u8)).collect() },
                    times: AnalysisTimes { preprocess_ns: t[0], infer_ns: t[1], track_ns: t[2] },
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(scene in scene()) {
            let mut bytes = Vec::new();
            encode_scene(&scene, &mut bytes).unwrap();
            prop_assert_eq!(decode_scene(&bytes, &mut Spare::default()), Ok(scene));
        }

        /// Cut short, lengthened or with bytes changed: refused or read, and what is read is written as it stood.
        #[test]
        fn damaged_bytes_are_refused_or_read_as_they_stand(scene in scene(), cut in 0usize..400, at in any::<prop::sample::Index>(), with: u8, grow: bool) {
            let mut bytes = Vec::new();
            encode_scene(&scene, &mut bytes).unwrap();
            let whole = bytes.clone();
            bytes.truncate(bytes.len().saturating_sub(cut));
            prop_assert_eq!(decode_scene(&bytes, &mut Spare::default()).is_ok(), cut == 0);
            bytes = whole;
            if grow { bytes.push(with) } else { let i = at.index(bytes.len()); bytes[i] = with; }
            if let Ok(read) = decode_scene(&bytes, &mut Spare::default()) {
                prop_assert!(!grow);
                let mut again = Vec::new();
                encode_scene(&read, &mut again).unwrap();
                prop_assert_eq!(again, bytes);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = decode_scene(&bytes, &mut Spare::default());
        }
    }

    fn largest() -> Scene {
        let track = Track {
            id: TrackId(0),
            class: ClassId(5),
            confidence: 1.0,
            state: Trust::Sure,
            bbox: [0.0; 4],
            tip: Some([0.0; 2]),
            axis: Some([0.0; 2]),
            velocity_px_s: [0.0; 2],
            outlines: vec![vec![[0.0; 2]; limits::POINTS / limits::OUTLINES]; 4],
        };
        let tissue = Tissue { class: ClassId(2), area_px: 0, confidence: 1.0, state: Trust::Sure, outlines: Vec::new() };
        Scene {
            frame: FrameId(0),
            pts_ns: 0,
            capture_ns: 0,
            picture: [1920, 1080],
            frame_state: Trust::Sure,
            tracks: (0..limits::TRACKS as u32).map(|id| Track { id: TrackId(id), ..track.clone() }).collect(),
            tissues: vec![tissue; limits::TISSUES],
            findings: Vec::new(),
            frame_classes: Vec::new(),
            departed: Vec::new(),
            reset: None,
            gate: None,
            unknown_px: 0,
            mask: ClassMask { width: 320, height: 192, ids: vec![0; 320 * 192] },
            times: AnalysisTimes::default(),
        }
    }

    #[test]
    fn the_largest_scene_fits_a_packet() {
        let (scene, mut bytes) = (largest(), Vec::new());
        assert_eq!(scene.check(), Ok(()));
        encode_scene(&scene, &mut bytes).unwrap();
        assert!(bytes.len() + crate::link::wire::HEADER_BYTES <= MAX_PACKET_BYTES, "{} bytes", bytes.len());
    }

    #[test]
    fn counts_beyond_the_limits_are_refused_before_memory_is_reserved() {
        let mut scene = largest();
        scene.tracks[0].outlines.push(vec![[0.0; 2]]);
        let mut bytes = Vec::new();
        encode_scene(&scene, &mut bytes).unwrap();
        assert_eq!(decode_scene(&bytes, &mut Spare::default()), Err(SceneBytesFault::TooMany("outlines")));
        // 65,535 tracks are announced, and none follows.
        bytes.truncate(65);
        bytes.extend_from_slice(&[0xff, 0xff]);
        assert_eq!(decode_scene(&bytes, &mut Spare::default()), Err(SceneBytesFault::TooMany("tracks")));
        // As many as are allowed, and none follows.
        bytes.truncate(65);
        bytes.extend_from_slice(&(limits::TRACKS as u16).to_le_bytes());
        assert_eq!(decode_scene(&bytes, &mut Spare::default()), Err(SceneBytesFault::Length));
    }
}
