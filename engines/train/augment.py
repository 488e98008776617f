"""Random changes to one item: geometry, colour, endoscope effects, pasted and drawn instruments.

Every function takes and returns numpy arrays and draws from the generator that it is given. Labels
change only with geometry, with the dark border (background, no instrument) and under a pasted tool.
"""
import cv2
import numpy as np

from data import STORE_H, STORE_W, UNKNOWN

W, H = 320, 192


def smooth_noise(rng, cells=5):
    return cv2.resize(rng.random((cells, cells), np.float32), (W, H), interpolation=cv2.INTER_CUBIC)


def warp(rng, item, wild=1.0):
    angle = rng.normal(0, 18 * wild)
    if rng.random() < 0.1 * wild:
        angle = rng.uniform(-180, 180)
    scale = np.exp(rng.uniform(-0.3, 0.55) * wild)
    aspect = np.exp(rng.normal(0, 0.1 * wild))
    sx, sy = W / STORE_W * scale * aspect, H / STORE_H * scale / aspect
    if rng.random() < 0.5:
        sx = -sx
    if rng.random() < 0.15 * wild:
        sy = -sy
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    matrix = np.array([[cos, -sin], [sin, cos]]) @ np.diag([sx, sy])
    reach = 0.22 * wild * max(scale, 1)
    centre = np.array([W / 2 + rng.uniform(-reach, reach) * W, H / 2 + rng.uniform(-reach, reach) * H])
    offset = centre - matrix @ np.array([STORE_W / 2, STORE_H / 2])
    matrix = np.hstack([matrix, offset[:, None]])
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    blank = {"borderMode": border, "borderValue": 0}
    image = cv2.warpAffine(item.image, matrix, (W, H), flags=cv2.INTER_LINEAR, **blank)
    nearest = {"flags": cv2.INTER_NEAREST, **blank}
    return (image, cv2.warpAffine(item.instrument, matrix, (W, H), **nearest),
            cv2.warpAffine(item.tissue, matrix, (W, H), **nearest))


def tint(rng, image, instrument):
    """Colours a grey frame: flesh tones where there is no instrument, nearly neutral where there is."""
    grey = image.mean(2, keepdims=True, dtype=np.float32) / 255
    hue = [np.array([1.0, rng.uniform(0.25, 0.75), rng.uniform(0.2, 0.65)], np.float32) for _ in range(2)]
    field = np.clip(smooth_noise(rng, 4), 0, 1)[..., None]
    flesh = hue[0] * field + hue[1] * (1 - field)
    steel = np.array([1, rng.uniform(0.85, 1.05), rng.uniform(0.8, 1.1)], np.float32)
    metal = cv2.GaussianBlur((instrument == 1).astype(np.float32), (0, 0), 1.2)[..., None]
    out = grey ** rng.uniform(0.8, 1.3) * (flesh * (1 - metal) + steel * metal)
    out = out * (1 - 0.35 * rng.random()) + grey ** 3 * 0.35 * rng.random()
    return np.clip(out * 255 * rng.uniform(0.9, 1.4), 0, 255).astype(np.uint8)


def dye(rng, tool):
    """Another instrument of the same shape: another paint, another polish."""
    grey = tool.mean(2, keepdims=True, dtype=np.float32)
    x = grey + (tool - grey) * rng.uniform(0, 1.2)
    paint = np.exp(rng.normal(0, 0.25, 3)) if rng.random() < 0.7 else rng.uniform(0.3, 1.4, 3)
    x = x * paint + rng.uniform(0, 60) * (rng.random() < 0.3)
    return np.clip(255 * (np.clip(x, 0, 255) / 255) ** np.exp(rng.normal(0, 0.3)), 0, 255)


def lay(image, instrument, tissue, tool, soft):
    """Lays a tool over the picture where `soft` (HxW, 0..1) says so."""
    image = (image * (1 - soft[..., None]) + np.clip(tool, 0, 255) * soft[..., None]).astype(np.uint8)
    instrument, tissue = instrument.copy(), tissue.copy()
    instrument[soft > 0.5], tissue[soft > 0.5] = 1, UNKNOWN
    return image, instrument, tissue


def polish(rng, tool, image):
    """Bare metal mirrors what lies about it."""
    if rng.random() < 0.4:
        share = rng.uniform(0.1, 0.45)
        tool = tool * (1 - share) + cv2.GaussianBlur(image, (0, 0), 12).astype(np.float32) * share
    return tool


def shadow(rng, image, soft):
    """What the light does not reach behind a tool."""
    if rng.random() < 0.3:
        move = np.float32([[1, 0, rng.uniform(-12, 12)], [0, 1, rng.uniform(-4, 12)]])
        dark = cv2.GaussianBlur(cv2.warpAffine(soft, move, (W, H)), (0, 0), rng.uniform(1, 5))
        image = (image * (1 - rng.uniform(0.2, 0.7) * dark[..., None])).astype(np.uint8)
    return image


def paste(rng, image, instrument, tissue, donor):
    """Lays a donor's instrument (its masked pixels) over the picture, edges softened, light varied."""
    source, mask, _ = donor
    mask = (mask == 1).astype(np.float32)
    if mask.mean() < 0.004 or mask.mean() > 0.45:
        return image, instrument, tissue
    soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 1.2))
    tool = polish(rng, source * rng.uniform(0.35, 1.5), image)
    return lay(shadow(rng, image, soft), instrument, tissue, tool, soft)


def shaft(rng, image, instrument, tissue):
    """Draws a shaft from beyond the picture to a point within: any width, paint and polish, lit like a cylinder."""
    y, x = np.mgrid[0:H, 0:W].astype(np.float32)
    angle, tip = rng.uniform(0, 2 * np.pi), (W * rng.uniform(0.12, 0.88), H * rng.uniform(0.12, 0.88))
    along = (x - tip[0]) * np.cos(angle) + (y - tip[1]) * np.sin(angle)
    across = (y - tip[1]) * np.cos(angle) - (x - tip[0]) * np.sin(angle)
    half = rng.uniform(1.2, 3.5) ** 2 * (1 + np.maximum(along, 0) / W * rng.uniform(0, 1.2))
    half = half * np.clip(along / rng.uniform(1, 40), 0.1, 1)
    soft = np.clip((half - np.abs(across)) + 0.5, 0, 1) * np.clip(along, 0, 1)
    if not 0.004 < soft.mean() < 0.35:
        return image, instrument, tissue
    u = np.clip(across / half, -1, 1)
    light = np.sqrt(1 - u * u + 1e-3) ** rng.uniform(0.3, 1.2) * rng.uniform(0.05, 0.7)
    light = light + rng.uniform(0, 0.7) * np.exp(-((u - rng.uniform(-0.7, 0.7)) / rng.uniform(0.08, 0.3)) ** 2)
    light = light * (1 + rng.uniform(-0.5, 0.5) * along / W) * (0.7 + 0.6 * smooth_noise(rng, 6))
    paint = np.exp(rng.normal(0, 0.12, 3)) if rng.random() < 0.7 else rng.uniform(0.3, 1.0, 3)
    tool = polish(rng, light[..., None] * paint * 255, image)
    return lay(shadow(rng, image, soft), instrument, tissue, tool, soft)


def dark_border(rng, image, instrument, tissue):
    """The round, cut-off or eight-cornered picture of an endoscope on black."""
    mask, kind = np.zeros((H, W), np.uint8), rng.integers(3)
    cx, cy = int(W * rng.uniform(0.42, 0.58)), int(H * rng.uniform(0.42, 0.58))
    rx = W * rng.uniform(0.36, 0.6)
    ry = rx * 9 / 16 * W / H * rng.uniform(0.95, 1.9)
    if kind == 0:
        cv2.ellipse(mask, (cx, cy), (int(rx), int(ry)), 0, 0, 360, 1, -1)
    elif kind == 1:
        x, y = int(W * rng.uniform(0, 0.15)), int(H * rng.uniform(0, 0.12))
        cv2.rectangle(mask, (x, y), (W - x, H - y), 1, -1)
    else:
        x, y, c = int(W * rng.uniform(0, 0.15)), 0, int(H * rng.uniform(0.1, 0.35))
        points = [(x + c, y), (W - x - c, y), (W - x, y + c), (W - x, H - y - c), (W - x - c, H - y),
                  (x + c, H - y), (x, H - y - c), (x, y + c)]
        cv2.fillPoly(mask, [np.array(points)], 1)
    inside = mask > 0
    black = rng.integers(0, 12, 3) if rng.random() < 0.5 else np.zeros(3)
    image = np.where(inside[..., None], image, black).astype(np.uint8)
    return image, np.where(inside, instrument, 0).astype(np.uint8), np.where(inside, tissue, 0).astype(np.uint8)


def blood(rng, image):
    """Pools and splashes of blood over what lies there; the labels stay (a tool under blood is still a tool)."""
    field = smooth_noise(rng, int(rng.integers(3, 9)))
    pool = np.clip((field - rng.uniform(0.6, 0.8)) * rng.uniform(4, 14), 0, 1) * rng.uniform(0.3, 0.75)
    red = np.array([rng.uniform(60, 170), rng.uniform(0, 25), rng.uniform(0, 25)], np.float32)
    shade = 0.5 + image.mean(2, keepdims=True) / 255
    return (image * (1 - pool[..., None]) + red * shade * pool[..., None]).clip(0, 255).astype(np.uint8)


def on_screen(rng, image, instrument, tissue):
    """Words and small pictures that a camera's box lays over its picture: neither instrument nor tissue."""
    image, instrument, tissue = image.copy(), instrument.copy(), tissue.copy()
    for _ in range(int(rng.integers(1, 5))):
        ink = tuple(int(v) for v in (rng.integers(150, 256, 3) if rng.random() < 0.5 else np.repeat(rng.integers(180, 256), 3)))
        text = "".join(rng.choice(list("0123456789:/.ABCDEFGHKLMNOPRSTacdeimnorst "), int(rng.integers(3, 14))))
        at = (int(rng.integers(0, W - 40)), int(rng.integers(10, H)))
        drawn = np.zeros((H, W), np.uint8)
        cv2.putText(drawn, text, at, int(rng.integers(0, 5)), rng.uniform(0.25, 0.6), 1, 1, cv2.LINE_AA)
        image[drawn > 0] = ink
    if rng.random() < 0.3:
        w, h = int(W * rng.uniform(0.12, 0.35)), int(H * rng.uniform(0.12, 0.35))
        x, y = int(rng.choice([0, W - w])), int(rng.choice([0, H - h]))
        image[y:y + h, x:x + w] = rng.integers(0, 256, 3) if rng.random() < 0.5 else cv2.resize(image, (w, h))
        instrument[y:y + h, x:x + w], tissue[y:y + h, x:x + w] = 0, 0
    return image, instrument, tissue


def colour(rng, image, strength=1.0):
    x = image.astype(np.float32) / 255
    x = x * np.exp(rng.normal(0, 0.12 * strength, 3)).astype(np.float32)
    grey = x.mean(2, keepdims=True)
    x = grey + (x - grey) * np.exp(rng.normal(0, 0.3 * strength))
    x = np.clip(x, 0, 1.5) ** np.exp(rng.normal(0, 0.22 * strength)) * np.exp(rng.normal(0, 0.2 * strength))
    if rng.random() < 0.3:                                             # uneven light
        x = x * (0.5 + smooth_noise(rng, 3)[..., None])
    if rng.random() < 0.2:                                             # smoke
        veil = np.clip(smooth_noise(rng, 4), 0, 1)[..., None] * rng.uniform(0.2, 0.8)
        x = x * (1 - veil) + rng.uniform(0.55, 0.9) * veil
    if rng.random() < 0.25 * strength:                                 # hue
        hsv = cv2.cvtColor(np.clip(x, 0, 1).astype(np.float32), cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0] + rng.normal(0, 10)) % 360
        x = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    return np.clip(x, 0, 1) * 255


def camera(rng, x):
    kind = rng.random()
    if kind < 0.2:
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(0.4, 1.4))
    elif kind < 0.24:                                                  # out of focus
        x = cv2.GaussianBlur(x, (0, 0), rng.uniform(1.4, 4))
    elif kind < 0.32:                                                  # motion
        n = int(rng.integers(3, 9))
        kernel = np.zeros((n, n), np.float32)
        cv2.line(kernel, (0, int(rng.integers(n))), (n - 1, int(rng.integers(n))), 1)
        x = cv2.filter2D(x, -1, kernel / kernel.sum())
    elif kind < 0.42:                                                  # sharpened
        x = x + rng.uniform(0.3, 1.2) * (x - cv2.GaussianBlur(x, (0, 0), 1.2))
    if rng.random() < 0.3:
        x = x + rng.normal(0, rng.uniform(1, 9), x.shape).astype(np.float32)
    x = np.clip(x, 0, 255).astype(np.uint8)
    if rng.random() < 0.04:                                            # the two fields of interlaced video
        x[1::2] = np.roll(x[1::2], int(rng.integers(-4, 5)), 1)
    if rng.random() < 0.25:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 80))]
        x = cv2.imdecode(cv2.imencode(".jpg", x, quality)[1], cv2.IMREAD_COLOR)
    return x


def example(rng, item, donors):
    """One training example: RGB uint8 192x320x3, instrument and tissue labels of the same size.

    `donors` are groups of items whose instruments are pasted, each group as often as the others.
    """
    clean = rng.random() < (0.35 if item.group == "simulator" else 0.15)   # now and then nearly as it is
    image, instrument, tissue = warp(rng, item, 0.25 if clean else 1.0)
    if item.group == "robotic-grey" and rng.random() < 0.7:
        image = tint(rng, image, instrument)
    if not clean and item.group != "robotic-grey" and rng.random() < 0.4:
        group = donors[rng.integers(len(donors))]
        donor = group[rng.integers(len(group))]
        other = warp(rng, donor)
        if donor.group == "robotic-grey":
            other = (tint(rng, other[0], other[1]), *other[1:])
        elif rng.random() < 0.5:
            other = (dye(rng, other[0]), *other[1:])
        image, instrument, tissue = paste(rng, image, instrument, tissue, other)
    if not clean and item.group != "robotic-grey" and rng.random() < 0.2:
        image, instrument, tissue = shaft(rng, image, instrument, tissue)
    if not clean and rng.random() < 0.1:
        image = blood(rng, image)
    if not clean and rng.random() < 0.3:
        image, instrument, tissue = dark_border(rng, image, instrument, tissue)
    if not clean and rng.random() < 0.08:
        image, instrument, tissue = on_screen(rng, image, instrument, tissue)
    x = colour(rng, image, 0.3 if clean else 1.0)
    if item.group != "robotic-grey" and rng.random() < 0.08:
        x = np.repeat(x.mean(2, keepdims=True), 3, 2)
    return camera(rng, x.astype(np.float32)), instrument, tissue
