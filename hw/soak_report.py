"""Prints the figures of a run report and checks what it is told to check. No package needed."""
import argparse
import json
import sys

p = argparse.ArgumentParser()
p.add_argument("report")
p.add_argument("--frames", type=int, help="so many frames must have been captured")
p.add_argument("--no-drops", action="store_true")
p.add_argument("--inferred-a-second", type=float)
p.add_argument("--at-most", action="append", default=[], metavar="KEY=MS", help="as video_delay_ms.p99=16.7 or first_picture_ms=2000")
a = p.parse_args()
r = json.load(open(a.report))
f = r["frames"]
print("frames", {k: v for k, v in f.items() if v})
for name in ["video_delay_ms", "annotation_delay_ms", "overlay_age_ms", "machine_stall_ms"]:
    d = r[name]
    print(f"{name:20} n {d['count']:6}  p50 {d['p50']:7.2f}  p95 {d['p95']:7.2f}  p99 {d['p99']:7.2f}  p99.9 {d['p999'] or float('nan'):7.2f}  max {d['max']:7.2f}")
for name, d in r["stages_ms"].items():
    print(f"  {name:18} n {d['count']:6}  p50 {d['p50']:7.2f}  p99 {d['p99']:7.2f}  max {d['max']:7.2f}")
print("first picture", r.get("first_picture_ms"), "ms; inferred a second", round(f["inferred"] / r["seconds"], 1), "; peak", r["peak_rss_mb"], "MB; losses", r["losses"])
bad = []
if f["captured"] != f["displayed"] + f["rate_slip"] + f["dropped_capture"] + f["dropped_display"]:
    bad.append("the counts do not add up")
if a.frames and f["captured"] != a.frames:
    bad.append(f"captured {f['captured']}, not {a.frames}")
dropped = f["dropped_capture"] + f["dropped_display"]
# While the machine itself stands still nobody shows a frame: a core that is gone for n frame periods may cost n + 1.
# One stall is seen by several of the bare threads: what overlaps counts once.
excused, end_ms = 0, -1.0
for stall in r["machine_stalls"]:
    until_ms = stall["at_ms"] + stall["late_ms"]
    if until_ms > end_ms:
        excused += int((until_ms - max(stall["at_ms"], end_ms)) * r["source"]["fps"] / 1000) + (stall["at_ms"] > end_ms)
        end_ms = until_ms
if dropped:
    print(f"dropped {dropped}; machine stalls {r['machine_stalls']}")
if a.no_drops and dropped > excused:
    bad.append(f"{f['dropped_capture']} dropped at capture, {f['dropped_display']} at display; the machine's stalls explain {excused}")
if a.inferred_a_second and f["inferred"] / r["seconds"] < a.inferred_a_second:
    bad.append("too few frames inferred")
for limit in a.at_most:
    key, most = limit.split("=")
    value = r
    for part in key.split("."):
        value = value[part]
    if value is None:
        print(f"{key}: not told of so few")
    elif value > float(most):
        bad.append(f"{key} is {value}, more than {most} ms")
sys.exit("FAILED: " + "; ".join(bad) if bad else 0)
