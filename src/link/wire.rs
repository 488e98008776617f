//! What goes over the socket: one message a packet, little-endian.
//!
//! ```text
//!   0      2        3     4            8
//!   "KH"   version  kind  body bytes   body …
//! ```
//! Messages that go with every frame have fixed layouts; rare ones are JSON. Public for the hostile worker of the tests.

use super::serve::Hello;
use crate::base::ids::FrameId;
use crate::frame::on_device::Lent;
use crate::frame::{RingGeometry, Stamps};
use serde::{Deserialize, Serialize};

pub const MAGIC: [u8; 2] = *b"KH";
pub const VERSION: u8 = 4;
pub const HEADER_BYTES: usize = 8;
pub const INFER_BYTES: usize = HEADER_BYTES + 40;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    // Parent → worker.
    Hello = 1,
    /// JSON `RingIntroduction`, with the ring's descriptor, and those of its slots on a device where it is lent them.
    Ring = 2,
    Infer = 3,
    /// JSON: something that is asked of the analyst beside frames.
    Order = 4,
    // Worker → parent.
    /// JSON `Introduction`: loaded, confined, waiting for frames.
    Ready = 16,
    Scene = 17,
    /// Frame id, then 1 and the SHA-256 of its input, or 0 where the frame was overwritten before it was hashed.
    Hash = 18,
    /// Frame id and `NoScene`.
    NoScene = 19,
    Heartbeat = 20,
    /// Text: no engine can run; another start would end the same way.
    Failed = 21,
    /// Text: what ended this worker; another one may do better.
    Fault = 22,
    /// SHA-256 of what the engine answers to its reference picture now.
    Proof = 23,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        use Kind::*;
        [Hello, Ring, Infer, Order, Ready, Scene, Hash, NoScene, Heartbeat, Failed, Fault, Proof]
            .into_iter()
            .find(|&kind| kind as u8 == byte)
    }
}

/// Why a frame that was asked for has no scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum NoScene {
    /// Its slot was written again before it was read.
    Overwritten = 1,
    /// The analyst had nothing to say.
    Nothing = 2,
    /// The analyst's scene did not pass `Scene::check`, or is too large for a packet.
    Unfit = 3,
}

/// Where a frame lies, and which one it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Infer {
    /// Number of the ring, as introduced.
    pub ring: u32,
    pub slot: u32,
    pub generation: u64,
    pub stamps: Stamps,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RingIntroduction {
    pub ring: u32,
    pub geometry: RingGeometry,
    /// The frames are to be read there.
    #[serde(default)]
    pub lent: Option<Lent>,
}

/// What a worker says of itself when it is ready.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Introduction {
    /// The engines, as the analyst describes them.
    pub engines: serde_json::Value,
    pub sandbox: super::sandbox::Granted,
    /// SHA-256 of what the engine answers to its reference picture: each `Proof` has to be the same. None: no proof will come.
    #[serde(default)]
    pub proof: Option<[u8; 32]>,
    /// It reads frames that lie on this device, as CUDA names it, there. None: it reads all frames here.
    #[serde(default)]
    pub reads_on: Option<String>,
}

/// A packet that is no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a malformed packet ({0})")]
pub struct Malformed(pub &'static str);

/// Header and body as one packet.
pub fn packet(kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(HEADER_BYTES + body.len());
    write_packet(&mut packet, kind, |bytes| bytes.extend_from_slice(body));
    packet
}

/// Writes one packet into `packet`, whose memory is used again.
pub fn write_packet(packet: &mut Vec<u8>, kind: Kind, body: impl FnOnce(&mut Vec<u8>)) {
    packet.clear();
    packet.extend_from_slice(&header(kind, 0));
    body(packet);
    let body_bytes = (packet.len() - HEADER_BYTES) as u32;
    packet[4..8].copy_from_slice(&body_bytes.to_le_bytes());
}

fn header(kind: Kind, body_bytes: u32) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = body_bytes.to_le_bytes();
    [MAGIC[0], MAGIC[1], VERSION, kind as u8, a, b, c, d]
}

/// Kind and body of a packet.
pub fn parse(packet: &[u8]) -> Result<(Kind, &[u8]), Malformed> {
    let Some((header, body)) = packet.split_first_chunk::<HEADER_BYTES>() else {
        return Err(Malformed("shorter than a header"));
    };
    if header[..2] != MAGIC || header[2] != VERSION {
        return Err(Malformed("not of this protocol"));
    }
    let kind = Kind::of(header[3]).ok_or(Malformed("of unknown kind"))?;
    let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
    if length as usize != body.len() {
        return Err(Malformed("of wrong length"));
    }
    Ok((kind, body))
}

impl Infer {
    /// The whole packet. Allocates nothing.
    pub fn packet(&self) -> [u8; INFER_BYTES] {
        let mut packet = [0; INFER_BYTES];
        packet[..8].copy_from_slice(&header(Kind::Infer, (INFER_BYTES - HEADER_BYTES) as u32));
        packet[8..12].copy_from_slice(&self.ring.to_le_bytes());
        packet[12..16].copy_from_slice(&self.slot.to_le_bytes());
        let longs = [self.generation, self.stamps.id.0, self.stamps.pts_ns, self.stamps.capture_ns];
        for (to, value) in packet[16..48].chunks_exact_mut(8).zip(longs) {
            to.copy_from_slice(&value.to_le_bytes());
        }
        packet
    }

    pub fn read(body: &[u8]) -> Result<Infer, Malformed> {
        let body: &[u8; INFER_BYTES - HEADER_BYTES] = body.try_into().map_err(|_| Malformed("no frame to analyse"))?;
        let long = |at: usize| u64_at(body, at);
        Ok(Infer {
            ring: u32_at(body, 0),
            slot: u32_at(body, 4),
            generation: long(8),
            stamps: Stamps { id: FrameId(long(16)), pts_ns: long(24), capture_ns: long(32) },
        })
    }
}

/// A worker's message, as it stands in the packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FromWorker<'a> {
    Ready(&'a [u8]),
    /// `decode_scene` reads it.
    Scene(&'a [u8]),
    Hash {
        frame: FrameId,
        sha256: Option<[u8; 32]>,
    },
    NoScene {
        frame: FrameId,
        why: NoScene,
    },
    Heartbeat,
    Failed(&'a [u8]),
    Fault(&'a [u8]),
    Proof([u8; 32]),
}

impl<'a> FromWorker<'a> {
    pub fn read(packet: &'a [u8]) -> Result<Self, Malformed> {
        let (kind, body) = parse(packet)?;
        Ok(match kind {
            Kind::Ready => FromWorker::Ready(body),
            Kind::Scene => FromWorker::Scene(body),
            Kind::Hash => {
                let (frame, rest) = body.split_first_chunk::<8>().ok_or(Malformed("no frame id"))?;
                let sha256 = match rest.split_first() {
                    Some((0, [])) => None,
                    Some((1, hash)) => Some(hash.try_into().map_err(|_| Malformed("no SHA-256"))?),
                    _ => return Err(Malformed("no SHA-256")),
                };
                FromWorker::Hash { frame: FrameId(u64::from_le_bytes(*frame)), sha256 }
            }
            Kind::NoScene => {
                let body: &[u8; 9] = body.try_into().map_err(|_| Malformed("no frame id and reason"))?;
                let why = match body[8] {
                    1 => NoScene::Overwritten,
                    2 => NoScene::Nothing,
                    3 => NoScene::Unfit,
                    _ => return Err(Malformed("no reason")),
                };
                FromWorker::NoScene { frame: FrameId(u64_at(body, 0)), why }
            }
            Kind::Heartbeat if body.is_empty() => FromWorker::Heartbeat,
            Kind::Failed => FromWorker::Failed(body),
            Kind::Fault => FromWorker::Fault(body),
            Kind::Proof => FromWorker::Proof(body.try_into().map_err(|_| Malformed("no SHA-256"))?),
            _ => return Err(Malformed("not what a worker says")),
        })
    }
}

/// A parent's message, as it stands in the packet.
#[derive(Debug)]
pub enum FromParent {
    Hello(Hello),
    Ring(RingIntroduction),
    Infer(Infer),
    Order(serde_json::Value),
}

impl FromParent {
    pub fn read(packet: &[u8]) -> Result<Self, Malformed> {
        let (kind, body) = parse(packet)?;
        match kind {
            Kind::Hello => serde_json::from_slice(body).map(FromParent::Hello).map_err(|_| Malformed("no greeting")),
            Kind::Ring => serde_json::from_slice(body).map(FromParent::Ring).map_err(|_| Malformed("no ring")),
            Kind::Infer => Infer::read(body).map(FromParent::Infer),
            Kind::Order => serde_json::from_slice(body).map(FromParent::Order).map_err(|_| Malformed("no order")),
            _ => Err(Malformed("not what a parent says")),
        }
    }
}

pub fn hash_packet(frame: FrameId, sha256: Option<&[u8; 32]>) -> Vec<u8> {
    let mut body = frame.0.to_le_bytes().to_vec();
    body.push(sha256.is_some().into());
    body.extend_from_slice(sha256.map_or(&[], |hash| hash.as_slice()));
    packet(Kind::Hash, &body)
}

pub fn no_scene_packet(frame: FrameId, why: NoScene) -> Vec<u8> {
    let mut body = frame.0.to_le_bytes().to_vec();
    body.push(why as u8);
    packet(Kind::NoScene, &body)
}

const TEXT_CHARS: usize = 1000;

/// What a process from outside wrote, fit for a log and a screen: no control characters, of bounded length.
pub fn text(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(4 * TEXT_CHARS)];
    String::from_utf8_lossy(bytes).chars().take(TEXT_CHARS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_frame_to_analyse_comes_through(ring: u32, slot: u32, generation: u64, id: u64, pts_ns: u64, capture_ns: u64) {
            let infer = Infer { ring, slot, generation, stamps: Stamps { id: FrameId(id), pts_ns, capture_ns } };
            let packet = infer.packet();
            let (kind, body) = parse(&packet).unwrap();
            prop_assert_eq!(kind, Kind::Infer);
            prop_assert_eq!(Infer::read(body), Ok(infer));
        }

        #[test]
        fn answers_come_through(id: u64, hash: Option<[u8; 32]>) {
            let packet = hash_packet(FrameId(id), hash.as_ref());
            prop_assert_eq!(FromWorker::read(&packet), Ok(FromWorker::Hash { frame: FrameId(id), sha256: hash }));
            for why in [NoScene::Overwritten, NoScene::Nothing, NoScene::Unfit] {
                let packet = no_scene_packet(FrameId(id), why);
                prop_assert_eq!(FromWorker::read(&packet), Ok(FromWorker::NoScene { frame: FrameId(id), why }));
            }
        }

        /// Whatever comes, it is read or refused; never a panic.
        #[test]
        fn any_bytes_are_read_or_refused(kind: u8, body in proptest::collection::vec(any::<u8>(), 0..64), raw in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = FromWorker::read(&raw);
            let _ = FromParent::read(&raw);
            let mut framed = packet(Kind::Hash, &body);
            framed[3] = kind;
            let _ = FromWorker::read(&framed);
            let _ = FromParent::read(&framed);
        }

        #[test]
        fn text_from_outside_is_bounded_and_printable(bytes in proptest::collection::vec(any::<u8>(), 0..6000)) {
            let text = text(&bytes);
            prop_assert!(text.chars().count() <= TEXT_CHARS && !text.chars().any(char::is_control));
        }
    }

    #[test]
    fn another_version_is_refused() {
        let mut packet = packet(Kind::Heartbeat, &[]);
        assert_eq!(FromWorker::read(&packet), Ok(FromWorker::Heartbeat));
        packet[2] = VERSION + 1;
        assert!(FromWorker::read(&packet).is_err());
    }
}
