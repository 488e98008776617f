"""The learning curve: what was held out, measured at each copy that `train.py --keep` left.

    curve.py --data DIR --work DIR [--simulated DIR] [--size 256x160] --out curve.json

In floats, before the integers of export.py: the same network a step further, not the file that ships.
"""
import argparse
import json
import pathlib

import cv2
import numpy as np
import torch

from data import Data
from evaluate import measure
from label import load, tensor

THRESHOLD = "0.4"


class Checkpoint:
    """As evaluate.Engine, of a checkpoint."""

    def __init__(self, path, size):
        self.net, self.size = load(path), size

    @torch.no_grad()
    def __call__(self, image, size=(480, 288)):
        tool, tissue = self.net(tensor(image, *self.size))
        tissue = torch.softmax(tissue[0], 0).numpy()
        return cv2.resize(torch.sigmoid(tool[0, 0]).numpy(), size), np.stack([cv2.resize(c, size) for c in tissue])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--simulated")
    parser.add_argument("--work", required=True)
    parser.add_argument("--size", default="256x160")
    parser.add_argument("--out", type=pathlib.Path)
    args = parser.parse_args()
    size, curve = tuple(map(int, args.size.split("x"))), {}
    items = list(Data(args.data, args.simulated).held_out())
    for path in sorted(pathlib.Path(args.work).glob("net.[0-9]*.pt")):
        found = measure(Checkpoint(path, size), items)
        figures = {name: values[THRESHOLD] for name, values in found["instrument_iou"].items()}
        curve[int(path.suffixes[0][1:])] = {**figures, **{f"tissue, {name}": value for name, value in found["tissue_iou"].items()}}
        print(json.dumps({"step": path.suffixes[0][1:], **curve[int(path.suffixes[0][1:])]}), flush=True)
    if args.out:
        args.out.write_text(json.dumps({"size": args.size, "threshold": float(THRESHOLD), "held_out_iou": curve}, indent=1) + "\n")


if __name__ == "__main__":
    main()
