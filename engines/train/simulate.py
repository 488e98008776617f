"""Renders the simulator's share of the training data: scene by scene, each from its number alone.

    simulate.py --keyhole target/release/keyhole --out DIR [--scenes 100-147 | --scenes 7,8,9]

A scene's number is the simulator's seed (anatomy, instruments, light) and also draws its script: the vendor's
look, sensor noise, and what comes in the way (smoke, blood, fog, drops, defocus, further instruments, a moved
camera). A scene that is there is kept. Scenes 1 to 9 are for measuring only: train.py refuses them.
"""
import argparse
import hashlib
import pathlib
import subprocess

import numpy as np

SECONDS, WIDTH, HEIGHT = 16, 640, 360
LOOKS = ["standard", "a", "b", "c"]
TOOLS = ["grasper", "hook", "scissors", "clip-applier", "irrigator", "needle"]
SIDES = ["left", "right", "top", "bottom"]
DISTURBANCES = ["smoke", "smoke", "bleeding", "lens_fog", "droplets", "soiling", "defocus", "motion_blur", "flicker", "noise"]


def script(scene):
    """What happens in a scene, as `keyhole sim --script` reads it."""
    rng = np.random.default_rng([3, scene])
    lines = [f"seconds = {SECONDS}.0", f'look = "{LOOKS[rng.integers(4)]}"', f"noise = {rng.uniform(0.5, 3):.2f}"]

    def event(kind, shortest, longest, *extra):
        length = rng.uniform(shortest, longest)
        at = rng.uniform(0, SECONDS - length)
        lines.extend(["[[event]]", f'kind = "{kind}"', f"at_s = {at:.2f}", f"for_s = {length:.2f}", *extra])

    for _ in range(rng.integers(0, 4)):
        event(DISTURBANCES[rng.integers(len(DISTURBANCES))], 3, 6, f"amount = {rng.uniform(0.2, 0.9):.2f}")
    for _ in range(rng.integers(0, 3)):
        tool, side = TOOLS[rng.integers(len(TOOLS))], SIDES[rng.integers(len(SIDES))]
        event("instrument", 5, 9, f'tool = "{tool}"', f'side = "{side}"')
    for _ in range(rng.integers(0, 2)):
        x, y, zoom, turn = rng.uniform(-0.3, 0.3), rng.uniform(-0.2, 0.2), rng.uniform(0.9, 2.0), rng.uniform(-40, 40)
        event("camera", 4, 8, f"pan = [{x:.2f}, {y:.2f}]", f"zoom = {zoom:.2f}", f"turn_deg = {turn:.1f}")
    return "\n".join(lines) + "\n"


def command(scene):
    """The arguments after `keyhole`; one picture a second is kept, so that each differs from the one before."""
    return ["sim", "--seed", str(scene), "--width", str(WIDTH), "--height", str(HEIGHT), "--fps", "1"]


def render(keyhole, out, scene):
    folder = out / str(scene)
    if (folder / "dataset.toml").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    plan = out / f"{scene}.toml"
    plan.write_text(script(scene))
    subprocess.run([keyhole, *command(scene), "--script", plan, "--out", folder], check=True, stderr=subprocess.DEVNULL)
    (folder / "clip.mkv").unlink()


def digest(folder):
    """SHA-256 over a scene's script, pictures and masks, in order of their names."""
    total = hashlib.sha256(folder.with_suffix(".toml").read_bytes())
    for path in sorted([*folder.glob("images/*.png"), *folder.glob("masks/*.png")]):
        total.update(path.read_bytes())
    return total.hexdigest()


def numbers(text):
    first, _, last = text.partition("-")
    return list(range(int(first), int(last) + 1)) if last else [int(n) for n in text.split(",")]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--keyhole", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--scenes", required=True)
    args = parser.parse_args()
    for scene in numbers(args.scenes):
        render(args.keyhole, pathlib.Path(args.out), scene)


if __name__ == "__main__":
    main()
