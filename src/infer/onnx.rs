//! Which files beside itself an ONNX model wants to read its weights from. ONNX Runtime would open them by itself, wherever they
//! point; so they are looked for first, and only those that the manifest locks are handed over, as bytes. Nothing else is
//! read from a model here: its graph is ONNX Runtime's.
//!
//! The fields that are followed (onnx.proto, ONNX IR version 13):
//! ```text
//!   Model  { graph 7, functions 25 }      Graph { node 1, initializer 5, sparse_initializer 15 }     Function { node 7 }
//!   Node   { attribute 5 }                Attribute { t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23 }
//!   Tensor { data_type 2, raw_data 9, external_data 13 }           SparseTensor { values 1, indices 2 }     external_data { key 1, value 2 }
//! ```

use std::collections::BTreeSet;

/// Graphs in graphs: deeper than any exporter goes.
const MAX_DEPTH: usize = 64;

/// Not protobuf, or nested beyond all use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotOnnx;

/// Names of the external files, as the model writes them.
pub fn external_files(model: &[u8]) -> Result<BTreeSet<String>, NotOnnx> {
    let mut found = BTreeSet::new();
    walk(model, Kind::Model, 0, &mut found)?;
    Ok(found)
}

/// The numbers of each tensor of f32 that the model's own graph starts from, as the file holds them (little-endian).
pub fn weights(model: &[u8]) -> Result<Vec<&[u8]>, NotOnnx> {
    const F32: &[u8] = &[1];
    let mut found = Vec::new();
    for graph in Fields::of(model).numbered(7)? {
        for tensor in Fields::of(graph).numbered(5)? {
            if Fields::of(tensor).numbered(2)? == [F32] {
                found.extend(Fields::of(tensor).numbered(9)?);
            }
        }
    }
    Ok(found)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
}

impl Kind {
    fn inside(self, field: u64) -> Option<Kind> {
        Some(match (self, field) {
            (Kind::Model, 7) => Kind::Graph,
            (Kind::Model, 25) => Kind::Function,
            (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
            (Kind::Graph, 5) => Kind::Tensor,
            (Kind::Graph, 15) => Kind::SparseTensor,
            (Kind::Node, 5) => Kind::Attribute,
            (Kind::Attribute, 5 | 10) => Kind::Tensor,
            (Kind::Attribute, 6 | 11) => Kind::Graph,
            (Kind::Attribute, 22 | 23) => Kind::SparseTensor,
            (Kind::SparseTensor, 1 | 2) => Kind::Tensor,
            _ => return None,
        })
    }
}

fn walk(message: &[u8], kind: Kind, depth: usize, found: &mut BTreeSet<String>) -> Result<(), NotOnnx> {
    if depth > MAX_DEPTH {
        return Err(NotOnnx);
    }
    let mut fields = Fields::of(message);
    while let Some((field, bytes)) = fields.next_field()? {
        if let Some(inside) = kind.inside(field) {
            walk(bytes, inside, depth + 1, found)?;
        } else if kind == Kind::Tensor && field == 13 {
            found.extend(location(bytes)?);
        }
    }
    Ok(())
}

/// The value of an entry of external_data whose key is `location`.
fn location(entry: &[u8]) -> Result<Option<String>, NotOnnx> {
    let (mut key, mut value) = (&[][..], &[][..]);
    let mut fields = Fields::of(entry);
    while let Some((field, bytes)) = fields.next_field()? {
        match field {
            1 => key = bytes,
            2 => value = bytes,
            _ => {}
        }
    }
    Ok((key == b"location").then(|| String::from_utf8_lossy(value).into_owned()))
}

/// The fields of a protobuf message, one after the other.
struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    fn of(message: &'a [u8]) -> Self {
        Fields { rest: message }
    }

    /// All fields of one number.
    fn numbered(mut self, number: u64) -> Result<Vec<&'a [u8]>, NotOnnx> {
        let mut found = Vec::new();
        while let Some((field, bytes)) = self.next_field()? {
            if field == number {
                found.push(bytes);
            }
        }
        Ok(found)
    }

    /// Number and bytes of the next field; those of a varint as they are written, none of fixed numbers.
    fn next_field(&mut self) -> Result<Option<(u64, &'a [u8])>, NotOnnx> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let length = match tag & 7 {
            0 => {
                let written = self.rest;
                self.varint()?;
                return Ok(Some((tag >> 3, &written[..written.len() - self.rest.len()])));
            }
            1 => return self.skip(8).map(|_| Some((tag >> 3, &[][..]))),
            2 => usize::try_from(self.varint()?).map_err(|_| NotOnnx)?,
            5 => return self.skip(4).map(|_| Some((tag >> 3, &[][..]))),
            // Groups, which ONNX never had.
            _ => return Err(NotOnnx),
        };
        Ok(Some((tag >> 3, self.skip(length)?)))
    }

    fn skip(&mut self, length: usize) -> Result<&'a [u8], NotOnnx> {
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(NotOnnx)?;
        self.rest = rest;
        Ok(bytes)
    }

    fn varint(&mut self) -> Result<u64, NotOnnx> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.skip(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(NotOnnx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::testing::TestEngine;
    use proptest::prelude::*;

    #[test]
    fn external_files_are_found_and_a_whole_model_has_none() {
        assert_eq!(external_files(&TestEngine::maps().model()), Ok(BTreeSet::new()));
        let found = external_files(&TestEngine::maps().with_external("weights.bin").model()).unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["weights.bin"]);
        assert_eq!(external_files(b"no model"), Err(NotOnnx));
    }

    #[test]
    fn the_numbers_of_a_model_stand_in_it() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/engines/surgical-cpu/model.onnx");
        let model = std::fs::read(path).unwrap();
        let found = weights(&model).unwrap();
        // Scales of an integer network; each is part of the file and whole.
        assert!(found.iter().filter(|numbers| numbers.len() > 256).count() > 20);
        assert!(found.iter().all(|numbers| numbers.len().is_multiple_of(4) && model.as_ptr_range().contains(&numbers.as_ptr())));
        assert_eq!(weights(b"no model"), Err(NotOnnx));
    }

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let _ = (external_files(&bytes), weights(&bytes));
            let mut model = TestEngine::maps().with_external("weights.bin").model();
            let at = at.index(model.len());
            model[at] = with;
            let _ = (external_files(&model), weights(&model));
        }
    }
}
