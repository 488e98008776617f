//! A fault on demand: bits of the network's numbers are turned over in the AI process's memory, as a failing memory would do it.

use crate::infer::weights;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;

/// A tensor is known again by so many bytes from its start, which lies where an f32 may lie.
const KNOWN_BY: usize = 64;
const ALIGNED_TO: usize = 4;
/// Larger ones are brought into an order of the library's own.
const LARGEST: usize = 8192;
/// Mappings are read in pieces of this size.
const PIECE: usize = 16 << 20;

/// Turns one bit over in the middle number of each small tensor of the model, wherever it is found in the memory of process `pid`:
/// what is found may also be a remnant that is read no more. Returns how many; errors in words.
pub fn flip_weight(pid: u32, model: &[u8]) -> Result<usize, String> {
    let tensors = weights(model).map_err(|_| "the model is no ONNX file".to_owned())?;
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    // Most places are none, which two bytes tell.
    let mut begins = vec![false; 1 << 16];
    let of = |bytes: &[u8]| usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    for (index, tensor) in tensors.iter().enumerate() {
        if let Some((head, _)) = tensor.split_at_checked(KNOWN_BY)
            && tensor.len() <= LARGEST
            && head.iter().any(|byte| *byte != head[0])
        {
            known.insert(head, index);
            begins[of(head)] = true;
        }
    }
    let memory = open(pid)?;
    let mut flipped = 0;
    for (from, to) in mappings(pid)? {
        let mut at = from;
        while at < to {
            let mut piece = vec![0; PIECE.min((to - at) as usize)];
            let Ok(length) = memory.read_at(&mut piece, at) else { break };
            if length < KNOWN_BY {
                break;
            }
            for offset in (0..=length - KNOWN_BY).step_by(ALIGNED_TO) {
                let head = &piece[offset..offset + KNOWN_BY];
                if begins[of(head)]
                    && let Some(&index) = known.get(head)
                {
                    flip(&memory, at + offset as u64, tensors[index].len())
                        .map_err(|error| format!("its memory cannot be written to: {error}"))?;
                    flipped += 1;
                }
            }
            at += length as u64;
        }
    }
    if flipped == 0 { Err("none of its numbers were found in the AI process's memory".to_owned()) } else { Ok(flipped) }
}

/// The largest exponent bit of the middle number of the tensor of `bytes` bytes at `place`.
fn flip(memory: &File, place: u64, bytes: usize) -> std::io::Result<()> {
    let at = place + ((bytes / 2) & !3 | 3) as u64;
    let mut value = [0];
    memory.read_exact_at(&mut value, at)?;
    memory.write_all_at(&[value[0] ^ 0x40], at)
}

fn open(pid: u32) -> Result<File, String> {
    let path = format!("/proc/{pid}/mem");
    OpenOptions::new().read(true).write(true).open(&path).map_err(|error| format!("{path}: {error}; run as root"))
}

/// First address and the one behind the last, of all memory that the process may write to and shares with nobody.
fn mappings(pid: u32) -> Result<Vec<(u64, u64)>, String> {
    let path = format!("/proc/{pid}/maps");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}; run as root"))?;
    let of = |line: &str| {
        let (range, rest) = line.split_once(' ')?;
        let (from, to) = range.split_once('-')?;
        let is_own = rest.starts_with("rw-p") && !line.contains("[v");
        is_own.then_some((u64::from_str_radix(from, 16).ok()?, u64::from_str_radix(to, 16).ok()?))
    };
    Ok(text.lines().filter_map(of).collect())
}
