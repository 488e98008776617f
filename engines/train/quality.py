"""Fits the head `quality` and the output `cohort` on an engine's pooled features; the engine stays as it is.

    quality.py --engine NAME --data DIR --work DIR [--simulated DIR]

Below ten minutes on two busy cores; the features are those of `NAME.trunk.onnx` (export.py), of the very numbers that ship,
and are cached in the work folder under the hash of it and the recipe. Leaves NAME.quality.pt (what export.py appends) and
NAME.quality.json (figures on what was held out).
Sigmoids, not a softmax: a picture may be blurred and smoky at once, and what is clear is none of it.
"""
import argparse
import hashlib
import json
import pathlib
import time

import numpy as np
import onnxruntime
import torch
import torch.nn.functional as F

from cohort_data import CLASSES, draw
from data import Data
from gauge import REACH, Gauge
from label import tensor
from model import Encoder
from pooled import of_stride

HERE = pathlib.Path(__file__).parent
RECIPE = ("normalise.py", "cohort_data.py", "strange.py", "spoil.py", "pooled.py", "data.py", "augment.py")
# Of the map whose pooled features are measured against a cohort.
STRIDE = 16
# Small and soon stopped: what is larger or learns longer refuses more frames of patients that it has not seen.
HIDDEN, STEPS, RATE, DECAY, SEED = 16, 150, 1e-2, 3.0, 7
SHRINKAGE = 0.1
# The two cohorts whose distance is taken, each with a covariance of its own.
COHORTS = (("tool-boxes", "laparoscopy-frames", "gynaecology", "cholecseg8k", "clip", "simulator", "robotic-clips"), ("robotic-grey",))
# Part of the frames of other patients that stay below a limit, and how much farther it is set.
BELOW, BEYOND = 0.99, 1.08


def features(args, trunk):
    """Features NxD, labels Nx5, and name, group, split, kind of each picture."""
    key = hashlib.sha256(trunk.read_bytes())
    for name in RECIPE:
        key.update((HERE / name).read_bytes())
    cohort = json.loads((HERE / "training.json").read_text())["normalisation"]
    key.update(json.dumps(cohort).encode())
    cache = trunk.with_name(f"quality-features.{key.hexdigest()[:16]}.npz")
    if not cache.exists():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session, rows, said, known = onnxruntime.InferenceSession(str(trunk), options), [], [], []
        _, _, height, width = session.get_inputs()[0].shape
        for sample in draw(Data(args.data, args.simulated)):
            rows.append(session.run(["pooled"], {"image": tensor(sample.image, width, height, cohort).numpy()})[0])
            said.append(sample.labels)
            known.append((sample.name, sample.group, sample.split, sample.kind))
            if len(said) % 1000 == 0:
                print(f"{len(said)} pictures", flush=True)
        np.savez(cache, features=np.concatenate(rows), labels=np.stack(said), known=np.array(known))
    stored = np.load(cache)
    return torch.from_numpy(stored["features"]), torch.from_numpy(stored["labels"]), stored["known"]


def classifier(z, labels, kind):
    """A small network: five classes and `strange`. Each label weighs as much as its opposite, unknown ones nothing."""
    torch.manual_seed(SEED)
    strange = torch.from_numpy((kind == "out").astype(np.float32))[:, None]
    want = torch.cat([labels, strange], 1)
    known = ~want.isnan()
    want = want.nan_to_num()
    weight = torch.where(want > 0, 0.5 / (want * known).sum(0).clamp(min=1), 0.5 / ((1 - want) * known).sum(0).clamp(min=1)) * known
    hidden, last = torch.nn.Linear(z.shape[1], HIDDEN), torch.nn.Linear(HIDDEN, want.shape[1])
    steps = torch.optim.AdamW([*hidden.parameters(), *last.parameters()], RATE, weight_decay=DECAY)
    for _ in range(STEPS):
        loss = F.binary_cross_entropy_with_logits(last(F.relu(hidden(z))), want * 0.96 + 0.02, reduction="none")
        steps.zero_grad()
        (loss * weight).sum().backward()
        steps.step()
    return {"hidden_weight": hidden.weight.data, "hidden_bias": hidden.bias.data, "last_weight": last.weight.data,
            "last_bias": last.bias.data}


def whitener(rows):
    """Of a cohort: the matrix that makes its spread one in every direction, and its centre behind it."""
    centre = rows.mean(0)
    spread = (rows - centre).T @ (rows - centre) / len(rows)
    size = len(spread)
    spread = (1 - SHRINKAGE) * spread + SHRINKAGE * torch.eye(size, dtype=rows.dtype) * spread.trace() / size
    values, vectors = torch.linalg.eigh(spread)
    w = vectors / values.sqrt()
    return w.float(), (centre @ w).float()[None]


def fit(x, labels, known):
    group, split, kind = known[:, 1], known[:, 2], known[:, 3]
    inside = (kind == "in") | (kind == "in-spoilt")
    cohort = inside & (group != "smoke-pairs")
    rows = x[torch.from_numpy(cohort & (split == "fit"))]
    fitted = {"centre": rows.mean(0), "spread": rows.std(0) + 1e-3}
    z = ((x - fitted["centre"]) / fitted["spread"]).clamp(-REACH, REACH)
    part = torch.from_numpy((split == "fit") & (kind != "other"))
    fitted |= classifier(z[part], labels[part], kind[part.numpy()])
    third = of_stride(STRIDE, Encoder(7).channels)
    fitted |= {"first": torch.tensor(third.start), "end": torch.tensor(third.stop)}
    pairs = [whitener(z[torch.from_numpy(cohort & (split == "fit") & np.isin(group, c))][:, third].double()) for c in COHORTS]
    fitted |= {"whiteners": torch.stack([w for w, _ in pairs]), "centres": torch.stack([c for _, c in pairs]),
               "distance_limits": torch.ones(1, len(COHORTS)), "strange_limit": torch.tensor(0.0), "strange_reach": torch.tensor(1.0)}
    gauge = Gauge(fitted)
    held = cohort & (split == "limit")
    for i, groups in enumerate(COHORTS):
        own = torch.from_numpy(held & np.isin(group, groups))
        fitted["distance_limits"][0, i] = gauge.distances(z[own])[:, i].quantile(BELOW) * BEYOND
    logits = gauge.logits(z[torch.from_numpy(held)])
    middle, limit = logits[:, -1].median(), logits[:, -1].quantile(BELOW)
    fitted["strange_reach"] = (limit - middle) * BEYOND
    fitted["strange_limit"] = middle + fitted["strange_reach"]
    # Half probability of `out of body` is where hardly any frame of other patients lies.
    fitted["last_bias"][CLASSES.index("out of body")] -= logits[:, CLASSES.index("out of body")].quantile(0.997).clamp(min=0)
    return fitted


def auroc(no, yes):
    if len(no) == 0 or len(yes) == 0:
        return None
    order = np.argsort(np.argsort(np.concatenate([no, yes]))) + 1
    return round(float((order[len(no):].sum() - len(yes) * (len(yes) + 1) / 2) / (len(no) * len(yes))), 4)


def report(quality, cohort, labels, known):
    """Figures on the split `test`: nothing of it was fitted on."""
    group, split, kind = known[:, 1], known[:, 2], known[:, 3]
    test, unknown = split == "test", (cohort > 1) | (quality[:, -1] > 0)
    classes = {}
    for i, name in enumerate(CLASSES):
        # Not the sets of five steps, whose first is no fault yet.
        is_known = test & ~np.isnan(labels[:, i]) & ~np.char.isdigit([g[-1] for g in group])
        yes = is_known & (labels[:, i] == 1)
        no = is_known & (labels[:, i] == 0)
        classes[name] = {"auroc": auroc(quality[no, i], quality[yes, i]), "sensitivity": rate(quality[yes, i] > 0),
                         "specificity": rate(quality[no, i] <= 0), "n": [int(yes.sum()), int(no.sum())]}
    share = lambda kinds: {g: {"unknown": rate(unknown[m]), "n": int(m.sum())} for g in sorted(set(group[test & np.isin(kind, kinds)]))
                           for m in [test & (group == g) & np.isin(kind, kinds)]}
    # As recorded: a frame without a look drawn over it.
    plain = test & (kind == "in") & ~np.char.endswith(known[:, 0], "~look")
    real = plain & np.isin(group, ["tool-boxes", "laparoscopy-frames", "gynaecology", "cholecseg8k", "tool-tips"])
    return {"quality": classes, "false_unknown_laparoscopy_as_recorded": {"unknown": rate(unknown[real]), "n": int(real.sum())},
            "as_recorded": {g: {"unknown": rate(unknown[plain & (group == g)]), "n": int((plain & (group == g)).sum())}
                            for g in sorted(set(group[plain]))},
            "in_cohort": share(["in"]), "in_cohort_spoilt": share(["in-spoilt"]), "outside": share(["out"]),
            "other_indication": share(["other"])}


def rate(mask):
    return round(float(np.mean(mask)), 4) if len(mask) else None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--engine", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--simulated", help="what simulate.py rendered")
    args = parser.parse_args()
    torch.set_num_threads(1)
    began, work = time.time(), pathlib.Path(args.work)
    x, labels, known = features(args, work / f"{args.engine}.trunk.onnx")
    fitted = fit(x, labels, known)
    torch.save(fitted, work / f"{args.engine}.quality.pt")
    with torch.no_grad():
        quality, cohort = (t.numpy() for t in Gauge(fitted)(x))
    figures = report(quality, cohort[:, 0], labels.numpy(), known)
    (work / f"{args.engine}.quality.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures))
    print(f"{len(x)} pictures, {time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
