//! Small real ONNX models with known answers, written by hand (protobuf), for tests: 1×1 convolutions whose outputs can
//! be told from the input's colours. Knows nothing of this crate, so that other tests can include it by path.

use std::path::Path;

/// Fields of the manifest stay as they are; fields of the model can be made not to fit.
#[derive(Debug, Clone, Copy)]
pub struct TestModel {
    pub width: usize,
    pub height: usize,
    pub model_width: usize,
    pub tissue_channels: usize,
    pub input_name: &'static str,
    pub tissue_name: &'static str,
}

impl Default for TestModel {
    fn default() -> Self {
        TestModel { width: 80, height: 48, model_width: 80, tissue_channels: 3, input_name: "image", tissue_name: "tissue" }
    }
}

/// Input: RGB in 0..1 (mean 0, std 1). instrument = 20·(blue − 0.5); tissue = background 0, liver 20·(red − 0.5),
/// fat 20·(green − 0.5).
impl TestModel {
    fn onnx(&self) -> Vec<u8> {
        let shape = [1, 3, self.height, self.model_width];
        let mut weights = vec![0.0; 3 * self.tissue_channels];
        let mut bias = vec![0.0; self.tissue_channels];
        for (channel, colour) in [(1, 0), (2, 1)] {
            weights[channel * 3 + colour] = 20.0;
            bias[channel] = -10.0;
        }
        let mut graph = Message::default();
        graph.message(1, conv(self.input_name, "wi", "bi", "instrument"));
        graph.message(1, conv(self.input_name, "wt", "bt", self.tissue_name));
        graph.text(2, "test");
        graph.message(5, tensor("wi", &[1, 3, 1, 1], &[0.0, 0.0, 20.0]));
        graph.message(5, tensor("bi", &[1], &[-10.0]));
        graph.message(5, tensor("wt", &[self.tissue_channels, 3, 1, 1], &weights));
        graph.message(5, tensor("bt", &[self.tissue_channels], &bias));
        graph.message(11, value(self.input_name, &shape));
        graph.message(12, value("instrument", &[1, 1, self.height, self.model_width]));
        graph.message(12, value(self.tissue_name, &[1, self.tissue_channels, self.height, self.model_width]));
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, 13);
        let mut model = Message::default();
        model.number(1, 8);
        model.message(7, graph);
        model.message(8, opset);
        model.bytes
    }

    /// Writes model and manifest into `dir`, as an engine stands on a disk.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        use sha2::{Digest, Sha256};
        let bytes = self.onnx();
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(dir.join("model.onnx"), &bytes)?;
        std::fs::write(dir.join("manifest.toml"), self.manifest(&sha256))
    }

    fn manifest(&self, sha256: &str) -> String {
        format!(
            r#"schema = "keyhole.engine/1"
name = "test-cpu"
version = "0.1.0"
pipeline_version = 1
demonstration = true
licence = "Apache-2.0"
intended_use = "tests"
[model]
file = "model.onnx"
sha256 = "{sha256}"
[input]
name = "image"
layout = "NCHW"
width = {}
height = {}
colour = "RGB"
resize = "stretch"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
[[heads]]
kind = "instrument"
output = "instrument"
activation = "sigmoid"
classes = ["instrument"]
threshold = 0.5
[[heads]]
kind = "tissue"
output = "tissue"
activation = "softmax"
classes = ["background", "liver", "fat"]
threshold = 0.5
"#,
            self.width, self.height
        )
    }
}

fn conv(input: &str, weights: &str, bias: &str, output: &str) -> Message {
    let mut node = Message::default();
    for name in [input, weights, bias] {
        node.text(1, name);
    }
    node.text(2, output);
    node.text(3, output);
    node.text(4, "Conv");
    node
}

const FLOAT: u64 = 1;

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> Message {
    let mut tensor = Message::default();
    dims.iter().for_each(|&dim| tensor.number(1, dim as u64));
    tensor.number(2, FLOAT);
    tensor.text(8, name);
    tensor.field(9, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>());
    tensor
}

fn value(name: &str, shape: &[usize]) -> Message {
    let mut dims = Message::default();
    for &side in shape {
        let mut dim = Message::default();
        dim.number(1, side as u64);
        dims.message(1, dim);
    }
    let mut tensor = Message::default();
    tensor.number(1, FLOAT);
    tensor.message(2, dims);
    let mut of_type = Message::default();
    of_type.message(1, tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, of_type);
    value
}

/// A protobuf message under way.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn field(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    fn text(&mut self, field: u64, text: &str) {
        self.field(field, text.as_bytes());
    }

    fn message(&mut self, field: u64, message: Message) {
        self.field(field, &message.bytes);
    }
}
