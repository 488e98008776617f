//! A model's inputs and outputs against its manifest, whatever runs it.
//!
//! ```text
//!   declared inputs ─► Inputs      declared outputs ─► Wanted, of heads, states, cohort ─► their shapes ─► Meaning
//! ```

use super::engine::{HeadSpec, TensorLine};
use super::error::InferError;
use super::port::{Form, input_shape, is_supported, is_whole_number, type_name};
use super::shapes::{Check, Found, cohort_part, outputs_of, part, shape_text};
use crate::store::{ClipOrder, Indication, Manifest};
use ort::value::TensorElementType;

/// An input or output as a model declares it.
#[derive(Debug)]
pub struct Declared {
    pub name: String,
    /// Err: it is no tensor, but this.
    pub tensor: Result<DeclaredTensor, String>,
}

#[derive(Debug)]
pub struct DeclaredTensor {
    pub ty: TensorElementType,
    /// -1: open.
    pub sides: Vec<i64>,
    /// The sides' names, or nothing.
    pub symbols: Vec<String>,
}

fn names(declared: &[Declared]) -> String {
    declared.iter().map(|one| format!("'{}'", one.name)).collect::<Vec<_>>().join(", ")
}

pub fn sides_text(sides: &[i64]) -> String {
    sides.iter().map(|&side| if side < 0 { "?".to_owned() } else { side.to_string() }).collect::<Vec<_>>().join("×")
}

/// An input as it will be fed.
#[derive(Debug)]
pub struct Input {
    pub name: String,
    pub ty: TensorElementType,
    pub shape: Vec<usize>,
}

/// All inputs, the picture first, then the states'; the named sides that the model leaves open, and what they are here.
#[derive(Debug)]
pub struct Inputs {
    pub list: Vec<Input>,
    pub free: Vec<(String, i64)>,
}

impl Inputs {
    pub fn of(manifest: &Manifest, check: Check<'_>, declared: &[Declared]) -> Result<Self, InferError> {
        let mut inputs = Inputs { list: Vec::new(), free: Vec::new() };
        inputs.take(&manifest.input.name, "input", Some(&picture_shape(manifest)), check, declared)?;
        for state in &manifest.state {
            inputs.take(&state.input, "state input", state.shape.as_deref(), check, declared)?;
        }
        if let Some(other) = declared.iter().find(|one| inputs.list.iter().all(|input| input.name != one.name)) {
            let expected = "no inputs but the picture and the [[state]]s";
            return Err(check.mismatch(format!("model input '{}'", other.name), expected, names(declared)));
        }
        Ok(inputs)
    }

    fn take(
        &mut self,
        name: &str,
        role: &str,
        wanted: Option<&[usize]>,
        check: Check<'_>,
        declared: &[Declared],
    ) -> Result<(), InferError> {
        let part = format!("{role} '{name}'");
        let Some(one) = declared.iter().find(|one| one.name == name) else {
            return Err(check.mismatch(part, "a model input of that name", names(declared)));
        };
        let DeclaredTensor { ty, sides, symbols } = match &one.tensor {
            Ok(tensor) => tensor,
            Err(other) => return Err(check.mismatch(part, "a tensor", other.clone())),
        };
        use TensorElementType::{Float16, Float32, Float64, Uint8};
        let is_picture = role == "input";
        if !is_supported(*ty) || is_picture && !matches!(ty, Float32 | Float16 | Float64 | Uint8) {
            return Err(check.mismatch(part, "a tensor of float32, float16, float64 or uint8", type_name(*ty)));
        }
        let shape: Vec<usize> = match wanted {
            Some(wanted) => wanted.to_vec(),
            // A batch that is open is 1.
            None => {
                let closed = |(i, &side): (usize, &i64)| if side < 0 && i == 0 { 1 } else { usize::try_from(side).unwrap_or(0) };
                sides.iter().enumerate().map(closed).collect()
            }
        };
        if wanted.is_none() && shape.contains(&0) {
            let expected = "a shape without open sides, or one given in the manifest ([[state]] shape)";
            return Err(check.mismatch(part, expected, sides_text(sides)));
        }
        let fits = sides.len() == shape.len() && sides.iter().zip(&shape).all(|(&found, &wanted)| found == wanted as i64 || found < 0);
        if !fits {
            return Err(check.mismatch(part, shape_text(&shape), sides_text(sides)));
        }
        for ((&side, symbol), &wanted) in sides.iter().zip(symbols).zip(&shape) {
            if side < 0 && !symbol.is_empty() {
                match self.free.iter().find(|(name, _)| name == symbol) {
                    Some((_, other)) if *other != wanted as i64 => {
                        return Err(check.mismatch(part, format!("'{symbol}' = {other} as elsewhere in the model"), wanted.to_string()));
                    }
                    Some(_) => {}
                    None => self.free.push((symbol.clone(), wanted as i64)),
                }
            }
        }
        self.list.push(Input { name: name.to_owned(), ty: *ty, shape });
        Ok(())
    }
}

/// The shape that the manifest gives the picture.
pub fn picture_shape(manifest: &Manifest) -> Vec<usize> {
    let (input, clip) = (&manifest.input, manifest.clip.map(|clip| (clip.frames, clip.order == ClipOrder::TimeFirst)));
    input_shape(input.layout, [input.width as usize, input.height as usize], clip)
}

/// An output that a head or a state reads.
#[derive(Debug)]
pub struct Wanted {
    pub name: String,
    /// What it is for, for people.
    pub part: String,
    pub ty: TensorElementType,
    pub form: Form,
}

impl Wanted {
    /// All of them, each once.
    pub fn of(manifest: &Manifest, check: Check<'_>, declared: &[Declared]) -> Result<Vec<Self>, InferError> {
        let mut wanted: Vec<Wanted> = Vec::new();
        let of_heads = manifest.heads.iter().flat_map(|head| outputs_of(head).map(|(name, form)| (name, form, part(head, name))));
        let of_states = manifest.state.iter().map(|state| (state.output.as_str(), Form::Same, format!("state output '{}'", state.output)));
        let cohort = manifest.indication.iter().filter_map(|indication| indication.cohort.as_ref());
        let cohort = cohort.map(|cohort| (cohort.output.as_str(), Form::Same, cohort_part(&cohort.output)));
        for (name, form, part) in of_heads.chain(of_states).chain(cohort) {
            if let Some(known) = wanted.iter().find(|known| known.name == name) {
                let is_state = part.starts_with("state");
                if known.form != form && !is_state {
                    return Err(check.mismatch(part, "scores, or class ids of the same classes, in all heads that read it", "both"));
                }
                continue;
            }
            let Some(one) = declared.iter().find(|one| one.name == name) else {
                return Err(check.mismatch(part, "a model output of that name", names(declared)));
            };
            let ty = match &one.tensor {
                Ok(tensor) => tensor.ty,
                Err(other) => return Err(check.mismatch(part, "a tensor", other.clone())),
            };
            let is_scores = form == Form::Same && !part.starts_with("state");
            if !is_supported(ty) || is_scores && is_whole_number(ty) {
                let expected =
                    if is_scores { "a tensor of float32, float16 or float64 (or values = \"class-ids\")" } else { "a tensor of numbers" };
                return Err(check.mismatch(part, expected, type_name(ty)));
            }
            wanted.push(Wanted { name: name.to_owned(), part, ty, form });
        }
        Ok(wanted)
    }
}

/// What a model's tensors mean.
#[derive(Debug)]
pub struct Meaning {
    pub heads: Vec<HeadSpec>,
    pub indication: Option<(Indication, Option<usize>)>,
    pub lines: Vec<TensorLine>,
    /// Of each `[[state]]`, the place of its output among the wanted ones.
    pub states: Vec<usize>,
}

impl Meaning {
    /// `shapes`: of the wanted outputs.
    pub fn of(
        manifest: &Manifest,
        check: Check<'_>,
        inputs: &Inputs,
        wanted: &[Wanted],
        shapes: &[Vec<usize>],
    ) -> Result<Self, InferError> {
        let at = |name: &str| wanted.iter().position(|one| one.name == name);
        let found = |name: &str| at(name).map(|tensor| Found { tensor, shape: &shapes[tensor] });
        let heads = manifest.heads.iter().map(|head| check.head(head, &found)).collect::<Result<Vec<_>, _>>()?;
        check.same_sides(&heads)?;
        let indication = match &manifest.indication {
            Some(indication) => Some((indication.clone(), check.cohort(indication, &found)?)),
            None => None,
        };
        let mut states = Vec::with_capacity(manifest.state.len());
        for (state, input) in manifest.state.iter().zip(inputs.list.iter().skip(1)) {
            let part = || format!("state output '{}'", state.output);
            let output = at(&state.output).ok_or_else(|| check.mismatch(part(), "a model output of that name", "none"))?;
            if (input.ty, &input.shape) != (wanted[output].ty, &shapes[output]) {
                let expected = format!("{} as its input '{}' has", form_text(input.ty, &input.shape), state.input);
                return Err(check.mismatch(part(), expected, form_text(wanted[output].ty, &shapes[output])));
            }
            states.push(output);
        }
        Ok(Meaning { heads, indication, lines: lines(manifest, inputs, wanted, shapes), states })
    }
}

fn form_text(ty: TensorElementType, shape: &[usize]) -> String {
    format!("{}[{}]", type_name(ty), shape_text(shape))
}

fn lines(manifest: &Manifest, inputs: &Inputs, wanted: &[Wanted], shapes: &[Vec<usize>]) -> Vec<TensorLine> {
    let of_inputs = inputs.list.iter().map(|input| {
        let role = if input.name == manifest.input.name { "input" } else { "state" };
        TensorLine { name: input.name.clone(), form: form_text(input.ty, &input.shape), role: role.to_owned() }
    });
    let of_outputs = wanted.iter().zip(shapes).map(|(wanted, shape)| {
        let kinds: Vec<&str> =
            manifest.heads.iter().filter(|h| outputs_of(h).any(|(n, _)| n == wanted.name)).map(|h| h.kind.name()).collect();
        let state = manifest.state.iter().any(|state| state.output == wanted.name).then_some("state");
        let is_cohort = |indication: &Indication| indication.cohort.as_ref().is_some_and(|cohort| cohort.output == wanted.name);
        let cohort = manifest.indication.as_ref().is_some_and(is_cohort).then_some("cohort");
        let role = kinds.into_iter().chain(state).chain(cohort).collect::<Vec<_>>().join(", ");
        TensorLine { name: wanted.name.clone(), form: form_text(wanted.ty, shape), role }
    });
    of_inputs.chain(of_outputs).collect()
}
