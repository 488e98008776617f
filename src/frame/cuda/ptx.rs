//! What the entries of a compiled kernel are given, read from its PTX: a launch whose arguments do not fit is refused before a
//! device sees it.

use super::CudaError;
use super::kernel::Kernel;
use std::collections::HashMap;

/// The most arguments that an entry may have.
pub const MOST_ARGUMENTS: usize = 16;

/// Bytes of each argument of an entry, in order; a pointer has eight.
pub type Arguments = Vec<usize>;

/// Those of each entry of `kernel`.
pub fn arguments_of(kernel: &Kernel, ptx: &str) -> Result<HashMap<&'static str, Arguments>, CudaError> {
    kernel.entries.iter().map(|entry| Ok((*entry, read(entry, ptx).ok_or_else(|| strange(entry))?))).collect()
}

fn strange(entry: &'static str) -> CudaError {
    let expected = format!("a list of at most {MOST_ARGUMENTS} arguments in its PTX");
    CudaError::Arguments { entry, expected, found: "something else".to_owned() }
}

fn read(entry: &str, ptx: &str) -> Option<Arguments> {
    let (_, rest) = ptx.split_once(&format!(".entry {entry}("))?;
    let (list, _) = rest.split_once(')')?;
    let sizes: Option<Arguments> = list.split(',').filter(|part| !part.trim().is_empty()).map(bytes_of).collect();
    sizes.filter(|sizes| sizes.len() <= MOST_ARGUMENTS)
}

/// `.param .u64 name`, or `.param .align 4 .b8 name[388]`.
fn bytes_of(parameter: &str) -> Option<usize> {
    let words: Vec<&str> = parameter.split_whitespace().collect();
    let one = words.iter().find_map(|word| match *word {
        ".b8" | ".u8" | ".s8" => Some(1),
        ".b16" | ".u16" | ".s16" | ".f16" => Some(2),
        ".b32" | ".u32" | ".s32" | ".f32" => Some(4),
        ".b64" | ".u64" | ".s64" | ".f64" => Some(8),
        _ => None,
    })?;
    match words.last()?.split_once('[') {
        None => Some(one),
        Some((_, count)) => count.strip_suffix(']')?.parse::<usize>().ok().map(|count| one * count),
    }
}

/// Refuses arguments of other sizes than the entry takes.
pub fn check(entry: &'static str, takes: &[usize], mut given: impl Iterator<Item = usize> + Clone) -> Result<(), CudaError> {
    if given.clone().eq(takes.iter().copied()) {
        return Ok(());
    }
    let text = |sizes: &mut dyn Iterator<Item = usize>| sizes.map(|bytes| bytes.to_string()).collect::<Vec<_>>().join(" + ") + " bytes";
    Err(CudaError::Arguments { entry, expected: text(&mut takes.iter().copied()), found: text(&mut given) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PTX: &str = ".visible .entry add(\n\t.param .align 4 .b8 add_param_0[388],\n\t.param .u64 add_param_1,\n\t.param .f32 add_param_2\n)\n{ }\n\
        .visible .entry nothing(\n\n)\n{ }\n";

    #[test]
    fn arguments_are_read_from_the_ptx() {
        let kernel = Kernel { name: "add", source: "", entries: &["add", "nothing"] };
        let found = arguments_of(&kernel, PTX).unwrap();
        assert_eq!((found["add"].as_slice(), found["nothing"].as_slice()), (&[388, 8, 4][..], &[][..]));
        let missing = Kernel { entries: &["subtract"], ..kernel };
        assert!(arguments_of(&missing, PTX).unwrap_err().to_string().contains("'subtract'"));
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused_with_both() {
        assert!(check("add", &[388, 8], [388, 8].into_iter()).is_ok());
        for given in [&[388][..], &[388, 8, 8], &[384, 8]] {
            let text = check("add", &[388, 8], given.iter().copied()).unwrap_err().to_string();
            assert!(text.contains("'add'") && text.contains("388 + 8 bytes"), "{text}");
        }
    }
}
