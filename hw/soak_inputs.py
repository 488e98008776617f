"""Faults of the input, one after another at random in one run of a simulated camera: each must be the state (or, of a wrong rate
and another format, the alarm) within 200 ms of when it can be known, and be over within 1 s after the signal is sound again."""
import json
import os
import random
import sys
import subprocess

keyhole, out = sys.argv[1], sys.argv[2]
rounds = int(os.environ.get("ROUNDS", "500"))
random.seed(int(os.environ.get("SEED", "1")))
FPS = 60
PERIOD_MS = 1000 / FPS
NAMED_MS, OVER_MS = 200, 1000
# What is said, where, and after how many periods of the fault it can be known: a repeated or a missing picture with the second one,
# another rate by its sixth interval, torn ones with the picture after, and both of those as a stream with the third flawed one.
KINDS = {
    "input-loss": ("signal", "lost", 1),
    "freeze": ("signal", "frozen", 1),
    "black": ("signal", "black", 0),
    "out-of-order": ("signal", "untrusted", 8),
    "torn": ("signal", "untrusted", 6),
    "stamp-jump": ("signal", "untrusted", 2),
    "half-rate": ("alarm", "SIGNAL-RATE", 12),
    "format-change": ("alarm", "SIGNAL-FORMAT", 0),
}
plan, at = [], 2.0
for _ in range(rounds):
    kind, length = random.choice(list(KINDS)), random.uniform(0.4, 1.0)
    plan.append((kind, at, at + length))
    # Sound for long enough to be called so, and for torn rows to be told from borders again.
    at += length + random.uniform(1.3, 1.7)
faults, report, timeline = (f"{out}/inputs.{ending}" for ending in ("toml", "json", "jsonl"))
with open(faults, "w") as f:
    f.write("camera = true\n")
    for kind, begin, end in plan:
        f.write(f'[[fault]]\nkind = "{kind}"\nat_s = {begin:.4f}\nfor_s = {end - begin:.4f}\n')
memory = f"{out}/inputs.memory.json"
run = [keyhole, "run", "--source", "sim:?width=640&height=360&fps=60", "--display", "headless", "--seconds", f"{at + 1:.1f}",
       "--inject", faults, "--report", report, "--timeline", timeline]
if subprocess.run([sys.executable, "hw/soak_memory.py", memory, "--", *run]).returncode:
    sys.exit("FAILED: the run did not end well, or its memory grew")
r = json.load(open(report))
# The fault's clock starts with the first picture.
start_ms = (min(json.loads(line)["capture_ns"] for line in open(timeline)) - r["start_ns"]) / 1e6
stalls = [(s["at_ms"], s["at_ms"] + s["late_ms"]) for s in r["machine_stalls"]]


def stood_still(begin, end):
    return sum(max(0, min(b, end) - max(a, begin)) for a, b in stalls)


states, alarms = r["states"], r["alarms"]
named_ms, over_ms, bad = {}, {}, []
for kind, begin, end in plan:
    where, name, periods = KINDS[kind]
    begin, end = start_ms + begin * 1000, start_ms + end * 1000
    known = begin + (periods + 1) * PERIOD_MS
    if where == "signal":
        said = next((s["at_ms"] for s in states if s["at_ms"] >= begin and s["signal"] == name), None)
        over = next((s["at_ms"] for s in states if s["at_ms"] >= end and s["signal"] == "live"), None)
    else:
        line = next((a for a in alarms if a["at_ms"] >= begin and a["code"] == name), None)
        said = line and line["at_ms"]
        # Another format is an event: its end is that the first one is named again.
        over = next((a["at_ms"] for a in alarms if a["at_ms"] >= end and a["code"] == name), None) if name == "SIGNAL-FORMAT" else line and line["cleared_at_ms"]
    if said is None or said > end or over is None:
        bad.append(f"{kind} at {begin:.0f} ms: named {said}, over {over}")
        continue
    named_ms.setdefault(kind, []).append(said - known)
    over_ms.setdefault(kind, []).append(over - end)
    if said - known > NAMED_MS + stood_still(begin, said) or over - end > OVER_MS + stood_still(end, over):
        bad.append(f"{kind} at {begin:.0f} ms: named {said - known:.0f} ms after it could be known, over {over - end:.0f} ms after its end")
# Between the faults, nothing is said to be wrong.
for s in states:
    at_ms = s["at_ms"] - start_ms
    sound = at_ms > 0 and not any(b * 1000 - 20 <= at_ms <= e * 1000 + OVER_MS for _, b, e in plan)
    if sound and s["signal"] not in ("live", "waiting") and not stood_still(s["at_ms"] - 300, s["at_ms"]):
        bad.append(f"a sound picture was called {s['signal']} at {s['at_ms']:.0f} ms ({s['reason']})")
print(f"{rounds} faults, {2 * rounds} transitions; machine stalls {len(stalls)}; state lines {len(states)}, alarms {len(alarms)}")
for kind in named_ms:
    n, o = sorted(named_ms[kind]), sorted(over_ms[kind])
    print(f"  {kind:14} n {len(n):4}  named p50 {n[len(n) // 2]:6.0f} max {n[-1]:6.0f} ms after it can be known;  over p50 {o[len(o) // 2]:6.0f} max {o[-1]:6.0f} ms")
print("  peak", r["peak_rss_mb"], "MB; AI process started again", r["worker_restarts"], "times; losses", r["losses"])
sys.exit("FAILED: " + "; ".join(bad[:20]) if bad else 0)
