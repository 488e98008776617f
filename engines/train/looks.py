"""What acquisition normalisation gains, a subgroup: held-out frames as they are and as other cameras would have shown them,
through `keyhole validate` with `--normalise off` and `on`. What is measured is the program, not a copy of it.

    looks.py --data DIR [--simulated DIR] --engine DIR --work DIR [--keyhole FILE] [--every N] [--looks A,B] [--out FILE.json]

Of an engine whose manifest has no [normalisation] a copy gets the one in training.json. --every N takes every Nth frame of sets
that hold more than 20. Instruments: IoU by data set; tissues: mean IoU over the named ones; boxes and joints: the share found.
"""
import argparse
import collections
import json
import pathlib
import re
import shutil
import subprocess

import cv2
import numpy as np

from data import STORE_H, STORE_W, TISSUES, UNKNOWN, Data, fill
from normalise import section

HERE = pathlib.Path(__file__).parent
KEYHOLE = HERE.parent.parent / "target/release/keyhole"
LUMA = np.array([0.2126, 0.7152, 0.0722])
CLASSES = {0: "background", 1: "abdominal wall", 2: "liver", 4: "fat", 10: "gallbladder", 13: "instrument"}
TOOLS = (5, 9, 13, 14, 15, 16)


def light(*gains):
    """Gains on R, G, B of linear light (IEC 61966-2-1)."""
    def change(x):
        linear = np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        linear = np.clip(linear * np.array(gains), 0, 1)
        return np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return change


def saturation(factor):
    return lambda x: (x @ LUMA)[..., None] * (1 - factor) + x * factor


def gamma(power):
    return lambda x: x ** power


def covered(red, green, blue):
    """The left half under one colour, lit unevenly; what it hides is not counted."""
    def change(x):
        x = x.copy()
        x[:, :STORE_W // 2] = np.array([red, green, blue]) * (0.6 + 0.8 * np.linspace(0, 1, len(x))[:, None, None])
        return x
    return change


LOOKS = {
    "as it is": (),
    "warm": (light(1.35, 1, 0.55),),
    "cold": (light(0.6, 1, 1.6),),
    "green": (light(0.7, 1.1, 0.7),),
    "1.5 stops under": (light(0.35, 0.35, 0.35),),
    "2.5 stops under": (light(0.177, 0.177, 0.177),),
    "1 stop over": (light(2, 2, 2),),
    "1.5 stops over": (light(2.83, 2.83, 2.83),),
    "gamma 1.6": (gamma(1.6),),
    "gamma 0.6": (gamma(0.6),),
    "saturation 0.4": (saturation(0.4),),
    "saturation 1.7": (saturation(1.7),),
    "vendor a": (gamma(0.75), saturation(1.4), light(0.8, 1, 1.35)),
    "vendor b": (gamma(1.3), saturation(0.65), light(1.3, 1, 0.7)),
    "half steel": (covered(0.42, 0.43, 0.45),),
    "half blood": (covered(0.45, 0.04, 0.05),),
}


def shown(item, look):
    x = item.image.astype(np.float64) / 255
    for change in LOOKS[look]:
        x = np.clip(change(x), 0, 1)
    return np.round(x * 255).astype(np.uint8)


def is_counted(item, look):
    known = np.ones((STORE_H, STORE_W), bool)
    if look.startswith("half"):
        known[:, :STORE_W // 2] = False
    return known


def export(items, look, folder):
    shutil.rmtree(folder, ignore_errors=True)
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    classes = "".join(f'{key} = "{name}"\n' for key, name in CLASSES.items())
    (folder / "dataset.toml").write_text(f'name = "{look}"\nlicence = "see the data sets"\nsource = "looks.py"\n[classes]\n{classes}')
    for number, item in enumerate(items):
        cv2.imwrite(str(folder / f"images/{number:04}.png"), cv2.cvtColor(shown(item, look), cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / f"masks/{number:04}.png"), np.full((STORE_H, STORE_W), UNKNOWN, np.uint8))   # scored below


def score(items, look, masks):
    sums, tissues = collections.defaultdict(lambda: np.zeros(2)), collections.defaultdict(lambda: np.zeros(2))
    ids = {name: key for key, name in CLASSES.items()}
    for number, item in enumerate(items):
        found = cv2.imread(str(masks / f"{number:04}.png"), cv2.IMREAD_GRAYSCALE)
        tool, counted = np.isin(found, TOOLS), is_counted(item, look)
        for box in item.boxes:                                         # a box counts where a tenth of it is found
            inside = np.zeros((STORE_H, STORE_W), np.uint8)
            fill(inside, box, 1)
            inside = (inside > 0) & counted
            if inside.any():
                sums[item.group + ", boxes found"] += tool[inside].mean() > 0.1, 1
        if item.boxes:
            continue
        known = (item.instrument != UNKNOWN) & counted
        want, got = (item.instrument == 1) & known, tool & known
        if item.group == "robotic-keypoints":
            sums["robotic-keypoints, line found"] += (want & got).sum(), want.sum()
        else:
            sums[item.group] += (want & got).sum(), (want | got).sum()
        known = (item.tissue != UNKNOWN) & counted
        for index, name in enumerate(TISSUES[1:], 1) if known.any() and item.group in ("cholecseg8k", "simulator") else ():
            want, got = (item.tissue == index) & known, (found == ids[name]) & known
            tissues[item.group, name] += (want & got).sum(), (want | got).sum()
    out = {group: float(s[0] / max(s[1], 1)) for group, s in sums.items()}
    for group in dict.fromkeys(group for group, _ in tissues):
        out[group + ", tissues"] = float(np.mean([s[0] / max(s[1], 1) for (g, _), s in tissues.items() if g == group]))
    return out


def engine_with_cohort(engine, work):
    """The folder that holds it."""
    engines = work / "engines"
    shutil.rmtree(engines, ignore_errors=True)
    copy = shutil.copytree(engine, engines / engine.name)
    text = (copy / "manifest.toml").read_text()
    if "[normalisation]" not in text:
        cohort = json.loads((HERE / "training.json").read_text())["normalisation"]
        text = re.sub(r"\n\[golden\]\n[^\[]*", "\n", text)              # its golden outputs are those without
        (copy / "manifest.toml").write_text(text + "\n" + section(cohort))
        (copy / "signature.toml").unlink(missing_ok=True)
    return engines


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--simulated")
    parser.add_argument("--engine", required=True, type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--keyhole", default=KEYHOLE)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--looks", default=",".join(LOOKS))
    parser.add_argument("--out")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    groups = collections.defaultdict(list)
    for item in Data(args.data, args.simulated).held_out():
        groups[item.group].append(item)
    items = [item for group in groups.values() for item in (group[::args.every] if len(group) > 20 else group)]
    engines, report = engine_with_cohort(args.engine, args.work), {}
    for look in args.looks.split(","):
        export(items, look, args.work / "set")
        for switch in ("off", "on"):
            masks = args.work / f"masks-{switch}"
            subprocess.run([str(args.keyhole), "validate", "--data", str(args.work / "set"), "--engines", str(engines),
                            "--normalise", switch, "--masks", str(masks)], check=True, stdout=subprocess.DEVNULL)
            report.setdefault(look, {})[switch] = score(items, look, masks)
        off, on = report[look]["off"], report[look]["on"]
        if len(report) == 1:
            print("| frames |", *(f"{name} |" for name in off), "\n| --- |", *("---: |" for _ in off))
        print(f"| {look} |", *(f"{off[name]:.3f} → {on[name]:.3f} |" for name in off), flush=True)
    if args.out:
        rounded = {look: {s: {k: round(v, 4) for k, v in of.items()} for s, of in both.items()} for look, both in report.items()}
        pathlib.Path(args.out).write_text(json.dumps({"frames": {g: len(v) for g, v in groups.items()}, "looks": rounded}, indent=1) + "\n")


if __name__ == "__main__":
    main()
