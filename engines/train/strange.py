"""Pictures that the engine was not made for, drawn by a generator: test pictures, noise, screens, rooms, other
lights, and what lies over a picture. RGB uint8 of the store's size.

Functions that take a picture render it under another light or cover it; the others need none.
"""
import cv2
import numpy as np

from data import STORE_H as H
from data import STORE_W as W
from spoil import field

COLOURS = np.array([[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]])


def full(colour):
    return np.full((H, W, 3), np.clip(colour, 0, 255), np.uint8)


def columns(colours, height=H):
    """Bars side by side; colours in 0..255."""
    edges = np.round(np.linspace(0, W, len(colours) + 1)).astype(int)
    out = np.zeros((height, W, 3), np.uint8)
    for colour, a, b in zip(colours, edges, edges[1:]):
        out[:, a:b] = np.clip(colour, 0, 255)
    return out


# ---- no content ------------------------------------------------------------------------------------
def ebu_bars(rng, level=0.75):
    """EBU / ITU-R BT.471: 100/0/75/0 or, with level 1, 100/0/100/0."""
    colours = COLOURS * 255 * level
    colours[0] = 255
    return columns(colours)


def smpte_bars(rng):
    """SMPTE EG 1: seven bars, the castellations, -I, white, +Q, black and PLUGE."""
    seven, blue = COLOURS[:7] * 191, COLOURS[[6, 7, 4, 7, 2, 7, 0]] * 191
    low = [(0, 33, 76), (255, 255, 255), (50, 0, 106), (19, 19, 19), (9, 9, 9), (19, 19, 19), (29, 29, 29), (19, 19, 19)]
    top, middle = round(H * 0.67), round(H * 0.08)
    return np.vstack([columns(seven, top), columns(blue, middle), columns(low, H - top - middle)])


def hd_bars(rng):
    """SMPTE RP 219: 40 % grey at either side, seven bars, ramp, PLUGE."""
    grey, out = 102, full(0)
    side, top = W // 8, round(H * 7 / 12)
    out[:top] = grey
    seven = cv2.resize(columns(COLOURS[:7] * 191, top), (W - 2 * side, top), interpolation=cv2.INTER_NEAREST)
    out[:top, side:W - side] = seven
    a, b = round(H * 8 / 12), round(H * 9 / 12)
    out[top:a], out[top:a, :side], out[top:a, W - side:] = 191, (0, 255, 255), (0, 0, 255)
    out[a:b, side:W - side] = np.linspace(0, 255, W - 2 * side)[None, :, None]
    out[a:b, :side], out[a:b, W - side:] = (255, 255, 0), (255, 0, 0)
    out[b:, :side] = out[b:, W - side:] = 38
    out[b:, round(W * 0.33):round(W * 0.48)] = 255
    return out


def ramp(rng):
    """Grey steps or a grey ramp, either way round."""
    steps = int(rng.choice([8, 11, 16, 256]))
    values = np.round(np.linspace(0, steps - 1, W)) / (steps - 1) * 255
    out = np.repeat(np.tile(values[None, :, None], (H, 1, 1)), 3, 2).astype(np.uint8)
    return out[:, ::-1] if rng.random() < 0.5 else out


def pattern(rng):
    """Checks, a grid or a zone plate."""
    y, x = np.mgrid[0:H, 0:W]
    kind, cell = rng.integers(3), int(rng.integers(6, 48))
    if kind == 0:
        v = ((x // cell + y // cell) % 2) * 255
    elif kind == 1:
        v = np.where((x % cell < 2) | (y % cell < 2), 230, 10)
    else:
        v = 127 + 127 * np.cos(((x - W / 2) ** 2 + (y - H / 2) ** 2) / (cell * 12))
    return np.repeat(v[..., None], 3, 2).astype(np.uint8)


def noise(rng):
    """Snow of an open input: any grain, grey or coloured, faint or full."""
    cell, channels = int(rng.choice([1, 1, 2, 4, 8])), int(rng.choice([1, 3]))
    v = rng.normal(rng.uniform(60, 190), rng.uniform(25, 90), (H // cell + 1, W // cell + 1, channels))
    v = cv2.resize(np.clip(v, 0, 255).astype(np.uint8), (W, H), interpolation=cv2.INTER_NEAREST)
    return np.repeat(v[..., None], 3, 2) if v.ndim == 2 else v


def plain(rng):
    """One colour: black, blue (no input), grey, white or any, with a camera's grain or without."""
    some = [(0, 0, 0), (0, 0, 255), (0, 0, 128), (128, 128, 128), (255, 255, 255), tuple(rng.integers(0, 256, 3))]
    out = full(some[rng.integers(len(some))]).astype(np.float32)
    if rng.random() < 0.5:
        out = out + rng.normal(0, rng.uniform(1, 6), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def write(rng, out, x, y, scale, ink, count):
    text = "".join(rng.choice(list("0123456789:/.,ABCDEFGHKLMNOPRSTUabcdefghiklmnoprstu   "), count))
    cv2.putText(out, text, (x, y), int(rng.integers(0, 5)), scale, ink, 1, cv2.LINE_AA)


def screen(rng):
    """A desktop, a web page or a device's set-up: windows, lists and words."""
    base = rng.integers(0, 256, 3)
    out = full(base)
    if rng.random() < 0.3:
        out = np.clip(out * (0.5 + np.linspace(0, 1, H)[:, None, None]), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(1, 6))):
        x, y = int(rng.integers(0, W * 3 // 4)), int(rng.integers(0, H * 3 // 4))
        w, h = int(rng.integers(60, W)), int(rng.integers(30, H))
        paper = tuple(int(v) for v in (rng.integers(220, 256, 3) if rng.random() < 0.5 else rng.integers(0, 90, 3)))
        cv2.rectangle(out, (x, y), (x + w, y + h), paper, -1)
        cv2.rectangle(out, (x, y), (x + w, y + 12), tuple(int(v) for v in rng.integers(0, 256, 3)), -1)
        ink = (20, 20, 20) if sum(paper) > 380 else (225, 225, 225)
        for row in range(y + 26, min(y + h, H), int(rng.integers(11, 20))):
            write(rng, out, x + 6, row, rng.uniform(0.25, 0.5), ink, int(rng.integers(4, 3 + max(2, w // 9))))
    return out


# ---- outside the body ------------------------------------------------------------------------------
def cloth(rng):
    """A drape or a gown: green, blue, white or grey folds under a lamp."""
    colours = [(20, 110, 90), (30, 80, 160), (60, 150, 190), (210, 215, 220), (120, 125, 130), (15, 60, 60)]
    colour = np.array(colours[rng.integers(len(colours))]) * np.exp(rng.normal(0, 0.12, 3))
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[0:H, 0:W] / W
    along = (x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(8, 40) + 4 * field(rng, (H, W), int(rng.integers(3, 8)))
    light = 0.65 + 0.3 * np.sin(along) + 0.3 * (field(rng, (H, W), 3) - 0.5)
    weave = 1 + 0.05 * rng.normal(size=(H, W))
    return np.clip(colour * (light * weave)[..., None], 0, 255).astype(np.uint8)


def room(rng, textures):
    """A room seen across: floor, walls, furniture with edges, lamps, boards with pictures."""
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    wall, floor = rng.uniform(90, 235, 3) * 0.4 + rng.uniform(90, 235) * 0.6, rng.uniform(40, 170, 3)
    horizon = H * rng.uniform(0.45, 0.75) + (x - W / 2) * rng.uniform(-0.15, 0.15)
    out = np.where((y < horizon)[..., None], wall, floor).astype(np.float32)
    for _ in range(int(rng.integers(3, 9))):                            # boxes, screens, people in gowns
        w, h = rng.uniform(0.06, 0.35) * W, rng.uniform(0.1, 0.6) * H
        cx, cy = rng.uniform(0, W), rng.uniform(0.25, 0.95) * H
        quad = np.array([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2 * rng.uniform(0.75, 1.15, (4, 2)) + [cx, cy]
        if rng.random() < 0.3:
            poster = cv2.resize(textures[rng.integers(len(textures))], (64, 64))
            matrix = cv2.getPerspectiveTransform(np.float32([[0, 0], [64, 0], [64, 64], [0, 64]]), quad.astype(np.float32))
            cv2.warpPerspective(poster.astype(np.float32), matrix, (W, H), dst=out, borderMode=cv2.BORDER_TRANSPARENT)
        elif rng.random() < 0.5:
            cv2.ellipse(out, (int(cx), int(cy)), (int(w / 2), int(h / 2)), 0, 0, 360, rng.uniform(10, 230, 3).tolist(), -1)
            cv2.circle(out, (int(cx), int(cy - h / 2)), int(w / 5) + 2, (int(rng.uniform(150, 230)), 160, 130), -1)
        else:
            cv2.fillPoly(out, [quad.astype(np.int32)], rng.uniform(10, 240, 3).tolist())
    for _ in range(int(rng.integers(0, 4))):
        cv2.circle(out, (int(rng.uniform(0, W)), int(rng.uniform(0, H * 0.4))), int(rng.uniform(5, 26)), (255, 255, 250), -1)
    shade = 0.55 + 0.75 * field(rng, (H, W), 3)[..., None]
    out = cv2.GaussianBlur(out * shade, (0, 0), rng.uniform(0.6, 2)) + rng.normal(0, rng.uniform(1, 6), out.shape)
    return np.clip(out, 0, 255).astype(np.uint8)


def photograph(rng, image):
    """A part of a photograph of the world outside, as a camera without a scope or in its port sees it."""
    h, w = image.shape[:2]
    side = rng.uniform(0.5, 1.0)
    cw, ch = int(w * side), int(min(h, w * side * H / W))
    x, y = int(rng.integers(0, w - cw + 1)), int(rng.integers(0, h - ch + 1))
    out = cv2.resize(image[y:y + ch, x:x + cw], (W, H), interpolation=cv2.INTER_AREA).astype(np.float32)
    out = out * np.exp(rng.normal(0, 0.12, 3)) * np.exp(rng.normal(0, 0.15))
    if rng.random() < 0.5:
        out = out[:, ::-1]
    out = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:                                            # through the scope: round, on black
        mask = np.zeros((H, W), np.uint8)
        cv2.circle(mask, (W // 2, H // 2), int(H * rng.uniform(0.42, 0.62)), 1, -1)
        out = out * mask[..., None]
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(1, 4))
    return out


# ---- another light ---------------------------------------------------------------------------------
def icg(rng, image):
    """Indocyanine green: near-infrared light, shown green (or blue) on dark, or laid over the grey or the white picture."""
    grey = image.astype(np.float32).mean(2) / 255
    spots = np.clip((field(rng, (H, W), int(rng.integers(3, 7))) - rng.uniform(0.4, 0.65)) * rng.uniform(3, 8), 0, 1)
    glow = cv2.GaussianBlur((spots * (0.5 + 0.5 * grey)).astype(np.float32), (0, 0), rng.uniform(1.5, 4)) * rng.uniform(0.7, 1.3)
    dye = np.array([rng.uniform(0, 0.15), 1, rng.uniform(0.1, 0.5)]) if rng.random() < 0.7 else np.array([0.1, rng.uniform(0.3, 0.6), 1])
    base = [grey[..., None] * rng.uniform(0.02, 0.15) * np.ones(3), grey[..., None] * rng.uniform(0.3, 0.7) * np.ones(3),
            image / 255 * rng.uniform(0.5, 0.9)][rng.choice(3, p=[0.5, 0.3, 0.2])]
    out = base * (1 - 0.7 * glow[..., None]) + glow[..., None] * dye
    return np.clip(out * 255 + rng.normal(0, rng.uniform(1, 5), image.shape), 0, 255).astype(np.uint8)


def nbi(rng, image):
    """Narrow bands: 415 nm is shown in blue and green, 540 nm in red (Gono et al. 2004): brown vessels on blue-green."""
    x = (image.astype(np.float32) / 255) ** 2.2
    violet = np.clip(0.75 * x[..., 2] + 0.25 * x[..., 1], 0, 1) ** rng.uniform(1.0, 1.3) * rng.uniform(1.0, 1.8)
    green = np.clip(x[..., 1], 0, 1) * rng.uniform(0.8, 1.4)
    out = np.stack([green, violet, violet * rng.uniform(0.9, 1.1)], 2)
    return np.clip(np.clip(out, 0, 1) ** (1 / 2.2) * 255, 0, 255).astype(np.uint8)


# ---- covered ---------------------------------------------------------------------------------------
def menu(rng, image):
    """A camera's menu over a third or more of the picture: a box, plain or let through, with lines of words."""
    out = image.astype(np.float32)
    w, h = int(W * rng.uniform(0.5, 0.95)), int(H * rng.uniform(0.55, 0.95))
    x, y = int(rng.integers(0, W - w + 1)), int(rng.integers(0, H - h + 1))
    paper = rng.choice([10, 40, 128, 225]) * np.ones(3) if rng.random() < 0.6 else rng.uniform(0, 200, 3)
    share = rng.uniform(0.75, 1.0)
    out[y:y + h, x:x + w] = out[y:y + h, x:x + w] * (1 - share) + paper * share
    out = out.astype(np.uint8)
    ink = (20, 20, 20) if paper.mean() > 130 else (235, 235, 235)
    cv2.rectangle(out, (x, y), (x + w - 1, y + h - 1), ink, 1)
    for row in range(y + 18, y + h - 4, int(rng.integers(13, 24))):
        write(rng, out, x + 8, row, rng.uniform(0.3, 0.6), ink, int(rng.integers(5, max(6, w // 10))))
    return out


def beside(rng, image, other):
    """Picture in picture or side by side: the scope's picture is a part, another one the rest."""
    kind = rng.integers(3)
    out = cv2.resize(other, (W, H))
    if kind == 0:                                                      # two halves
        out[:, :W // 2] = cv2.resize(image, (W // 2, H))
    else:                                                              # a small one in a corner of a large strange one, or over it
        w = int(W * rng.uniform(0.35, 0.55))
        h = w * H // W
        x, y = int(rng.choice([0, W - w])), int(rng.choice([0, H - h]))
        if kind == 1:
            out[y:y + h, x:x + w] = cv2.resize(image, (w, h))
        else:
            small, out = cv2.resize(other, (int(W * 0.62), int(H * 0.62))), image.copy()
            sx, sy = int(rng.choice([0, W - small.shape[1]])), int(rng.choice([0, H - small.shape[0]]))
            out[sy:sy + small.shape[0], sx:sx + small.shape[1]] = small
    return out
