"""100 kill -9 and 100 SIGSTOP of the AI process at random times in one run: no output frame may be missed, the overlay
must be gone within two frames of a death (and of a stop), and be back within 2 s."""
import json
import os
import random
import signal
import subprocess
import sys
import time

from soak_stalls import explained, missed_times

keyhole, out = sys.argv[1], sys.argv[2]
rounds = int(os.environ.get("ROUNDS", "100"))
report, timeline = f"{out}/kills.json", f"{out}/kills.jsonl"
random.seed(1)
run = subprocess.Popen([keyhole, "run", "--source", "sim:?width=1280&height=720&fps=60", "--display", "headless", "--hud", "off",
                        "--report", report, "--timeline", timeline])
blows = []


def worker():
    children = subprocess.run(["ps", "-o", "pid=,args=", "--ppid", str(run.pid)], capture_output=True, text=True).stdout.splitlines()
    pids = [int(c.split()[0]) for c in children if " worker" in c]
    return pids[0] if pids else None


time.sleep(3)
for i in range(2 * rounds):
    for _ in range(200):
        pid = worker()
        if pid:
            break
        time.sleep(0.01)
    else:
        sys.exit("FAILED: no AI process came back")
    blow = signal.SIGKILL if i % 2 == 0 else signal.SIGSTOP
    try:
        os.kill(pid, blow)
        blows.append((time.clock_gettime_ns(time.CLOCK_MONOTONIC), blow.name))
    except ProcessLookupError:
        continue
    time.sleep(random.uniform(0.7, 1.6) if blow == signal.SIGSTOP else random.uniform(0.2, 1.2))
time.sleep(3)
run.send_signal(signal.SIGINT)
if run.wait(30) != 0:
    sys.exit("FAILED: the run did not end well")
r = json.load(open(report))
f = r["frames"]
lines = [json.loads(line) for line in open(timeline)]
missed = f["captured"] - f["displayed"]
noted = sum(line["ai"] == "degraded" for line in r["states"])
frame_ns = 1e9 / 60
late, slow = 0, 0
gone_ms, back_ms = [], {"SIGKILL": [], "SIGSTOP": []}
for at, name in blows:
    after = [l for l in lines if l["present_ns"] > at]
    gone = next((l["present_ns"] for l in after if l["scene_frame"] is None), None)
    if gone is not None:
        gone_ms.append((gone - at) / 1e6)
        late += gone - at > 3 * frame_ns
        back = next((l["present_ns"] for l in after if l["present_ns"] > gone and l["scene_frame"] is not None), None)
        if back is not None:
            back_ms[name].append((back - at) / 1e6)
            slow += back - at > 2e9
gone_ms.sort()
print(f"{len(blows)} blows; frames captured {f['captured']}, displayed {f['displayed']}; restarts {r['worker_restarts']}")
print(f"in the record: {noted} losses of the AI, {sum(a['code'] == 'AI-DOWN' for a in r['alarms'])} alarms")
print(f"overlay gone after p50 {gone_ms[len(gone_ms)//2]:.1f} max {gone_ms[-1]:.1f} ms")
for name, ms in back_ms.items():
    ms.sort()
    print(f"back after {name} p50 {ms[len(ms)//2]:.0f} max {ms[-1]:.0f} ms, {len(ms)} times")
stamps = {l["frame"]: l["capture_ns"] for l in lines if not l["repeat"]}
missing = missed_times(f["captured"], stamps, frame_ns)
by_machine = explained(r, missing.values(), frame_ns)
print(f"missed frames {sorted(missing)}, of which {len(by_machine)} while the machine itself stood still; losses {r['losses']}")
print(f"video delay p99 {r['video_delay_ms']['p99']} max {r['video_delay_ms']['max']} ms; machine stalls {r['machine_stalls']}")
if missed != len(missing) or len(by_machine) != len(missing) or late or slow or noted < len(blows):
    sys.exit(f"FAILED: missed {missed}, overlay late {late}, slow back {slow}, in the record {noted} of {len(blows)}")
