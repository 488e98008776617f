"""Pictures for the head `quality` and the output `cohort`: who is in the cohort, who is outside, and the split.

A picture is drawn by its own seed, so that the same list gives the same pictures. `fit` trains, `limit` sets
the limit (other patients), `test` is only measured. What data.py holds out is in `test`, whatever its kind.
"""
import importlib.util
import pathlib
import zlib
from dataclasses import dataclass

import cv2
import numpy as np

import spoil
import strange
from augment import H, W, tint
from data import HELD_OUT, STORE_H, STORE_W, UNKNOWN, clip_frames, patient_of, picture

CLASSES = ["clear view", "blurred", "smoke", "lens soiled", "out of body"]
# Whole patients, surgeries, scenes and photographs; nothing of `test` is fitted on in any way.
LIMIT = {"tool-boxes": {"v06"}, "laparoscopy-frames": {"00003", "00011", "00024"}, "gynaecology": {"P6", "P13"},
         "simulator": set(range(130, 148)), "robotic-grey": set(range(1086, 1161))}
TEST = {"tool-boxes": HELD_OUT["tool-boxes"], "laparoscopy-frames": {"00015", "00022", "00027"},
        "gynaecology": HELD_OUT["gynaecology"], "simulator": HELD_OUT["simulator"],
        "robotic-grey": HELD_OUT["robotic-grey"]}
# Photographs of PyPI packages (scikit-image, scikit-learn; CC0, CC BY or public domain, named in their read-me files).
PHOTOS = {"fit": ["astronaut", "brick", "chelsea", "color", "grass", "motorcycle_left", "page", "hubble_deep_field", "china"],
          "limit": ["coins", "text"],
          "test": ["coffee", "rocket", "gravel", "camera", "clock_motion", "moon", "logo", "flower"]}
# Never anywhere but in `test`: other indications, and the two laryngoscopies.
OTHERS = ["glottis", "cataract", "gi", "sinus"]


@dataclass
class Sample:
    name: str
    group: str          # data set, or how it was drawn
    split: str          # fit, limit, test
    kind: str           # in, out, other
    labels: np.ndarray  # a number a class of CLASSES: 0, 1, or NaN where it is not known
    image: np.ndarray   # store's size, RGB uint8


def seed(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def labels(*true):
    out = np.zeros(len(CLASSES), np.float32)
    for name in true:
        out[CLASSES.index(name)] = 1
    return out


def unlabelled():
    """Of a real frame nobody said how clear it is: only that it shows the inside of a body."""
    out = np.full(len(CLASSES), np.nan, np.float32)
    out[-1] = 0
    return out


def split_of(group, key):
    return "test" if key in TEST[group] else "limit" if key in LIMIT[group] else "fit"


def inside(data, splits):
    """(name, group, split, picture, instrument map or None) of each real or simulated frame of the cohort."""
    files = [("tool-boxes", path, path.name[:3]) for path in data.listing("tool-boxes/images", "*.jpg")[::3]]
    files += [("laparoscopy-frames", path, path.name[:5]) for path in data.listing("laparoscopy-frames", "*.jpg")]
    for path in data.listing("gynaecology-frames", "*.jpg"):
        files.append(("gynaecology", path, patient_of(path)))
    for group, path, patient in files:
        if split_of(group, patient) in splits:
            yield str(path), group, split_of(group, patient), picture(data.use(path)), None
    for held in [False] * ("fit" in splits or "limit" in splits) + [True] * ("test" in splits):
        split = "test" if held else "fit"
        for item in data.cholecseg8k(held):
            yield item.name, "cholecseg8k", split, item.image, None
        for item in data.robotic_keypoints(held, 4):
            yield item.name, "robotic-clips", split, item.image, None
        for item in list(data.robotic_grey(held))[::1 if held else 5]:
            where = split_of("robotic-grey", int(pathlib.Path(item.name).stem))
            yield item.name, "robotic-grey", where, item.image, item.instrument
        for item in list(data.simulator(held))[::5]:
            if ((item.tissue != UNKNOWN) | (item.instrument == 1)).mean() > 0.7:   # the rest is outside, covered or veiled
                yield item.name, "simulator", split_of("simulator", int(item.name.split("/")[1])), item.image, None
    if "test" in splits:
        for item in data.tool_tips(True):
            yield item.name, "tool-tips", "test", item.image, None
    if "fit" in splits:
        clip = "clips/laparoscopy-720p25.mp4"
        for index, image in clip_frames(data.use(clip), set(range(0, 250, 10))).items():
            yield f"{clip}#{index}", "clip", "fit", image, None


def border(rng, image):
    """The scope's round or cut picture on black."""
    mask = np.zeros((STORE_H, STORE_W), np.uint8)
    cx, cy = int(STORE_W * rng.uniform(0.46, 0.54)), int(STORE_H * rng.uniform(0.46, 0.54))
    if rng.random() < 0.6:
        cv2.circle(mask, (cx, cy), int(STORE_H * rng.uniform(0.48, 0.72)), 1, -1)
    else:
        x, y = int(STORE_W * rng.uniform(0, 0.14)), int(STORE_H * rng.uniform(0, 0.1))
        cv2.rectangle(mask, (x, y), (STORE_W - x, STORE_H - y), 1, -1)
    return image * mask[..., None]


def tinted(rng, image, instrument):
    """A grey frame in flesh tones, as in training."""
    small = tint(rng, cv2.resize(image, (W, H)), cv2.resize(instrument, (W, H), interpolation=cv2.INTER_NEAREST))
    return cv2.resize(small, (STORE_W, STORE_H))


def look(rng, image):
    """Another camera's colours and crop: within what vendors do."""
    if rng.random() < 0.5:
        image = image[:, ::-1]
    if rng.random() < 0.6:
        side = rng.uniform(0.65, 1)
        w, h = int(STORE_W * side), int(STORE_H * side)
        x, y = int(rng.integers(0, STORE_W - w + 1)), int(rng.integers(0, STORE_H - h + 1))
        image = cv2.resize(image[y:y + h, x:x + w], (STORE_W, STORE_H))
    x = image.astype(np.float32) / 255 * np.exp(rng.normal(0, 0.06, 3)) * np.exp(rng.normal(0, 0.2))
    grey = x.mean(2, keepdims=True)
    x = np.clip(grey + (x - grey) * np.exp(rng.normal(0, 0.18)), 0, 1.2) ** np.exp(rng.normal(0, 0.15))
    x = x * 255 + rng.normal(0, rng.uniform(0, 4), x.shape)
    image = np.clip(x, 0, 255).astype(np.uint8)
    return border(rng, image) if rng.random() < 0.3 else image


def degraded(rng, image):
    """One or two faults of one picture, and their labels (a first step of a fault is not yet one)."""
    said, known = [], np.ones(len(CLASSES), bool)
    for kind in rng.permutation(list(spoil.KINDS))[:2 if rng.random() < 0.25 else 1]:
        step = int(rng.integers(1, 6))
        functions = spoil.KINDS[kind]
        image = functions[rng.integers(len(functions))](rng, image, step)
        if step == 1:
            known[[0, CLASSES.index(kind)]] = False
        else:
            said.append(kind)
    out = labels(*said) if said else labels()
    return image, np.where(known, out, np.nan).astype(np.float32)


def photographs():
    """Where the packages keep their pictures: found without importing them."""
    for package, folder in (("skimage", "data"), ("sklearn", "datasets/images")):
        found = importlib.util.find_spec(package)
        if found is None:
            raise ModuleNotFoundError(f"{package}: install requirements.txt, its sample photographs are used")
        for path in sorted(pathlib.Path(found.submodule_search_locations[0], folder).glob("*.[jp][pn]g")):
            for split, names in PHOTOS.items():
                if path.stem in names:
                    yield path, split


def draw_inside(frames):
    """Each frame of the cohort as it is and in several looks, clear and spoilt."""
    for name, group, split, image, instrument in frames:
        rng = seed(name)
        sure_clear = group in ("simulator", "cholecseg8k", "robotic-clips", "tool-tips")
        yield Sample(name, group, split, "in", labels("clear view") if sure_clear else unlabelled(), image)
        if split != "test" and group == "tool-boxes" and rng.random() < 0.3:
            continue
        base = tinted(rng, image, instrument) if instrument is not None and rng.random() < 0.5 else image
        clear = look(rng, base)
        yield Sample(name + "~look", group, split, "in", labels("clear view"), clear)
        spoilt, said = degraded(rng, clear)
        yield Sample(name + "~spoilt", group, split, "in-spoilt", said, spoilt)
        if rng.random() < 0.5:
            spoilt, said = degraded(rng, image)
            yield Sample(name + "~spoilt2", group, split, "in-spoilt", said, spoilt)


def draw_smoke_pairs(data, splits):
    """Pairs with and without synthetic smoke: half of them for each split."""
    for path in data.listing("smoke", "**/*.jpg"):
        said = labels("smoke") if path.parent.name == "input" else labels("clear view")
        split = "fit" if path.parts[1] == "datasets" and int(path.stem) <= 15 else "test"
        if split not in splits:
            continue
        yield Sample(str(path), "smoke-pairs", split, "in-spoilt", said, picture(data.use(path)))


def draw_outside(data, frames, splits):
    """What is not the cohort: drawn, photographed, or a frame of the cohort under another light or covered."""
    photos = [(path, split, picture(path)) for path, split in photographs() if split in splits]
    for path, split, image in photos:
        for i in range(20 if split == "fit" else 12):
            rng = seed(f"{path.name}{i}")
            yield Sample(f"{path.name}#{i}", "photographs", split, "out", labels("out of body"), strange.photograph(rng, image))
    for folder, split in (("sample_001", "fit"), ("sample_002", "test")):
        for path in data.listing(f"camera-calibration/{folder}", "*.jpg") if split in splits else []:
            image = picture(data.use(path))
            yield Sample(str(path), "boards", split, "out", labels("out of body"), image)
            if split == "fit":
                rng = seed(str(path))
                for i in range(4):
                    yield Sample(f"{path}~{i}", "boards", split, "out", labels("out of body"), look(rng, image))
    nothing = np.full(len(CLASSES), np.nan, np.float32)
    counts = {"fit": 100, "limit": 15, "test": 40}
    for split, count in counts.items():
        textures = [image for _, s, image in photos if s == split]
        for i in range(count if split in splits else 0):
            rng = seed(f"{split}{i}")
            for group, make in (("cloth", strange.cloth), ("rooms", lambda r: strange.room(r, textures))):
                yield Sample(f"{group}/{split}{i}", group, split, "out", labels("out of body"), make(rng))
            for group, make in (("noise", strange.noise), ("plain", strange.plain), ("patterns", strange.pattern),
                                ("screens", strange.screen)):
                yield Sample(f"{group}/{split}{i}", group, split, "out", nothing, make(rng))
    for i, (name, make) in enumerate((("ebu75", strange.ebu_bars), ("smpte", strange.smpte_bars), ("hd", strange.hd_bars),
                                      ("ebu100", lambda r: strange.ebu_bars(r, 1.0)), ("ramp", strange.ramp))):
        split = "fit" if name in ("ebu75", "ramp") else "test"
        for j in range(8 if split in splits else 0):
            rng = seed(f"{name}{j}")
            image = make(rng)
            if j:
                image = np.clip(image * rng.uniform(0.8, 1.1) + rng.normal(0, rng.uniform(0, 6), image.shape), 0, 255).astype(np.uint8)
            yield Sample(f"bars/{name}{j}", "bars", split, "out", nothing, image)
    real = [f for f in frames if f[1] in ("tool-boxes", "laparoscopy-frames", "gynaecology", "cholecseg8k", "clip")]
    for name, _, split, image, _ in real[::4]:
        rng = seed(name + "other")
        same = [im for _, s, im in photos if s == split] or [im for _, _, im in photos]
        foreign = strange.screen(rng) if rng.random() < 0.5 else same[rng.integers(len(same))]
        for group, made, said in (("icg", strange.icg(rng, image), unlabelled()), ("nbi", strange.nbi(rng, image), unlabelled()),
                                  ("menu", strange.menu(rng, image), nothing), ("beside", strange.beside(rng, image, foreign), nothing)):
            yield Sample(f"{name}~{group}", group, split, "out", said, made)


def draw_other(data, frames):
    """Other indications and the laryngoscopies: measured, never fitted on."""
    nothing = np.full(len(CLASSES), np.nan, np.float32)
    for name in ("0", "40"):
        for index, image in clip_frames(data.use(f"glottis/{name}.mp4"), set(range(0, 2000))).items():
            yield Sample(f"glottis/{name}#{index}", "glottis", "test", "out", nothing, image)
    for held in (False, True):
        for item in (*data.cataract(held), *data.kvasir(held)):
            yield Sample(item.name, "cataract" if item.group == "cataract" else "gi", "test", "other", nothing, item.image)
    for folder, group, every in (("polyp/frames", "gi", 1), ("sinus-poses", "sinus", 3)):
        for path in data.listing(folder, "**/*.jpg")[::every]:
            yield Sample(str(path), group, "test", "other", nothing, picture(data.use(path)))
    real = [f for f in frames if f[2] == "test" and f[1] in ("tool-boxes", "laparoscopy-frames")]
    for name, _, _, image, _ in real[::3]:
        yield Sample(name + "~turned", "turned", "test", "other", nothing, np.ascontiguousarray(image[::-1, ::-1]))
    for kind, functions in spoil.KINDS.items():
        for function in functions:
            for step in spoil.STEPS:
                for name, _, _, image, _ in real[::4]:
                    said = labels(kind)
                    yield Sample(f"{name}~{function.__name__}{step}", f"{function.__name__} {step}", "test", "in-spoilt", said,
                                 function(seed(f"{name}{step}"), image, step))


def draw(data, splits=("fit", "limit", "test")):
    cv2.setNumThreads(1)
    frames = list(inside(data, splits))
    yield from draw_inside(frames)
    yield from draw_smoke_pairs(data, splits)
    yield from draw_outside(data, frames, splits)
    if "test" in splits:
        yield from draw_other(data, frames)
