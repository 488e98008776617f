//! The worker's side: greet, load, confine, then one frame after another, always the newest.

use crate::frame::on_device::Lent;
use crate::frame::{FrameView, RingReader, Stamps};
use crate::link::socket::{MAX_PACKET_BYTES, Received, Socket};
use crate::link::wire::{self, FromParent, Infer, Introduction, Kind, NoScene, RingIntroduction};
use crate::link::{Settings, encode_scene, os, sandbox};
use crate::scene::Scene;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the parent tells its worker first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// Is `input_hash` wanted for each scene?
    pub want_hash: bool,
    /// What the analyst is made from: engines, thresholds. The link only carries it.
    pub analyst: serde_json::Value,
    /// Filled in by `Worker::start`.
    #[serde(default)]
    pub settings: Settings,
    /// Not told: the next workers are greeted with it.
    #[serde(skip)]
    pub instead: Option<Instead>,
}

/// What each further analyst is made from, once the first worker has ended for whatever reason: what made the first one cannot be
/// relied on any more. (One that a driver killed looks like one that anybody killed.)
#[derive(Debug, Clone, PartialEq)]
pub struct Instead {
    pub analyst: serde_json::Value,
    /// Also where the first worker refuses its engines.
    pub where_refused: bool,
}

/// A frame, as it is handed over.
#[derive(Debug, Clone, Copy)]
pub struct Handed<'a> {
    /// Where it lies on a device that the worker reads it on, these bytes are not the frame's.
    pub view: FrameView<'a>,
    /// Of its ring.
    pub slot: usize,
}

/// The slots of a ring on a device, lent.
#[derive(Debug)]
pub struct LentSlots {
    pub lent: Lent,
    /// Of their memory, a slot each.
    pub memory: Vec<OwnedFd>,
}

/// What a worker does with a frame. Everything that opens files or starts threads is done before it exists.
pub trait Analyst {
    /// The engines, for the report.
    fn ready(&self) -> serde_json::Value;

    /// The scene of one frame, or None if there is nothing to say. `is_current` is to be asked once the frame has been
    /// read (after preprocessing): where it says no, the frame was overwritten meanwhile and the result is thrown away.
    /// An error ends this worker; another is started.
    fn analyse(&mut self, frame: Handed<'_>, stamps: Stamps, is_current: &dyn Fn() -> bool) -> Result<Option<Scene>, String>;

    /// Frames come from this ring from now on; said before the first of them. Whoever keeps it keeps its memory mapped. `slots`: they
    /// are to be read there; given to one that says `reads_on` only. An error ends this worker.
    fn meet(&mut self, ring: &Arc<RingReader>, slots: Option<LentSlots>) -> Result<(), String> {
        let _ = (ring, slots);
        Ok(())
    }

    /// The device, as CUDA names it, on which it reads frames that lie there.
    fn reads_on(&self) -> Option<String> {
        None
    }

    /// Does it go on talking to a GPU's driver? A worker that does is confined a little less.
    fn needs_device(&self) -> bool {
        false
    }

    /// A scene that was sent: its memory may serve the next one.
    fn keep(&mut self, scene: Scene) {
        drop(scene);
    }

    /// SHA-256 of what the engine answers to its reference picture, computed now: the same each time. None: it has none.
    /// An error ends this worker.
    fn prove(&mut self) -> Result<Option<[u8; 32]>, String> {
        Ok(None)
    }

    /// Something is asked of it beside frames, from now on; null: nothing any more. What it does not understand is an error, which
    /// ends this worker.
    fn order(&mut self, order: &serde_json::Value) -> Result<(), String> {
        Err(format!("no order is understood here: {order}"))
    }

    /// `input_hash` of the frame that was analysed last, which `frame` is (design: pixels). None: its device does not say.
    fn input_hash(&mut self, frame: Handed<'_>) -> Option<[u8; 32]>;
}

/// Exit code of a worker whose parent is done with it.
const DONE: i32 = 0;
/// Exit code of a worker that cannot go on.
const FAULT: i32 = 1;
/// Exit code of a worker without an engine to run.
const FAILED: i32 = 3;

/// Body of the worker's process: call it first in `main`, and exit with what it returns. `load` makes the analyst from
/// the parent's greeting, with one warm-up run behind it; an error means that no engine can run, and no other start is tried.
pub fn worker_main(load: impl FnOnce(&Hello) -> Result<Box<dyn Analyst>, String>) -> i32 {
    // SAFETY: the first thing that this process does: it owns nothing above its standard descriptors, and the parent made
    // descriptor 0 the socket; nobody else here uses standard input.
    let socket = Socket::from(unsafe { os::take_inherited_socket() });
    // Killed with the parent's thread that started it. What fails here fails harmlessly: a closed socket ends it too.
    let _ = rustix::process::set_parent_process_death_signal(Some(Signal::KILL));
    // If memory runs out, the picture is not what goes.
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
    // Told to the parent where it expects words: in place of an engine.
    let load = |hello: &Hello| sandbox::deny_network().map_err(|error| error.to_string()).and_then(|()| load(hello));
    serve(socket, load, sandbox::enter)
}

/// Serves over `socket` until the parent closes it, confined by `confine` once the engines are loaded. Returns the exit code.
pub fn serve(
    socket: Socket,
    load: impl FnOnce(&Hello) -> Result<Box<dyn Analyst>, String>,
    confine: impl FnOnce(bool) -> Result<sandbox::Granted, crate::link::LinkError>,
) -> i32 {
    let mut desk = Desk {
        socket,
        buffer: vec![0; MAX_PACKET_BYTES],
        ring: None,
        is_ring_new: false,
        slots: None,
        next: None,
        order: None,
        hello: None,
    };
    let hello = loop {
        match desk.listen(None) {
            Ok(()) => {}
            Err(Leave::Done) => return DONE,
            Err(Leave::Fault(text)) => return desk.leave(Kind::Fault, &text, FAULT),
        }
        if let Some(hello) = desk.hello.take() {
            break hello;
        }
    };
    // Before the engines make threads, which inherit it.
    let _ = rustix::process::setpriority_process(None, hello.settings.nice);
    let mut analyst = match load(&hello) {
        Ok(analyst) => analyst,
        Err(text) => return desk.leave(Kind::Failed, &text, FAILED),
    };
    let proof = match analyst.prove() {
        Ok(proof) => proof,
        Err(text) => return desk.leave(Kind::Failed, &text, FAILED),
    };
    let sandbox = match confine(analyst.needs_device()) {
        Ok(granted) => granted,
        Err(error) => return desk.leave(Kind::Failed, &error.to_string(), FAILED),
    };
    let introduction =
        serde_json::to_vec(&Introduction { engines: analyst.ready(), sandbox, proof, reads_on: analyst.reads_on() }).unwrap_or_default();
    match desk.send(&wire::packet(Kind::Ready, &introduction)).and_then(|()| desk.work(&hello, analyst, proof.is_some())) {
        Ok(never) => match never {},
        Err(Leave::Done) => DONE,
        Err(Leave::Fault(text)) => desk.leave(Kind::Fault, &text, FAULT),
    }
}

/// Why serving ends.
enum Leave {
    Done,
    Fault(String),
}

impl From<Errno> for Leave {
    fn from(errno: Errno) -> Self {
        match errno {
            Errno::PIPE | Errno::CONNRESET => Leave::Done,
            other => Leave::Fault(format!("the link to the video process broke ({other})")),
        }
    }
}

struct Desk {
    socket: Socket,
    buffer: Vec<u8>,
    ring: Option<(u32, Arc<RingReader>)>,
    /// The analyst does not know it yet.
    is_ring_new: bool,
    /// Of that ring, if it is lent them.
    slots: Option<LentSlots>,
    next: Option<Infer>,
    order: Option<serde_json::Value>,
    hello: Option<Hello>,
}

impl Desk {
    fn work(&mut self, hello: &Hello, mut analyst: Box<dyn Analyst>, can_prove: bool) -> Result<std::convert::Infallible, Leave> {
        let heartbeat_ns = i64::from(hello.settings.heartbeat_ms) * 1_000_000;
        let heartbeat = Timespec { tv_sec: heartbeat_ns / 1_000_000_000, tv_nsec: (heartbeat_ns % 1_000_000_000) as _ };
        let mut packet = Vec::with_capacity(MAX_PACKET_BYTES);
        let every = Duration::from_millis(hello.settings.proof_every_ms.into());
        let mut proven = Instant::now();
        loop {
            self.listen(Some(&heartbeat))?;
            if let Some(order) = self.order.take() {
                analyst.order(&order).map_err(Leave::Fault)?;
            }
            if let (true, Some((_, ring))) = (std::mem::take(&mut self.is_ring_new), &self.ring) {
                analyst.meet(ring, self.slots.take()).map_err(Leave::Fault)?;
            }
            match self.next.take() {
                None => self.send(&wire::packet(Kind::Heartbeat, &[]))?,
                Some(infer) => self.answer(&infer, hello.want_hash, &mut *analyst, &mut packet)?,
            }
            let waited = proven.elapsed();
            if can_prove && !every.is_zero() && waited >= every && (waited >= every + every / 2 || self.is_idle()) {
                proven = Instant::now();
                if let Some(answer) = analyst.prove().map_err(Leave::Fault)? {
                    self.send(&wire::packet(Kind::Proof, &answer))?;
                }
            }
        }
    }

    /// Nothing waits to be read: the next frame is not here yet.
    fn is_idle(&self) -> bool {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        matches!(rustix::event::poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&now)), Ok(0))
    }

    /// Waits for messages, for `at_most` if given, and reads them all: only the newest frame stays.
    fn listen(&mut self, at_most: Option<&Timespec>) -> Result<(), Leave> {
        match rustix::event::poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], at_most) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        loop {
            let (received, fds) = self.socket.receive_with_fds(&mut self.buffer)?;
            let length = match received {
                Received::Packet(length) => length,
                Received::Nothing => return Ok(()),
                Received::End => return Err(Leave::Done),
                Received::TooLong => return Err(Leave::Fault("the video process sent a packet that is too long".to_owned())),
            };
            match FromParent::read(&self.buffer[..length]).map_err(|malformed| Leave::Fault(malformed.to_string()))? {
                FromParent::Hello(hello) => self.hello = Some(hello),
                FromParent::Ring(introduction) => self.take_ring(introduction, fds)?,
                FromParent::Infer(infer) => self.next = Some(infer),
                FromParent::Order(order) => self.order = Some(order),
            }
        }
    }

    fn take_ring(&mut self, introduction: RingIntroduction, fds: Vec<OwnedFd>) -> Result<(), Leave> {
        let mut memory = fds.into_iter();
        let fd = memory.next().ok_or_else(|| Leave::Fault("a frame ring came without its memory".to_owned()))?;
        let reader = RingReader::map(fd.as_fd(), introduction.geometry).map_err(|error| Leave::Fault(error.to_string()))?;
        self.slots = introduction.lent.map(|lent| LentSlots { lent, memory: memory.collect() });
        (self.ring, self.is_ring_new) = (Some((introduction.ring, Arc::new(reader))), true);
        Ok(())
    }

    fn answer(&self, infer: &Infer, want_hash: bool, analyst: &mut dyn Analyst, packet: &mut Vec<u8>) -> Result<(), Leave> {
        let id = infer.stamps.id;
        let slot = infer.slot as usize;
        let Some((reader, view)) =
            self.ring.as_ref().filter(|ring| ring.0 == infer.ring).and_then(|(_, reader)| Some((reader, reader.view(slot)?)))
        else {
            return self.send(&wire::no_scene_packet(id, NoScene::Overwritten));
        };
        let still_there = || reader.is_current(slot, infer.generation);
        // The last answer that the analyst was given; one that never asks is asked for.
        let verdict = Cell::new(None);
        let is_current = || {
            let current = still_there();
            verdict.set(Some(current));
            current
        };
        if !still_there() {
            return self.send(&wire::no_scene_packet(id, NoScene::Overwritten));
        }
        let frame = Handed { view, slot };
        let scene = match analyst.analyse(frame, infer.stamps, &is_current) {
            Ok(scene) => scene,
            Err(text) => {
                // Its answer to the reference picture tells a frame that it cannot do from a memory that is broken.
                if let Ok(Some(proof)) = analyst.prove() {
                    self.send(&wire::packet(Kind::Proof, &proof))?;
                }
                return Err(Leave::Fault(text));
            }
        };
        if !verdict.get().unwrap_or_else(still_there) {
            return self.send(&wire::no_scene_packet(id, NoScene::Overwritten));
        }
        let Some(scene) = scene else {
            return self.send(&wire::no_scene_packet(id, NoScene::Nothing));
        };
        let is_fit = is_fit(&scene, packet);
        analyst.keep(scene);
        if !is_fit {
            return self.send(&wire::no_scene_packet(id, NoScene::Unfit));
        }
        self.send(packet)?;
        if want_hash {
            let hash = analyst.input_hash(frame);
            return self.send(&wire::hash_packet(id, hash.as_ref().filter(|_| still_there())));
        }
        Ok(())
    }

    fn send(&self, packet: &[u8]) -> Result<(), Leave> {
        self.socket.send_waiting(packet).map_err(Leave::from)
    }

    fn leave(&self, kind: Kind, text: &str, code: i32) -> i32 {
        // If nobody listens any more, nobody misses it.
        let _ = self.socket.send_waiting(&wire::packet(kind, wire::text(text.as_bytes()).as_bytes()));
        code
    }
}

/// Writes a scene as a packet if the parent would believe it: a fault of ours costs one scene, not the worker.
fn is_fit(scene: &Scene, packet: &mut Vec<u8>) -> bool {
    let mut written = Ok(());
    wire::write_packet(packet, Kind::Scene, |body| written = encode_scene(scene, body));
    let fault = match (scene.check(), written) {
        (Err(fault), _) => fault.to_string(),
        (_, Err(fault)) => fault.to_string(),
        (Ok(()), Ok(())) if packet.len() > MAX_PACKET_BYTES => format!("{} bytes are too many for a packet", packet.len()),
        (Ok(()), Ok(())) => return true,
    };
    tracing::warn!(frame = scene.frame.0, fault, "a scene of our own is not fit to be sent");
    false
}
