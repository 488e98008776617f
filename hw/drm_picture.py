#!/usr/bin/env python3
"""The two halves of hw/drm-check.sh that handle pictures: QEMU's screendump, and the judgement of what it saw."""

import json
import socket
import struct
import sys
import time
import zlib
from pathlib import Path


def tell(monitor, commands):
    """Gives QEMU's monitor commands, parted by semicolons; a screendump has been written when this returns."""
    commands = [command for command in commands.split(";") if command]
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(monitor)
        link.settimeout(5)
        link.sendall("".join(f"{command}\n" for command in commands).encode())
        said = b""
        while said.count(b"(qemu)") < 1 + len(commands):
            said += link.recv(4096)
    if b"Error" in said:
        sys.exit(f"drm-check: {commands}: {said!r}")
    what, *words = commands[0].split()
    for _ in range(50):
        if what != "screendump" or Path(words[0]).exists():
            return
        time.sleep(0.1)
    sys.exit(f"drm-check: no {commands[0]}: {said!r}")


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


def place(size, target):
    """Where a picture lies on a screen, x, y, width and height: as large as fits, in the middle (overlay/placement.rs)."""
    (pw, ph), (tw, th) = size, target
    w, h = (tw, max(ph * tw // pw, 1)) if tw * ph <= th * pw else (max(pw * th // ph, 1), th)
    return (tw - w) // 2, (th - h) // 2, w, h


def scaled(picture, size):
    """Rows of a picture scaled to a size by nearest samples."""
    (pw, ph, rows), (w, h) = picture, size
    columns = [(2 * x + 1) * pw // (2 * w) for x in range(w)]
    out, kept = [], {}
    for y in range(h):
        source = (2 * y + 1) * ph // (2 * h)
        if source not in kept:
            row = rows[source]
            kept[source] = b"".join(row[3 * x:3 * x + 3] for x in columns)
        out.append(kept[source])
    return out


def shown_frame(dump, stills):
    """Which still is on the screen, pixel for pixel; beside it stands what does not belong to the picture."""
    width, height, rows = dump
    for still in stills:
        picture = read_png(still)
        x, y, w, h = place(picture[:2], (width, height))
        if scaled(picture, (w, h)) == [row[3 * x:3 * (x + w)] for row in rows[y:y + h]]:
            return still.stem
    return None


def lit_beside(dump, width):
    """Pixels that are not black, left and right of a picture of this width in the middle."""
    x0, x1 = (dump[0] - width) // 2, (dump[0] + width) // 2
    sides = (row[:3 * x0] + row[3 * x1:] for row in dump[2])
    return sum(any(side[i:i + 3]) for side in sides for i in range(0, len(side), 3))


def judge_keys(folder, check, text):
    """What was typed, and what became of the overlay and of the console."""
    report = json.loads(text("keys.json") or "{}")
    if not report:
        return check("the report of 'keys'", False, text("keys.txt"))
    check("Q ends the run", text("keys.exit") == "0", text("keys.exit"))
    check("the console gets what is typed before and after a run, and nothing of it meanwhile", text("typed") == "abc", text("typed"))
    presents = [json.loads(line) for line in text("keys.jsonl").splitlines()]
    presents = [(line["present_ns"] / 1e9, line["scene_frame"] is not None) for line in presents]
    strokes = [line.split() for line in text("strokes").splitlines()]
    strokes = [(what, float(earliest), float(latest)) for what, earliest, latest in strokes]
    for i, (what, earliest, latest) in enumerate(strokes):
        since = max([at for _, _, at in strokes[:i]], default=0)
        until = strokes[i + 1][1] if i + 1 < len(strokes) else presents[-1][0] + 1
        if what == "clean":
            before = [has for at, has in presents if since < at < earliest]
            after = [has for at, has in presents if latest < at < until]
            is_good = sum(before) > 0 and before[-1] and sum(after[1:]) == 0 and len(after) > 2
            seen = f"{sum(before)} of {len(before)} pictures had one before, {sum(after)} of {len(after)} after"
            check("a key takes the overlay off within one picture", is_good, seen)
        elif what == "on":
            after = [has for at, has in presents if latest < at < until]
            check("two keys bring the overlay back", sum(after) > 0 and after[-1], f"{sum(after)} of {len(after)} pictures have one")
    base_s = report["start_ns"] / 1e9
    there = [line["at_ms"] / 1e3 + base_s for line in report["states"] if "keyboard" in line["reason"] and "is there" in line["reason"]]
    gone = [alarm for alarm in report["alarms"] if alarm["code"] == "CONTROL-LOST" and "keyboard" in alarm["text"]]
    check("a keyboard that is plugged in is told", len(there) == 1, [f"{at - float(text('keyboard-plugged')):.2f} s" for at in there])
    check("a keyboard that is pulled is an alarm", len(gone) == 1, gone)


def judge_x11(check, text):
    """A window on X, whose monitor slept twice."""
    report = json.loads(text("x11.json") or "{}")
    if not report:
        return check("the report of 'x11'", False, text("x11.txt"))
    check("X puts the monitor to sleep (DPMS)", "DPMS is Enabled" in text("xset.txt"), text("xset.txt").splitlines()[-2:])
    at = {"asleep": [], "back": []}
    for line in report["states"]:
        word = line["reason"].split(": ")[-1].split(" ")[0]
        if line["reason"].startswith("monitor") and word in at:
            at[word].append(line["at_ms"] / 1e3 + report["start_ns"] / 1e9)
    check("each sleep is named, and each return", [len(times) for times in at.values()] == [2, 2], [line["reason"] for line in report["states"]])
    for words, limit_s, done in (("asleep", 0.2, "asleep"), ("back", 1, "awake")):
        spans = [(float(text(f"{done}-at-the-earliest-{n + 1}")), seen, float(text(f"{done}-{n + 1}"))) for n, seen in enumerate(at[words])]
        # Between the command and the card's own word for it; /proc/uptime counts in hundredths.
        is_good = all(earliest - 0.02 <= seen <= latest + limit_s + 0.02 for earliest, seen, latest in spans)
        said = [f"{1e3 * (seen - latest):.0f} ms, {1e3 * (seen - earliest):.0f} ms after the command" for earliest, seen, latest in spans]
        check(f"it is named within {limit_s} s of the card's doing it ('{words}')", is_good, said)
    counts = report["frames"]
    total = counts["displayed"] + counts["rate_slip"] + counts["dropped_capture"] + counts["dropped_display"]
    check("the frames are accounted for", counts["captured"] == total == 150, counts)


def judge(folder):
    share, failures = folder / "share", []

    def check(what, is_good, seen):
        print(f"{'ok  ' if is_good else 'FAIL'} {what}: {seen}")
        if not is_good:
            failures.append(what)

    def text(name):
        path = share / name
        return path.read_text().strip() if path.exists() else ""

    for name in ("scaled", "back", "whole", "beside", "feed", "clean"):
        dump = folder / f"{name}.ppm"
        if not dump.exists():
            check(f"a screendump '{name}'", False, "there is none")
            continue
        dump, run = read_ppm(dump), "scaled" if name == "back" else name
        found = shown_frame(dump, sorted(share.glob(f"{run}-*.png")))
        check(f"the screen '{name}', {dump[0]}x{dump[1]}, is one of the stills, pixel for pixel", found is not None, found)
    lit = lit_beside(read_ppm(folder / "beside.ppm"), 400)
    check("the status display stands beside a narrow picture", lit > 500, f"{lit} pixels")
    before = read_ppm(folder / "console-before.ppm")
    lit = sum(row.count(b"\xaa\xaa\xaa") for row in before[2])
    check("there was a console to give back", lit > 50, f"{lit} grey pixels")
    for name in ("console-after", "console-lent", "console-killed"):
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
    check("a monitor that was asleep at the start is lit", text("dpms").split() == ["Off", "On"], text("dpms").split())
    for name, word, other in (("faster", "repeated", "rate_slip"), ("slower", "rate_slip", "repeated")):
        report = json.loads(text(f"{name}.json") or "{}")
        counts, cadence = report.get("frames", {}), report.get("cadence")
        # 10 s of 5 pictures a second at 6 or 4 refreshes; the emulator's own stalls are repeats and slips, too.
        is_good = cadence and 5 <= counts[word] <= 20 and counts[other] < counts[word]
        check(f"a refresh that is {name} than the source is counted as {word}", is_good, (counts, cadence) or text(f"{name}.txt"))
    feed = json.loads(text("feed.json") or "{}")
    check("a run with a clean feed ends well", text("feed.exit") == "0" and feed, text("feed.txt")[-200:])
    if feed:
        counts, lost = feed["frames"], feed.get("losses", {}).get("clean_feed", 0)
        check("the clean feed delays no picture", counts["displayed"] + counts["rate_slip"] == counts["captured"], (counts, lost))
    said = text("scaled.txt")
    check("the way that is taken is named", "composed on the host: a card of the driver virtio_gpu has no GPU" in said, said.splitlines()[:1])
    for name, what in (("open", "a monitor that was lent is taken back"), ("gpu", "a GPU that is lost leaves the host its monitor")):
        said = text(f"{name}.txt")
        check(what, "1 passed" in said and said.endswith("\n0"), said.splitlines()[-3:])
    judge_keys(folder, check, text)
    judge_x11(check, text)
    for name, words in (("taken.txt", "is not ours to use"), ("monitor.txt", "there is no monitor HDMI-9"), ("alone.txt", "a second one, for the clean feed")):
        said = text(name)
        check(f"{name} names the trouble, exit code 2", words in said and said.endswith("\n2"), said)
    sys.exit(f"drm-check: {len(failures)} of the checks failed" if failures else 0)


if __name__ == "__main__":
    if sys.argv[1] == "tell":
        tell(*sys.argv[2:])
    else:
        judge(Path(sys.argv[2]))
