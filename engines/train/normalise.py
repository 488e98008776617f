"""What a frame looks like and what is done to it: src/infer/normalise, spelt out a second time to fit the cohort and to measure.

    normalise.py          prints normalise-cases.json with the numbers to which a test of that room is held

A picture is HxWx3, R'G'B' in 0..1, of the engine's input size. The content area is not here: what lies outside is black.
"""
import json
import pathlib

import numpy as np

BLACK, CLIPPED, FLOOR = 0.05, 0.98, np.float32(4 / 255)
ROWS_JUDGED, STEPS, BINS, MIDDLE, RANGE, LEAST_PART = 24, 32, 192, -3.0, (0.15, 0.85), 0.05
GREY_RANGE, GREY_OFF, NO_TINT = 0.12, 0.6, 1 / 16
DULL, VIVID, BRIGHTEST = (3.0, 4.0), (1.5, 2.5), -0.1
FIGURES = ("brightness", "contrast", "red_green", "yellow_blue", "saturation")


def histogram(values):
    return np.bincount(np.clip(values * STEPS + BINS / 2 + 0.5, 0, BINS - 1).astype(int), minlength=BINS)


def quantile(counts, part):
    """Within a bin its pixels are spread evenly."""
    wanted, below = part * counts.sum(), np.cumsum(counts)
    bin_ = int(np.argmax((below >= wanted) & (counts > 0)))
    return (bin_ - 0.5 + (wanted - below[bin_] + counts[bin_]) / max(counts[bin_], 1) - BINS / 2) / STEPS


def figures(image):
    """The five figures by name and "grey", or None where too little is lit; colours are missing where hardly any is seen."""
    rows = image[::max(len(image) // ROWS_JUDGED, 1)].reshape(-1, 3).astype(np.float32)
    top, least = rows.max(1), rows.min(1)
    log = np.log2(np.maximum(rows, FLOOR))
    lit = top > BLACK
    coloured = lit & (top < CLIPPED) & (least > FLOOR)
    if lit.sum() < LEAST_PART * len(rows):
        return None
    span = lambda counts: quantile(counts, RANGE[1]) - quantile(counts, RANGE[0])
    brightness = histogram(log[lit].mean(1) - MIDDLE)
    found = {"brightness": quantile(brightness, 0.5) + MIDDLE, "contrast": np.log2(max(span(brightness), 1 / STEPS)), "grey": False}
    if coloured.sum() >= LEAST_PART * len(rows):
        r, g, b = log[coloured].T
        red_green, yellow_blue = histogram(r - g), histogram((r + g) / 2 - b)
        found["red_green"], found["yellow_blue"] = quantile(red_green, 0.5), quantile(yellow_blue, 0.5)
        found["saturation"] = np.log2(max(span(red_green) + span(yellow_blue), 1 / STEPS))
        narrow = max(span(red_green), span(yellow_blue)) < GREY_RANGE
        found["grey"] = bool(narrow and max(abs(found["red_green"]), abs(found["yellow_blue"])) < GREY_OFF)
    return found


def beyond(value, spread, cohort):
    off = value - spread["mean"]
    return np.sign(off) * max(abs(off) - cohort["dead_band"] * spread["std"], 0)


def shift(mean, red_green, yellow_blue):
    yellow = mean + yellow_blue / 3
    return [yellow + red_green / 2, yellow - red_green / 2, mean - yellow_blue * 2 / 3]


def correction(found, cohort):
    """gamma, saturation and the shifts of R, G, B, all binary logarithms."""
    strength, balance = cohort["strength"], lambda value: np.clip(value, -cohort["max_balance"], cohort["max_balance"])
    stretch = lambda value: np.clip(value, -cohort["max_stretch"], cohort["max_stretch"])
    if found is None or (found["grey"] and "grey_brightness" not in cohort):
        return 0.0, 0.0, [0.0] * 3
    if found["grey"]:
        exposure = -strength * beyond(found["brightness"], cohort["grey_brightness"], cohort)
        tints = [found[name] if abs(found[name]) >= NO_TINT else 0.0 for name in FIGURES[2:4]]
        exposure = np.clip(exposure, -cohort["max_exposure"], cohort["max_exposure"])
        return 0.0, 0.0, shift(exposure, *(-balance(strength * tint) for tint in tints))
    trust, coloured = strength, "saturation" in found
    if coloured:
        off = (found["saturation"] - cohort["saturation"]["mean"]) / cohort["saturation"]["std"]
        believed, not_ = DULL if off < 0 else VIVID
        trust *= np.clip((not_ - abs(off)) / (not_ - believed), 0, 1)
    brightness, target = min(found["brightness"], BRIGHTEST), cohort["brightness"]["mean"]
    excess, gamma = beyond(found["contrast"], cohort["contrast"], cohort), 0.0
    if (brightness - target) * excess < 0:
        most = np.log2(target / brightness)
        gamma = np.clip(-trust * stretch(excess), min(most, 0), max(most, 0))
    brightness *= 2.0 ** gamma
    excess = trust * beyond(brightness, cohort["brightness"], cohort)
    exposure = np.clip(-excess, 0, cohort["max_exposure"])
    if excess > 0:
        gamma = stretch(gamma + np.log2((brightness - excess) / brightness))
    if not coloured:
        return gamma, 0.0, [exposure] * 3
    saturation = -trust * stretch(beyond(found["saturation"] + gamma, cohort["saturation"], cohort))
    vivid = 2.0 ** (gamma + saturation)
    moves = [-balance(trust * beyond(found[name] * vivid, cohort[name], cohort)) for name in FIGURES[2:4]]
    return gamma, saturation, shift(exposure, *moves)


def apply(image, done):
    gamma, saturation, shifts = done
    log = np.log2(np.maximum(image, FLOOR))
    level = log.mean(-1, keepdims=True)
    out = (level + (log - level) * 2.0 ** saturation) * 2.0 ** gamma + np.array(shifts)
    return np.clip(2.0 ** out * np.clip(image / FLOOR, 0, 1), 0, 1).astype(np.float32)


def normalise(image, cohort):
    return apply(image, correction(figures(image), cohort))


def section(cohort):
    """The manifest's section, as TOML."""
    lines = ["[normalisation]   # of training frames, in binary logarithms (cohort.py)"]
    for name, value in cohort.items():
        lines.append(f"{name} = " + (f"{{ mean = {value['mean']}, std = {value['std']} }}" if isinstance(value, dict) else f"{value}"))
    return "\n".join(lines) + "\n"


def example(kind, width=64, height=48):
    """A small picture that any language can make exactly: waves of two colours, in steps of 1/255."""
    y, x = np.mgrid[0:height, 0:width]
    wave = (x * 5 + y * 3) % 97 / 97
    light = wave * (1 - kind["bend"] * (1 - wave)) * kind["light"] + kind["dark"]
    tint = (x * 7 + y * 11) % 53 / 53
    colours = [light * (kind["from"][c] + tint * kind["by"][c]) for c in range(3)]
    return (np.clip(np.floor(np.stack(colours, -1) * 255 + 0.5), 0, 255) / 255).astype(np.float32)


def main():
    cases = json.loads((pathlib.Path(__file__).parent / "normalise-cases.json").read_text())
    for case in cases["cases"]:
        image = example(case["picture"])
        found = figures(image)
        gamma, saturation, shifts = correction(found, cases["cohort"])
        changed = apply(image, (gamma, saturation, shifts))
        case["figures"] = found and {name: value if isinstance(value, bool) else round(float(value), 5) for name, value in found.items()}
        case["correction"] = [round(float(value), 5) for value in (gamma, saturation, *shifts)]
        case["pixels"] = [[round(float(v), 5) for v in changed[y, x]] for y, x in ((6, 10), (10, 20), (47, 63), (23, 5))]
    lines = ",\n  ".join(json.dumps(case) for case in cases["cases"])
    print(f'{{"cohort": {json.dumps(cases["cohort"])},\n "cases": [\n  {lines}\n ]}}')


if __name__ == "__main__":
    main()
