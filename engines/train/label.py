"""The teacher labels frames that came without masks.

    label.py --data DIR --work DIR [--teacher FILE.pt] --out FILE.npz

A label is kept where the mean over the frame and its mirror image is sure. An
instrument must also agree with the boxes where a frame has them: a part that touches no box, and a
box in which nothing was found, become unknown.
"""
import argparse
import pathlib

import cv2
import numpy as np
import torch

from data import STORE_H, STORE_W, TISSUES, UNKNOWN, Data, fill
from model import MEAN, STD, Net

TISSUE_SURE = 0.6
TOOL_SURE, NO_TOOL_SURE = 0.7, 0.25


def load(path, student):
    net = Net(len(TISSUES), student)
    net.load_state_dict(torch.load(path, weights_only=True)["ema"])
    return net.eval()


def tensor(image, width=320, height=192):
    """A picture as the engine sees it: area-averaged to its size, normalised, NCHW."""
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    x = (small - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return torch.from_numpy(x.transpose(2, 0, 1)[None])


@torch.no_grad()
def probabilities(net, image, views=False):
    """Instrument HxW and tissue CxHxW in 0..1, the mean over the mirror image too where asked."""
    x = tensor(image)
    instrument, tissue = net(torch.cat([x, x.flip(3)]) if views else x)
    instrument, tissue = torch.sigmoid(instrument[:, 0]), torch.softmax(tissue, 1)
    if views:
        instrument[1], tissue[1] = instrument[1].flip(1), tissue[1].flip(2)
    return instrument.mean(0).numpy(), tissue.mean(0).numpy()


def labels_of(item, instrument, tissue):
    size = (STORE_W, STORE_H)
    p = cv2.resize(instrument, size)
    tool = np.full(p.shape, UNKNOWN, np.uint8)
    tool[p < NO_TOOL_SURE] = 0
    tool[p > TOOL_SURE] = 1
    if item.boxes:
        _, parts = cv2.connectedComponents((p > 0.5).astype(np.uint8))
        touched = np.zeros_like(tool)
        for box in item.boxes:
            inside = np.zeros_like(tool)
            fill(inside, box, 1)
            touched |= inside
            if (tool[inside > 0] == 1).mean() < 0.08:
                tool[inside > 0] = UNKNOWN
        kept = np.unique(parts[(touched > 0) & (parts > 0)])
        tool[(parts > 0) & ~np.isin(parts, kept)] = UNKNOWN
    channels = np.stack([cv2.resize(c, size) for c in tissue])
    best = channels.argmax(0).astype(np.uint8)
    best[(channels.max(0) < TISSUE_SURE) | (tool != 0)] = UNKNOWN
    return tool, best


def apply(items, path):
    """Fills what an item does not know with what the teacher labelled; drops what stays unlabelled."""
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
    parser.add_argument("--teacher", default="teacher.pt")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    net, data, out = load(pathlib.Path(args.work) / args.teacher, False), Data(args.data), {}
    for item in [*data.to_label(), *data.robotic_keypoints(False), *data.cholec_sequence()]:
        keep_tissue = item.group != "robotic-keypoints"                # no tissue of ours in an ex-vivo organ
        tool, tissue = labels_of(item, *probabilities(net, item.image, True))
        out[item.name] = np.stack([tool, tissue if keep_tissue else np.full_like(tissue, UNKNOWN)])
    np.savez_compressed(args.out, **out)


if __name__ == "__main__":
    main()
