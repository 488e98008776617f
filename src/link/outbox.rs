//! Which frame the worker works on and which one is next: one asked, one newest waiting, everything else counted.
//!
//! ```text
//!   offer ──► [waiting: newest] ──► [asked] ──► answered          no slot of the ring is held: the worker notices reuse
//! ```
//! The capture thread and the link thread share it; the lock is never held across a system call.

use crate::base::ids::FrameId;
use crate::frame::on_device::Lent;
use crate::frame::{Frame, FrameRing, RingGeometry, Stamps};
use crate::link::socket::Socket;
use crate::link::wire::Infer;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// A frame that the worker is, or will be, asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub stamps: Stamps,
    /// Width and height of the captured picture.
    pub picture: [u32; 2],
    pub ring: u32,
    pub slot: u32,
    pub generation: u64,
    /// Its pixels are in the ring's own memory.
    pub is_here: bool,
    pub sent_ns: u64,
}

impl Asked {
    fn infer(&self) -> Infer {
        Infer { ring: self.ring, slot: self.slot, generation: self.generation, stamps: self.stamps }
    }
}

/// What is to be sent now that the lock is released.
#[derive(Debug)]
pub(super) struct Errand {
    socket: Arc<Socket>,
    asked: Asked,
}

impl Errand {
    fn run(&self) -> bool {
        self.socket.send(&self.asked.infer().packet()).is_ok()
    }
}

/// What an offer led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Offered {
    /// Frames (0 or 1) whose place was taken while the worker was busy / while none was ready.
    pub skipped_busy: u64,
    pub skipped_down: u64,
    /// The link thread must introduce another ring.
    pub needs_link: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    desk: Mutex<Desk>,
    /// A worker is there that reads its frames here, wherever they lie. For whoever must not wait.
    reads_here: AtomicBool,
}

#[derive(Debug, Default)]
struct Desk {
    /// There while a worker is ready.
    socket: Option<Arc<Socket>>,
    ring: Option<FrameRing>,
    ring_number: u32,
    /// Has this worker been sent the ring of this number?
    ring_is_known: bool,
    /// This worker reads its frames on the device that they lie on.
    is_lent: bool,
    asked: Option<Asked>,
    waiting: Option<Asked>,
}

impl Desk {
    /// The waiting frame becomes the asked one, if a worker is there and free.
    fn ask(&mut self, now_ns: u64) -> Option<Errand> {
        if self.asked.is_some() || !self.ring_is_known {
            return None;
        }
        let socket = self.socket.clone()?;
        let asked = Asked { sent_ns: now_ns, ..self.waiting.take()? };
        self.asked = Some(asked);
        Some(Errand { socket, asked })
    }

    fn wait(&mut self, asked: Asked) -> Offered {
        let replaced = u64::from(self.waiting.replace(asked).is_some());
        match self.socket {
            Some(_) => Offered { skipped_busy: replaced, ..Offered::default() },
            None => Offered { skipped_down: replaced, ..Offered::default() },
        }
    }
}

/// Tries for the lock before a frame is given up; whoever holds it does so for some ten instructions.
const LOCK_TRIES: usize = 1000;

impl Outbox {
    /// The newest frame. Never waits for the worker, allocates nothing. From a device, it is fetched first for a worker that reads it here.
    pub fn offer(&self, frame: &Frame, now_ns: u64) -> Offered {
        if self.reads_here.load(Ordering::Acquire) {
            frame.view();
        }
        let is_here = frame.is_here();
        let Some(mut desk) = self.try_lock() else {
            return Offered { skipped_busy: 1, ..Offered::default() };
        };
        let mut retired = None;
        let mut needs_link = false;
        if !desk.ring.as_ref().is_some_and(|ring| frame.is_in(ring)) {
            retired = desk.ring.replace(frame.ring());
            desk.is_lent = false;
            desk.ring_number = desk.ring_number.wrapping_add(1);
            desk.ring_is_known = false;
            needs_link = true;
        }
        // One worker has followed on another meanwhile.
        if desk.ring_is_known && !desk.is_lent && !is_here {
            return Offered { skipped_busy: 1, ..Offered::default() };
        }
        let (slot, generation) = frame.address();
        let layout = frame.layout();
        let asked = Asked {
            stamps: frame.stamps(),
            picture: [layout.width as u32, layout.height as u32],
            ring: desk.ring_number,
            slot: slot as u32,
            generation,
            is_here,
            sent_ns: now_ns,
        };
        let mut offered = desk.wait(asked);
        let errand = desk.ask(now_ns);
        drop(desk);
        drop(retired);
        offered.needs_link = needs_link;
        if let Some(errand) = errand {
            self.run(errand, &mut offered);
        }
        offered
    }

    /// Sends the waiting frame if the worker is free.
    pub fn send_waiting(&self, now_ns: u64) -> Offered {
        let errand = self.lock().ask(now_ns);
        let mut offered = Offered::default();
        if let Some(errand) = errand {
            self.run(errand, &mut offered);
        }
        offered
    }

    /// An errand that fails is undone: the frame waits again, unless a newer one does.
    fn run(&self, errand: Errand, offered: &mut Offered) {
        if errand.run() {
            return;
        }
        // Without the lock the frame stays asked for, and is counted as lost with the worker that does not take it.
        if let Some(mut desk) = self.try_lock()
            && desk.asked == Some(errand.asked)
        {
            desk.asked = None;
            if desk.waiting.is_some() {
                offered.skipped_busy += 1;
            } else {
                desk.waiting = Some(errand.asked);
            }
        }
    }

    /// The ring that the worker has not been sent yet.
    pub fn new_ring(&self) -> Option<(u32, FrameRing)> {
        let desk = self.lock();
        if desk.ring_is_known { None } else { desk.ring.clone().map(|ring| (desk.ring_number, ring)) }
    }

    /// Ring `number` was sent, with its slots on a device where it is lent. Returns how many frames (0 or 1) are given up because the
    /// worker cannot read them; None: there is a newer ring by now.
    pub fn ring_was_sent(&self, number: u32, is_lent: bool) -> Option<u64> {
        let mut desk = self.lock();
        desk.ring_is_known = desk.ring_number == number;
        desk.is_lent = is_lent && desk.ring_is_known;
        if desk.ring_is_known {
            self.reads_here.store(!is_lent, Ordering::Release);
        }
        let given_up = desk.ring_is_known && !is_lent && desk.waiting.is_some_and(|waiting| !waiting.is_here);
        if given_up {
            desk.waiting = None;
        }
        desk.ring_is_known.then_some(u64::from(given_up))
    }

    /// From now on frames go to this worker. `reads_here`: wherever they lie.
    pub fn open(&self, socket: Arc<Socket>, reads_here: bool) {
        let mut desk = self.lock();
        desk.socket = Some(socket);
        self.reads_here.store(reads_here, Ordering::Release);
    }

    pub fn asked(&self) -> Option<Asked> {
        self.lock().asked
    }

    /// The answer about `frame` is complete.
    pub fn answered(&self, frame: FrameId) {
        let mut desk = self.lock();
        if desk.asked.is_some_and(|asked| asked.stamps.id == frame) {
            desk.asked = None;
        }
    }

    /// No further worker comes: the waiting frame is given up. Returns how many that are (0 or 1).
    pub fn give_up(&self) -> u64 {
        u64::from(self.lock().waiting.take().is_some())
    }

    /// The worker is gone. Returns the frame that it still owed.
    pub fn close(&self) -> Option<Asked> {
        let mut desk = self.lock();
        desk.socket = None;
        desk.ring_is_known = false;
        desk.is_lent = false;
        self.reads_here.store(false, Ordering::Release);
        desk.asked.take()
    }

    fn lock(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_lock(&self) -> Option<MutexGuard<'_, Desk>> {
        for _ in 0..LOCK_TRIES {
            match self.desk.try_lock() {
                Ok(desk) => return Some(desk),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

/// JSON that introduces a ring.
pub(super) fn introduction(number: u32, geometry: RingGeometry, lent: Option<Lent>) -> Vec<u8> {
    let introduction = super::wire::RingIntroduction { ring: number, geometry, lent };
    super::wire::packet(super::wire::Kind::Ring, &serde_json::to_vec(&introduction).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::{Colorimetry, FrameLayout, Matrix, PixelFormat, Range};
    use crate::link::socket::Received;
    use crate::link::wire::FromParent;
    use proptest::prelude::*;

    fn ring(width: usize) -> FrameRing {
        let colorimetry = Colorimetry::sdr(Matrix::Bt709, Range::Limited);
        FrameRing::new(FrameLayout::new(PixelFormat::Nv12, colorimetry, width, 48).unwrap()).unwrap()
    }

    fn frame(ring: &FrameRing, id: u64) -> Frame {
        ring.acquire().unwrap().publish(Stamps { id: FrameId(id), pts_ns: id, capture_ns: id })
    }

    fn received(socket: &Socket) -> Vec<u64> {
        let (mut ids, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(Received::Packet(length)) = socket.receive(&mut buffer) {
            if let Ok(FromParent::Infer(infer)) = FromParent::read(&buffer[..length]) {
                ids.push(infer.stamps.id.0);
            }
        }
        ids
    }

    #[derive(Debug, Clone, Copy)]
    enum Op {
        Offer,
        Answer,
        Close,
        Open,
        ChangeRing,
        Introduce,
    }

    proptest! {
        /// Every frame offered is answered, skipped, lost or under way; the worker never has two, and sees ids rise.
        #[test]
        fn every_frame_is_accounted_for(ops in proptest::collection::vec(prop_oneof![
            4 => Just(Op::Offer), 3 => Just(Op::Answer), 1 => Just(Op::Close), 2 => Just(Op::Open), 1 => Just(Op::ChangeRing), 2 => Just(Op::Introduce)], 0..80)) {
            let outbox = Outbox::default();
            let rings = [ring(64), ring(80)];
            let (mut theirs, mut open) = (None, false);
            let (mut id, mut which, mut skipped, mut answered, mut lost, mut last) = (0u64, 0, 0, 0, 0, None);
            for op in ops {
                match op {
                    Op::Offer => {
                        let offered = outbox.offer(&frame(&rings[which % 2], id), id);
                        skipped += offered.skipped_busy + offered.skipped_down;
                        id += 1;
                    }
                    Op::Answer => if let Some(asked) = outbox.asked() {
                        outbox.answered(asked.stamps.id);
                        answered += 1;
                        skipped += outbox.send_waiting(id).skipped_busy;
                    },
                    Op::Close => { lost += u64::from(outbox.close().is_some()); theirs = None; open = false; }
                    Op::Open => if !open {
                        let (a, b) = Socket::pair().unwrap();
                        outbox.open(Arc::new(a), true);
                        (theirs, open) = (Some(b), true);
                    },
                    Op::ChangeRing => which += 1,
                    Op::Introduce => if let Some((number, _)) = outbox.new_ring() {
                        prop_assert_eq!(outbox.ring_was_sent(number, false), Some(0));
                        skipped += outbox.send_waiting(id).skipped_busy;
                    },
                }
                let under_way = u64::from(outbox.asked().is_some()) + u64::from(outbox.lock().waiting.is_some());
                prop_assert_eq!(id, answered + skipped + lost + under_way);
                for seen in theirs.iter().flat_map(received) {
                    prop_assert!(last < Some(seen), "each frame once, in order");
                    prop_assert_eq!(outbox.asked().map(|asked| asked.stamps.id.0), Some(seen));
                    last = Some(seen);
                }
            }
        }
    }

    #[test]
    fn a_failed_send_leaves_the_frame_waiting() {
        let (outbox, ring) = (Outbox::default(), ring(64));
        let (a, b) = Socket::pair().unwrap();
        outbox.open(Arc::new(a), true);
        assert!(outbox.offer(&frame(&ring, 0), 0).needs_link);
        let (number, _) = outbox.new_ring().unwrap();
        assert_eq!(outbox.ring_was_sent(number, false), Some(0));
        drop(b);
        assert_eq!(outbox.send_waiting(0), Offered::default());
        assert_eq!(outbox.asked(), None);
        assert_eq!(outbox.lock().waiting.unwrap().stamps.id, FrameId(0));
        assert_eq!(outbox.offer(&frame(&ring, 1), 0), Offered { skipped_busy: 1, ..Offered::default() });
    }
}
