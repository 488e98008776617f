"""Runs a command and watches the memory that it and its children hold (anonymous, resident), and its open descriptors. Fails if
either keeps growing: from an hour on by 1 MB an hour.

    hw/soak_memory.py OUT.json -- COMMAND...
"""
import json
import os
import subprocess
import sys
import time

# The first third is start-up: engines load, buffers grow to what they need.
SETTLED = 1 / 3
MOST_MB_A_MINUTE = 0.5
MOST_MB_AN_HOUR = 1.0


def descriptors(pid):
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def anonymous_mb(pid):
    try:
        status = open(f"/proc/{pid}/status").read()
        children = open(f"/proc/{pid}/task/{pid}/children").read().split()
        tasks = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    except OSError:
        return 0.0
    own = next((float(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")), 0.0) / 1024
    return own + sum(anonymous_mb(child) for child in {*children, *tasks})


out, command = sys.argv[1], sys.argv[sys.argv.index("--") + 1:]
started, points, opened = time.monotonic(), [], []
child = subprocess.Popen(command)
while child.poll() is None:
    time.sleep(1)
    at = time.monotonic() - started
    if (mb := anonymous_mb(child.pid)) > 0:
        points.append((at, mb))
        opened.append(descriptors(child.pid))
if child.returncode:
    sys.exit(f"FAILED: {command[0]} ended with {child.returncode}")
settled = points[int(len(points) * SETTLED):-1]
mean_s, mean_mb = (sum(p[i] for p in settled) / len(settled) for i in (0, 1))
over = sum((s - mean_s) ** 2 for s, _ in settled)
growth = 60 * sum((s - mean_s) * (mb - mean_mb) for s, mb in settled) / over if over else 0.0
json.dump({"command": command, "resident_mb": points, "growth_mb_a_minute": growth, "descriptors": opened}, open(out, "w"))
print(f"memory {settled[0][1]:.1f} MB after a third, {settled[-1][1]:.1f} MB at the end, {growth:+.2f} MB a minute, most {max(mb for _, mb in points):.1f} MB; "
      f"descriptors {opened[int(len(opened) * SETTLED)]} after a third, {max(opened[-6:-1] or opened)} at the end")
# A short run has not settled yet.
lasted_s = points[-1][0]
if lasted_s >= 120 and growth > (MOST_MB_AN_HOUR / 60 if lasted_s >= 3600 else MOST_MB_A_MINUTE):
    sys.exit(f"FAILED: memory grows by {growth:.3f} MB a minute")
if lasted_s >= 120 and max(opened[-6:-1]) > opened[int(len(opened) * SETTLED)]:
    sys.exit(f"FAILED: descriptors grow: {opened[int(len(opened) * SETTLED)]} after a third, {max(opened[-6:-1])} at the end")
