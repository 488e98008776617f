"""The held-out part as data sets that `keyhole validate` reads: pictures as they came, at their own size.

    validation_sets.py DATA OUT     writes OUT/{instruments,tissues,tips}

instruments: binary instrument masks of all held-out sets; tissues: the frames that name tissues; tips: stills with a labelled tip and
the clip with joints that is left out. What is held out is data.py's to say. Whose pictures they are is known no better than it says:
a scene, a recording or a case counts as one patient; frames of one of them are alike.
"""
import csv
import json
import pathlib
import shutil
import sys

import cv2
import numpy as np

from data import HELD_OUT, HERE, INSTRUMENTS

CLASSES = {0: "background", 1: "abdominal wall", 2: "liver", 3: "gastrointestinal tract", 4: "fat", 5: "grasper", 6: "connective tissue",
           7: "blood", 8: "cystic duct", 9: "l-hook electrocautery", 10: "gallbladder", 11: "hepatic vein", 12: "liver ligament", 13: "instrument"}
IDS = {name: number for number, name in CLASSES.items()}


class Set:
    def __init__(self, folder, name, licence, classes):
        self.folder, self.name, self.licence, self.classes = folder, name, licence, classes
        self.groups, self.lines = {}, []
        shutil.rmtree(folder, ignore_errors=True)
        for part in ("images", "masks", "tracks"):
            (folder / part).mkdir(parents=True)

    def group(self, name, patient, groups):
        for group in (f"patient {patient}", *groups):
            self.groups.setdefault(group, []).append(name)

    def add(self, path, stem, mask, patient, groups):
        """`path` is copied as it is."""
        name = stem + path.suffix
        shutil.copyfile(path, self.folder / "images" / name)
        if mask is not None:
            cv2.imwrite(str(self.folder / "masks" / f"{stem}.png"), mask)
        self.group(name, patient, groups)
        return name

    def write(self):
        text = f"name = {json.dumps(self.name)}\nlicence = {json.dumps(self.licence)}\nsource = \"engines/train/validation_sets.py\"\n\n[classes]\n"
        text += "".join(f"{number} = {json.dumps(CLASSES[number])}\n" for number in self.classes)
        text += "\n[subgroups]\n" + "".join(f"{json.dumps(group)} = {json.dumps(names)}\n" for group, names in sorted(self.groups.items()))
        (self.folder / "dataset.toml").write_text(text)
        for part in ("masks", "tracks"):
            if not any((self.folder / part).iterdir()):
                (self.folder / part).rmdir()


def grey(path):
    return cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def binary(path):
    return np.where(grey(path) > 127, IDS["instrument"], 0).astype(np.uint8)


def cholecseg8k(root):
    """Path, stem and mask in our ids."""
    names = json.loads((root / "cholecseg8k/classes.json").read_text())["classes"]
    table = np.full(256, 255, np.uint8)
    for number, name in names.items():
        table[int(number)] = IDS["background" if name == "black background" else name]
    for stem in sorted(HELD_OUT["cholecseg8k"]):
        yield root / f"cholecseg8k/frames/{stem}.png", stem, table[grey(root / f"cholecseg8k/masks/{stem}.png")]


def instruments(root, out):
    into = Set(out / "instruments", "held-out instruments", "as the sources say; most are for research only", [0, 13])
    is_tool = np.zeros(256, np.uint8)
    is_tool[[IDS[name] for name in INSTRUMENTS if name in IDS]] = IDS["instrument"]
    is_tool[255] = 255
    colour = "modality colour"
    for path, stem, mask in cholecseg8k(root):
        into.add(path, f"cholecseg8k-{stem}", is_tool[mask], f"cholecseg8k {stem}", ("source cholecseg8k", "procedure cholecystectomy", colour))
    for number in sorted(HELD_OUT["robotic-grey"]):
        stem = f"{number:04}"
        mask = next((root / "robotic-grey/masks").glob(stem + ".*"))
        into.add(root / f"robotic-grey/frames/{stem}.jpg", f"robotic-grey-{stem}", binary(mask), "robotic-grey validation scene",
                 ("source robotic-grey", "procedure robotic", "modality grey"))
    for path in sorted((root / "cataract/images").glob("*.jpg")):
        if path.name.startswith(HELD_OUT["cataract"]):
            case = "_".join(path.stem.split("_")[:-1])
            into.add(path, path.stem, binary(root / f"cataract/masks/{path.stem}.png"), case, ("source cataract", "procedure cataract", colour))
    for stem in sorted(HELD_OUT["kvasir-instrument"]):
        into.add(root / f"kvasir-instrument/frames/{stem}.png", f"kvasir-{stem}", binary(root / f"kvasir-instrument/masks/{stem}.png"),
                 f"kvasir {stem}", ("source kvasir-instrument", "procedure gastroscopy or colonoscopy", colour))
    for path in sorted((root / "tool-tips/TestAnnotation/toolmask").glob("*.png")):
        into.add(root / f"tool-tips/frames/{path.stem}.jpg", f"tool-tips-{path.stem}", binary(path), "tool-tips",
                 ("source tool-tips", "procedure laparoscopy", colour))
    for name, outlines in json.loads((HERE / "outlines.json").read_text())["frames"].items():
        video = name.split("/")[-1][:3]
        if video in HELD_OUT["tool-boxes"]:
            path = root / name
            height, width = grey(path).shape
            mask = np.zeros((height, width), np.uint8)
            for cls, *points in sorted(outlines, key=lambda outline: outline[0] == "instrument"):
                corners = np.array(points).reshape(-1, 2) * [width / 100, height / 100]
                cv2.fillPoly(mask, [corners.round().astype(np.int32)], IDS["instrument"] if cls == "instrument" else 255)
            into.add(path, path.stem, mask, f"tool-boxes {video}", ("source tool-boxes, our outlines", "procedure cholecystectomy", colour))
    into.write()


def tissues(root, out):
    into = Set(out / "tissues", "held-out tissues", "CC BY-NC-SA 4.0 (CholecSeg8k)", sorted(CLASSES))
    for path, stem, mask in cholecseg8k(root):
        into.add(path, f"cholecseg8k-{stem}", mask, f"cholecseg8k {stem}", ("source cholecseg8k", "procedure cholecystectomy"))
    into.write()


def tips(root, out):
    into = Set(out / "tips", "held-out tips", "as the sources say; for research only", [0, 13])
    with (into.folder / "tracks/stills.jsonl").open("w") as lines:
        for path in sorted((root / "tool-tips/coordinates").glob("*.txt")):
            x, y = map(float, path.read_text().splitlines()[TIP_LINE].split(","))
            name = into.add(root / f"tool-tips/frames/{path.stem}.jpg", f"tool-tips-{path.stem}", None, "tool-tips", ("source tool-tips",))
            lines.write(json.dumps({"image": name, "tracks": [{"class": "instrument", "tip": [x, y]}]}) + "\n")
    frames = {}
    for row in csv.DictReader((root / "clips/robotic-keypoints.csv").open()):
        if row["clip"] in HELD_OUT["robotic-keypoints"]:
            joints = frames.setdefault(row["clip"], {}).setdefault(int(row["frame_index_0based"]), {}).setdefault(row["tool"], {})
            joints[row["joint"]] = (float(row["x"]), float(row["y"]))
    for clip, labelled in frames.items():
        shutil.copyfile(root / "clips" / clip, into.folder / clip)
        into.group(clip, clip, ("source da Vinci, ex vivo",))
        with (into.folder / f"tracks/{pathlib.Path(clip).stem}.jsonl").open("w") as lines:
            for frame, tools in sorted(labelled.items()):
                things = []
                for number, (_, joints) in enumerate(sorted(tools.items()), 1):
                    # The tip of a grasper lies between its claspers' ends.
                    ends = [joints[joint] for joint in ("LeftClasperPoint", "RightClasperPoint") if joint in joints]
                    tip = np.mean(ends or [joints["HeadPoint"]], axis=0)
                    things.append({"id": number, "class": "instrument", "tip": [float(v) for v in tip]})
                lines.write(json.dumps({"frame": frame, "tracks": things}) + "\n")
    into.write()


# Of a file of coordinates, the line that has the tip.
TIP_LINE = 4


def main(root, out):
    for make in (instruments, tissues, tips):
        make(pathlib.Path(root), pathlib.Path(out))


if __name__ == "__main__":
    main(*sys.argv[1:])
