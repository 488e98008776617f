"""What every peer shares: the same clip at the same pace, the same weights, the same drawing, the same figures.

A peer is given what its users would give it: frames decoded ahead by a thread of their own and released on time like a
camera's; what is not taken before the next is released is dropped and counted. All spans begin at the scheduled release.
  video delay       release -> a composed BGRA picture of that frame lies in memory
  annotation delay  release -> the first composed picture that carries that frame's own result
  overlay age       at each picture: now - release of the frame whose result it carries
"""
import argparse
import collections
import json
import resource
import threading
import time
import tomllib
from pathlib import Path

import cv2
import numpy as np

COLOURS = [(0, 230, 255), (255, 200, 0), (80, 255, 80), (255, 80, 200), (200, 160, 255)]


def arguments():
    p = argparse.ArgumentParser()
    p.add_argument("--clip", required=True)
    p.add_argument("--engine", required=True)
    p.add_argument("--fps", type=float, default=60)
    p.add_argument("--seconds", type=float, default=20)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--warm", type=float, default=1.0, help="seconds at the start that are not counted")
    p.add_argument("--picture", help="writes the last composed picture there, to be looked at")
    return p.parse_args()


class Engine:
    """Pre- and post-processing as the engine's manifest has them."""

    def __init__(self, folder):
        manifest = tomllib.loads((Path(folder) / "manifest.toml").read_text())
        self.model = str(Path(folder) / manifest["model"]["file"])
        i = manifest["input"]
        self.name, self.size = i["name"], (i["width"], i["height"])
        self.mean = np.array(i["mean"], np.float32) * 255
        self.scale = 1 / (np.array(i["std"], np.float32) * 255)
        self.heads = manifest["heads"]
        self.outputs = [h["output"] for h in self.heads]

    def input(self, bgr):
        small = cv2.resize(bgr, self.size, interpolation=cv2.INTER_AREA)
        rgb = cv2.cvtColor(small, cv2.COLOR_BGR2RGB).astype(np.float32)
        return np.ascontiguousarray(((rgb - self.mean) * self.scale).transpose(2, 0, 1)[None])

    def contours(self, outputs, width, height):
        """One list of outlines in picture coordinates for each class."""
        found = []
        for head, logits in zip(self.heads, outputs):
            logits = np.asarray(logits)[0]
            if head["activation"] == "sigmoid":
                masks = logits > np.log(head["threshold"] / (1 - head["threshold"]))
                names = head["classes"]
            else:
                best = logits.argmax(0)
                names = head["classes"][1:]
                masks = [best == k + 1 for k in range(len(names))]
            for mask in masks:
                mask = np.ascontiguousarray(mask, np.uint8)
                lines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
                ratio = np.array([width / mask.shape[1], height / mask.shape[0]])
                found.append([(line * ratio).astype(np.int32) for line in lines if len(line) > 8])
        return found


def compose(bgr, contours):
    """The picture with its outlines, as a monitor takes it."""
    for colour, lines in zip(COLOURS, contours):
        cv2.polylines(bgr, lines, True, (10, 10, 10), 4, cv2.LINE_AA)
        cv2.polylines(bgr, lines, True, colour, 2, cv2.LINE_AA)
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2BGRA)


class Camera:
    """A clip that comes like a camera's pictures: decoded ahead, released on time, the newest wins."""

    AHEAD = 6
    DEPTH = 2

    def __init__(self, clip, fps, seconds):
        self.period, self.count = 1 / fps, int(seconds * fps)
        self.clip, self.dropped, self.ended = clip, 0, False
        self.ready, self.slot = collections.deque(), collections.deque()
        self.bell = threading.Condition()
        self.decoder = threading.Thread(target=self._decode, daemon=True)
        self.pacer = threading.Thread(target=self._pace, daemon=True)
        self.decoder.start()
        while len(self.ready) < self.AHEAD:
            time.sleep(0.01)
        self.pacer.start()

    def _decode(self):
        capture, done = cv2.VideoCapture(self.clip), 0
        while done < self.count:
            if len(self.ready) >= self.AHEAD:
                time.sleep(0.001)
                continue
            good, frame = capture.read()
            if not good:
                capture.release()
                capture = cv2.VideoCapture(self.clip)
                continue
            self.ready.append(frame)
            done += 1

    def _pace(self):
        start = time.monotonic() + 0.05
        for number in range(self.count):
            due = start + number * self.period
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            while not self.ready:
                time.sleep(0.0005)
            with self.bell:
                if len(self.slot) == self.DEPTH:
                    self.slot.popleft()
                    self.dropped += 1
                self.slot.append((number, due, self.ready.popleft()))
                self.bell.notify()
        with self.bell:
            self.ended = True
            self.bell.notify()

    def next(self, newest=False):
        """(number, due, picture) or None at the end."""
        with self.bell:
            while not self.slot and not self.ended:
                self.bell.wait(0.1)
            if not self.slot:
                return None
            while newest and len(self.slot) > 1:
                self.slot.popleft()
                self.dropped += 1
            return self.slot.popleft()


class Figures:
    def __init__(self, warm):
        self.warm, self.started = warm, time.monotonic()
        self.video, self.annotation, self.age = [], [], []
        self.shown = self.inferred = 0
        self.annotated = -1
        self.cpu0 = None

    def counts(self, due):
        if due - self.started < self.warm:
            return False
        if self.cpu0 is None:
            self.cpu0 = cpu_seconds()
        return True

    def present(self, number, due, scene):
        """A picture of frame `number` was composed; `scene`: (number, due) of the frame whose result it carries, or None."""
        now = time.monotonic()
        if not self.counts(due):
            return
        self.shown += 1
        self.video.append(now - due)
        if scene:
            self.age.append(now - scene[1])
            if scene[0] != self.annotated:
                self.annotated = scene[0]
                self.annotation.append(now - scene[1])
                self.inferred += 1

    def print(self, name, camera, versions):
        cpu = cpu_seconds() - (self.cpu0 or 0)
        print(json.dumps({
            "name": name, "versions": versions, "shown": self.shown, "dropped": camera.dropped, "inferred": self.inferred,
            "video_ms": summary(self.video), "annotation_ms": summary(self.annotation), "age_ms": summary(self.age),
            "cpu_ms_a_frame": 1000 * cpu / max(1, self.shown + camera.dropped),
        }))


def cpu_seconds():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def summary(seconds):
    if not seconds:
        return None
    ms = np.sort(np.array(seconds)) * 1000
    at = lambda q: float(ms[min(len(ms) - 1, int(q * len(ms)))])
    return {"count": len(ms), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "p999": at(0.999), "max": float(ms[-1]),
            "cdf": [float(np.quantile(ms, q)) for q in np.linspace(0, 1, 201)]}


def run_loop(name, infer, a, versions):
    """The loop that everybody writes: take, infer, draw, show."""
    engine, camera, figures = Engine(a.engine), Camera(a.clip, a.fps, a.seconds), Figures(a.warm)
    run = infer(engine, a)
    shown = None
    while (item := camera.next()) is not None:
        number, due, picture = item
        height, width = picture.shape[:2]
        contours = engine.contours(run(engine.input(picture)), width, height)
        shown = compose(picture, contours)
        figures.present(number, due, (number, due))
    figures.print(name, camera, versions)
    keep(a, shown)


def run_threads(name, infer, a, versions):
    """The better-built one: a thread shows, another infers the newest frame."""
    engine, camera, figures = Engine(a.engine), Camera(a.clip, a.fps, a.seconds), Figures(a.warm)
    run = infer(engine, a)
    newest, scene, bell = [], [None], threading.Condition()

    def work():
        while True:
            with bell:
                while not newest:
                    bell.wait()
                number, due, picture = newest.pop()
            if picture is None:
                return
            height, width = picture.shape[:2]
            scene[0] = ((number, due), engine.contours(run(engine.input(picture)), width, height))

    worker = threading.Thread(target=work)
    worker.start()
    shown = None
    while (item := camera.next()) is not None:
        number, due, picture = item
        with bell:
            newest[:] = [(number, due, picture.copy())]
            bell.notify()
        now = scene[0]
        shown = compose(picture, now[1] if now else [])
        figures.present(number, due, now[0] if now else None)
    with bell:
        newest[:] = [(0, 0, None)]
        bell.notify()
    worker.join()
    figures.print(name, camera, versions)
    keep(a, shown)


def keep(a, shown):
    if a.picture and shown is not None:
        cv2.imwrite(a.picture, shown)
