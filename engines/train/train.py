"""Trains the network from a fixed seed, and carries on from its checkpoint.

    train.py --data DIR --work DIR [--simulated DIR] [--steps N] [--labels FILE.npz]

The loss: focused cross-entropy (edges count thrice) and Dice for instruments, weighted cross-entropy for tissues, both only
where a label is known. A box of a working end counts through the network's own labels alone (label.py).
"""
import argparse
import json
import math
import pathlib
import queue
import threading
import time

import numpy as np
import torch
import torch.nn.functional as F

from augment import H, W, example
from data import TISSUES, UNKNOWN, Data
from model import MEAN, STD, Net

# Share of each batch by data set; pseudo-labelled sets only count when --labels is given.
SHARES = {"cholecseg8k": 0.26, "outlines": 0.25, "scribbles": 0.30, "robotic-grey": 0.29, "cataract": 0.10, "kvasir-instrument": 0.04,
          "robotic-keypoints": 0.06, "cholec-sequence": 0.05, "simulator": 0.30}
PSEUDO = {"tool-boxes": 0.28, "laparoscopy-frames": 0.12, "clip": 0.08, "cholec-sequence": 0.03,
          "robotic-keypoints": 0.05, "gynaecology": 0.14, "simulator": 0.14}
TISSUE_WEIGHTS = [0.8, 0.8, 0.8, 1.2, 1.5]
# Whose instruments are pasted, as often as named.
DONORS = ["cholecseg8k", "outlines", "outlines", "outlines", "robotic-grey", "robotic-grey", "simulator", "simulator", "cataract"]


class Batches:
    """Draws augmented batches on a thread of its own; step n is the same whatever came before it."""

    def __init__(self, items, size, seed, first, labelled):
        self.items, self.size, self.seed = items, size, seed
        shares = dict(SHARES)
        if labelled:
            shares = {k: v * 0.6 for k, v in shares.items()}
            for key, value in PSEUDO.items():
                shares[key] = shares.get(key, 0) + value
        self.groups = {g: [i for i in items if i.group == g] for g in shares}
        self.groups = {g: v for g, v in self.groups.items() if v}
        total = sum(shares[g] for g in self.groups)
        self.weights = np.array([shares[g] / total for g in self.groups])
        able = [i for i in items if (i.instrument == 1).mean() > 0.004]
        self.donors = [[i for i in able if i.group == g] for g in DONORS]
        self.donors = [group for group in self.donors if group]
        self.ready = queue.Queue(6)
        threading.Thread(target=self.fill, args=(first,), daemon=True).start()

    def fill(self, step):
        names = list(self.groups)
        while True:
            rng = np.random.default_rng([self.seed, step])
            out = []
            for _ in range(self.size):
                group = self.groups[names[rng.choice(len(names), p=self.weights)]]
                out.append(example(rng, group[rng.integers(len(group))], self.donors))
            image, instrument, tissue = (torch.from_numpy(np.stack(x)) for x in zip(*out))
            mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)
            image = (image.permute(0, 3, 1, 2).float() / 255 - mean) / std
            self.ready.put((image.contiguous(memory_format=torch.channels_last), instrument.long(), tissue.long()))
            step += 1


def per_picture(loss, known):
    """Mean over what is known. Each picture counts by the root of that share: strokes neither vanish nor rule."""
    count = known.sum((1, 2))
    weight = (count / (H * W)).sqrt()
    return ((loss * known).sum((1, 2)) / count.clamp(min=1) * weight).sum() / weight.sum().clamp(min=0.5)


def rim(want):
    """1 within two pixels of an instrument's edge: a jaw is nothing but edge, and is where the tip is."""
    want = want[:, None]
    return (F.max_pool2d(want, 5, 1, 2) + F.max_pool2d(-want, 5, 1, 2))[:, 0]


def loss_of(instrument, tissue, want_instrument, want_tissue):
    known = (want_instrument != UNKNOWN).float()
    want = (want_instrument == 1).float()
    logit = instrument[:, 0]
    each = F.binary_cross_entropy_with_logits(logit, want, reduction="none")
    p = torch.sigmoid(logit)
    focus = (1 - torch.where(want > 0, p, 1 - p)) + 0.1
    bce = per_picture(each * focus.detach() * (1 + 2 * rim(want)), known) * 2
    # Dice needs negatives too, so only over pictures whose instrument map is known nearly everywhere
    full = (known.mean((1, 2)) > 0.6).float()
    inter = (p * want * known).sum((1, 2))
    dice = 1 - (2 * inter + 50) / ((p * known).sum((1, 2)) + (want * known).sum((1, 2)) + 50)
    dice = (dice * full).sum() / full.sum().clamp(min=1)
    ce = F.cross_entropy(tissue, want_tissue, weight=torch.tensor(TISSUE_WEIGHTS), ignore_index=UNKNOWN,
                         reduction="none", label_smoothing=0.03)
    return bce + 0.7 * dice, per_picture(ce, (want_tissue != UNKNOWN).float())


def optimiser(net, rate):
    encoder = list(net.encoder.parameters())
    rest = [p for n, p in net.named_parameters() if not n.startswith("encoder.")]
    groups = [{"params": encoder, "base": rate * 0.35}, {"params": rest, "base": rate}]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=1e-3)


def rate_at(step, steps):
    """A short climb, then a half cosine down to a hundredth."""
    return min(1, (step + 1) / 60) * max(0.5 * (1 + math.cos(math.pi * min(1, step / steps))), 0.01)


def train(args):
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    work = pathlib.Path(args.work)
    work.mkdir(parents=True, exist_ok=True)
    checkpoint = work / f"{args.name}.pt"
    data = Data(args.data, args.simulated)
    items = list(data.train() if args.only is None else data.simulator(False))
    if args.labels:
        from label import apply
        items = apply(items + list(data.to_label()), args.labels)
    (work / f"{args.name}.manifest.tsv").write_text(data.manifest())
    net = Net(len(TISSUES))
    net.encoder.load_imagenet()
    ema = Net(len(TISSUES))
    ema.load_state_dict(net.state_dict())
    opt = optimiser(net, args.rate)
    start = 0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(state["net"]), ema.load_state_dict(state["ema"]), opt.load_state_dict(state["opt"])
        start = state["step"]
        for group, fresh in zip(opt.param_groups, optimiser(net, args.rate).param_groups):
            group["base"] = fresh["base"]
    batches = Batches(items, args.batch, args.seed, start, bool(args.labels))
    net = net.to(memory_format=torch.channels_last).train()
    began, sums = time.time(), np.zeros(2)
    for step in range(start, args.steps):
        image, instrument, tissue = batches.ready.get()
        a, b = loss_of(*net(image), instrument, tissue)
        for group in opt.param_groups:
            group["lr"] = group["base"] * rate_at(step, args.steps)
        opt.zero_grad(set_to_none=True)
        (a + b).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        opt.step()
        sums += a.item(), b.item()
        keep = min(0.995, (step + 1) / (step + 20))
        with torch.no_grad():
            for old, new in zip(ema.state_dict().values(), net.state_dict().values()):
                old.lerp_(new, 1 - keep) if old.is_floating_point() else old.copy_(new)
        done = step + 1
        if done % 50 == 0 or done == args.steps:
            line = {"name": args.name, "step": done, "instrument": round(sums[0] / 50, 4),
                    "tissue": round(sums[1] / 50, 4), "seconds": round(time.time() - began, 1)}
            print(json.dumps(line), flush=True)
            with (work / "training-log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
            sums[:] = 0
        if done % 100 == 0 or done == args.steps:
            part = checkpoint.with_suffix(".part")
            torch.save({"net": net.state_dict(), "ema": ema.state_dict(), "opt": opt.state_dict(), "step": done}, part)
            part.replace(checkpoint)
        if args.keep and done % args.keep == 0:
            torch.save({"ema": ema.state_dict(), "step": done}, work / f"{args.name}.{done:05}.pt")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--simulated", help="what simulate.py rendered")
    parser.add_argument("--work", required=True)
    parser.add_argument("--name", default="net", help="of the checkpoint")
    parser.add_argument("--only", choices=["simulator"], help="train on nothing else")
    parser.add_argument("--labels", help="what an earlier step of it labelled (label.py)")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--keep", type=int, default=0, help="a copy every so many steps, for curve.py")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=7)
    train(parser.parse_args())
