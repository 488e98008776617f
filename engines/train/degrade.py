"""Writes copies of a labelled data set as through smoke, blood on the lens, fog on the lens and defocus, in five steps each.

    degrade.py --set DIR --out DIR          (DIR/dataset.toml, images/, masks/; OUT/smoke-1 ... OUT/defocus-5)

Labels stay: what was there is there still. Fixed seeds; step 1 is hardly noticed, at step 5 a surgeon would stop.
"""
import argparse
import pathlib
import shutil

import cv2
import numpy as np


def cloud(rng, shape, octaves=(3, 6, 12, 24)):
    """Smooth noise in 0..1, in patches of several sizes."""
    total = sum(cv2.resize(rng.random((n, n), np.float32), shape[::-1], interpolation=cv2.INTER_CUBIC) / 2 ** i for i, n in enumerate(octaves))
    return (total - total.min()) / max(float(np.ptp(total)), 1e-6)


def smoke(rng, x, step):
    """Grey-white, in swirls, over part of the picture and more of it with each step."""
    density = np.clip(cloud(rng, x.shape[:2]) + 0.2 * step - 0.7, 0, 1)[..., None] * (0.35 + 0.13 * step)
    return x * (1 - density) + np.array([225, 222, 218], np.float32) * density


def fog(rng, x, step):
    """A misted lens: bright, even, soft, with less contrast."""
    part = 0.12 * step + 0.04 * cloud(rng, x.shape[:2])[..., None]
    soft = cv2.GaussianBlur(x, (0, 0), 0.6 + 0.8 * step)
    return soft * (1 - part) + (0.5 * soft.mean((0, 1)) + 110) * part


def blood(rng, x, step):
    """Drops and streaks on the lens: dark red, blurred edges, half opaque to opaque."""
    height, width = x.shape[:2]
    cover = np.zeros((height, width), np.float32)
    for _ in range(3 * step):
        centre = int(rng.uniform(0, width)), int(rng.uniform(0, height))
        axes = int(width * rng.uniform(0.02, 0.035 + 0.015 * step)), int(width * rng.uniform(0.015, 0.03 + 0.012 * step))
        cv2.ellipse(cover, centre, axes, rng.uniform(0, 180), 0, 360, 1.0, -1)
    cover = cv2.GaussianBlur(cover, (0, 0), width * 0.008)[..., None] * (0.55 + 0.08 * step)
    return x * (1 - cover) + (x * 0.15 + np.array([95, 8, 10], np.float32)) * cover


def defocus(rng, x, step):
    """A disc of confusion of growing radius, as a lens has it (not a Gaussian)."""
    radius = x.shape[1] * 0.003 * step
    side = int(radius) + 1
    yy, xx = np.mgrid[-side:side + 1, -side:side + 1]
    disc = np.clip(radius + 0.5 - np.hypot(xx, yy), 0, 1).astype(np.float32)
    return cv2.filter2D(x, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT_101)


KINDS = {"smoke": smoke, "blood": blood, "fog": fog, "defocus": defocus}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--set", required=True)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    source = pathlib.Path(args.set)
    text = (source / "dataset.toml").read_text()
    for kind, change in KINDS.items():
        for step in range(1, 6):
            folder = pathlib.Path(args.out) / f"{kind}-{step}"
            (folder / "images").mkdir(parents=True, exist_ok=True)
            shutil.copytree(source / "masks", folder / "masks", dirs_exist_ok=True)
            (folder / "dataset.toml").write_text(text.replace('name = "', f'name = "{kind} {step}, ', 1))
            for index, path in enumerate(sorted((source / "images").iterdir())):
                rng = np.random.default_rng(index)                 # the same clouds and drops at every step
                image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(np.float32)
                out = np.clip(change(rng, image, step), 0, 255).astype(np.uint8)
                cv2.imwrite(str(folder / "images" / path.name), cv2.cvtColor(out, cv2.COLOR_RGB2BGR))
    print(f"{args.out}: {len(KINDS)} kinds of 5 steps")


if __name__ == "__main__":
    main()
