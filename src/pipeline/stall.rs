//! Bare timer threads beside the run: how late the machine itself wakes a thread that does nothing else.
//! Drops and p99.9 are read beside it. One thread goes where the scheduler puts it and gives the distribution; one more
//! on each core notices when that core alone stands still (on a virtual machine, when the host takes it away).

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::base::stats::Delays;
use crate::pipeline::scheduling;
use crate::record::StallLine;
use std::sync::Arc;
use std::thread::JoinHandle;

const PERIOD_NS: u64 = 1_000_000_000 / 60;
/// Cores that are watched, and stalls that are kept, at most.
const CORES: usize = 16;
const KEPT: usize = 1_000;

/// How late the machine was.
#[derive(Default)]
pub struct Stalls {
    pub late: Delays,
    /// Each time that a thread was late by more than a frame period of 60 Hz, in order of time.
    pub events: Vec<StallLine>,
}

pub fn start(clock: Arc<dyn Clock>, stop: Shutdown) -> std::io::Result<JoinHandle<Stalls>> {
    let start_ns = clock.now_ns();
    std::thread::Builder::new().name("stall".into()).spawn(move || {
        let cores = std::thread::available_parallelism().map_or(1, usize::from).min(CORES);
        let pinned: Vec<_> = (0..cores)
            .filter_map(|core| {
                let (clock, stop) = (clock.clone(), stop.clone());
                let watch = move || {
                    scheduling::pin_to(core);
                    watch(&*clock, &stop, start_ns, Some(core))
                };
                std::thread::Builder::new().name("stall".into()).spawn(watch).ok()
            })
            .collect();
        let mut all = watch(&*clock, &stop, start_ns, None);
        all.events.extend(pinned.into_iter().filter_map(|thread| thread.join().ok()).flat_map(|stalls| stalls.events));
        all.events.sort_by(|a, b| a.at_ms.total_cmp(&b.at_ms));
        all.events.truncate(KEPT);
        all
    })
}

fn watch(clock: &dyn Clock, stop: &Shutdown, start_ns: u64, core: Option<usize>) -> Stalls {
    scheduling::make_realtime("stall timer");
    let mut stalls = Stalls::default();
    let mut due_ns = clock.now_ns() + PERIOD_NS;
    while !stop.is_requested() {
        clock.sleep_until_ns(due_ns);
        let now_ns = clock.now_ns();
        let late_ns = now_ns.saturating_sub(due_ns);
        stalls.late.record_ns(late_ns);
        if late_ns > PERIOD_NS && stalls.events.len() < KEPT {
            let ms = |ns: u64| (ns / 1_000) as f64 / 1_000.0;
            stalls.events.push(StallLine { at_ms: ms(due_ns.saturating_sub(start_ns)), at_ns: due_ns, late_ms: ms(late_ns), core });
        }
        due_ns = (due_ns + PERIOD_NS).max(now_ns);
    }
    stalls
}
