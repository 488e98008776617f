"""Measures an exported engine on what was held out, and draws what it sees.

    evaluate.py --data DIR [--simulated DIR] --engine DIR/model.onnx [--out metrics.json] [--overlays DIR]

The figures are of the file that ships, run by ONNX Runtime, not of a checkpoint, and as the product runs it: each frame
is brought to the light and colours of the training's (normalise.py) unless --as-is.
"""
import argparse
import json
import pathlib
import time

import cv2
import numpy as np
import onnxruntime

from cohort_data import CLASSES, draw
from data import STORE_H, STORE_W, TISSUES, UNKNOWN, Data, clip_frames, fill
from label import tensor

HERE = pathlib.Path(__file__).parent
LAPAROSCOPY = ("tool-boxes", "laparoscopy-frames", "gynaecology", "cholecseg8k", "tool-tips")
THRESHOLDS = [0.3, 0.4, 0.5, 0.6, 0.7]
COLOURS = np.array([[0, 0, 0], [200, 140, 80], [230, 60, 60], [255, 230, 0], [0, 220, 80]], np.uint8)


class Engine:
    def __init__(self, path, cohort=None):
        self.cohort = cohort
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(path), options)
        self.inputs = self.session.get_inputs()[0].shape

    def __call__(self, image, size=(STORE_W, STORE_H)):
        """Instrument HxW and tissue CxHxW probabilities at `size`."""
        x = tensor(image, self.inputs[3], self.inputs[2], self.cohort).numpy()
        tool, tissue = self.session.run(["instrument", "tissue"], {"image": x})
        tissue = np.exp(tissue[0] - tissue[0].max(0))
        tissue /= tissue.sum(0)
        return (cv2.resize(1 / (1 + np.exp(-tool[0, 0])), size), np.stack([cv2.resize(c, size) for c in tissue]))

    def judges(self):
        """Does the model say how clear a picture is, and how far from the cohort?"""
        return "cohort" in [output.name for output in self.session.get_outputs()]

    def judge(self, image):
        """Probability of each quality class, and the distance from the cohort (1 is the limit)."""
        x = tensor(image, self.inputs[3], self.inputs[2], self.cohort).numpy()
        quality, cohort = self.session.run(["quality", "cohort"], {"image": x})
        return 1 / (1 + np.exp(-quality[0])), float(cohort[0, 0])

    def milliseconds(self, rounds=12, runs=40):
        """Median of the calmest round: what the network costs, not what else the machine was doing."""
        x, medians = np.random.default_rng(0).normal(size=self.inputs).astype(np.float32), []
        for _ in range(rounds):
            spent = []
            for _ in range(runs):
                began = time.perf_counter()
                self.session.run(None, {"image": x})
                spent.append((time.perf_counter() - began) * 1e3)
            medians.append(np.median(spent))
        return round(float(min(medians)), 2)


def iou(sums):
    return round(float(sums[0] / max(sums[1], 1)), 3)


def measure(engine, items):
    """IoU over all pixels of a set; recall alone where only points or boxes are known."""
    tools, tissue, weak = {}, {}, {}
    sure = {t: np.zeros(3) for t in THRESHOLDS}
    for item in items:
        p, q = engine(item.image)
        if item.boxes or item.bags:                                    # a box counts where a tenth of it is found
            for box in item.boxes:
                inside = np.zeros((STORE_H, STORE_W), np.uint8)
                fill(inside, box, 1)
                for t in THRESHOLDS:
                    sums = weak.setdefault(item.group + " boxes found", {}).setdefault(t, np.zeros(2))
                    sums += (p[inside > 0] > t).mean() > 0.1, 1
            continue
        known = item.instrument != UNKNOWN
        want = (item.instrument == 1) & known
        for t in THRESHOLDS:
            got = (p > t) & known
            if item.group == "robotic-keypoints":
                sums = weak.setdefault("robotic-keypoints line found", {}).setdefault(t, np.zeros(2))
                sums += (got & want).sum(), want.sum()
            else:
                sums = tools.setdefault(item.group, {}).setdefault(t, np.zeros(2))
                sums += (got & want).sum(), (got | want).sum()
        if item.group == "cholecseg8k":
            known, got = item.tissue != UNKNOWN, q.argmax(0)
            for c, name in enumerate(TISSUES):
                sums = tissue.setdefault(name, np.zeros(2))
                sums += ((got == c) & (item.tissue == c)).sum(), (((got == c) | (item.tissue == c)) & known).sum()
            for t, sums in sure.items():
                kept = known & (q.max(0) >= t)
                sums += ((got == item.tissue) & kept).sum(), kept.sum(), known.sum()
    present = {name for item in items if item.group == "cholecseg8k" for name in
               (TISSUES[c] for c in np.unique(item.tissue) if c != UNKNOWN)}
    return {
        "instrument_iou": {g: {str(t): iou(s) for t, s in v.items()} for g, v in tools.items()},
        "instrument_recall": {g: {str(t): iou(s) for t, s in v.items()} for g, v in weak.items()},
        "tissue_iou": {n: iou(s) for n, s in tissue.items() if n in present},
        "tissue_mean_iou": round(float(np.mean([iou(s) for n, s in tissue.items() if n in present])), 3),
        "tissue_accuracy_by_threshold": {str(t): {"accuracy": iou(s), "coverage": round(float(s[1] / s[2]), 3)}
                                         for t, s in sure.items()},
    }


def unknown(engine, data):
    """How often a frame is refused, by the model alone, in each held-out set of the cohort and outside of it."""
    groups, as_recorded = {}, []
    for sample in draw(data, ("test",)):
        quality, cohort = engine.judge(sample.image)
        refused = cohort > 1 or quality[CLASSES.index("out of body")] >= 0.5
        groups.setdefault({"in": "in", "in-spoilt": "spoilt"}.get(sample.kind, sample.kind) + ", " + sample.group, []).append(refused)
        if sample.kind == "in" and not sample.name.endswith("~look") and sample.group in LAPAROSCOPY:
            as_recorded.append(refused)
    return {"laparoscopy_as_recorded": {"unknown": round(float(np.mean(as_recorded)), 4), "n": len(as_recorded)},
            "groups": {g: {"unknown": round(float(np.mean(v)), 4), "n": len(v)} for g, v in sorted(groups.items())}}


def overlay(engine, image, threshold=0.4, width=640, height=384):
    p, q = engine(image, (width, height))
    out = cv2.resize(image, (width, height))
    best = np.where(p > threshold, 0, q.argmax(0)).astype(np.uint8)
    best[q.max(0) < 0.5] = 0
    fillcolour = COLOURS[best]
    out = np.where(best[..., None] > 0, (out * 0.62 + fillcolour * 0.38).astype(np.uint8), out)
    for c in range(1, len(TISSUES)):
        edges, _ = cv2.findContours((best == c).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, edges, -1, COLOURS[c].tolist(), 1)
    edges, _ = cv2.findContours((p > threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, edges, -1, (0, 255, 255), 2)
    return out


def sheet(pictures, path, columns=3):
    blank = np.zeros_like(pictures[0])
    pictures = pictures + [blank] * (-len(pictures) % columns)
    rows = [np.hstack(pictures[i:i + columns]) for i in range(0, len(pictures), columns)]
    cv2.imwrite(str(path), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--simulated", help="what simulate.py rendered; seeds 1 to 9 are measured")
    parser.add_argument("--engine", required=True)
    parser.add_argument("--as-is", action="store_true")
    parser.add_argument("--out")
    parser.add_argument("--overlays")
    args = parser.parse_args()
    cohort = None if args.as_is else json.loads((HERE / "training.json").read_text())["normalisation"]
    engine, data = Engine(args.engine, cohort), Data(args.data, args.simulated)
    items = list(data.held_out())
    report = {"milliseconds_one_thread": engine.milliseconds(), **measure(engine, items)}
    if engine.judges():
        report["unknown"] = unknown(engine, data)
    print(json.dumps(report, indent=1))
    if args.out:
        pathlib.Path(args.out).write_text(json.dumps(report, indent=1) + "\n")
    if args.overlays:
        folder = pathlib.Path(args.overlays)
        folder.mkdir(parents=True, exist_ok=True)
        clip = clip_frames(data.root / "clips/laparoscopy-720p25.mp4", {0, 50, 100, 150, 200, 240})
        sheet([overlay(engine, clip[i]) for i in sorted(clip)], folder / "clip.png")
        for group, step in (("cholecseg8k", 1), ("robotic-grey", 10), ("tool-tips", 1), ("cataract", 1),
                            ("kvasir-instrument", 1), ("tool-boxes", 9), ("robotic-keypoints", 2)):
            some = [i for i in items if i.group == group][::step][:6]
            if some:
                sheet([overlay(engine, i.image) for i in some], folder / f"{group}.png")


if __name__ == "__main__":
    main()
