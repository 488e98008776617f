"""Values of well-known implementations for small made-up cases, as JSON: tests/it/reference.rs holds keyhole's metrics to them,
to 1e-6. `make test-reference` runs it again and compares. Usage: reference.py FOLDER.

Where definitions differ:
- MONAI counts a mask's pixels at the picture's rim as border, and takes the percentile linearly between ranks; so do we. It gives
  infinity (or nan) where only one (or none) of two masks has the class; we give infinity, or no figure.
- Boundary F1 is no metric of MONAI's (its surface Dice pools both borders): it is put together here from its borders and SciPy's
  distances, as Csurka et al. (BMVC 2013) define it.
- torchmetrics puts a probability of just 1 into a bin of its own; there is none here.
- AUROC is counted in bins of odds by us: scores here are multiples of 1/64, each of which has a bin of its own.
- STAPLE of two raters has no single solution (four unknowns, three degrees of freedom): there is none here.
- TrackEval works in f64, we keep likeness in f32: likenesses here have three digits.
"""
import itertools
import json
import pathlib
import random
import sys
import warnings

import numpy as np
import SimpleITK as sitk
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance, compute_iou
from monai.metrics.utils import get_mask_edges
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import distance_transform_edt
from sklearn.metrics import cohen_kappa_score, confusion_matrix, f1_score, roc_auc_score
from statsmodels.stats.inter_rater import aggregate_raters, fleiss_kappa
from torchmetrics.functional.classification import binary_calibration_error
from trackeval.metrics import CLEAR, HOTA, Identity

warnings.filterwarnings("ignore")


def blob(rng, width, height, classes):
    """A class mask of a few overlapping discs, some of which leave the picture."""
    ids = np.zeros((height, width), np.uint8)
    y, x = np.mgrid[:height, :width]
    for value in classes:
        cx, cy, r = rng.uniform(-2, width + 2), rng.uniform(-2, height + 2), rng.uniform(2, 9)
        ids[(x - cx) ** 2 + (y - cy) ** 2 * rng.uniform(0.5, 1.5) < r * r] = value
    return ids


def rows(mask):
    return ["".join(map(str, row)) for row in mask.tolist()]


def number(value):
    return None if not np.isfinite(value) else float(value)


def boundary_f1(truth, found, tolerance):
    found_edge, truth_edge = get_mask_edges(found, truth, crop=False)
    if not found_edge.any() and not truth_edge.any():
        return None
    far = np.full(truth.shape, np.inf)
    to_truth = distance_transform_edt(~truth_edge) if truth_edge.any() else far
    to_found = distance_transform_edt(~found_edge) if found_edge.any() else far
    precision = (to_truth[found_edge] <= tolerance).mean() if found_edge.any() else 0.0
    recall = (to_found[truth_edge] <= tolerance).mean() if truth_edge.any() else 0.0
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def regions(rng):
    cases = []
    for index in range(12):
        width, height = rng.randint(9, 31), rng.randint(7, 25)
        truth = blob(rng, width, height, [1, 2, 1])
        found = blob(rng, width, height, [2, 1]) if index % 3 == 0 else np.roll(truth, (index % 4, index % 3 + 1), (0, 1))
        if index == 10:
            found[:] = 0
        for value in (1, 2):
            t, f = truth == value, found == value
            one_hot = [torch.tensor(m[None, None].astype(np.float32)) for m in (f, t)]
            tn, fp, fn, tp = confusion_matrix(t.ravel(), f.ravel(), labels=[False, True]).ravel()
            part = lambda a, b: float(a / b) if b else None
            both = t.any() and f.any()
            cases.append({
                "truth": rows(truth), "found": rows(found), "class": value,
                "dice": number(compute_dice(*one_hot, ignore_empty=True).double()) if t.any() or f.any() else None,
                "iou": number(compute_iou(*one_hot, ignore_empty=True).double()) if t.any() or f.any() else None,
                "sensitivity": part(tp, tp + fn), "specificity": part(tn, tn + fp), "ppv": part(tp, tp + fp),
                "hd95": number(compute_hausdorff_distance(*one_hot, include_background=True, percentile=95).double()) if both else None,
                "boundary_f1_at_1.5": boundary_f1(t, f, 1.5),
            })
            # MONAI leaves out a picture without truth; by definition nothing of it is right.
            if f.any() and not t.any():
                cases[-1]["dice"] = cases[-1]["iou"] = 0.0
    return cases


def ranking(rng):
    cases = []
    for count in (12, 60, 400):
        labels = [rng.random() < 0.3 for _ in range(count)]
        labels[:2] = [True, False]
        scores = [min(63, max(1, round(64 * rng.betavariate(4 if label else 2, 3)))) / 64 for label in labels]
        cases.append({"scores": scores, "labels": labels, "auroc": roc_auc_score(labels, scores)})
    return cases


def calibration(rng):
    cases = []
    for count in (10, 100, 1000):
        scores = [(rng.randrange(99) + 0.37) / 100 for _ in range(count)]
        labels = [rng.random() < score ** 1.7 for score in scores]
        ece = binary_calibration_error(torch.tensor(scores, dtype=torch.float64), torch.tensor(labels).int(), n_bins=15, norm="l1")
        cases.append({"scores": scores, "labels": labels, "ece": float(ece)})
    return cases


def agreement(rng):
    cases = []
    for raters in (2, 3, 5):
        truth = blob(rng, 20, 14, [1, 1])
        truth[4:9, 5:12] = 1
        masks = [np.where(np.random.default_rng(raters * 10 + r).random(truth.shape) < 0.04 * (r + 1), 1 - truth, truth) for r in range(raters)]
        flat = [mask.ravel() for mask in masks]
        pairs = list(itertools.combinations(flat, 2))
        staple = sitk.STAPLEImageFilter()
        staple.SetForegroundValue(1)
        staple.SetMaximumIterations(1000)
        probability = sitk.GetArrayFromImage(staple.Execute([sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks]))
        table, _ = aggregate_raters(np.stack(flat, 1), 2)
        cases.append({
            "masks": [rows(mask) for mask in masks],
            "dice": float(np.mean([f1_score(a, b) for a, b in pairs])),
            "cohen": float(np.mean([cohen_kappa_score(a, b) for a, b in pairs])),
            "fleiss": float(fleiss_kappa(table)),
        })
        if raters > 2:
            cases[-1] |= {
                "sensitivity": list(staple.GetSensitivity()), "specificity": list(staple.GetSpecificity()),
                "probability": [round(float(p), 9) for p in probability.ravel()],
            }
    return cases


def boxes(rng):
    cases = []
    for pictures in (1, 4, 25):
        truth, found, frames = [], [], []
        for picture in range(pictures):
            frame = {"labels": [], "marks": []}
            for _ in range(rng.randint(0 if pictures > 1 else 2, 4)):
                x, y, w, h = (rng.randint(a, b) for a, b in ((0, 80), (0, 60), (8, 40), (8, 40)))
                value = rng.choice([1, 2])
                truth.append({"id": len(truth) + 1, "image_id": picture, "category_id": value, "bbox": [x, y, w, h], "area": w * h, "iscrowd": 0})
                frame["labels"].append([value, x, y, x + w, y + h])
                for _ in range(rng.choice([0, 1, 1, 2])):
                    u, v = x + rng.randint(-4, 4), y + rng.randint(-4, 4)
                    a, b = max(2, w + rng.randint(-4, 4)), max(2, h + rng.randint(-4, 4))
                    of, score = (value if rng.random() < 0.9 else 3 - value), rng.randint(1, 63) / 64
                    found.append({"image_id": picture, "category_id": of, "bbox": [u, v, a, b], "score": score})
                    frame["marks"].append([of, score, u, v, u + a, v + b])
            if rng.random() < 0.5:
                found.append({"image_id": picture, "category_id": 1, "bbox": [1, 1, 9, 9], "score": 0.5})
                frame["marks"].append([1, 0.5, 1, 1, 10, 10])
            frames.append(frame)
        coco = COCO()
        coco.dataset = {"images": [{"id": i} for i in range(pictures)], "annotations": truth, "categories": [{"id": 1}, {"id": 2}]}
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(found), "bbox")
        judge.evaluate(), judge.accumulate(), judge.summarize()
        precision = judge.eval["precision"][:, :, :, 0, 2]
        mean = lambda p: float(p[p > -1].mean())
        cases.append({"frames": frames, "map": mean(precision), "at_50": mean(precision[0]), "at_75": mean(precision[5])})
    return cases


def sequence(rng, frames, objects):
    """Frames of (truth ids, found ids, likeness), in which ids are swapped, missed and invented."""
    names = {i: i for i in range(objects)}
    out = []
    for frame in range(frames):
        if rng.random() < 0.1 and objects > 1:
            a, b = rng.sample(range(objects), 2)
            names[a], names[b] = names[b], names[a]
        if rng.random() < 0.05:
            names[rng.randrange(objects)] = max(names.values()) + 1
        truth = [i for i in range(objects) if rng.random() < 0.9]
        found = sorted({names[i] for i in truth if rng.random() < 0.85} | ({99} if rng.random() < 0.1 else set()))
        back = {v: k for k, v in names.items()}
        alike = [[round(rng.uniform(0.4, 0.97) if back.get(f) == t else rng.uniform(0, 0.3), 3) for f in found] for t in truth]
        out.append({"truth": truth, "found": found, "alike": alike})
    return out


def data_of(frames):
    truth = sorted({i for f in frames for i in f["truth"]})
    found = sorted({i for f in frames for i in f["found"]})
    return {
        "num_timesteps": len(frames), "num_gt_ids": len(truth), "num_tracker_ids": len(found),
        "num_gt_dets": sum(len(f["truth"]) for f in frames), "num_tracker_dets": sum(len(f["found"]) for f in frames),
        "gt_ids": [np.array([truth.index(i) for i in f["truth"]], int) for f in frames],
        "tracker_ids": [np.array([found.index(i) for i in f["found"]], int) for f in frames],
        "similarity_scores": [np.array(f["alike"], float).reshape(len(f["truth"]), len(f["found"])) for f in frames],
    }


def told(hota, clear, identity):
    return {
        "hota": float(np.mean(hota["HOTA"])), "det_a": float(np.mean(hota["DetA"])), "ass_a": float(np.mean(hota["AssA"])),
        "loc_a": float(np.mean(hota["LocA"])), "mota": float(clear["MOTA"]), "switches": int(clear["IDSW"]),
        "missed": int(clear["CLR_FN"]), "invented": int(clear["CLR_FP"]),
        "idf1": float(identity["IDF1"]), "precision": float(identity["IDP"]), "recall": float(identity["IDR"]),
    }


def tracking(rng):
    metrics = [HOTA(), CLEAR({"PRINT_CONFIG": False}), Identity({"PRINT_CONFIG": False})]
    sequences = [sequence(rng, frames, objects) for frames, objects in ((8, 1), (30, 2), (60, 4))]
    results = [[metric.eval_sequence(data_of(frames)) for metric in metrics] for frames in sequences]
    combined = [metric.combine_sequences({str(i): of[m] for i, of in enumerate(results)}) for m, metric in enumerate(metrics)]
    return {"sequences": [{"frames": frames, **told(*of)} for frames, of in zip(sequences, results)], "combined": told(*combined)}


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed, make in enumerate((regions, ranking, calibration, agreement, boxes, tracking)):
        text = json.dumps(make(random.Random(seed)), separators=(",", ":"))
        (folder / f"{make.__name__}.json").write_text(text + "\n")


main(sys.argv[1])
