//! Small real ONNX models with known answers, written by hand (protobuf), for tests: one of each kind of head, whose
//! outputs can be told from the input's colours. Knows nothing of this crate, so that other tests can include it by path.

use std::path::Path;

/// Size of the input of all `TestEngine`s, and side of a cell: the detectors have one proposal a cell.
pub const WIDTH: usize = 80;
pub const HEIGHT: usize = 48;
pub const CELL: usize = 8;
const CELLS: usize = (WIDTH / CELL) * (HEIGHT / CELL);

/// The two maps of `TestEngine::maps`; its fields can be made not to fit the manifest.
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
        let (width, height) = (WIDTH, HEIGHT);
        TestModel { width, height, model_width: width, tissue_channels: 3, input_name: "image", tissue_name: "tissue" }
    }
}

impl TestModel {
    /// Input: RGB in 0..1 (mean 0, std 1). instrument = 20·(blue − 0.5); tissue = background 0, liver 20·(red − 0.5),
    /// fat 20·(green − 0.5).
    pub fn engine(&self) -> TestEngine {
        let mut graph = Graph::default();
        let (h, w, c) = (self.height, self.model_width, self.tissue_channels);
        graph.input(self.input_name, &format!("1 3 {h} {w}"));
        graph.colours(self.input_name, "instrument", &[Some(2)]);
        let tissue: Vec<Option<usize>> = (0..c).map(|channel| [None, Some(0), Some(1)].get(channel).copied().flatten()).collect();
        graph.colours(self.input_name, self.tissue_name, &tissue);
        graph.output("instrument", &format!("1 1 {h} {w}"));
        graph.output(self.tissue_name, &format!("1 {c} {h} {w}"));
        let heads = head("instrument", "instrument", "sigmoid", &["instrument"])
            + &head("tissue", "tissue", "softmax", &["background", "liver", "fat"]);
        TestEngine { width: self.width, height: self.height, ..TestEngine::new(graph, heads) }
    }
}

/// One `[[heads]]` of a manifest.
pub fn head(kind: &str, output: &str, activation: &str, classes: &[&str]) -> String {
    format!("[[heads]]\nkind = \"{kind}\"\noutput = \"{output}\"\nactivation = \"{activation}\"\nclasses = {classes:?}\nthreshold = 0.5\n")
}

/// A model and its manifest, both still to be changed.
#[derive(Debug, Clone)]
pub struct TestEngine {
    pub name: &'static str,
    pub width: usize,
    pub height: usize,
    pub graph: Graph,
    /// Lines of the manifest before its tables.
    pub top: String,
    /// `[[heads]]`, `[[state]]`, `[clip]`.
    pub tables: String,
    /// Where the weights are kept, if not in the model.
    pub external: Option<String>,
    /// Whether the manifest locks that file.
    pub is_locked: bool,
}

/// What the detectors see: channel of the input (RGB) that tells a cell's class.
const GRASPER: Option<usize> = Some(2);
const POLYP: Option<usize> = Some(1);
const PLAIN_BOXES: &str = "[heads.boxes]\nformat = \"cxcywh\"\nunits = \"pixels\"\nnms_iou = 0.3\n";

impl TestEngine {
    pub fn new(graph: Graph, tables: String) -> Self {
        let (top, external) = (String::new(), None);
        TestEngine { name: "test-cpu", width: WIDTH, height: HEIGHT, graph, top, tables, external, is_locked: true }
    }

    pub fn maps() -> Self {
        TestModel::default().engine()
    }

    /// YOLOv8's form: 1×(4 + 2)×60, a box of three cells around each cell; a blue cell is a grasper, a green one a polyp.
    pub fn yolo() -> Self {
        let mut graph = Graph::with_image();
        graph.cell_proposals();
        TestEngine::new(graph, head("detection-yolo", "output0", "none", &["grasper", "polyp"]) + PLAIN_BOXES)
    }

    /// As `yolo`, with a proposal a pixel, 1×(4 + 3)×3840, and a third number of it, for nothing: e to the power of 40·(green − 0.5).
    pub fn yolo_of_pixels() -> Self {
        let (mut graph, pixels) = (Graph::with_image(), WIDTH * HEIGHT);
        graph.colours("image", "of_pixels", &[GRASPER, POLYP]);
        graph.numbers("row a class", &[1, 2, pixels as i64]);
        graph.node("Reshape", &["of_pixels", "row a class"], &["raw"], &[]);
        graph.node("Sigmoid", &["raw"], &["scores"], &[]);
        graph.colours("image", "green", &[POLYP]);
        graph.node("Add", &["green", "green"], &["greener"], &[]);
        graph.node("Exp", &["greener"], &["power"], &[]);
        graph.numbers("row", &[1, 1, pixels as i64]);
        graph.node("Reshape", &["power", "row"], &["for_nothing"], &[]);
        let row = |attribute: usize| {
            (0..pixels).map(move |at| match attribute {
                0 => (at % WIDTH) as f32,
                1 => (at / WIDTH) as f32,
                _ => CELL as f32,
            })
        };
        graph.constant("boxes", &[1, 4, pixels], &(0..4).flat_map(row).collect::<Vec<f32>>());
        graph.node("Concat", &["boxes", "scores", "for_nothing"], &["output0"], &[("axis", 1)]);
        graph.output("output0", &format!("1 7 {pixels}"));
        TestEngine::new(graph, head("detection-yolo", "output0", "none", &["grasper", "polyp", "background"]) + PLAIN_BOXES)
    }

    /// Both `maps` and the boxes of `yolo`; without `graspers` those are of polyps alone.
    pub fn maps_and_boxes(graspers: bool) -> Self {
        let mut engine = TestEngine::maps();
        engine.graph.cell_proposals();
        let first = if graspers { "grasper" } else { "background" };
        engine.tables += &(head("detection-yolo", "output0", "none", &[first, "polyp"]) + PLAIN_BOXES);
        engine
    }

    /// YOLOv5's form: 1×60×(5 + 2), with objectness.
    pub fn yolo_with_objectness() -> Self {
        let mut graph = Graph::with_image();
        graph.cell_scores("scores", &[GRASPER, POLYP], true);
        graph.constant("boxes", &[1, 4, CELLS], &cell_boxes(3.0 * CELL as f32, [1.0, 1.0]));
        graph.constant("objectness", &[1, 1, CELLS], &[0.9; CELLS]);
        graph.node("Concat", &["boxes", "objectness", "scores"], &["rows"], &[("axis", 1)]);
        graph.nodes("Transpose", &["rows"], &["output0"], &[("perm", &[0, 2, 1])]);
        graph.output("output0", &format!("1 {CELLS} 7"));
        let boxes = "[heads.boxes]\nformat = \"cxcywh\"\nunits = \"pixels\"\nnms_iou = 0.3\nobjectness = true\n";
        TestEngine::new(graph, head("detection-yolo", "output0", "none", &["grasper", "polyp"]) + boxes)
    }

    /// With instance masks: 2 coefficients a box, (1, 0), and prototypes 1×2×24×40, the first of which is 20·(blue − 0.5).
    pub fn yolo_with_masks() -> Self {
        let mut graph = Graph::with_image();
        graph.cell_scores("scores", &[GRASPER, POLYP], true);
        graph.constant("boxes", &[1, 4, CELLS], &cell_boxes(5.0 * CELL as f32, [1.0, 1.0]));
        let coefficients: Vec<f32> = (0..2 * CELLS).map(|i| if i < CELLS { 1.0 } else { 0.0 }).collect();
        graph.constant("coefficients", &[1, 2, CELLS], &coefficients);
        graph.node("Concat", &["boxes", "scores", "coefficients"], &["output0"], &[("axis", 1)]);
        graph.nodes("AveragePool", &["image"], &["halved"], &[("kernel_shape", &[2, 2]), ("strides", &[2, 2])]);
        graph.colours("halved", "output1", &[Some(2), Some(0)]);
        graph.output("output0", &format!("1 8 {CELLS}"));
        graph.output("output1", &format!("1 2 {} {}", HEIGHT / 2, WIDTH / 2));
        let boxes = "[heads.boxes]\nformat = \"cxcywh\"\nunits = \"pixels\"\nnms_iou = 0.3\nprototypes = \"output1\"\n";
        TestEngine::new(graph, head("detection-yolo", "output0", "none", &["grasper", "polyp"]) + boxes)
    }

    /// DETR's form: logits 1×60×3 (grasper, polyp, no object), boxes 1×60×4, a cell each.
    pub fn detr() -> Self {
        let mut graph = Graph::with_image();
        graph.cell_scores("rows", &[GRASPER, POLYP, None], false);
        graph.nodes("Transpose", &["rows"], &["logits"], &[("perm", &[0, 2, 1])]);
        graph.constant("rows_of_boxes", &[1, 4, CELLS], &cell_boxes(CELL as f32, [WIDTH as f32, HEIGHT as f32]));
        graph.nodes("Transpose", &["rows_of_boxes"], &["pred_boxes"], &[("perm", &[0, 2, 1])]);
        graph.output("logits", &format!("1 {CELLS} 3"));
        graph.output("pred_boxes", &format!("1 {CELLS} 4"));
        let boxes = "[heads.boxes]\noutput = \"pred_boxes\"\nformat = \"cxcywh\"\nunits = \"fractions\"\n";
        TestEngine::new(graph, head("detection-detr", "logits", "softmax", &["grasper", "polyp", "background"]) + boxes)
    }

    /// A map of findings (polyp: green) and what the whole frame is: smoke if it is red, else a clear view.
    pub fn findings_and_quality() -> Self {
        let mut graph = Graph::with_image();
        graph.colours("image", "polyps", &[Some(1)]);
        graph.node("GlobalAveragePool", &["image"], &["mean"], &[]);
        graph.colours("mean", "of_frame", &[Some(0), None]);
        graph.node("Flatten", &["of_frame"], &["quality"], &[("axis", 1)]);
        graph.output("polyps", &format!("1 1 {HEIGHT} {WIDTH}"));
        graph.output("quality", "1 2");
        let heads = head("finding", "polyps", "sigmoid", &["polyp"]) + &head("frame-class", "quality", "softmax", &["smoke", "clear view"]);
        TestEngine::new(graph, heads)
    }

    /// Red is liver, green is fat; twice the mean of blue is the distance from the cohort.
    pub fn gated() -> Self {
        let mut graph = Graph::with_image();
        graph.colours("image", "tissue", &[None, Some(0), Some(1)]);
        graph.node("GlobalAveragePool", &["image"], &["mean"], &[]);
        graph.constant("twice_blue", &[1, 3, 1, 1], &[0.0, 0.0, 2.0]);
        graph.node("Conv", &["mean", "twice_blue"], &["cohort"], &[]);
        graph.output("tissue", &format!("1 3 {HEIGHT} {WIDTH}"));
        graph.output("cohort", "1 1 1 1");
        let indication = "[indication]\nmodalities = [\"white light\"]\nprocedures = [\"tests\"]\n";
        let cohort = "[indication.cohort]\noutput = \"cohort\"\nlimit = 1.0\n";
        TestEngine::new(graph, head("tissue", "tissue", "softmax", &["background", "liver", "fat"]) + indication + cohort)
    }

    /// The same maps as `maps`, the tissues chosen in the model: int64 1×H×W.
    pub fn class_ids() -> Self {
        let mut graph = Graph::with_image();
        graph.colours("image", "scores", &[None, Some(0), Some(1)]);
        graph.node("ArgMax", &["scores"], &["ids"], &[("axis", 1), ("keepdims", 0)]);
        graph.output_of("ids", INT64, &format!("1 {HEIGHT} {WIDTH}"));
        let ids = head("tissue", "ids", "none", &["background", "liver", "fat"]) + "values = \"class-ids\"\n";
        TestEngine::new(graph, ids)
    }

    /// Sums up the mean blue of all frames since the start: smoke = sum, clear view = 0.
    pub fn recurrent() -> Self {
        let mut graph = Graph::with_image();
        graph.input("sum_in", "batch 1");
        graph.node("GlobalAveragePool", &["image"], &["mean"], &[]);
        graph.constant("blue", &[1, 3, 1, 1], &[0.0, 0.0, 1.0]);
        graph.node("Conv", &["mean", "blue"], &["blue_mean"], &[]);
        graph.node("Flatten", &["blue_mean"], &["flat"], &[("axis", 1)]);
        graph.node("Add", &["sum_in", "flat"], &["sum_out"], &[]);
        graph.constant("nothing", &[1, 1], &[0.0]);
        graph.node("Concat", &["sum_out", "nothing"], &["quality"], &[("axis", 1)]);
        graph.output("quality", "1 2");
        graph.output("sum_out", "batch 1");
        let state = "[[state]]\ninput = \"sum_in\"\noutput = \"sum_out\"\n";
        TestEngine::new(graph, head("frame-class", "quality", "softmax", &["smoke", "clear view"]) + state)
    }

    /// The mean of each of the last three frames.
    pub fn clip(is_time_first: bool) -> Self {
        let mut graph = Graph::default();
        let (sides, axes, order): (_, &[i64], _) =
            if is_time_first { ("3 3", &[2, 3, 4], "time-first") } else { ("3 3", &[1, 3, 4], "channels-first") };
        graph.input("image", &format!("batch {sides} {HEIGHT} {WIDTH}"));
        graph.nodes("ReduceMean", &["image"], &["means"], &[("axes", axes), ("keepdims", &[0])]);
        graph.output("means", "1 3");
        let clip = format!("[clip]\nframes = 3\norder = \"{order}\"\n");
        TestEngine::new(graph, head("frame-class", "means", "none", &["smoke", "blurred", "clear view"]) + &clip)
    }

    /// All floats of the model are of 16 bits.
    pub fn in_half_precision(mut self) -> Self {
        self.graph.float = FLOAT16;
        self
    }

    /// Batch, height and width of the input have names, not sizes.
    pub fn with_free_sides(mut self) -> Self {
        self.graph.is_free = true;
        self
    }

    pub fn with_external(mut self, file: &str) -> Self {
        self.external = Some(file.to_owned());
        self
    }

    pub fn model(&self) -> Vec<u8> {
        self.graph.encode(self.external.as_deref()).0
    }

    /// Writes model, manifest and external weights into `dir`, as an engine stands on a disk.
    pub fn write(&self, dir: &Path) -> std::io::Result<()> {
        let (model, weights) = self.graph.encode(self.external.as_deref());
        std::fs::write(dir.join("model.onnx"), &model)?;
        let mut external = String::new();
        if let Some(file) = &self.external {
            std::fs::write(dir.join(file), &weights)?;
            if self.is_locked {
                external = format!("[[model.external]]\nfile = \"{file}\"\nsha256 = \"{}\"\n", sha256(&weights));
            }
        }
        let manifest = format!(
            r#"schema = "keyhole.engine/1"
name = "{}"
version = "0.1.0"
pipeline_version = 1
demonstration = true
licence = "Apache-2.0"
intended_use = "tests"
{}
[model]
file = "model.onnx"
sha256 = "{}"
{external}[input]
name = "image"
layout = "NCHW"
width = {}
height = {}
colour = "RGB"
resize = "stretch"
mean = [0.0, 0.0, 0.0]
std = [1.0, 1.0, 1.0]
{}"#,
            self.name,
            self.top,
            sha256(&model),
            self.width,
            self.height,
            self.tables
        );
        std::fs::write(dir.join("manifest.toml"), manifest)
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Four rows: centre x, y, width, height of a box around each cell, in pixels over `unit`.
fn cell_boxes(side: f32, unit: [f32; 2]) -> Vec<f32> {
    let across = WIDTH / CELL;
    let centre = |at: usize| (at as f32 + 0.5) * CELL as f32;
    let row = |attribute: usize| {
        (0..CELLS).map(move |cell| match attribute {
            0 => centre(cell % across) / unit[0],
            1 => centre(cell / across) / unit[1],
            other => side / unit[other - 2],
        })
    };
    (0..4).flat_map(row).collect()
}

pub const FLOAT: u64 = 1;
pub const INT64: u64 = 7;
pub const FLOAT16: u64 = 10;

/// An ONNX graph under way. Shapes are written as `"1 3 h w"`: a side that is no number is a name.
#[derive(Debug, Clone)]
pub struct Graph {
    pub float: u64,
    /// Input sides get names.
    pub is_free: bool,
    pub opset: u64,
    nodes: Vec<Message>,
    constants: Vec<(String, Vec<usize>, Constant)>,
    inputs: Vec<(String, u64, String)>,
    outputs: Vec<(String, u64, String)>,
}

#[derive(Debug, Clone)]
enum Constant {
    Floats(Vec<f32>),
    Numbers(Vec<i64>),
}

impl Default for Graph {
    fn default() -> Self {
        let (nodes, constants, inputs, outputs) = Default::default();
        Graph { float: FLOAT, is_free: false, opset: 13, nodes, constants, inputs, outputs }
    }
}

impl Graph {
    pub fn with_image() -> Self {
        let mut graph = Graph::default();
        graph.input("image", &format!("1 3 {HEIGHT} {WIDTH}"));
        graph
    }

    pub fn input(&mut self, name: &str, shape: &str) {
        self.inputs.push((name.to_owned(), 0, shape.to_owned()));
    }

    pub fn input_of(&mut self, name: &str, ty: u64, shape: &str) {
        self.inputs.push((name.to_owned(), ty, shape.to_owned()));
    }

    pub fn output(&mut self, name: &str, shape: &str) {
        self.output_of(name, 0, shape);
    }

    /// Type 0: the graph's float.
    pub fn output_of(&mut self, name: &str, ty: u64, shape: &str) {
        self.outputs.push((name.to_owned(), ty, shape.to_owned()));
    }

    pub fn constant(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.constants.push((name.to_owned(), dims.to_vec(), Constant::Floats(values.to_vec())));
    }

    pub fn numbers(&mut self, name: &str, values: &[i64]) {
        self.constants.push((name.to_owned(), vec![values.len()], Constant::Numbers(values.to_vec())));
    }

    pub fn node(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, i64)]) {
        let mut node = node(op, inputs, outputs);
        for (name, value) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            attribute.number(3, *value as u64);
            attribute.number(20, 2);
            node.message(5, attribute);
        }
        self.nodes.push(node);
    }

    /// With attributes that are lists (`keepdims` is taken as a number).
    pub fn nodes(&mut self, op: &str, inputs: &[&str], outputs: &[&str], attributes: &[(&str, &[i64])]) {
        let mut node = node(op, inputs, outputs);
        for (name, values) in attributes {
            let mut attribute = Message::default();
            attribute.text(1, name);
            if *name == "keepdims" {
                attribute.number(3, values[0] as u64);
                attribute.number(20, 2);
            } else {
                values.iter().for_each(|&value| attribute.number(8, value as u64));
                attribute.number(20, 7);
            }
            node.message(5, attribute);
        }
        self.nodes.push(node);
    }

    /// A 1×1 convolution: a channel for each, 20·(that channel of `from` − 0.5), or 0.
    pub fn colours(&mut self, from: &str, to: &str, channels: &[Option<usize>]) {
        let mut weights = vec![0.0; 3 * channels.len()];
        for (i, channel) in channels.iter().enumerate() {
            channel.iter().for_each(|channel| weights[3 * i + channel] = 20.0);
        }
        let bias: Vec<f32> = channels.iter().map(|channel| if channel.is_some() { -10.0 } else { 0.0 }).collect();
        let [w, b] = ["weights", "bias"].map(|what| format!("{what} of {to}"));
        self.constant(&w, &[channels.len(), 3, 1, 1], &weights);
        self.constant(&b, &[channels.len()], &bias);
        self.node("Conv", &[from, &w, &b], &[to], &[]);
    }

    /// 1×channels×60: `colours` of the mean of each cell.
    pub fn cell_scores(&mut self, to: &str, channels: &[Option<usize>], is_probability: bool) {
        let side = CELL as i64;
        self.nodes("AveragePool", &["image"], &["cells"], &[("kernel_shape", &[side, side]), ("strides", &[side, side])]);
        self.colours("cells", "of_cells", channels);
        self.numbers("row a class", &[1, channels.len() as i64, CELLS as i64]);
        let raw = if is_probability { "raw scores" } else { to };
        self.node("Reshape", &["of_cells", "row a class"], &[raw], &[]);
        if is_probability {
            self.node("Sigmoid", &[raw], &[to], &[]);
        }
    }

    /// `output0`: a box of three cells around each cell, and how likely it is a grasper or a polyp.
    fn cell_proposals(&mut self) {
        self.cell_scores("scores", &[GRASPER, POLYP], true);
        self.constant("boxes", &[1, 4, CELLS], &cell_boxes(3.0 * CELL as f32, [1.0, 1.0]));
        self.node("Concat", &["boxes", "scores"], &["output0"], &[("axis", 1)]);
        self.output("output0", &format!("1 6 {CELLS}"));
    }

    /// The model and, if its weights stand outside it, those.
    fn encode(&self, external: Option<&str>) -> (Vec<u8>, Vec<u8>) {
        let mut outside = Vec::new();
        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node.clone());
        }
        graph.text(2, "test");
        for (name, dims, values) in &self.constants {
            graph.message(5, self.tensor(name, dims, values, external, &mut outside));
        }
        for (field, values) in [(11, &self.inputs), (12, &self.outputs)] {
            for (name, ty, shape) in values {
                let ty = if *ty == 0 { self.float } else { *ty };
                let is_picture = field == 11 && shape.split(' ').count() == 4;
                let free = ["batch", "3", "height", "width"].join(" ");
                graph.message(field, value(name, ty, if self.is_free && is_picture { &free } else { shape }, self.is_free && field == 12));
            }
        }
        let mut opset = Message::default();
        opset.text(1, "");
        opset.number(2, self.opset);
        let mut model = Message::default();
        model.number(1, 8);
        model.message(7, graph);
        model.message(8, opset);
        (model.bytes, outside)
    }

    fn tensor(&self, name: &str, dims: &[usize], values: &Constant, external: Option<&str>, outside: &mut Vec<u8>) -> Message {
        let (ty, bytes): (u64, Vec<u8>) = match values {
            Constant::Numbers(values) => (INT64, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
            Constant::Floats(values) if self.float == FLOAT16 => {
                (FLOAT16, values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect())
            }
            Constant::Floats(values) => (FLOAT, values.iter().flat_map(|v| v.to_le_bytes()).collect()),
        };
        let mut tensor = Message::default();
        dims.iter().for_each(|&dim| tensor.number(1, dim as u64));
        tensor.number(2, ty);
        tensor.text(8, name);
        match external {
            // Shapes are read while the graph is built, and stay inside.
            Some(file) if ty != INT64 => {
                let place = [("location", file.to_owned()), ("offset", outside.len().to_string()), ("length", bytes.len().to_string())];
                for (key, value) in place {
                    let mut entry = Message::default();
                    entry.text(1, key);
                    entry.text(2, &value);
                    tensor.message(13, entry);
                }
                tensor.number(14, 1);
                outside.extend_from_slice(&bytes);
            }
            _ => tensor.field(9, &bytes),
        }
        tensor
    }
}

fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let mut node = Message::default();
    inputs.iter().for_each(|name| node.text(1, name));
    outputs.iter().for_each(|name| node.text(2, name));
    node.text(3, outputs[0]);
    node.text(4, op);
    node
}

/// `is_open`: nothing is said of the shape.
fn value(name: &str, ty: u64, shape: &str, is_open: bool) -> Message {
    let mut dims = Message::default();
    for side in shape.split(' ') {
        let mut dim = Message::default();
        match side.parse() {
            Ok(side) => dim.number(1, side),
            Err(_) => dim.text(2, side),
        }
        dims.message(1, dim);
    }
    let mut tensor = Message::default();
    tensor.number(1, ty);
    if !is_open {
        tensor.message(2, dims);
    }
    let mut of_type = Message::default();
    of_type.message(1, tensor);
    let mut value = Message::default();
    value.text(1, name);
    value.message(2, of_type);
    value
}

/// A protobuf message under way.
#[derive(Debug, Clone, Default)]
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
