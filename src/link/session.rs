//! One worker's life, from its start to its end, as the link thread sees it.

use crate::base::ids::FrameId;
use crate::link::judge::{self, Flood, Rejection};
use crate::link::outbox::introduction;
use crate::link::socket::{MAX_PACKET_BYTES, Received, Socket};
use crate::link::status::{Block, Reason, add};
use crate::link::watch::{Ended, Stopped, Vitals, watch};
use crate::link::wire::{self, FromWorker, Introduction, Kind, NoScene};
use crate::link::worker::{Answer, Permission, Shared, Spawn};
use crate::link::{Hello, LinkError};
use crate::scene::{Scene, Shelf};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;

/// Messages that are read before the deadlines are looked at again.
const MESSAGES_A_WAKEUP: usize = 32;

/// What the thread that starts workers does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Restart { had_scene: bool, nonsense: bool },
    Blocked,
    Closing,
}

/// Why the loop of a session ends.
#[derive(Debug)]
enum End {
    Closing,
    Died,
    Overdue(Reason),
    Nonsense(Rejection, String),
    Failed(String),
    Fault(String),
    Blocked(Block),
}

pub(super) struct Session<'a> {
    shared: &'a Arc<Shared>,
    socket: Arc<Socket>,
    pidfd: Arc<OwnedFd>,
    stopped: Arc<Stopped>,
    watcher: Option<JoinHandle<Ended>>,
    want_hash: bool,
    /// Where it refuses its engines, another one with others follows.
    may_refuse: bool,
    is_ready: bool,
    started_ns: u64,
    heard_ns: u64,
    flood: Flood,
    had_scene: bool,
    /// The order that it was told, by its number.
    ordered: u64,
    /// What the engine answered to its reference picture when it was loaded, and when it last did so again.
    proof: Option<([u8; 32], u64)>,
    /// The device, as CUDA names it, on which it reads frames that lie there.
    reads_on: Option<String>,
    /// The scene whose hash is still to come.
    unhashed: Option<Arc<Scene>>,
    buffer: Vec<u8>,
    shelf: Shelf,
}

impl<'a> Session<'a> {
    /// Starts the program, with one end of a new socket as its descriptor 0, and greets it.
    pub fn start(shared: &'a Arc<Shared>, spawn: &Spawn, hello: &Hello) -> Result<Self, LinkError> {
        let (ours, theirs) = Socket::pair().map_err(LinkError::system("a socket"))?;
        let child = Command::new(&spawn.program)
            .args(&spawn.args)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            // ONNX Runtime's own Linux builds (1.29 and later) keep and send usage data unless they are told not to.
            .env("ORT_DISABLE_TELEMETRY", "1")
            // An interrupt typed at the terminal is for the video process alone, which then ends this one.
            .process_group(0)
            .spawn()
            .map_err(|source| LinkError::Spawn { program: spawn.program.clone(), source })?;
        shared.board.starting();
        // Until it is waited for, its id cannot pass to another process: the descriptor is the child's own.
        let opened = Pid::from_raw(child.id() as i32)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| rustix::process::pidfd_open(pid, PidfdFlags::empty()));
        let pidfd = match opened {
            Ok(pidfd) => Arc::new(pidfd),
            Err(errno) => return Err(give_up(child, LinkError::system("a process descriptor")(errno))),
        };
        let stopped = Arc::new(Stopped::default());
        let watcher = {
            let (shared, pidfd, stopped) = (shared.clone(), pidfd.clone(), stopped.clone());
            std::thread::Builder::new()
                .name("link-watch".to_owned())
                .spawn(move || watch(&pidfd, &shared.board, &stopped, &shared.nudge, &shared.clock))
        };
        let watcher = match watcher {
            Ok(watcher) => watcher,
            Err(error) => return Err(give_up(child, LinkError::system("a thread")(error))),
        };
        shared.pid.store(child.id(), std::sync::atomic::Ordering::Relaxed);
        let now_ns = shared.clock.now_ns();
        let session = Session {
            shared,
            socket: Arc::new(ours),
            pidfd,
            stopped,
            watcher: Some(watcher),
            want_hash: hello.want_hash,
            may_refuse: hello.instead.as_ref().is_some_and(|instead| instead.where_refused),
            is_ready: false,
            started_ns: now_ns,
            heard_ns: now_ns,
            flood: Flood::new(),
            had_scene: false,
            ordered: 0,
            proof: None,
            reads_on: None,
            unhashed: None,
            buffer: vec![0; MAX_PACKET_BYTES],
            shelf: Shelf::default(),
        };
        // A worker that is dead already is noticed by the loop.
        let greeting = serde_json::to_vec(hello).unwrap_or_default();
        let _ = session.socket.send(&wire::packet(Kind::Hello, &greeting));
        Ok(session)
    }

    /// Hears the worker until one of the two ends; then it is dead, reaped, and what it owed is counted.
    pub fn run(mut self) -> Next {
        let end = self.hear();
        let end = match end {
            End::Failed(text) if self.may_refuse => End::Fault(text),
            end => end,
        };
        let next = match &end {
            End::Closing => Next::Closing,
            End::Failed(_) | End::Blocked(_) => Next::Blocked,
            End::Nonsense(..) => Next::Restart { had_scene: self.had_scene, nonsense: true },
            End::Died | End::Overdue(_) | End::Fault(_) => Next::Restart { had_scene: self.had_scene, nonsense: false },
        };
        match &end {
            End::Closing => {}
            End::Died => self.shared.board.down(Reason::Died),
            End::Overdue(reason) => {
                let what = match (reason, self.is_ready) {
                    (Reason::Stopped, _) => "it was stopped and did not go on",
                    (_, true) => "it owed an answer or a heartbeat for too long",
                    (_, false) => "it did not load its engines in time",
                };
                self.shared.note(what.to_owned());
                self.shared.board.down(*reason);
            }
            End::Nonsense(why, text) => {
                self.shared.note(format!("{}: {text}", why.name()));
                add(&self.shared.tally.rejected[*why as usize], 1);
                self.shared.board.down(Reason::Nonsense);
            }
            End::Fault(text) => {
                self.shared.note(text.clone());
                self.shared.board.down(Reason::Fault);
            }
            End::Failed(text) => {
                self.shared.note(text.clone());
                self.shared.board.blocked(Block::Refused);
            }
            End::Blocked(why) => {
                match why {
                    Block::ProofWrong => self.shared.note("it answers its reference picture otherwise than when it was loaded".to_owned()),
                    Block::ProofMissing => self.shared.note("it did not answer its reference picture in time".to_owned()),
                    // Said by who forbade it.
                    Block::Refused | Block::Forbidden => {}
                }
                self.shared.board.blocked(*why);
            }
        }
        self.close(&end);
        next
    }

    fn close(&mut self, end: &End) {
        // Already gone: nothing to kill.
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, Signal::KILL);
        let ended = self.watcher.take().and_then(|watcher| watcher.join().ok()).unwrap_or(Ended::Unknown);
        self.shared.pid.store(0, std::sync::atomic::Ordering::Relaxed);
        add(
            &self.shared.tally.lost,
            self.shared.outbox.close().map_or(0, |asked| u64::from(self.unhashed_frame() != Some(asked.stamps.id))),
        );
        if let Some(scene) = self.unhashed.take() {
            self.shared.deliver(Answer { scene, input_hash: None });
        }
        // Nobody may show what a worker said that is no longer there.
        while self.shared.scenes.pop().is_some() {
            add(&self.shared.tally.scenes_replaced, 1);
        }
        match end {
            End::Closing => {}
            End::Died => {
                self.shared.note(format!("the AI process ended by itself ({ended})"));
                tracing::warn!(%ended, "the AI process ended");
            }
            other => tracing::warn!(reason = ?other, "the AI process was ended"),
        }
    }

    fn unhashed_frame(&self) -> Option<FrameId> {
        self.unhashed.as_ref().map(|scene| scene.frame)
    }

    fn hear(&mut self) -> End {
        loop {
            if self.shared.is_closing() {
                return End::Closing;
            }
            if self.shared.permission() == Permission::Refused {
                return End::Blocked(Block::Forbidden);
            }
            if let Err(end) = self.introduce_ring() {
                return end;
            }
            self.pass_order();
            let deadline_ns = self.vitals().deadline(&self.shared.settings).0.min(self.proof_deadline_ns());
            let (socket, pidfd) = (self.socket.clone(), self.pidfd.clone());
            let mut fds =
                [PollFd::new(&*socket, PollFlags::IN), PollFd::new(&*pidfd, PollFlags::IN), PollFd::new(&self.shared.nudge, PollFlags::IN)];
            let wait_ns = deadline_ns.saturating_sub(self.shared.clock.now_ns());
            let timeout = Timespec { tv_sec: (wait_ns / 1_000_000_000) as _, tv_nsec: (wait_ns % 1_000_000_000) as _ };
            // An interrupted poll found nothing; the loop looks again.
            let _ = rustix::event::poll(&mut fds, Some(&timeout));
            let [has_message, has_ended, was_nudged] = fds.map(|fd| !fd.revents().is_empty());
            if was_nudged {
                self.shared.nudge.clear();
            }
            if has_ended {
                self.shared.board.down(Reason::Died);
            }
            if (has_message || has_ended)
                && let Err(end) = self.read_some(has_ended)
            {
                return end;
            }
            if has_ended {
                return End::Died;
            }
            // What it said in time is heard before it is given up.
            let (deadline_ns, reason) = self.vitals().deadline(&self.shared.settings);
            let now_ns = self.shared.clock.now_ns();
            if now_ns >= deadline_ns {
                return End::Overdue(reason);
            }
            if now_ns >= self.proof_deadline_ns() {
                return End::Blocked(Block::ProofMissing);
            }
        }
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            started_ns: self.started_ns,
            is_ready: self.is_ready,
            heard_ns: self.heard_ns,
            asked_ns: self.shared.outbox.asked().map(|asked| asked.sent_ns),
            stopped_ns: self.stopped.since_ns(),
        }
    }

    /// Two proofs may not be missing.
    fn proof_deadline_ns(&self) -> u64 {
        let every_ns = u64::from(self.shared.settings.proof_every_ms) * 1_000_000;
        self.proof.filter(|_| every_ns > 0).map_or(u64::MAX, |(_, proven_ns)| proven_ns + 2 * every_ns)
    }

    fn introduce_ring(&mut self) -> Result<(), End> {
        if !self.is_ready {
            return Ok(());
        }
        while let Some((number, ring)) = self.shared.outbox.new_ring() {
            // A worker that takes nothing any more is stopped or hung, and its deadline runs.
            let lent = ring.lent().filter(|(lent, _)| self.reads_on.as_ref() == Some(&lent.uuid));
            let (lent, slots) = lent.map_or((None, Vec::new()), |(lent, slots)| (Some(lent), slots));
            let (is_lent, fds) = (lent.is_some(), [&[ring.fd()], &slots[..]].concat());
            if self.socket.send_with_fds(&introduction(number, ring.geometry(), lent), &fds).is_err() {
                return Ok(());
            }
            if let Some(given_up) = self.shared.outbox.ring_was_sent(number, is_lent) {
                add(&self.shared.tally.skipped_down, given_up);
                self.send_waiting();
            }
        }
        Ok(())
    }

    fn pass_order(&mut self) {
        let number = self.shared.orders();
        if !self.is_ready || number == self.ordered {
            return;
        }
        let order = serde_json::to_vec(&self.shared.order()).unwrap_or_default();
        // One that takes nothing now is told at the next turn.
        if self.socket.send(&wire::packet(Kind::Order, &order)).is_ok() {
            self.ordered = number;
        }
    }

    fn send_waiting(&self) {
        let offered = self.shared.outbox.send_waiting(self.shared.clock.now_ns());
        add(&self.shared.tally.skipped_busy, offered.skipped_busy);
    }

    /// Reads what is there, but not for ever. Of a worker that has ended only its last words count.
    fn read_some(&mut self, has_ended: bool) -> Result<(), End> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut result = Ok(());
        for _ in 0..MESSAGES_A_WAKEUP {
            result = match self.socket.receive(&mut buffer) {
                Ok(Received::Nothing) => break,
                Ok(Received::End) | Err(_) => Err(End::Died),
                Ok(Received::TooLong) => Err(End::Nonsense(Rejection::Malformed, "a packet that is too long".to_owned())),
                Ok(Received::Packet(length)) if has_ended => self.last_words(&buffer[..length]),
                Ok(Received::Packet(length)) => self.take(&buffer[..length]),
            };
            if result.is_err() {
                break;
            }
        }
        self.buffer = buffer;
        result
    }

    fn take(&mut self, packet: &[u8]) -> Result<(), End> {
        let now_ns = self.shared.clock.now_ns();
        if self.flood.hears(now_ns) {
            return Err(End::Nonsense(Rejection::Flood, "too many messages".to_owned()));
        }
        let message = FromWorker::read(packet).map_err(|malformed| End::Nonsense(Rejection::Malformed, malformed.to_string()))?;
        self.heard_ns = now_ns;
        let out_of_turn = |what: &str| Err(End::Nonsense(Rejection::OutOfTurn, what.to_owned()));
        match message {
            FromWorker::Failed(_) if self.is_ready => out_of_turn("its engines are refused after they were loaded"),
            FromWorker::Failed(bytes) => Err(End::Failed(wire::text(bytes))),
            FromWorker::Fault(bytes) => Err(End::Fault(wire::text(bytes))),
            FromWorker::Ready(_) if self.is_ready => out_of_turn("ready twice"),
            FromWorker::Ready(json) => self.ready(json),
            _ if !self.is_ready => out_of_turn("an answer before it was ready"),
            FromWorker::Heartbeat => Ok(()),
            FromWorker::Scene(bytes) => self.scene(bytes),
            FromWorker::Hash { frame, sha256 } => self.hash(frame, sha256),
            FromWorker::NoScene { frame, why } => self.no_scene(frame, why),
            FromWorker::Proof(answer) => self.proven(answer, now_ns),
        }
    }

    /// A worker that ends says why, if it can.
    fn last_words(&self, packet: &[u8]) -> Result<(), End> {
        match FromWorker::read(packet) {
            Ok(FromWorker::Failed(bytes)) if !self.is_ready => Err(End::Failed(wire::text(bytes))),
            Ok(FromWorker::Fault(bytes)) => Err(End::Fault(wire::text(bytes))),
            Ok(FromWorker::Proof(answer)) if self.proof.is_some_and(|(loaded, _)| loaded != answer) => Err(End::Blocked(Block::ProofWrong)),
            _ => Ok(()),
        }
    }

    fn ready(&mut self, json: &[u8]) -> Result<(), End> {
        let introduction: Introduction = serde_json::from_slice(json)
            .map_err(|error| End::Nonsense(Rejection::Malformed, format!("it does not introduce itself ({error})")))?;
        self.is_ready = true;
        self.proof = introduction.proof.map(|answer| (answer, self.heard_ns));
        self.reads_on = introduction.reads_on.clone();
        self.shared.introduced(introduction);
        self.shared.outbox.open(self.socket.clone(), self.reads_on.is_none());
        self.shared.board.ready();
        Ok(())
    }

    fn scene(&mut self, bytes: &[u8]) -> Result<(), End> {
        // While its hash is owed, the frame has been answered.
        let asked = self.shared.outbox.asked().filter(|asked| self.unhashed_frame() != Some(asked.stamps.id));
        let last = self.shared.last_scene();
        let scene = judge::scene(asked.as_ref(), last, bytes, &mut self.shelf.spare).map_err(|(why, text)| End::Nonsense(why, text))?;
        self.had_scene = true;
        let scene = self.shelf.share(scene);
        self.shared.accept(&scene);
        if self.want_hash {
            self.unhashed = Some(scene);
            Ok(())
        } else {
            self.complete(scene, None)
        }
    }

    fn hash(&mut self, frame: FrameId, sha256: Option<[u8; 32]>) -> Result<(), End> {
        match self.unhashed.take() {
            Some(scene) if scene.frame == frame => self.complete(scene, sha256),
            owed => {
                self.unhashed = owed;
                Err(End::Nonsense(Rejection::UnknownFrame, format!("frame {}: a hash that nobody waits for", frame.0)))
            }
        }
    }

    fn proven(&mut self, answer: [u8; 32], now_ns: u64) -> Result<(), End> {
        match &mut self.proof {
            None => Err(End::Nonsense(Rejection::OutOfTurn, "a proof that was not announced".to_owned())),
            Some((loaded, _)) if *loaded != answer => Err(End::Blocked(Block::ProofWrong)),
            Some((_, proven_ns)) => {
                *proven_ns = now_ns;
                add(&self.shared.tally.proofs, 1);
                Ok(())
            }
        }
    }

    fn no_scene(&mut self, frame: FrameId, why: NoScene) -> Result<(), End> {
        if self.unhashed.is_some() || self.shared.outbox.asked().is_none_or(|asked| asked.stamps.id != frame) {
            return Err(End::Nonsense(Rejection::UnknownFrame, format!("frame {}: nobody asked about it", frame.0)));
        }
        let counter = match why {
            NoScene::Overwritten => &self.shared.tally.overwritten,
            NoScene::Nothing | NoScene::Unfit => &self.shared.tally.without_scene,
        };
        add(counter, 1);
        self.shared.outbox.answered(frame);
        self.send_waiting();
        Ok(())
    }

    /// Answer and hash are there: the worker is free for the newest frame.
    fn complete(&mut self, scene: Arc<Scene>, input_hash: Option<[u8; 32]>) -> Result<(), End> {
        self.shared.outbox.answered(scene.frame);
        self.send_waiting();
        self.shared.deliver(Answer { scene, input_hash });
        Ok(())
    }
}

/// A child that cannot be watched is not kept.
fn give_up(mut child: std::process::Child, error: LinkError) -> LinkError {
    let _ = child.kill();
    let _ = child.wait();
    error
}
