"""Fits the cohort of `[normalisation]` in an engine's manifest, and prints that section.

    cohort.py --data DIR [--write]

Of every real frame that training reads (train and to_label of data.py), at the engine's input size. Grey frames (one recording)
give the brightness of grey frames alone. With --write it goes into training.json too, from where export.py takes it.
"""
import argparse
import json
import pathlib

import cv2
import numpy as np

from data import Data
from normalise import FIGURES, figures, section

HERE = pathlib.Path(__file__).parent
W, H = 320, 192
LEAST_STD = 0.25       # what one recording alone says of how brightness spreads is too little
LIMITS = {"dead_band": 1.0, "strength": 1.0, "max_exposure": 1.5, "max_balance": 0.4, "max_stretch": 0.6}


def spread(values, least=0.0):
    return {"mean": round(float(np.mean(values)), 3), "std": round(max(float(np.std(values)), least), 3)}


def fit(images):
    found = [f for f in map(figures, images) if f]
    colour = [f for f in found if not f["grey"] and "saturation" in f]
    grey = [f["brightness"] for f in found if f["grey"]]
    cohort = LIMITS | {name: spread([f[name] for f in colour]) for name in FIGURES}
    return cohort | ({"grey_brightness": spread(grey, LEAST_STD)} if grey else {}), len(colour), len(grey)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    data = Data(args.data)
    items = [*data.train(), *data.to_label()]
    small = (cv2.resize(i.image, (W, H), interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for i in items)
    cohort, colour, grey = fit(small)
    print(f"# of {colour} colour and {grey} grey frames\n{section(cohort)}", end="")
    if args.write:
        path = HERE / "training.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"normalisation": cohort}, indent=1) + "\n")


if __name__ == "__main__":
    main()
