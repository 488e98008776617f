"""What spoils a picture, each in five steps: defocus, motion, smoke, fog, blood and drops on the lens.

Every function takes RGB uint8 and a step 1..5 (5 is the worst), draws from the generator that it is given
and returns a new picture of the same size. Nothing here knows what the picture shows.
"""
import cv2
import numpy as np

STEPS = (1, 2, 3, 4, 5)


def field(rng, shape, cells):
    """Smooth noise in 0..1."""
    h, w = shape[:2]
    return np.clip(cv2.resize(rng.random((cells, cells), np.float32), (w, h), interpolation=cv2.INTER_CUBIC), 0, 1)


def octaves(rng, shape):
    """Noise as smoke has it: large swirls and small ones."""
    sum_ = sum(field(rng, shape, n) / k for k, n in ((1, 3), (2, 6), (4, 12)))
    return np.clip((sum_ - 0.35) / 1.1, 0, 1)


def defocus(rng, image, step):
    """A disc as an aperture makes it, of the picture's width: 0.6 to 3 % across."""
    radius = max(1, round(image.shape[1] * 0.003 * step * rng.uniform(0.85, 1.15)))
    y, x = np.mgrid[-radius:radius + 1, -radius:radius + 1]
    disc = (x * x + y * y <= radius * radius + 0.5).astype(np.float32)
    return cv2.filter2D(image, -1, disc / disc.sum())


def motion(rng, image, step):
    """The way of a moving scope during one exposure: 1 to 6 % of the width."""
    n = max(3, round(image.shape[1] * 0.012 * step * rng.uniform(0.8, 1.2))) | 1
    kernel, angle = np.zeros((n, n), np.float32), rng.uniform(0, np.pi)
    half = (n - 1) / 2
    a = [round(half - half * np.cos(angle)), round(half - half * np.sin(angle))]
    b = [round(half + half * np.cos(angle)), round(half + half * np.sin(angle))]
    cv2.line(kernel, a, b, 1)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def smoke(rng, image, step):
    """Swirls of grey that scatter the scope's own light."""
    veil = np.clip(octaves(rng, image.shape) * 1.2 + 0.1 * step - 0.1, 0, 1)[..., None] * (0.15 + 0.14 * step)
    grey = np.array([rng.uniform(0.6, 0.85)] * 3, np.float32) * np.exp(rng.normal(0, 0.03, 3))
    return blend(image, veil, grey)


def fog(rng, image, step):
    """A fogged lens: contrast is gone everywhere, least in the middle; edges are soft."""
    soft = cv2.GaussianBlur(image, (0, 0), 0.4 + 0.5 * step)
    veil = np.full(image.shape[:2], 0.12 * step, np.float32) + 0.06 * step * (field(rng, image.shape, 4) - 0.5)
    return blend(soft, np.clip(veil, 0, 0.85)[..., None], np.full(3, rng.uniform(0.55, 0.8), np.float32))


def blood(rng, image, step):
    """Smears of blood on the lens: red, out of focus, covering 8 to 45 % of the picture."""
    noise = field(rng, image.shape, int(rng.integers(3, 7)))
    level = np.quantile(noise, 1 - 0.09 * step)
    film = np.clip((noise - level) * 9, 0, 1) * rng.uniform(0.6, 0.92)
    film = cv2.GaussianBlur(film.astype(np.float32), (0, 0), rng.uniform(3, 9))
    red = np.array([rng.uniform(0.25, 0.6), rng.uniform(0, 0.1), rng.uniform(0, 0.1)], np.float32)
    return blend(cv2.GaussianBlur(image, (0, 0), 1.5) if step > 3 else image, film[..., None], red)


def drops(rng, image, step):
    """Drops on the lens: each shows the picture behind it out of focus, smaller and turned over."""
    out = image.astype(np.float32)
    h, w = image.shape[:2]
    turned = cv2.GaussianBlur(cv2.flip(image, -1), (0, 0), 2.5).astype(np.float32)
    for _ in range(int(2 + 2.5 * step)):
        rx = w * rng.uniform(0.02, 0.045 + 0.012 * step)
        mask = np.zeros((h, w), np.float32)
        centre = (int(rng.uniform(0, w)), int(rng.uniform(0, h)))
        cv2.ellipse(mask, centre, (int(rx), int(rx * rng.uniform(0.7, 1.1))), rng.uniform(0, 180), 0, 360, 1, -1)
        soft = cv2.GaussianBlur(mask, (0, 0), rng.uniform(1.5, 5))[..., None]
        ring = np.clip(soft * (1 - soft) * 4, 0, 1) * rng.uniform(0, 0.5)
        out = out * (1 - soft) + turned * soft
        out = out * (1 - ring) + rng.choice([15.0, 225.0]) * ring
    return np.clip(out, 0, 255).astype(np.uint8)


def blend(image, share, colour):
    return np.clip(image * (1 - share) + 255 * colour * share, 0, 255).astype(np.uint8)


KINDS = {"blurred": (defocus, motion), "smoke": (smoke, fog), "lens soiled": (blood, drops)}
