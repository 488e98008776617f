//! The display thread: takes frames as they come, decides which overlay each may carry, shows them, and owns the state.
//!
//! ```text
//!   frame in the display slot ──► note ─► choose scene ─► paint ─► show(New)
//!   scene of the frame on the screen ──► paint ─► show(Again)              counted as `repeated`
//!   worker down, overlay too old ──► show(Again) without overlay
//!   no frame for signal.lost_ms ──► show(Blank) with NO SIGNAL
//!   output fails, another way is there ──► the same again by that, the overlay off until the operator wants it
//! ```

mod waits;

use crate::base::beat::Beat;
use crate::base::clock::Clock;
use crate::base::ids::FrameId;
use crate::base::shutdown::Shutdown;
use crate::base::slot::{Slot, Wake};
use crate::capture::SignalEvent;
use crate::display::{CleanFeed, DisplayError, Output, Picture};
use crate::frame::Frame;
use crate::guard::{Ai, Code, Freshness, States, Word};
use crate::overlay::Rect;
use crate::pipeline::ai::Analysis;
use crate::pipeline::cadence::Cadence;
use crate::pipeline::capture::SignalNote;
use crate::pipeline::controls::Errand;
use crate::pipeline::frame_lock::FrameLock;
use crate::pipeline::hud::{HudFeed, Now, PipRequest, doubt_of};
use crate::pipeline::inject::DisplayFaults;
use crate::pipeline::loop_through::{CodeFeed, with_code};
use crate::pipeline::mishaps;
use crate::pipeline::operator::Operator;
use crate::pipeline::outcome::{CadenceOutcome, DisplayCounters, DisplayDelays, DisplayOutcome};
use crate::pipeline::scheduling;
use crate::pipeline::screen::{Absence, Hidden, Screen};
use crate::pipeline::sinks::{Present, Sinks};
use crate::pipeline::state::{self, RecordingWatch};
use crate::scene::{Scene, Trust};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub struct DisplayThread {
    pub clock: Arc<dyn Clock>,
    pub stop: Shutdown,
    pub frames: Arc<Slot<Frame>>,
    pub wake: Arc<Wake>,
    pub analysis: Option<Arc<dyn Analysis>>,
    pub operator: Operator,
    /// What the source says of its signal.
    pub signals: crossbeam_channel::Receiver<SignalNote>,
    /// A second output, for the picture alone.
    pub feed: Option<CleanFeed>,
    pub screen: Screen,
    /// One more action turns the overlay on.
    pub is_armed: bool,
    pub lock: FrameLock,
    pub hud: HudFeed,
    /// Each picture carries its number, for the input that sees the monitor's loop-through.
    pub code: Option<CodeFeed>,
    pub source_fps: f64,
    pub sinks: Sinks,
    pub states: States,
    /// What gates, proofs and watchdogs say of the AI and the alarms.
    pub words: crossbeam_channel::Receiver<Word>,
    /// No frame for so long means NO SIGNAL.
    pub lost_ns: u64,
    /// Capture has ended; what is in the slot is still shown.
    pub ended: Arc<AtomicBool>,
    /// Runs that the recorder pulls: set when the next frame may come.
    pub pulled: Option<Arc<AtomicBool>>,
    pub progress: Option<Arc<crate::pipeline::progress::Progress>>,
    /// For the watchdog: one a turn.
    pub beat: Arc<Beat>,
    /// What befalls it on purpose.
    pub faults: DisplayFaults,
    /// Does what the AI says come in time?
    pub freshness: Freshness,
}

/// What is on the screen.
struct OnScreen {
    frame: Frame,
    scene: Option<FrameId>,
}

/// Waiting without a deadline still looks around so often.
const IDLE_WAIT: Duration = Duration::from_millis(20);
const HUD_HUNG: &str = "the status display does not answer; it was taken off the screen";
/// Painting takes this at first, until it has been measured.
const PAINT_NS: u64 = 2_000_000;
/// A present is not believed to take longer: a stall is no habit.
const MOST_PRESENT_NS: u64 = 20_000_000;
/// A run that is pulled waits so long for a frame's own scene.
const PULLED_SCENE_WAIT_NS: u64 = 2_000_000_000;

struct Run {
    on_screen: Option<OnScreen>,
    last_frame_ns: u64,
    annotated: Option<FrameId>,
    stale_counted: Option<FrameId>,
    absence: Absence,
    blank_shown: bool,
    /// The source has said that it is lost, and why; no frame from this one on has come since.
    lost: Option<(FrameId, String)>,
    counters: DisplayCounters,
    delays: DisplayDelays,
    first_present_ns: Option<u64>,
    recording: RecordingWatch,
    cadence: Option<Cadence>,
    /// When work on the present began, ns.
    turn_began_ns: u64,
    /// What painting ahead took, slowly forgotten, ns.
    paint_ns: u64,
    /// From the choice of an overlay to the end of its present, slowly forgotten, ns: it is as old then.
    present_ns: u64,
    /// When the overlay that is on its way was chosen, ns.
    chosen_ns: u64,
    /// The frame after which the next one's overlay was painted ahead, and the scene in it.
    ahead: Option<(FrameId, FrameId)>,
}

impl DisplayThread {
    pub fn run(mut self, mut output: Box<dyn Output>) -> DisplayOutcome {
        scheduling::make_realtime("display");
        scheduling::take_display_core();
        let now_ns = self.clock.now_ns();
        let mut run = Run {
            on_screen: None,
            last_frame_ns: now_ns,
            annotated: None,
            stale_counted: None,
            absence: Absence::default(),
            blank_shown: false,
            lost: None,
            counters: DisplayCounters::default(),
            delays: DisplayDelays::default(),
            first_present_ns: None,
            recording: RecordingWatch::default(),
            cadence: output.refresh().map(|refresh| Cadence::new(refresh, self.source_fps)),
            turn_began_ns: now_ns,
            paint_ns: PAINT_NS,
            present_ns: 0,
            chosen_ns: now_ns,
            ahead: None,
        };
        let driven = self.drive(&mut run, &mut *output);
        // Not before: another may have taken the place of the one that was opened.
        let info = output.describe();
        self.beat.rest();
        if let Some(on_screen) = run.on_screen.take()
            && let Ok(pixels) = output.presented()
        {
            self.sinks.before_next(&on_screen.frame, pixels);
        }
        drop(output);
        self.stop.request();
        let cadence = run.cadence.map(Cadence::into_parts);
        let feed = self.feed.take().map(|feed| feed.finish().0);
        DisplayOutcome {
            output: info,
            counters: run.counters,
            delays: run.delays,
            states: self.states,
            first_present_ns: run.first_present_ns,
            cadence: cadence.map(|(refresh, counts, wait)| CadenceOutcome { refresh_hz: refresh.rate.per_second(), counts, wait }),
            feed,
            error: driven.err().filter(|e| !matches!(e, DisplayError::Closed)),
            sinks: self.sinks,
        }
    }

    fn drive(&mut self, run: &mut Run, output: &mut dyn Output) -> Result<(), DisplayError> {
        let pulled = self.pulled.clone();
        let permit = || {
            if let Some(ready) = &pulled {
                ready.store(true, Ordering::Release);
            }
        };
        permit();
        loop {
            // The first picture may take its time: shaders are compiled for it. systemd waits for it too.
            if run.first_present_ns.is_some() {
                self.beat.beat();
            }
            self.faults.befall(&*self.clock, output);
            // Read before the slot is looked at: what was pushed before the end was declared is then still seen. Capture
            // is what ends a run, also one that is asked to stop: each frame that it took is still shown.
            let has_ended = self.ended.load(Ordering::Acquire);
            self.take_controls(run);
            self.take_signals(run);
            self.note_recording(run);
            self.take_analysis();
            self.take_monitor(output);
            if let Some(turn_ns) = self.turn_ns(run) {
                if has_ended && self.frames.is_empty() {
                    return Ok(());
                }
                let patience = self.patience(run).min(Duration::from_nanos(turn_ns));
                self.wake.wait(patience);
                continue;
            }
            if let Some(frame) = self.frames.pop() {
                let shown = self.show_new(run, output, frame.clone());
                let shown = shown.or_else(|error| self.rescue(run, output, error).and_then(|()| self.show_new(run, output, frame)));
                shown.inspect_err(|_| run.counters.failed += 1)?;
                permit();
                continue;
            }
            if has_ended {
                return Ok(());
            }
            let presents = run.counters.repeated;
            self.refresh(run, output).or_else(|error| self.rescue(run, output, error))?;
            // A monitor with a rate of its own has waited for its tick already, if anything was shown.
            if run.cadence.is_none() || run.counters.repeated == presents {
                self.paint_ahead(run);
                self.wake.wait(self.patience(run));
            }
        }
    }

    /// Where another way to show pictures is there, and the error is one to go on from: what was on the screen is shown anew, clean.
    fn rescue(&mut self, run: &mut Run, output: &mut dyn Output, error: DisplayError) -> Result<(), DisplayError> {
        let now_ns = self.clock.now_ns();
        mishaps::rescue(&mut self.states, now_ns, output, error)?;
        self.operator.clean(now_ns);
        self.take_view(now_ns);
        (run.on_screen, run.blank_shown) = (None, false);
        Ok(())
    }

    /// Where the output takes pictures at a rate of its own: how long it is until the next turn, ns. None: now.
    /// Frames that come faster than the output takes them are left out here.
    fn turn_ns(&mut self, run: &mut Run) -> Option<u64> {
        let cadence = run.cadence.as_mut()?;
        let now_ns = self.clock.now_ns();
        let wait_ns = cadence.turn_ns(now_ns).saturating_sub(now_ns);
        let waiting = self.frames.len();
        if (wait_ns == 0 || cadence.is_flooded(waiting)) && cadence.must_slip(now_ns, waiting) {
            // Its place in the slot is free again at once.
            drop(self.frames.pop());
        }
        run.turn_began_ns = now_ns;
        (wait_ns > 0).then_some(wait_ns)
    }

    /// What has gone wrong with recording is an alarm, once.
    fn note_recording(&mut self, run: &mut Run) {
        let Self { sinks, states, .. } = self;
        run.recording.look(self.clock.now_ns(), &sinks.recording(), || sinks.recording_trouble(), states);
        mishaps::of_files(states, self.clock.now_ns(), sinks);
    }

    fn take_controls(&mut self, run: &mut Run) {
        let now_ns = self.clock.now_ns();
        while let Some(note) = self.operator.next_note() {
            state::control(&mut self.states, now_ns, &note);
        }
        while let Some(errand) = self.operator.next_errand(now_ns) {
            match errand {
                Errand::Quit => self.stop.request(),
                Errand::Record => self.sinks.toggle_recording(),
                Errand::Mark => {
                    if let Some(on_screen) = &run.on_screen {
                        self.sinks.mark(&on_screen.frame);
                    }
                }
                Errand::Still => self.sinks.want_still(),
                Errand::Acknowledge => self.states.acknowledge(now_ns),
                Errand::PictureInPicture => self.hud.ask_pip(PipRequest::Clean),
                Errand::Freeze => self.hud.ask_pip(PipRequest::Freeze),
                Errand::Zoom => self.hud.ask_pip(PipRequest::Zoom),
                Errand::ClosePictureInPicture => self.hud.close_pip(),
            }
        }
        self.take_view(now_ns);
    }

    fn take_view(&mut self, now_ns: u64) {
        if let Some(view) = self.operator.changed_view(now_ns) {
            self.screen.set_view(&view);
            self.hud.set_view(view.hud, view.language);
            self.is_armed = view.is_armed;
        }
    }

    fn take_signals(&mut self, run: &mut Run) {
        for note in self.signals.try_iter() {
            match note.event {
                SignalEvent::Lost { reason } => {
                    self.states.interrupted(self.clock.now_ns());
                    run.lost = Some((note.before, reason));
                }
                event => state::notice(&mut self.states, self.clock.now_ns(), &event),
            }
        }
    }

    /// What has become of the monitor is an event of the run; the picture goes on.
    fn take_monitor(&mut self, output: &mut dyn Output) {
        while let Some(note) = output.monitor_note() {
            state::monitor(&mut self.states, &note);
        }
    }

    fn take_analysis(&mut self) {
        let now_ns = self.clock.now_ns();
        while let Ok(word) = self.words.try_recv() {
            self.states.hear(now_ns, word);
        }
        let Some(analysis) = &self.analysis else { return };
        self.states.worker(now_ns, state::worker(analysis.status()), || analysis.reason());
        mishaps::of_device(&mut self.states, now_ns, &**analysis, &mut self.sinks);
        if self.states.ai() != Ai::Running {
            self.screen.forget();
        }
        if let Some(scene) = analysis.take_scene() {
            // Where the recorder pulls, ages mean nothing; a self-test counts late answers itself.
            if self.pulled.is_none() && self.sinks.taps.is_none() {
                self.freshness.answer(now_ns, now_ns.saturating_sub(scene.capture_ns) > self.screen.max_age_ns());
                self.states.slow(now_ns, self.freshness.is_slow());
            }
            self.screen.receive(scene);
        }
    }

    fn show_new(&mut self, run: &mut Run, output: &mut dyn Output, frame: Frame) -> Result<(), DisplayError> {
        let now_ns = self.clock.now_ns();
        run.last_frame_ns = now_ns;
        run.blank_shown = false;
        // What was captured before the loss is still shown.
        run.lost.take_if(|(before, _)| frame.id() >= *before);
        self.states.picture(now_ns);
        if self.pulled.is_some() {
            self.wait_for_own_scene(&frame);
        } else {
            self.wait_locked(run, &frame);
        }
        // A frame that waited is handed over when its wait is over.
        let now_ns = if self.pulled.is_some() { now_ns } else { self.clock.now_ns() };
        if let Some(before) = run.on_screen.take()
            && self.sinks.want_pixels(before.frame.id())
        {
            self.sinks.before_next(&before.frame, output.presented()?);
        }
        self.screen.note(&frame);
        self.hud.note(&frame);
        let scene = self.choose(run, &frame, now_ns);
        self.screen.paint(scene.as_deref(), &frame);
        self.refresh_hud(run, now_ns);
        run.delays.handover.record_ns(now_ns.saturating_sub(frame.stamps().capture_ns));
        run.delays.overlay.record_ns(self.clock.now_ns().saturating_sub(now_ns));
        self.present(run, output, &frame, scene.as_deref(), false)?;
        if let Some(feed) = &self.feed {
            feed.offer(&frame);
        }
        run.on_screen = Some(OnScreen { frame, scene: scene.map(|scene| scene.frame) });
        Ok(())
    }

    /// Shows the frame that is on the screen again if its overlay is to change now.
    fn refresh(&mut self, run: &mut Run, output: &mut dyn Output) -> Result<(), DisplayError> {
        let now_ns = self.clock.now_ns();
        let is_silent = now_ns.saturating_sub(run.last_frame_ns) > self.lost_ns;
        if (is_silent || run.lost.is_some()) && self.pulled.is_none() {
            return self.show_no_signal(run, output, now_ns);
        }
        if self.pulled.is_some() {
            // Each frame has waited for its own scene: nothing better comes, and ages mean nothing.
            return Ok(());
        }
        let Some(on_screen) = &run.on_screen else { return Ok(()) };
        let (frame, shown) = (on_screen.frame.clone(), on_screen.scene);
        let scene = self.choose(run, &frame, now_ns);
        let wanted = scene.as_ref().map(|scene| scene.frame);
        // A newer scene of an older frame waits for the next frame; its own frame's scene is shown at once.
        let is_own_scene = wanted == Some(frame.id()) && shown != wanted;
        let must_vanish = shown.is_some() && wanted.is_none();
        // A monitor with a rate of its own shows something at each tick.
        if !is_own_scene && !must_vanish && run.cadence.is_none() {
            return Ok(());
        }
        self.screen.paint(scene.as_deref(), &frame);
        if must_vanish {
            self.refresh_hud(run, now_ns);
        }
        self.present(run, output, &frame, scene.as_deref(), true)?;
        run.on_screen = Some(OnScreen { frame, scene: wanted });
        Ok(())
    }

    /// Paints the overlay that the next frame will carry while there is nothing else to do, so that the frame need not wait
    /// for it; not where that frame may come meanwhile.
    fn paint_ahead(&mut self, run: &mut Run) {
        let (Some(on_screen), Some(held)) = (&run.on_screen, self.screen.held().cloned()) else { return };
        let ahead = Some((on_screen.frame.id(), held.frame));
        let begun_ns = self.clock.now_ns();
        let next_ns = on_screen.frame.stamps().capture_ns + (1e9 / self.source_fps.max(1.0)) as u64;
        let is_free = begun_ns + 2 * run.paint_ns < next_ns && self.frames.is_empty();
        if on_screen.scene != Some(held.frame) || run.ahead == ahead || !is_free || run.cadence.is_some() {
            return;
        }
        self.screen.paint_ahead(&held, next_ns);
        run.ahead = ahead;
        let took_ns = self.clock.now_ns().saturating_sub(begun_ns);
        run.paint_ns = took_ns.min(2 * PAINT_NS).max(run.paint_ns - run.paint_ns / 64);
    }

    fn show_no_signal(&mut self, run: &mut Run, output: &mut dyn Output, now_ns: u64) -> Result<(), DisplayError> {
        let silence = || format!("no picture for {} ms", now_ns.saturating_sub(run.last_frame_ns) / 1_000_000);
        let reason = run.lost.as_ref().map_or_else(silence, |(_, reason)| reason.clone());
        self.states.lose(now_ns, &reason);
        self.screen.forget();
        // The last picture before the signal went is recorded like any other.
        if let Some(last) = run.on_screen.take()
            && self.sinks.want_pixels(last.frame.id())
        {
            self.sinks.before_next(&last.frame, output.presented()?);
        }
        let says_more = self.refresh_hud(run, now_ns);
        if run.blank_shown && !says_more {
            return Ok(());
        }
        let (width, height) = self.hud.size();
        output.set_beside(self.hud.beside(output.screen(), now_ns));
        if let Some(code) = &mut self.code {
            code.blank(output);
        }
        // Said even where the HUD is off or hangs: a picture that has stopped is never shown as live.
        output.show(Picture::Blank(width, height), self.hud.blank_layer(now_ns).as_slice())?;
        if let Some(feed) = &self.feed {
            feed.offer_blank(width, height);
        }
        run.blank_shown = true;
        Ok(())
    }

    fn choose(&mut self, run: &mut Run, frame: &Frame, now_ns: u64) -> Option<Arc<Scene>> {
        let held = self.screen.held().map(|scene| scene.frame);
        run.chosen_ns = now_ns;
        match self.screen.choose(frame, now_ns + run.present_ns, self.states.shows_overlay()) {
            Ok(scene) => {
                run.absence = Absence::default();
                scene
            }
            Err(hidden) => {
                run.absence.note(hidden, now_ns, self.screen.max_age_ns());
                if held.is_some() && run.stale_counted != held {
                    match hidden {
                        Hidden::Stale => {
                            run.counters.scenes_stale_hidden += 1;
                            if let (Some(taps), Some(scene), true) = (&self.sinks.taps, self.screen.held(), run.annotated != held) {
                                taps.too_late(scene.capture_ns, now_ns);
                            }
                        }
                        Hidden::Moved => run.counters.scenes_moved_hidden += 1,
                        Hidden::Off | Hidden::WorkerDown | Hidden::Foreign => {}
                    }
                    run.stale_counted = held;
                }
                None
            }
        }
    }

    fn present(
        &mut self,
        run: &mut Run,
        output: &mut dyn Output,
        frame: &Frame,
        scene: Option<&Scene>,
        repeat: bool,
    ) -> Result<(), DisplayError> {
        let picture = if repeat { Picture::Again(frame) } else { Picture::New(frame) };
        let (overlay, now_ns) = (self.screen.layer(), self.clock.now_ns());
        let screen = output.screen();
        let beside = self.hud.beside(screen, now_ns);
        match &mut self.code {
            Some(code) => code.put(frame, repeat, output, beside),
            None => output.set_beside(beside),
        }
        let (hud, declared) = self.hud.layer(now_ns).map_or((None, [Rect::EMPTY; 6]), |(hud, declared)| (Some(hud), declared));
        let (code, declared) = self.code.as_mut().map_or((None, with_code(declared, Rect::EMPTY)), |code| code.lay(&declared));
        let (mut layers, mut count) = ([overlay; 3], 1);
        for layer in [hud, code].into_iter().flatten() {
            (layers[count], count) = (layer, count + 1);
        }
        let shown = output.show(picture, &layers[..count])?;
        if let Some(code) = &self.code {
            code.shown(frame, repeat, &shown, screen);
        }
        let done_ns = shown.done_ns;
        let took_ns = done_ns.saturating_sub(run.chosen_ns).min(MOST_PRESENT_NS);
        run.present_ns = took_ns.max(run.present_ns - run.present_ns / 64);
        if let Some(cadence) = &mut run.cadence {
            let worked_ns = done_ns.saturating_sub(shown.present_ns + run.turn_began_ns);
            cadence.refresh = output.refresh().unwrap_or(cadence.refresh);
            cadence.turned(done_ns, worked_ns, (!repeat).then_some(frame.stamps().capture_ns));
        }
        run.first_present_ns.get_or_insert(done_ns);
        if repeat {
            run.counters.repeated += 1;
        } else {
            run.counters.displayed += 1;
            run.delays.compose.record_ns(shown.compose_ns);
            run.delays.present.record_ns(shown.present_ns);
            let video_ns = done_ns.saturating_sub(frame.stamps().capture_ns);
            run.delays.video.record_ns(video_ns);
            if let Some(flip_ns) = shown.flip_ns {
                run.delays.presentation.record_ns(flip_ns.saturating_sub(frame.stamps().capture_ns));
            }
            self.hud.shown(video_ns);
            if let Some(progress) = &self.progress {
                progress.shown(frame.id());
            }
        }
        if let Some(taps) = &self.sinks.taps {
            taps.presented(frame.stamps(), done_ns, repeat);
        }
        let age_ns = scene.map(|scene| done_ns.saturating_sub(scene.capture_ns));
        if let (Some(scene), Some(age_ns)) = (scene, age_ns) {
            run.delays.overlay_age.record_ns(age_ns);
            let is_first = run.annotated != Some(scene.frame);
            self.hud.annotated(age_ns, is_first);
            if is_first {
                run.annotated = Some(scene.frame);
                run.delays.annotation.record_ns(age_ns);
            }
        }
        if self.sinks.want_pixels(frame.id()) {
            let present = Present {
                frame,
                repeat,
                present_ns: done_ns,
                scene_frame: scene.map(|scene| scene.frame),
                age_ms: age_ns.map(|ns| (ns / 1_000) as f64 / 1_000.0),
                overlay,
                hud: &declared,
                is_final: scene.is_some_and(|scene| scene.frame == frame.id()),
            };
            self.sinks.after_present(&present, output.presented()?);
        }
        Ok(())
    }

    /// Says what has changed; returns whether something new was painted since the last time.
    fn refresh_hud(&mut self, run: &mut Run, now_ns: u64) -> bool {
        let (held, recording) = (self.screen.held(), self.sinks.recording());
        let now = Now {
            signal: self.states.signal(),
            ai: self.states.ai(),
            alarms: self.states.alarms(),
            is_changed: self.states.is_changed(),
            is_stale: run.stale_counted.is_some() && run.stale_counted == held.map(|scene| scene.frame) && run.absence.is_told(now_ns),
            is_unknown: held.is_some_and(|scene| scene.frame_state == Trust::Unknown),
            doubt: held.and_then(|scene| doubt_of(scene)),
            overlay: self.screen.mode(),
            is_armed: self.is_armed,
            recording,
        };
        if let Some(progress) = &self.progress {
            progress.is(now.signal, now.ai);
        }
        let has_come = self.hud.refresh(now_ns, &now);
        self.states.set(now_ns, Code::HudHung, self.hud.is_hung(now_ns), || HUD_HUNG.into());
        has_come
    }

    /// How long nothing needs doing unless somebody rings.
    fn patience(&self, run: &Run) -> Duration {
        let now_ns = self.clock.now_ns();
        let mut deadline_ns = (run.last_frame_ns + self.lost_ns).min(self.operator.due_ns().unwrap_or(u64::MAX));
        if let (Some(OnScreen { scene: Some(_), .. }), Some(held)) = (&run.on_screen, self.screen.held()) {
            deadline_ns = deadline_ns.min((held.capture_ns + self.screen.max_age_ns()).saturating_sub(run.present_ns));
        }
        Duration::from_nanos(deadline_ns.saturating_sub(now_ns).max(100_000)).min(IDLE_WAIT)
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
