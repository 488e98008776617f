//! Lines for whoever started the program, on standard error. That may be a file on a disk that is full, or a pipe that nobody reads:
//! a line that cannot be written is lost, and ends nothing (`eprintln!` would panic).

use std::fmt::Arguments;
use std::io::Write;

/// Writes `keyhole: ` and the line.
pub fn say(line: Arguments<'_>) {
    let _ = writeln!(std::io::stderr(), "keyhole: {line}");
}
