//! One tensor at the border of a model: the model's own number type inside, f32 outside.

use super::cuda::Number;
use crate::frame::cuda::{CudaError, DeviceSpan, Payload, Stream};
use crate::store::TensorLayout;
use half::f16;
use half::slice::HalfFloatSliceExt;
use ort::value::TensorElementType;

/// A tensor's numbers as its model has them; truth is 0 or 1.
#[derive(Debug, Clone, Copy)]
pub enum Numbers<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    F64(&'a [f64]),
    U8(&'a [u8]),
    I32(&'a [i32]),
    I64(&'a [i64]),
}

/// As `Numbers`, of the types that a picture may have.
#[derive(Debug)]
pub enum NumbersMut<'a> {
    F32(&'a mut [f32]),
    F16(&'a mut [f16]),
    F64(&'a mut [f64]),
    U8(&'a mut [u8]),
    OfNoPicture,
}

/// Where a tensor lies: here, or on a device with a copy here.
pub trait Place: Send {
    /// Here; what was begun with them was waited for.
    fn numbers(&self) -> Result<Numbers<'_>, CudaError>;

    /// As `numbers`.
    fn numbers_mut(&mut self) -> Result<NumbersMut<'_>, CudaError>;

    /// Its own numbers, where they are f32 and can be given out.
    fn own(&self) -> Option<&[f32]> {
        None
    }

    /// As `own`.
    fn own_mut(&mut self) -> Option<&mut [f32]> {
        None
    }

    /// Zeros here.
    fn zero(&mut self) -> Result<(), CudaError>;

    /// Where the model has it; None: here.
    fn span(&self) -> Option<DeviceSpan<'_>>;

    /// Begins to bring it to the device, if the model reads it there.
    fn send(&mut self, stream: &Stream) -> Result<(), CudaError>;

    /// Begins to bring it from the device.
    fn receive(&mut self, stream: &Stream, payload: Payload) -> Result<(), CudaError>;

    /// Takes over the numbers of a tensor of the same type and shape, where the model reads them.
    fn copy_from(&mut self, from: &mut Self, stream: Option<&Stream>) -> Result<(), CudaError>;
}

/// What the numbers become outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Same,
    /// Class ids become a plane of zeros and ones a class, `[classes, numbers]`.
    OneHot {
        classes: usize,
    },
}

/// A tensor that is bound to a model's input or output, and its numbers as f32; allocates nothing after `new`.
#[derive(Debug)]
pub struct Port<P> {
    pub name: String,
    pub shape: Vec<usize>,
    pub place: P,
    form: Form,
    ty: TensorElementType,
    /// Empty where the tensor's own numbers are given out.
    plain: Vec<f32>,
}

/// Types that a model's border may have; inputs cannot be whole numbers but bytes.
pub fn is_supported(ty: TensorElementType) -> bool {
    use TensorElementType::{Bool, Float16, Float32, Float64, Int32, Int64, Uint8};
    matches!(ty, Float32 | Float16 | Float64 | Uint8 | Int32 | Int64 | Bool)
}

pub fn is_whole_number(ty: TensorElementType) -> bool {
    !matches!(ty, TensorElementType::Float32 | TensorElementType::Float16 | TensorElementType::Float64)
}

/// ONNX's name of a type.
pub fn type_name(ty: TensorElementType) -> String {
    match ty {
        TensorElementType::Float32 => "float32".to_owned(),
        TensorElementType::Float16 => "float16".to_owned(),
        TensorElementType::Float64 => "float64".to_owned(),
        TensorElementType::Uint8 => "uint8".to_owned(),
        TensorElementType::Int32 => "int32".to_owned(),
        TensorElementType::Int64 => "int64".to_owned(),
        other => other.to_string(),
    }
}

impl<P: Place> Port<P> {
    /// Zeros here; on a device what `clear` or `send` puts there.
    pub fn new(name: &str, ty: TensorElementType, shape: &[usize], form: Form, place: P) -> Result<Self, CudaError> {
        let numbers: usize = shape.iter().product();
        let plain = match form {
            Form::Same if place.own().is_some() => Vec::new(),
            Form::Same => vec![0.0; numbers],
            Form::OneHot { classes } => vec![0.0; classes * numbers],
        };
        let mut port = Port { name: name.to_owned(), shape: shape.to_vec(), place, form, ty, plain };
        port.place.zero()?;
        Ok(port)
    }

    pub fn values(&self) -> &[f32] {
        match self.place.own() {
            Some(own) if self.plain.is_empty() => own,
            _ => &self.plain,
        }
    }

    pub fn values_mut(&mut self) -> &mut [f32] {
        match self.place.own_mut() {
            Some(own) if self.plain.is_empty() => own,
            _ => &mut self.plain,
        }
    }

    /// What it carries: numbers that lie along two sides or more are those of pixels; one a class, or one alone, is a result.
    pub fn payload(&self) -> Payload {
        if self.shape.iter().filter(|side| **side > 1).count() > 1 { Payload::Pixels } else { Payload::Numbers }
    }

    /// What the kernels call the tensor's numbers; None: they have no name for them, or they become something else outside.
    pub fn number(&self) -> Option<Number> {
        match (self.ty, self.form) {
            (TensorElementType::Float32, Form::Same) => Some(Number::F32),
            (TensorElementType::Float16, Form::Same) => Some(Number::F16),
            _ => None,
        }
    }

    /// `values` → the model's tensor; rounded and held in range where it is of whole numbers.
    pub fn store(&mut self) -> Result<(), CudaError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let from = &self.plain;
        match self.place.numbers_mut()? {
            NumbersMut::F32(to) => to.copy_from_slice(from),
            NumbersMut::F16(to) => to.convert_from_f32_slice(from),
            NumbersMut::F64(to) => to.iter_mut().zip(from).for_each(|(to, from)| *to = f64::from(*from)),
            NumbersMut::U8(to) => to.iter_mut().zip(from).for_each(|(to, from)| *to = from.round() as u8),
            NumbersMut::OfNoPicture => debug_assert!(false, "a picture of such numbers is refused at load"),
        }
        Ok(())
    }

    /// The model's tensor → `values`.
    pub fn fetch(&mut self) -> Result<(), CudaError> {
        if self.plain.is_empty() {
            return Ok(());
        }
        let numbers = self.place.numbers()?;
        if let Form::OneHot { classes } = self.form {
            fetch_ids(&mut self.plain, numbers, classes);
            return Ok(());
        }
        fn convert<T: Copy>(to: &mut [f32], from: &[T], of: impl Fn(T) -> f32) {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = of(*from));
        }
        let to = &mut self.plain;
        match numbers {
            Numbers::F32(from) => to.copy_from_slice(from),
            Numbers::F16(from) => from.convert_to_f32_slice(to),
            Numbers::F64(from) => convert(to, from, |v| v as f32),
            Numbers::U8(from) => convert(to, from, f32::from),
            Numbers::I32(from) => convert(to, from, |v| v as f32),
            Numbers::I64(from) => convert(to, from, |v| v as f32),
        }
        Ok(())
    }

    /// Zeros wherever the numbers are.
    pub fn clear(&mut self, stream: Option<&Stream>) -> Result<(), CudaError> {
        self.plain.fill(0.0);
        self.place.zero()?;
        match (stream, self.place.span()) {
            (Some(stream), Some(span)) => stream.clear(span),
            _ => Ok(()),
        }
    }

    /// The first number that is none, of those that the model itself gave.
    pub fn odd(&self) -> Result<Option<usize>, CudaError> {
        Ok(match self.place.numbers()? {
            Numbers::F32(numbers) => numbers.iter().position(|v| !v.is_finite()),
            Numbers::F16(numbers) => numbers.iter().position(|v| !v.is_finite()),
            Numbers::F64(numbers) => numbers.iter().position(|v| !v.is_finite()),
            Numbers::U8(_) | Numbers::I32(_) | Numbers::I64(_) => None,
        })
    }
}

/// An id that is no class is in no plane.
fn fetch_ids(plain: &mut [f32], numbers: Numbers<'_>, classes: usize) {
    fn planes<T: Copy>(plain: &mut [f32], classes: usize, ids: &[T], id: impl Fn(T) -> i64) {
        plain.fill(0.0);
        for (i, value) in ids.iter().enumerate() {
            if let Some(class) = usize::try_from(id(*value)).ok().filter(|&class| class < classes) {
                plain[class * ids.len() + i] = 1.0;
            }
        }
    }
    match numbers {
        Numbers::F32(ids) => planes(plain, classes, ids, |v| v.round() as i64),
        Numbers::F16(ids) => planes(plain, classes, ids, |v| v.to_f32().round() as i64),
        Numbers::F64(ids) => planes(plain, classes, ids, |v| v.round() as i64),
        Numbers::U8(ids) => planes(plain, classes, ids, i64::from),
        Numbers::I32(ids) => planes(plain, classes, ids, i64::from),
        Numbers::I64(ids) => planes(plain, classes, ids, |v| v),
    }
}

/// How the numbers of a clip lie: `groups` times `frames` blocks, of which the newest frame's are the last.
#[derive(Debug, Clone)]
pub struct ClipRing {
    pub frames: usize,
    pub groups: usize,
    /// The newest frame.
    pub frame: Vec<f32>,
    is_filled: bool,
}

impl ClipRing {
    pub fn new(frames: usize, is_time_first: bool, frame_numbers: usize) -> Self {
        ClipRing { frames, groups: if is_time_first { 1 } else { 3 }, frame: vec![0.0; frame_numbers], is_filled: false }
    }

    /// The next frame fills the whole clip.
    pub fn forget(&mut self) {
        self.is_filled = false;
    }

    /// Puts `frame` at the end of `clip`; the oldest goes.
    pub fn push(&mut self, clip: &mut [f32]) {
        let block = self.frame.len() / self.groups;
        for (group, newest) in clip.chunks_exact_mut(self.frames * block).zip(self.frame.chunks_exact(block)) {
            if self.is_filled {
                group.copy_within(block.., 0);
                group[(self.frames - 1) * block..].copy_from_slice(newest);
            } else {
                group.chunks_exact_mut(block).for_each(|to| to.copy_from_slice(newest));
            }
        }
        self.is_filled = true;
    }
}

/// Shape of an input: one frame, or a clip.
pub fn input_shape(layout: TensorLayout, [width, height]: [usize; 2], clip: Option<(usize, bool)>) -> Vec<usize> {
    match (layout, clip) {
        (TensorLayout::Nchw, None) => vec![1, 3, height, width],
        (TensorLayout::Nhwc, None) => vec![1, height, width, 3],
        (TensorLayout::Nchw, Some((frames, true))) => vec![1, frames, 3, height, width],
        (TensorLayout::Nchw, Some((frames, false))) => vec![1, 3, frames, height, width],
        (TensorLayout::Nhwc, Some((frames, _))) => vec![1, frames, height, width, 3],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_holds_the_last_frames_in_both_orders() {
        for is_time_first in [true, false] {
            // Frames of 3 channels × 2 pixels, numbered frame·10 + channel.
            let mut ring = ClipRing::new(3, is_time_first, 6);
            let mut clip = vec![0.0; 18];
            let mut push = |ring: &mut ClipRing, frame: f32| {
                (0..6).for_each(|i| ring.frame[i] = frame * 10.0 + (i / 2) as f32);
                ring.push(&mut clip);
                let at = |frame: usize, channel: usize| if is_time_first { frame * 6 + channel * 2 } else { channel * 6 + frame * 2 };
                assert!((0..3).all(|channel| clip[at(2, channel) + 1] == frame * 10.0 + channel as f32), "{clip:?}");
                [0, 1, 2].map(|frame| clip[at(frame, 0)] / 10.0)
            };
            assert_eq!(push(&mut ring, 1.0), [1.0, 1.0, 1.0]);
            assert_eq!(push(&mut ring, 2.0), [1.0, 1.0, 2.0]);
            assert_eq!(push(&mut ring, 3.0), [1.0, 2.0, 3.0]);
            assert_eq!(push(&mut ring, 4.0), [2.0, 3.0, 4.0]);
            ring.forget();
            assert_eq!(push(&mut ring, 5.0), [5.0, 5.0, 5.0]);
        }
    }
}
