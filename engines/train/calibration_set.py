"""Writes what was held out as labelled data sets of `keyhole calibrate` and `keyhole validate`, in two halves.

    calibration_set.py --data DIR [--simulated DIR] --out DIR

OUT/calibration/NAME is what temperatures and `sure` thresholds are fitted to, OUT/test/NAME what they are reported on. No
patient, scene or seed is in both, and training saw neither. Frames that training saw are no choice: a network is surer of
them than of any other. What lies far from the engine's purpose (the eye) is only tested on.

Pictures are written as training has them (480x288); masks hold the ids of ../classes.toml, 255 where nobody knows.
"""
import argparse
import pathlib
import tomllib

import cv2
import numpy as np

from data import HELD_OUT, TISSUES, UNKNOWN, Data

CLASSES = {c["name"]: c["id"] for c in tomllib.loads((pathlib.Path(__file__).parent.parent / "classes.toml").read_text())["class"]}
INSTRUMENT = CLASSES["instrument"]
TISSUE_IDS = np.array([CLASSES[name] for name in TISSUES], np.uint8)
WITH_TISSUE = {"cholecseg8k", "simulator"}

# Data set (one a group) -> name of the set, licence.
SETS = {
    "cholecseg8k": ("cholecystectomy", "CC BY-NC-SA 4.0"),
    "outlines": ("laparoscopy", "research; normally CC BY-NC-SA 4.0"),
    "tool-tips": ("laparoscopy", "not stated"),
    "robotic-grey": ("robotic", "Apache-2.0 repository, footage unstated"),
    "kvasir-instrument": ("gastrointestinal", "research and education"),
    "cataract": ("eye", "research only"),
    "simulator": ("simulator", "Apache-2.0"),
}


def patient(item):
    """Whose picture it is, or which scene's."""
    stem = pathlib.Path(item.name).stem
    return {
        "robotic-grey": "robotic 826-885",                       # consecutive frames; no cut among them that could be told
        "tool-tips": "tool-tips",
        "outlines": stem[:3],
        "simulator": "seed " + item.name.split("/")[1] if item.group == "simulator" else "",
        "cataract": stem.rsplit("_", 2)[0] if stem.startswith("CatInstSeg") else stem.rsplit("_", 1)[0],
    }.get(item.group, f"{item.group} {stem}")


def for_calibration(item):
    """One half of the held-out patients: laparoscopy of one, one tissue frame, one GI scope, the simulator's first seeds."""
    return {
        "cholecseg8k": "00" in item.name.split("/")[-1],
        "outlines": True,
        "kvasir-instrument": "02" in item.name.split("/")[-1],
        "simulator": item.group == "simulator" and int(item.name.split("/")[1]) <= 4,
    }.get(item.group, False)


def mask_of(item):
    """Ids of the class table; what is labelled for instruments alone names no tissue."""
    mask = np.zeros(item.instrument.shape, np.uint8)
    if item.group in WITH_TISSUE:
        mask = np.where(item.tissue == UNKNOWN, 255, TISSUE_IDS[np.minimum(item.tissue, len(TISSUES) - 1)]).astype(np.uint8)
    mask[item.instrument == 1] = INSTRUMENT
    mask[item.instrument == UNKNOWN] = 255
    return mask


def write(folder, name, licence, items):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    groups = {}
    for index, item in enumerate(items):
        file = f"{index:04}.png"
        cv2.imwrite(str(folder / "images" / file), cv2.cvtColor(item.image, cv2.COLOR_RGB2BGR))
        cv2.imwrite(str(folder / "masks" / file), mask_of(item))
        groups.setdefault(f"patient {patient(item)}", []).append(file)
        groups.setdefault(f"source {item.group}", []).append(file)
    names = ["background", "instrument"] + (TISSUES[1:] if any(i.group in WITH_TISSUE for i in items) else [])
    lines = [f'name = "{name}"', f'licence = "{licence}"', 'source = "held out by engines/train/data.py"', "[classes]"]
    lines += [f'{CLASSES[n]} = "{n}"' for n in names]
    lines += ["[subgroups]"] + [f'"{g}" = [{", ".join(chr(34) + f + chr(34) for f in files)}]' for g, files in sorted(groups.items())]
    (folder / "dataset.toml").write_text("\n".join(lines) + "\n")
    print(f"{folder}: {len(items)} pictures, {len(groups)} groups")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--simulated", help="what simulate.py rendered; held-out seeds are used")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    assert set(SETS) <= set(HELD_OUT) | {"outlines"}
    halves = {}
    for item in Data(args.data, args.simulated).held_out():
        if item.group in SETS:                                    # boxes and joints alone are no masks
            half = "calibration" if for_calibration(item) else "test"
            halves.setdefault((half, SETS[item.group][0]), []).append(item)
    seen = {half: {patient(i) for (h, _), items in halves.items() if h == half for i in items} for half in ("calibration", "test")}
    assert not seen["calibration"] & seen["test"], "a patient in both halves"
    for (half, name), items in sorted(halves.items()):
        licences = "; ".join(sorted({SETS[i.group][1] for i in items}))
        write(pathlib.Path(args.out) / half / name, f"{name} ({half})", licences, items)


if __name__ == "__main__":
    main()
