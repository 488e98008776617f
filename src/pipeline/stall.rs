//! A bare timer thread beside the run: how late the machine itself wakes a thread that does nothing else.
//! Drops and p99.9 are read beside it.

use crate::base::clock::Clock;
use crate::base::shutdown::Shutdown;
use crate::base::stats::Delays;
use crate::pipeline::scheduling;
use std::sync::Arc;
use std::thread::JoinHandle;

const PERIOD_NS: u64 = 1_000_000_000 / 60;

pub fn start(clock: Arc<dyn Clock>, stop: Shutdown) -> std::io::Result<JoinHandle<Delays>> {
    std::thread::Builder::new().name("stall".into()).spawn(move || {
        scheduling::make_realtime("stall timer");
        let mut late = Delays::default();
        let mut due = clock.now_ns() + PERIOD_NS;
        while !stop.is_requested() {
            clock.sleep_until_ns(due);
            let now = clock.now_ns();
            late.record_ns(now.saturating_sub(due));
            due = (due + PERIOD_NS).max(now);
        }
        late
    })
}
