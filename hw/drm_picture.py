#!/usr/bin/env python3
"""The two halves of hw/drm-check.sh that handle pictures: QEMU's screendump, and the judgement of what it saw."""

import json
import socket
import struct
import sys
import time
import zlib
from pathlib import Path


def screendump(monitor, path):
    """Asks QEMU's monitor for the picture that the card scans out."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(monitor)
        link.settimeout(5)
        link.sendall(f"screendump {path}\n".encode())
        said = b""
        while said.count(b"(qemu)") < 2:
            said += link.recv(4096)
    for _ in range(50):
        if Path(path).exists():
            return
        time.sleep(0.1)
    sys.exit(f"drm-check: no screendump {path}: {said!r}")


def read_ppm(path):
    """Width, height, rows of RGB."""
    data = path.read_bytes()
    kind, width, height, depth, rest = data.split(maxsplit=4) if data[:2] == b"P6" else (None,) * 5
    assert kind == b"P6" and depth == b"255", path
    width, height = int(width), int(height)
    rest = data[-3 * width * height:]
    return width, height, [rest[3 * width * y:3 * width * (y + 1)] for y in range(height)]


def read_png(path):
    """Width, height, rows of RGB of an 8-bit RGB or RGBA file."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            assert depth == 8 and colour in (2, 6) and interlace == 0, path
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    size = 3 if colour == 2 else 4
    raw, stride = zlib.decompress(packed), size * width
    rows, before = [], bytearray(stride)
    for y in range(height):
        how, line = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1:(y + 1) * (stride + 1)])
        for x in range(stride if how else 0):
            a = line[x - size] if x >= size else 0
            b, c = before[x], before[x - size] if x >= size else 0
            if how == 1:
                guess = a
            elif how == 2:
                guess = b
            elif how == 3:
                guess = (a + b) // 2
            else:
                pa, pb, pc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
                guess = a if pa <= pb and pa <= pc else b if pb <= pc else c
            line[x] = (line[x] + guess) & 255
        before = line
        rows.append(bytes(line) if size == 3 else b"".join(bytes(line[i:i + 3]) for i in range(0, stride, 4)))
    return width, height, rows


def placed(picture, target):
    """A picture as it lies on a screen: as large as fits, nearest samples, black around it (overlay/placement.rs)."""
    (pw, ph, rows), (tw, th) = picture, target
    w, h = (tw, max(ph * tw // pw, 1)) if tw * ph <= th * pw else (max(pw * th // ph, 1), th)
    x0, y0 = (tw - w) // 2, (th - h) // 2
    columns = [(2 * x + 1) * pw // (2 * w) for x in range(w)]
    black, out, kept = bytes(3 * tw), [], {}
    for y in range(th):
        if not y0 <= y < y0 + h:
            out.append(black)
            continue
        source = (2 * (y - y0) + 1) * ph // (2 * h)
        if source not in kept:
            row = rows[source]
            kept[source] = bytes(3 * x0) + b"".join(row[3 * x:3 * x + 3] for x in columns) + bytes(3 * (tw - x0 - w))
        out.append(kept[source])
    return out


def shown_frame(dump, stills):
    """Which still is on the screen, pixel for pixel."""
    width, height, rows = dump
    for still in stills:
        if placed(read_png(still), (width, height)) == rows:
            return still.stem
    return None


def judge(folder):
    share, failures = folder / "share", []

    def check(what, is_good, seen):
        print(f"{'ok  ' if is_good else 'FAIL'} {what}: {seen}")
        if not is_good:
            failures.append(what)

    def text(name):
        path = share / name
        return path.read_text().strip() if path.exists() else ""

    for name in ("scaled", "back", "whole"):
        dump = folder / f"{name}.ppm"
        if not dump.exists():
            check(f"a screendump '{name}'", False, "there is none")
            continue
        dump, run = read_ppm(dump), "whole" if name == "whole" else "scaled"
        found = shown_frame(dump, sorted(share.glob(f"{run}-*.png")))
        check(f"the screen '{name}', {dump[0]}x{dump[1]}, is one of the stills, pixel for pixel", found is not None, found)
    before = read_ppm(folder / "console-before.ppm")
    lit = sum(row.count(b"\xaa\xaa\xaa") for row in before[2])
    check("there was a console to give back", lit > 50, f"{lit} grey pixels")
    for name in ("console-after", "console-killed"):
        check(f"{name} is the console as it was", read_ppm(folder / f"{name}.ppm") == before, "the same" )

    for run, frames in (("scaled", 220), ("whole", 70)):
        report = json.loads(text(f"{run}.json") or "{}")
        if not report:
            check(f"the report of '{run}'", False, text(f"{run}.txt"))
            continue
        # Pictures that came while the monitor was unplugged, and while it was set up again.
        gone = 25 if run == "scaled" else 0
        counts, delay = report["frames"], report["presentation_delay_ms"]
        check(f"'{run}' ran on KMS", report["display"] == "drm" and "virtio" in report["adapter"], report["adapter"])
        total = counts["displayed"] + counts["rate_slip"] + counts["dropped_capture"] + counts["dropped_display"]
        check(f"'{run}' accounts for its frames", counts["captured"] == total == frames, counts)
        check(f"'{run}' reports page flips", delay and counts["displayed"] - gone <= delay["count"] <= counts["displayed"], delay)
        if run == "scaled":
            off_s, on_s = float(text("unplugged")), float(text("plugged"))
            monitor = [line for line in report["states"] if line["reason"].startswith("monitor")]
            at = {line["reason"].split(": ")[1].split(" ")[0]: line["at_ms"] / 1e3 + report["start_ns"] / 1e9 for line in monitor}
            check("the unplugged monitor is named", "unplugged" in at and any(a["code"] == "MONITOR-LOST" for a in report["alarms"]), monitor)
            if {"unplugged", "back"} <= at.keys():
                lost, back = at["unplugged"] - off_s, at["back"] - on_s
                # /proc/uptime counts in hundredths.
                check("it is named within 200 ms", -0.02 <= lost <= 0.22, f"{1e3 * lost:.0f} ms")
                check("the picture is back within 1 s", -0.02 <= back <= 1.02, f"{1e3 * back:.0f} ms")
    for name, words in (("taken.txt", "is not ours to use"), ("monitor.txt", "there is no monitor HDMI-9")):
        said = text(name)
        check(f"{name} names the trouble, exit code 2", words in said and said.endswith("\n2"), said)
    sys.exit(f"drm-check: {len(failures)} of the checks failed" if failures else 0)


if __name__ == "__main__":
    if sys.argv[1] == "screendump":
        screendump(*sys.argv[2:])
    else:
        judge(Path(sys.argv[2]))
