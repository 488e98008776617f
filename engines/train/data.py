"""What is trained on: every data set turned into items of one form, and the split by patient or scene.

An item is a picture of 480x288 with two label maps of the same size: `instrument` (0, 1, 255 = not
known) and `tissue` (index into TISSUES, 255 = not known). Augmentation does not belong here.
"""
import csv
import hashlib
import json
import pathlib
import tomllib
from dataclasses import dataclass

import cv2
import numpy as np

import simulate

HERE = pathlib.Path(__file__).parent
STORE_W, STORE_H = 480, 288
UNKNOWN = 255
TISSUES = ["background", "abdominal wall", "liver", "fat", "gallbladder"]   # any other tissue is background
INSTRUMENTS = {"grasper", "l-hook electrocautery", "instrument", "scissors", "clip applier", "suturing needle"}

# Held out by patient, scene or recording; nothing below is ever trained on, in the shipped weights too.
HELD_OUT = {
    "cholecseg8k": {"00", "07"},
    "robotic-grey": set(range(826, 886)),
    "cataract": ("CatInstSeg_test_2019-10-16_11-07-49", "cataract1k_test_case_53153"),
    "kvasir-instrument": {"02", "03"},
    "tool-tips": "all",
    "tool-boxes": {"v09"},
    "robotic-keypoints": {"robotic-576p25-3.avi"},
    "gynaecology": {"P4", "P7", "P15"},
    "simulator": set(range(1, 10)),          # seeds; 1, 2 and 3 are those of the tracker's bench
}


@dataclass
class Item:
    name: str            # file, and frame where it is a clip
    group: str           # data set
    image: np.ndarray    # HxWx3 RGB uint8
    instrument: np.ndarray
    tissue: np.ndarray
    boxes: tuple = ()    # of the working end, in 0..1
    bags: tuple = ()     # of specimen bags, which are no instruments


def area(image):
    return cv2.resize(image, (STORE_W, STORE_H), interpolation=cv2.INTER_AREA)


def nearest(mask):
    return cv2.resize(mask, (STORE_W, STORE_H), interpolation=cv2.INTER_NEAREST)


def picture(path):
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise FileNotFoundError(path)
    return area(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))


def unknown():
    return np.full((STORE_H, STORE_W), UNKNOWN, np.uint8)


def clip_frames(path, wanted):
    """Frames of a clip by 0-based index, as full-range RGB."""
    video, out, index = cv2.VideoCapture(str(path)), {}, 0
    while video.grab():
        if index in wanted:
            out[index] = area(cv2.cvtColor(video.retrieve()[1], cv2.COLOR_BGR2RGB))
        index += 1
    return out


def binary(mask_path, invert=False):
    mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    return nearest(((mask > 127) != invert).astype(np.uint8))


def tables(names):
    """From class ids to our two label maps; an id that is not named is unknown (255)."""
    tissue_of, instrument_of = np.full(256, UNKNOWN, np.uint8), np.full(256, UNKNOWN, np.uint8)
    for key, name in names.items():
        name = "background" if name == "black background" else name
        tool = name in INSTRUMENTS
        tissue_of[int(key)] = UNKNOWN if tool else TISSUES.index(name) if name in TISSUES else 0
        instrument_of[int(key)] = tool
    return tissue_of, instrument_of


class Data:
    """`simulated` is the folder that simulate.py filled; without it there are no simulated scenes."""

    def __init__(self, root, simulated=None):
        self.root, self.simulated = pathlib.Path(root), pathlib.Path(simulated) if simulated else None
        self.used, self.scenes = set(), set()

    def use(self, relative):
        self.used.add(str(relative))
        return self.root / relative

    def listing(self, folder, pattern="*"):
        return [p.relative_to(self.root) for p in sorted((self.root / folder).glob(pattern))]

    # ---- masks -------------------------------------------------------------------------------------
    def cholecseg8k(self, held_out):
        tissue_of, instrument_of = tables(json.loads(self.use("cholecseg8k/classes.json").read_text())["classes"])
        for path in self.listing("cholecseg8k/frames"):
            if (path.stem in HELD_OUT["cholecseg8k"]) == held_out:
                mask = nearest(cv2.imread(str(self.use(f"cholecseg8k/masks/{path.name}")), 0))
                yield Item(str(path), "cholecseg8k", picture(self.use(path)), instrument_of[mask], tissue_of[mask])

    def robotic_grey(self, held_out):
        for path in self.listing("robotic-grey/frames"):
            if (int(path.stem) in HELD_OUT["robotic-grey"]) == held_out:
                masks = sorted((self.root / "robotic-grey/masks").glob(path.stem + ".*"))
                mask = binary(self.use(masks[0].relative_to(self.root)))
                yield Item(str(path), "robotic-grey", picture(self.use(path)), mask, unknown())

    def cataract(self, held_out):
        for path in self.listing("cataract/images"):
            if path.name.startswith(HELD_OUT["cataract"]) == held_out:
                mask = binary(self.use(f"cataract/masks/{path.stem}.png"))
                eye = np.where(mask == 1, UNKNOWN, 0).astype(np.uint8)     # an eye holds none of our tissues
                yield Item(str(path), "cataract", picture(self.use(path)), mask, eye)

    def kvasir(self, held_out):
        for path in self.listing("kvasir-instrument/frames"):
            if (path.stem in HELD_OUT["kvasir-instrument"]) == held_out:
                mask = binary(self.use(f"kvasir-instrument/masks/{path.name}"))
                yield Item(str(path), "kvasir-instrument", picture(self.use(path)), mask, unknown())

    def tool_tips(self, held_out):
        for path in self.listing("tool-tips/TestAnnotation/toolmask") if held_out else []:
            frame = next(p for p in self.listing("tool-tips", "**/" + path.stem + ".jpg"))
            yield Item(str(frame), "tool-tips", picture(self.use(frame)), binary(self.use(path)), unknown())

    def simulator(self, held_out):
        """Masks by class id; what smoke, drops or menus hide is unknown."""
        folders = sorted(self.simulated.glob("*/dataset.toml"), key=lambda p: int(p.parent.name)) if self.simulated else []
        for described in folders:
            folder = described.parent
            if (int(folder.name) in HELD_OUT["simulator"]) == held_out:
                tissue_of, instrument_of = tables(tomllib.loads(described.read_text())["classes"])
                self.scenes.add(int(folder.name))
                for path in sorted(folder.glob("images/*.png")):
                    mask = nearest(cv2.imread(str(folder / "masks" / path.name), 0))
                    name = f"simulator/{folder.name}/{path.name}"
                    yield Item(name, "simulator", picture(path), instrument_of[mask], tissue_of[mask])

    # ---- weak labels -------------------------------------------------------------------------------
    def robotic_keypoints(self, held_out, every=4):
        """Joints of a tool are joined by a thick line: instrument there, unknown elsewhere."""
        chains = {}
        for row in csv.DictReader(self.use("clips/robotic-keypoints.csv").open()):
            if (row["clip"] in HELD_OUT["robotic-keypoints"]) == held_out:
                frame = chains.setdefault((row["clip"], int(row["frame_index_0based"])), {})
                frame.setdefault(row["tool"], {})[row["joint"]] = (float(row["x"]), float(row["y"]))
        for clip in sorted({clip for clip, _ in chains}):
            path = f"clips/{clip}"
            frames = sorted(f for c, f in chains if c == clip)[::every]
            for index, image in clip_frames(self.use(path), set(frames)).items():
                label = unknown()
                for joints in chains[clip, index].values():
                    at = {k: (int(x * STORE_W / 720), int(y * STORE_H / 576)) for k, (x, y) in joints.items()}
                    for a, b in (("LeftClasperPoint", "HeadPoint"), ("RightClasperPoint", "HeadPoint"),
                                 ("HeadPoint", "ShaftPoint"), ("ShaftPoint", "EndPoint")):
                        if a in at and b in at:
                            cv2.line(label, at[a], at[b], 1, 3 if "Clasper" in a else 9)
                yield Item(f"{path}#{index}", "robotic-keypoints", image, label, unknown())

    def cholec_sequence(self, every=5):
        """Boxes here hold the whole instrument: nothing outside is one; inside is unknown."""
        path = "cholec-sequence/clip_25fps.mp4"
        for index, image in clip_frames(self.use(path), set(range(0, 80, every))).items():
            label = np.zeros((STORE_H, STORE_W), np.uint8)
            text = self.use(f"cholec-sequence/labels/frame_{28900 + index}_endo.txt").read_text()
            boxes = []
            for line in text.splitlines():
                _, x, y, w, h = map(float, line.split())
                boxes.append((x - w / 2, y - h / 2, x + w / 2, y + h / 2))
                fill(label, boxes[-1], UNKNOWN, 0.01)
            yield Item(f"{path}#{index}", "cholec-sequence", image, label, unknown(), tuple(boxes))

    def tool_boxes(self, held_out):
        """A box holds the working end only, so nothing is known of the rest until a teacher labels it."""
        boxes, bags = {}, {}
        for row in csv.DictReader(self.use("tool-boxes/boxes.csv").open()):
            if (row["video"] in HELD_OUT["tool-boxes"]) == held_out:
                w, h = int(row["width"]), int(row["height"])
                box = (int(row["xmin"]) / w, int(row["ymin"]) / h, int(row["xmax"]) / w, int(row["ymax"]) / h)
                (bags if row["class"] == "SpecimenBag" else boxes).setdefault(row["frame"], []).append(box)
        for frame in sorted(boxes | bags):
            path = f"tool-boxes/images/{frame}.jpg"
            found, bag = tuple(boxes.get(frame, ())), tuple(bags.get(frame, ()))
            yield Item(path, "tool-boxes", picture(self.use(path)), unknown(), unknown(), found, bag)

    # ---- no labels ---------------------------------------------------------------------------------
    def unlabelled(self, clip_every=4):
        for path in self.listing("laparoscopy-frames", "*.jpg"):
            yield Item(str(path), "laparoscopy-frames", picture(self.use(path)), unknown(), unknown())
        path = "clips/laparoscopy-720p25.mp4"
        for index, image in clip_frames(self.use(path), set(range(0, 250, clip_every))).items():
            yield Item(f"{path}#{index}", "clip", image, unknown(), unknown())

    # ---- scribbles ---------------------------------------------------------------------------------
    def scribbled(self):
        """Our own sparse strokes (percent of width and height) on frames that came without masks."""
        for name, strokes in json.loads((HERE / "scribbles.json").read_text())["frames"].items():
            if name.split("/")[-1][:3] in HELD_OUT["tool-boxes"]:
                raise ValueError(f"{name} is held out")
            file, _, index = name.partition("#")
            if file.split("/")[-1] in HELD_OUT["robotic-keypoints"]:
                raise ValueError(f"{name} is held out")
            image = clip_frames(self.use(file), {int(index)})[int(index)] if index else picture(self.use(file))
            instrument, tissue = unknown(), unknown()
            for cls, *points in strokes:
                line = [(int(x * STORE_W / 100), int(y * STORE_H / 100)) for x, y in zip(points[::2], points[1::2])]
                tool = cls == "instrument"
                width = 5 if tool else 15
                value = TISSUES.index(cls) if cls in TISSUES else 0
                value = UNKNOWN if cls in ("instrument", "no instrument") else value
                for a, b in zip(line, line[1:] or line):
                    cv2.line(tissue, a, b, value, width)
                    cv2.line(instrument, a, b, int(tool), width)
            yield Item(name, "scribbles", image, instrument, tissue)

    # ---- outlines ----------------------------------------------------------------------------------
    def outlined(self, held_out):
        """Instruments outlined by us on frames that came without masks; their tissues are not known."""
        for name, outlines in json.loads((HERE / "outlines.json").read_text())["frames"].items():
            if (name.split("/")[-1][:3] in HELD_OUT["tool-boxes"]) != held_out:
                continue
            label = np.zeros((STORE_H, STORE_W), np.uint8)
            for cls, *points in sorted(outlines, key=lambda o: o[0] == "instrument"):
                corners = np.array(points).reshape(-1, 2) * [STORE_W / 100, STORE_H / 100]
                cv2.fillPoly(label, [corners.round().astype(np.int32)], 1 if cls == "instrument" else UNKNOWN)
            yield Item(name, "outlines", picture(self.use(name)), label, unknown())

    def train(self):
        yield from self.cholecseg8k(False)
        yield from self.robotic_grey(False)
        yield from self.cataract(False)
        yield from self.kvasir(False)
        yield from self.robotic_keypoints(False)
        yield from self.cholec_sequence()
        yield from self.scribbled()
        yield from self.outlined(False)
        yield from self.simulator(False)

    def gynaecology(self):
        """Frames whose patient is known and not held out; another anatomy, so only its instruments are of use."""
        for path in self.listing("gynaecology-frames", "*.jpg"):
            patient = patient_of(path)
            if patient and patient not in HELD_OUT["gynaecology"]:
                yield Item(str(path), "gynaecology", picture(self.use(path)), unknown(), unknown())

    def to_label(self):
        yield from self.unlabelled()
        yield from self.gynaecology()
        yield from self.tool_boxes(False)

    def held_out(self):
        yield from self.cholecseg8k(True)
        yield from self.robotic_grey(True)
        yield from self.cataract(True)
        yield from self.kvasir(True)
        yield from self.tool_tips(True)
        yield from self.robotic_keypoints(True, every=8)
        yield from self.tool_boxes(True)
        yield from self.outlined(True)
        yield from self.simulator(True)

    def manifest(self):
        """One line a file that was opened: sha256, tab, relative name; a simulated scene is named by its command."""
        lines = []
        for name in sorted(self.used):
            lines.append(hashlib.sha256((self.root / name).read_bytes()).hexdigest() + "\t" + name)
        for scene in sorted(self.scenes):
            command = " ".join(["keyhole", *simulate.command(scene), "--script", f"{scene}.toml (simulate.py)"])
            lines.append(simulate.digest(self.simulated / str(scene)) + "\t" + command)
        return "\n".join(lines) + "\n"


def patient_of(path):
    """`P` and a number in a gynaecological frame's name, or nothing."""
    return next((part for part in path.stem.split("_") if part[0] == "P" and part[1:].isdigit()), "")


def fill(label, box, value, margin=0.0):
    x0, y0, x1, y1 = box
    x0, x1 = (int(np.clip(v, 0, 1) * STORE_W) for v in (x0 - margin, x1 + margin))
    y0, y1 = (int(np.clip(v, 0, 1) * STORE_H) for v in (y0 - margin, y1 + margin))
    label[y0:y1 + 1, x0:x1 + 1] = value
