//! The loop `external`: a light at the scope's tip and a photodiode on the glass, both on one small board (hw/photodiode), which tells
//! over a serial line how long each flash took. Nothing of keyhole is in that path unless keyhole is: a tower and its monitor are
//! measured as they stand, before it is installed and after.
//!
//! ```text
//!   K,1,10000*21          the board: protocol 1, looks at the diode 10,000 times a second
//!   F,17,83214*5D         flash 17 was seen 83,214 µs after the light went on, both by the board's clock
//!   F,18,-*4A             it was not seen within the board's patience
//! ```
//! Two hex digits after `*`: XOR of all bytes before it.

use crate::base::shutdown::signalled;
use crate::base::stats::{Delays, Summary};
use crate::guard::{Check, Counts, Form, Limits, Report, Test};
use crate::pipeline::inputs::open_port;
use rustix::event::{PollFd, PollFlags, Timespec};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const BAUD: u32 = 115_200;
const PROTOCOL: u32 = 1;
/// A board that says nothing for so long is not there.
const SILENCE: Duration = Duration::from_secs(5);
/// Longer than any line.
const MOST_BYTES: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Board { protocol: u32, looks_a_second: u32 },
    Flash { number: u32, delay_us: Option<u32> },
}

/// None: it is damaged, or no line of this protocol.
pub fn parse(line: &str) -> Option<Line> {
    let (said, sum) = line.trim_end_matches(['\r', '\n']).rsplit_once('*')?;
    let is_whole = sum.len() == 2 && u8::from_str_radix(sum, 16).ok()? == said.bytes().fold(0, |sum, byte| sum ^ byte);
    let mut parts = said.split(',');
    let line = match (parts.next()?, parts.next()?, parts.next()?) {
        ("K", protocol, rate) => Line::Board { protocol: protocol.parse().ok()?, looks_a_second: rate.parse().ok().filter(|&hz| hz > 0)? },
        ("F", number, "-") => Line::Flash { number: number.parse().ok()?, delay_us: None },
        ("F", number, delay) => Line::Flash { number: number.parse().ok()?, delay_us: Some(delay.parse().ok()?) },
        _ => return None,
    };
    (is_whole && parts.next().is_none()).then_some(line)
}

#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error(
        "the photodiode's board at {path}: {reason}; see that it is plugged in, and that --photodiode names its port (/dev/ttyACM0, say)"
    )]
    Port { path: PathBuf, reason: std::io::Error },
    #[error("the photodiode's board at {path} says nothing that is understood; see that it runs hw/photodiode/photodiode.ino")]
    Silent { path: PathBuf },
    #[error(
        "the photodiode's board at {path} speaks protocol {found}; this program speaks {PROTOCOL}: flash hw/photodiode/photodiode.ino anew"
    )]
    Protocol { path: PathBuf, found: u32 },
    #[error("the measurement was ended after {seen} of {wanted} flashes")]
    Ended { seen: usize, wanted: u64 },
}

/// What the board said.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Flashes {
    /// Time since the first flash, s, and delay, ms, of each that was seen.
    pub seen: Vec<[f64; 2]>,
    pub unseen: u64,
    /// Flashes whose line did not arrive, or arrived damaged.
    pub lost: u64,
    pub looks_a_second: Option<u32>,
    last: Option<u32>,
}

impl Flashes {
    /// Takes a line that came so long after the first one. An error: the protocol that it speaks instead.
    fn take(&mut self, line: Line, since: Duration) -> Result<(), u32> {
        match line {
            Line::Board { protocol, .. } if protocol != PROTOCOL => return Err(protocol),
            Line::Board { looks_a_second, .. } => {
                self.looks_a_second = Some(looks_a_second);
                // It was reset: its numbers begin anew.
                self.last = None;
            }
            Line::Flash { number, delay_us } => {
                self.lost += self.last.map_or(0, |last| u64::from(number.wrapping_sub(last).saturating_sub(1)));
                self.last = Some(number);
                match delay_us {
                    Some(us) => self.seen.push([since.as_secs_f64(), f64::from(us) / 1e3]),
                    None => self.unseen += 1,
                }
            }
        }
        Ok(())
    }
}

/// Listens until the board has told of `wanted` flashes that were seen. `on_flash`: after each, how many there are.
pub fn measure(path: &Path, wanted: u64, mut on_flash: impl FnMut(usize)) -> Result<Flashes, ExternalError> {
    let fail = |reason: std::io::Error| ExternalError::Port { path: path.to_owned(), reason };
    let port = open_port(path, BAUD).map_err(fail)?;
    let wait = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    let (mut flashes, mut line, mut began) = (Flashes::default(), Vec::new(), None);
    let (mut heard, mut bytes) = (Instant::now(), [0; 256]);
    while (flashes.seen.len() as u64) < wanted {
        if signalled() {
            return Err(ExternalError::Ended { seen: flashes.seen.len(), wanted });
        }
        if heard.elapsed() > SILENCE {
            return Err(ExternalError::Silent { path: path.to_owned() });
        }
        match rustix::event::poll(&mut [PollFd::new(&port, PollFlags::IN)], Some(&wait)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(fail(error.into())),
        }
        let count = match rustix::io::read(&port, &mut bytes) {
            Ok(0) => return Err(fail(std::io::Error::other("it was unplugged"))),
            Ok(count) => count,
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(fail(error.into())),
        };
        for &byte in &bytes[..count] {
            if byte != b'\n' {
                line.push(byte);
                line.truncate(MOST_BYTES);
                continue;
            }
            if let Some(said) = std::str::from_utf8(&line).ok().and_then(parse) {
                heard = Instant::now();
                let since = began.get_or_insert(heard).elapsed();
                flashes.take(said, since).map_err(|found| ExternalError::Protocol { path: path.to_owned(), found })?;
                on_flash(flashes.seen.len());
            }
            line.clear();
        }
    }
    flashes.seen.truncate(wanted as usize);
    Ok(flashes)
}

/// Fills the report's delays, counts and checks.
pub fn judge_external(flashes: &Flashes, form: Form, limits: &Limits, report: &mut Report) {
    let delays_ms: Vec<f64> = flashes.seen.iter().map(|[_, ms]| *ms).collect();
    report.set_series(&flashes.seen);
    report.delays_ms.cable_to_cable = summary(&delays_ms);
    report.resolution_ms = flashes.looks_a_second.map(|hz| 1e3 / f64::from(hz));
    let (seen, unseen) = (delays_ms.len() as u64, flashes.unseen);
    report.counts = Counts { sent: seen + unseen, seen, missing: unseen, looks: seen + unseen, ..Counts::default() };
    report.checks.extend([
        Check::delay(Test::CableToCable, &delays_ms, form, limits),
        Check::frames(seen, form, limits),
        Check::measured(Test::Missing, 100.0 * unseen as f64 / (seen + unseen).max(1) as f64, limits)
            .with_detail(&format!("{unseen} flashes were not seen; {} lines were lost between board and box", flashes.lost)),
        Check::found(Test::LimitsFile, true, limits.sha256.clone()),
    ]);
}

fn summary(ms: &[f64]) -> Option<Summary> {
    let mut delays = Delays::default();
    ms.iter().for_each(|ms| delays.record_ns((ms * 1e6).max(0.0) as u64));
    (!ms.is_empty()).then(|| delays.summary())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(said: &str) -> String {
        format!("{said}*{:02X}\r\n", said.bytes().fold(0, |sum, byte| sum ^ byte))
    }

    #[test]
    fn lines_are_read_and_damaged_ones_are_not() {
        assert_eq!(parse(&line("K,1,10000")), Some(Line::Board { protocol: 1, looks_a_second: 10_000 }));
        assert_eq!(parse(&line("F,17,83214")), Some(Line::Flash { number: 17, delay_us: Some(83_214) }));
        assert_eq!(parse(&line("F,18,-")), Some(Line::Flash { number: 18, delay_us: None }));
        for bad in ["F,17,83214*00", "F,17,83214", "", "*", "F,17*2A", &line("F,17,8,9"), &line("F,-1,5"), &line("K,1,0"), &line("X,1,2")] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn flashes_that_were_not_seen_and_lines_that_were_lost_are_counted_apart() {
        let mut flashes = Flashes::default();
        let mut take = |said: &str| flashes.take(parse(&line(said)).unwrap(), Duration::from_millis(300));
        assert_eq!(take("K,1,10000"), Ok(()));
        for said in ["F,4294967295,50000", "F,0,51000", "F,1,-", "F,4,52000", "K,1,10000", "F,1,53000"] {
            assert_eq!(take(said), Ok(()));
        }
        assert_eq!(take("K,2,10000"), Err(2));
        assert_eq!((flashes.seen.len(), flashes.unseen, flashes.lost), (4, 1, 2));
        let (limits, mut report) =
            (Limits::shipped(), Report::new(crate::guard::Loop::External, Form::Quick, Default::default(), super::super::now(), ""));
        judge_external(&flashes, Form::Quick, &limits, &mut report);
        assert_eq!((report.counts.sent, report.counts.missing, report.resolution_ms), (5, 1, Some(0.1)));
        assert!(report.delays_ms.cable_to_cable.is_some_and(|delay| (delay.max - 53.0).abs() < 0.1));
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic_and_one_changed_byte_is_no_other_line(text in ".{0,40}", number in any::<u32>(), delay in any::<u32>(), at in any::<prop::sample::Index>(), with in 0x20u8..0x7f) {
            let _ = parse(&text);
            let whole = line(&format!("F,{number},{delay}"));
            let mut bytes = whole.clone().into_bytes();
            let at = at.index(bytes.len() - 2);
            bytes[at] = with;
            let changed = String::from_utf8(bytes).unwrap();
            if let Some(line) = parse(&changed) {
                prop_assert_eq!(line, Line::Flash { number, delay_us: Some(delay) });
            }
        }
    }
}
