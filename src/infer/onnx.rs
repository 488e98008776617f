//! Which files beside itself an ONNX model wants to read its weights from. ONNX Runtime would open them by itself, wherever they
//! point; so they are looked for first, and only those that the manifest locks are handed over, as bytes. Nothing else is
//! read from a model here: its graph is ONNX Runtime's.
//!
//! The fields that are followed (onnx.proto, ONNX IR version 13):
//! ```text
//!   Model  { graph 7, functions 25 }      Graph { node 1, initializer 5, sparse_initializer 15 }     Function { node 7 }
//!   Node   { attribute 5 }                Attribute { t 5, g 6, tensors 10, graphs 11, sparse_tensor 22, sparse_tensors 23 }
//!   Tensor { external_data 13 }           SparseTensor { values 1, indices 2 }     external_data { key 1, value 2 }
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
    let mut fields = Fields { rest: message };
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
    let mut fields = Fields { rest: entry };
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
    /// Number and bytes of the next field; no bytes for numbers.
    fn next_field(&mut self) -> Result<Option<(u64, &'a [u8])>, NotOnnx> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let length = match tag & 7 {
            0 => {
                self.varint()?;
                0
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

    proptest! {
        #[test]
        fn any_bytes_are_walked_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), with in any::<u8>()) {
            let _ = external_files(&bytes);
            let mut model = TestEngine::maps().with_external("weights.bin").model();
            let at = at.index(model.len());
            model[at] = with;
            let _ = external_files(&model);
        }
    }
}
