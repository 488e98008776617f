//! A fault on demand: one bit of a number of the network is turned over in the AI process's memory, as a failing memory would do it.

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

/// Turns the highest bit but one of a number over (an f32's largest exponent bit): the middle one of the largest tensor of the model
/// that is found in the memory of process `pid`, in each of its places. Says where; errors in words.
pub fn flip_weight(pid: u32, model: &[u8]) -> Result<String, String> {
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
    let mut found: Option<(usize, Vec<u64>)> = None;
    for (from, to) in mappings(pid)? {
        let mut at = from;
        while at < to {
            let mut piece = vec![0; PIECE.min((to - at) as usize)];
            let Ok(length) = memory.read_at(&mut piece, at) else { break };
            if length < KNOWN_BY {
                break;
            }
            for offset in (0..=length.saturating_sub(KNOWN_BY)).step_by(ALIGNED_TO) {
                let head = &piece[offset..offset + KNOWN_BY];
                if begins[of(head)]
                    && let Some(&index) = known.get(head)
                {
                    let place = at + offset as u64;
                    match &mut found {
                        Some((best, places)) if *best == index => places.push(place),
                        Some((best, _)) if tensors[*best].len() >= tensors[index].len() => {}
                        _ => found = Some((index, vec![place])),
                    }
                }
            }
            at += length as u64;
        }
    }
    let (index, places) = found.ok_or("none of its numbers were found in the AI process's memory")?;
    let byte = (tensors[index].len() / 2) & !3 | 3;
    for place in &places {
        let at = place + byte as u64;
        let mut value = [0];
        memory
            .read_exact_at(&mut value, at)
            .and_then(|()| memory.write_all_at(&[value[0] ^ 0x40], at))
            .map_err(|error| format!("its memory cannot be written to: {error}"))?;
    }
    Ok(format!("bit 6 of byte {byte} of a tensor of {} bytes, in {} places", tensors[index].len(), places.len()))
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
