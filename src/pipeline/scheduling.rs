//! What the machine grants to the threads that a picture depends on: real-time priority, memory that stays.
//! Nothing here is required: what was refused is said in the report.

use crate::base::inventory::{Item, State};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Priority of the capture and display threads under SCHED_FIFO, above normal threads and below kernel threads' 50.
const FIFO_PRIORITY: i32 = 40;

/// Another process of this appliance shows the picture.
static IS_BESIDE: AtomicBool = AtomicBool::new(false);
static GRANTED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn note(text: String) {
    let mut granted = GRANTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if !granted.contains(&text) {
        granted.push(text);
    }
}

/// Everything that was granted or refused so far, for the report.
pub fn summary() -> String {
    GRANTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).join("; ")
}

/// What a run would be granted here, tried on a thread that ends at once.
pub fn grants() -> Vec<Item> {
    let tried = std::thread::spawn(|| {
        make_realtime("capture and display");
        take_display_core();
        lock_memory();
    });
    // It cannot panic; and what it did not get is not in the list.
    let _ = tried.join();
    let granted = GRANTED.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let state = |text: &str| if text.contains("refused") || text.contains("not locked") { State::Limited } else { State::Ok };
    let remedy = "; start it by hw/keyhole.service, as root, or with CAP_SYS_NICE and CAP_IPC_LOCK";
    granted
        .iter()
        .map(|text| (state(text), text))
        .map(|(state, text)| match state {
            State::Ok => Item::new(state, text.as_str()),
            _ => Item::new(state, format!("{text}{remedy}")),
        })
        .collect()
}

/// This process works for one that shows the picture: it ends with the thread there that started it, and none of its threads asks
/// for real-time priority or a core of its own, from now on.
pub fn stand_beside_a_picture() {
    // What fails here fails harmlessly: it ends by itself, some seconds later.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    IS_BESIDE.store(true, Ordering::Relaxed);
    note("beside a picture: no real-time priority".into());
}

/// Puts the calling thread under SCHED_FIFO where that is allowed. Children do not inherit it.
pub fn make_realtime(thread: &str) {
    if IS_BESIDE.load(Ordering::Relaxed) {
        return;
    }
    let parameters = libc::sched_param { sched_priority: FIFO_PRIORITY };
    // SAFETY: plain system call on the calling thread (pid 0) with a valid parameter block.
    let result = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK, &parameters) };
    if result == 0 {
        note(format!("{thread}: SCHED_FIFO {FIFO_PRIORITY}"));
    } else {
        note(format!("{thread}: SCHED_OTHER (SCHED_FIFO refused: {})", std::io::Error::last_os_error()));
    }
}

/// On so few cores the display thread has one to itself and the AI process keeps off it. Left to itself the kernel wakes
/// the AI process on the display's core (both cores being busy at the moment of a capture) and leaves it behind the display
/// for 2 ms, while the other core idles; a real-time thread likewise stays where it last ran, on top of the AI process.
/// With more cores one is idle at that moment.
const FEW_CORES: u32 = 3;

/// The display's core and the others, where there are few.
fn divided(mut others: CpuSet) -> Option<(CpuSet, CpuSet)> {
    if !(2..=FEW_CORES).contains(&others.count()) {
        return None;
    }
    let last = (0..CpuSet::MAX_CPU).rev().find(|&core| others.is_set(core))?;
    let mut own = CpuSet::new();
    own.set(last);
    others.unset(last);
    Some((own, others))
}

/// Keeps the calling thread, the display's, to its core. Threads that it starts later would inherit that.
pub fn take_display_core() {
    if IS_BESIDE.load(Ordering::Relaxed) {
        return;
    }
    let granted = sched_getaffinity(None).ok().and_then(divided).map(|(own, _)| sched_setaffinity(None, &own));
    if granted.is_some_and(|result| result.is_ok()) {
        note("display: a core of its own".into());
    }
}

/// Keeps the calling thread, and those that it starts, off the display's core.
pub fn leave_display_core() {
    if let Some((_, others)) = sched_getaffinity(None).ok().and_then(divided) {
        // Refused: it runs wherever the kernel puts it.
        let _ = sched_setaffinity(None, &others);
    }
}

/// Binds the calling thread to one core, where that is allowed.
pub fn pin_to(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    // Refused where the core is not ours: the thread then watches whichever it runs on.
    let _ = sched_setaffinity(None, &set);
}

/// Keeps touched memory resident where that is allowed.
pub fn lock_memory() {
    // SAFETY: plain system call without pointers.
    let result = unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) };
    note(if result == 0 { "memory locked".into() } else { format!("memory not locked ({})", std::io::Error::last_os_error()) });
}

/// Adds what another room was granted (the worker's niceness and sandbox).
pub fn note_granted(text: &str) {
    note(text.to_owned());
}

/// Peak resident memory of this process, MB (VmHWM).
pub fn peak_rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// How long this process has been running, ns: from its start as the kernel noted it (resolution of a clock tick).
pub fn process_age_ns() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Field 22 (starttime), counted after the command's closing parenthesis, in clock ticks since boot.
    let ticks = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse::<u64>().ok());
    let boot = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let boot_ns = boot.tv_sec as u64 * 1_000_000_000 + boot.tv_nsec as u64;
    // SAFETY: sysconf has no preconditions.
    let ticks_a_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) }.max(1) as u64;
    ticks.map_or(0, |ticks| boot_ns.saturating_sub(ticks * (1_000_000_000 / ticks_a_second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_cores_are_divided_without_overlap_and_many_or_one_are_not() {
        let cores = |cores: &[usize]| {
            let mut set = CpuSet::new();
            cores.iter().for_each(|&core| set.set(core));
            set
        };
        assert_eq!(divided(cores(&[0, 1])), Some((cores(&[1]), cores(&[0]))));
        assert_eq!(divided(cores(&[2, 5, 9])), Some((cores(&[9]), cores(&[2, 5]))));
        assert_eq!(divided(cores(&[3])), None, "one core is everybody's");
        assert_eq!(divided(cores(&[0, 1, 2, 3])), None);
    }
}
