#!/usr/bin/env python3
"""keyhole beside what a user would build instead: same clip, same pace, same weights, interleaved in one run.

    make bench-peers                     installs the peers in .setup/peers, then runs this
    benches/peers/compare.py --seconds 60 --rounds 3 [--only keyhole,floor] [--window]

Writes target/peers/peers.{md,json,svg}. All spans begin at a picture's scheduled release (common.py); p99.9 is given from
10,000 pictures a round on (--seconds 170). What stands is the median over the rounds, in brackets the best and the worst.
"""
import argparse
import glob
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VENV = ROOT / ".setup/peers"


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--clip", default=str(ROOT / "../shared/data/clips/laparoscopy-720p25.mp4"))
    p.add_argument("--fps", type=float, default=60)
    p.add_argument("--seconds", type=float, default=60)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--threads", type=int, default=2, help="a peer's inference threads; keyhole's are one")
    p.add_argument("--only", help="names to run, with commas")
    p.add_argument("--window", action="store_true", help="keyhole and the floor in a window under Xvfb")
    p.add_argument("--python", default=str(VENV / "bin/python"))
    p.add_argument("--out", default=str(ROOT / "target/peers"))
    return p.parse_args()


def systems(a):
    keyhole = [str(ROOT / "target/release/keyhole"), "run", "--source", f"{a.clip}?fps={a.fps:g}", "--seconds", f"{a.seconds:g}"]
    keyhole += ["--display", "window" if a.window else "headless"]
    locked = Path(a.out) / "locked.toml"
    locked.write_text("[overlay]\nframe_locked_ms = 14\n")
    floors = [f for f in glob.glob(str(ROOT / "target/release/deps/floor-*")) if not f.endswith(".d")]
    floor = [max(floors, key=os.path.getmtime)] if floors else None
    sink = ["--sink", "ximagesink" if a.window else "fakesink"]
    peer = lambda script, *style: [a.python, str(HERE / script), *style, "--clip", a.clip, "--engine", str(ROOT / "engines/surgical-cpu"),
                                   "--fps", f"{a.fps:g}", "--seconds", f"{a.seconds:g}", "--threads", str(a.threads)]
    # As the loops do, a picture waits for its own overlay, but never longer than 14 ms.
    found = {"keyhole": keyhole, "keyhole-locked": keyhole + ["--config", str(locked)]}
    if floor:
        found["floor-live"] = floor + ["--source", f"{a.clip}?fps={a.fps:g}", "--seconds", f"{a.seconds:g}"] + sink
        found["floor-file"] = floor + ["--source", a.clip, "--span", "file", "--fps", f"{a.fps:g}", "--seconds", f"{a.seconds:g}"] + sink
    if not a.window:
        found |= {
            "onnxruntime-loop": peer("onnxruntime_peer.py", "loop"), "onnxruntime-threads": peer("onnxruntime_peer.py", "threads"),
            "openvino-loop": peer("openvino_peer.py", "loop"), "openvino-threads": peer("openvino_peer.py", "threads"),
            "holoscan": peer("holoscan_peer.py"),
        }
    wanted = a.only.split(",") if a.only else list(found)
    return {name: found[name] for name in wanted}


def environment():
    """Holoscan looks for CUDA's runtime, which its package does not bring, and wants a larger stack."""
    env = dict(os.environ)
    libraries = glob.glob(str(VENV / "lib/python3*/site-packages/nvidia/cuda_runtime/lib"))
    env["LD_LIBRARY_PATH"] = ":".join(libraries + [env.get("LD_LIBRARY_PATH", "")])
    env.pop("WAYLAND_DISPLAY", None)
    return env


def larger_stack():
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    wanted = 32768 * 1024
    if hard == resource.RLIM_INFINITY or hard >= wanted:
        resource.setrlimit(resource.RLIMIT_STACK, (max(soft, wanted) if soft != resource.RLIM_INFINITY else soft, hard))


def run(name, command, out, env):
    if name.startswith("keyhole"):
        report = out / f"{name}.json"
        child = subprocess.Popen(command + ["--report", str(report)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        _, trouble = child.communicate()
        if child.returncode != 0:
            return None, trouble.decode()[-400:]
        return from_report(name, json.loads(report.read_text())), None
    done = subprocess.run(command, capture_output=True, text=True, env=env, preexec_fn=larger_stack)
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        return None, (done.stderr or done.stdout)[-400:]
    figures = json.loads(lines[-1])
    return (figures, None) if figures["video_ms"] else (None, "it showed nothing")


def from_report(name, r):
    part = lambda d: {"count": d["count"], "p50": d["p50"], "p95": d["p95"], "p99": d["p99"], "p999": d["p999"], "max": d["max"]} if d["count"] else None
    f = r["frames"]
    return {
        "name": name.replace("-", ", frame-"), "versions": f"{r['version']} ({r['commit'][:10]})", "shown": f["displayed"],
        "dropped": f["dropped_capture"] + f["dropped_display"], "inferred": f["inferred"],
        "video_ms": part(r["video_delay_ms"]), "annotation_ms": part(r["annotation_delay_ms"]), "age_ms": part(r["overlay_age_ms"]),
    }


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def middle(rounds, *path):
    values = []
    for r in rounds:
        for key in path:
            r = r.get(key) if isinstance(r, dict) else None
        if r is not None:
            values.append(r)
    return (statistics.median(values), min(values), max(values)) if values else None


def text(value, digits=1):
    if value is None:
        return "–"
    mid, low, high = value
    return f"{mid:.{digits}f}" if low == high else f"{mid:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def table(results, a):
    head = ["system", "shown", "dropped", "inferred", "video p50", "p99", "p99.9", "max", "annotation p50", "p99", "p99.9", "age p99", "CPU ms a frame"]
    rows = [head, ["---"] * len(head)]
    for rounds in results.values():
        p999 = lambda r, key: r[key]["p999"] if r[key] and r[key]["count"] >= 10_000 else None
        tails = [{key: p999(r, key) for key in ("video_ms", "annotation_ms")} for r in rounds]
        rows.append([rounds[0]["name"], *(text(middle(rounds, key), 0) for key in ("shown", "dropped", "inferred")),
                     text(middle(rounds, "video_ms", "p50")), text(middle(rounds, "video_ms", "p99")), text(middle(tails, "video_ms")),
                     text(middle(rounds, "video_ms", "max")), text(middle(rounds, "annotation_ms", "p50")),
                     text(middle(rounds, "annotation_ms", "p99")), text(middle(tails, "annotation_ms")), text(middle(rounds, "age_ms", "p99")), text(middle(rounds, "cpu_ms_a_frame"))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def plot(results):
    """p50, p99 and max of both delays, on a logarithmic axis; vertical lines at a frame period and at 100 ms."""
    import math
    width, left, row = 1000, 230, 46
    names = list(results)
    height = 70 + row * len(names) + 30
    x = lambda ms: left + (width - left - 30) * (math.log10(max(ms, 0.1)) + 1) / 4
    o = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="14">',
         f'<rect width="{width}" height="{height}" fill="white"/>',
         '<text x="20" y="26" font-size="17">Delay from a picture\'s release, ms: p50 ●, p99 ◆, max ▏(logarithmic)</text>']
    for ms in (0.1, 1, 10, 100, 1000):
        o.append(f'<line x1="{x(ms)}" y1="50" x2="{x(ms)}" y2="{height - 30}" stroke="#ddd"/><text x="{x(ms)}" y="{height - 10}" text-anchor="middle">{ms:g}</text>')
    for ms, label in ((16.7, "one picture"), (100, "hand and eye part")):
        o.append(f'<line x1="{x(ms)}" y1="50" x2="{x(ms)}" y2="{height - 30}" stroke="#c33" stroke-dasharray="5 4"/><text x="{x(ms) + 4}" y="46" fill="#c33" font-size="12">{label}</text>')
    for i, (name, rounds) in enumerate(results.items()):
        y = 75 + row * i
        o.append(f'<text x="{left - 12}" y="{y + 8}" text-anchor="end">{rounds[0]["name"]}</text>')
        for key, colour, dy, word in (("video_ms", "#1666b0", -4, "video"), ("annotation_ms", "#d9730d", 12, "annotation")):
            p50, p99, top = (middle(rounds, key, k) for k in ("p50", "p99", "max"))
            if not p50:
                continue
            o.append(f'<line x1="{x(p50[0])}" y1="{y + dy}" x2="{x(top[0])}" y2="{y + dy}" stroke="{colour}" stroke-width="2"/>'
                     f'<circle cx="{x(p50[0])}" cy="{y + dy}" r="5" fill="{colour}"/>'
                     f'<path d="M{x(p99[0])} {y + dy - 6}l6 6l-6 6l-6 -6z" fill="{colour}"/>'
                     f'<line x1="{x(top[0])}" y1="{y + dy - 6}" x2="{x(top[0])}" y2="{y + dy + 6}" stroke="{colour}" stroke-width="3"/>')
            if i == 0:
                o.append(f'<text x="{x(top[0]) + 10}" y="{y + dy + 4}" fill="{colour}" font-size="12">{word}</text>')
    return "\n".join(o + ["</svg>"]) + "\n"


def main():
    a = arguments()
    if not Path(a.clip).is_file():
        sys.exit(f"{a.clip} is not there: --clip names another recording")
    out = Path(a.out)
    out.mkdir(parents=True, exist_ok=True)
    env, results = environment(), {}
    server = None
    if a.window:
        server = subprocess.Popen(["Xvfb", "-displayfd", "1", "-screen", "0", "1920x1080x24", "-nolisten", "tcp"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        env["DISPLAY"] = ":" + server.stdout.readline().strip()
    try:
        for number in range(a.rounds):
            for name, command in systems(a).items():
                before = cpu_of_children()
                figures, trouble = run(name, command, out, env)
                if figures is None:
                    print(f"SKIPPED {name}: {trouble.strip()}", file=sys.stderr)
                    continue
                offered = max(1, figures["shown"] + figures["dropped"])
                figures.setdefault("cpu_ms_a_frame", 1000 * (cpu_of_children() - before) / offered)
                results.setdefault(name, []).append(figures)
                v = figures["video_ms"]
                print(f"round {number + 1}/{a.rounds} {name:20} shown {figures['shown']} dropped {figures['dropped']} video p50 {v['p50']:.1f} p99 {v['p99']:.1f} max {v['max']:.1f} ms", file=sys.stderr)
    finally:
        if server:
            server.kill()
    for rounds in results.values():
        for r in rounds:
            for key in ("video_ms", "annotation_ms", "age_ms"):
                if r[key]:
                    r[key].pop("cdf", None)
    machine = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}"
    stamp = "peers-window" if a.window else "peers"
    notes = f"{Path(a.clip).name} at {a.fps:g} pictures a second, {a.rounds} × {a.seconds:g} s interleaved, {machine}, {time.strftime('%Y-%m-%d')}; " + "; ".join(
        f"{rounds[0]['name']}: {rounds[0]['versions']}" for rounds in results.values())
    text_table = table(results, a)
    (out / f"{stamp}.md").write_text(text_table + "\n" + notes + "\n")
    (out / f"{stamp}.json").write_text(json.dumps({"notes": notes, "results": results}, indent=1))
    (out / f"{stamp}.svg").write_text(plot(results))
    print(text_table)
    print(notes)


main()
