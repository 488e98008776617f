"""The network, half trained, labels frames that came without masks (self-training: Xie et al. 2020).

    label.py --data DIR --work DIR --out FILE.npz

A label is kept where the mean over the frame at two sizes and its mirror images is sure. An
instrument must also agree with the boxes where a frame has them: a part that touches no box, and a
box in which nothing was found, become unknown. What lies in the box of a specimen bag alone is no instrument.
"""
import argparse
import pathlib

import cv2
import numpy as np
import torch

from data import STORE_H, STORE_W, TISSUES, UNKNOWN, Data, fill
from model import MEAN, STD, Net
from normalise import normalise

SIZES = (320, 192), (448, 256)
TISSUE_SURE = 0.6
TOOL_SURE, NO_TOOL_SURE = 0.7, 0.25


def load(path):
    net = Net(len(TISSUES))
    net.load_state_dict(torch.load(path, weights_only=True)["ema"])
    return net.eval()


def tensor(image, width=320, height=192, cohort=None):
    """A picture as the engine sees it: area-averaged to its size, brought to the cohort where given, normalised, NCHW."""
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    if cohort:
        small = normalise(small, cohort)
    x = (small - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(x.transpose(2, 0, 1)[None])


@torch.no_grad()
def probabilities(net, image):
    """Instrument HxW and tissue CxHxW in 0..1, the mean over two sizes and the mirror image."""
    tools, tissues = [], []
    for width, height in SIZES:
        x = tensor(image, width, height)
        instrument, tissue = net(torch.cat([x, x.flip(3)]))
        instrument, tissue = torch.sigmoid(instrument[:, 0]), torch.softmax(tissue, 1)
        tools.append(cv2.resize(((instrument[0] + instrument[1].flip(1)) / 2).numpy(), (STORE_W, STORE_H)))
        tissues.append([cv2.resize(c.numpy(), (STORE_W, STORE_H)) for c in (tissue[0] + tissue[1].flip(2)) / 2])
    return np.mean(tools, 0), np.mean(tissues, 0)


def labels_of(item, instrument, tissue):
    p = instrument
    tool = np.full(p.shape, UNKNOWN, np.uint8)
    tool[p < NO_TOOL_SURE] = 0
    tool[p > TOOL_SURE] = 1
    if item.boxes or item.bags:
        _, parts = cv2.connectedComponents((p > 0.5).astype(np.uint8))
        touched, bagged = np.zeros_like(tool), np.zeros_like(tool)
        for box in item.bags:
            fill(bagged, box, 1)
        for box in item.boxes:
            inside = np.zeros_like(tool)
            fill(inside, box, 1)
            touched |= inside
            if (tool[inside > 0] == 1).mean() < 0.08:
                tool[inside > 0] = UNKNOWN
        kept = np.unique(parts[(touched > 0) & (parts > 0)])
        for part in np.setdiff1d(np.unique(parts[parts > 0]), kept):
            tool[parts == part] = 0 if bagged[parts == part].mean() > 0.7 else UNKNOWN
        tool[(bagged > 0) & (touched == 0) & (tool == 1)] = UNKNOWN
    best = tissue.argmax(0).astype(np.uint8)
    best[(tissue.max(0) < TISSUE_SURE) | (tool != 0)] = UNKNOWN
    return tool, best


def apply(items, path):
    """Fills what an item does not know with what was labelled here; drops what stays unlabelled."""
    stored, out = np.load(path), []
    outlined = {item.name for item in items if item.group == "outlines"}
    for item in items:
        if item.name in outlined and item.group != "outlines":
            continue
        if item.name in stored.files and item.group != "cholecseg8k":
            tool, tissue = stored[item.name]
            item.instrument = np.where(item.instrument == UNKNOWN, tool, item.instrument)
            item.tissue = np.where((item.tissue == UNKNOWN) & (item.instrument != 1), tissue, item.tissue)
        if (item.instrument != UNKNOWN).any() or (item.tissue != UNKNOWN).any():
            out.append(item)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    net, data, out = load(pathlib.Path(args.work) / "net.pt"), Data(args.data), {}
    for item in [*data.to_label(), *data.robotic_keypoints(False), *data.cholec_sequence()]:
        keep_tissue = item.group not in ("robotic-keypoints", "gynaecology")   # their organs are none of ours
        tool, tissue = labels_of(item, *probabilities(net, item.image))
        out[item.name] = np.stack([tool, tissue if keep_tissue else np.full_like(tissue, UNKNOWN)])
    np.savez_compressed(args.out, **out)


if __name__ == "__main__":
    main()
