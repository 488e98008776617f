"""Are the pixels outside the overlay the video's own? Compares a run with overlay to the same run without, frame by frame."""
import json
import sys

on = [json.loads(line) for line in open(sys.argv[1])]
off = {l["frame"]: l["picture_hash"] for l in map(json.loads, open(sys.argv[2])) if not l["repeat"]}
frames = with_overlay = 0
for line in on:
    where = f"frame {line['frame']} (repeat {line['repeat']})"
    if line["outside_hash"] != line["clean_outside_hash"]:
        sys.exit(f"FAILED: {where}: pixels outside the overlay differ from the captured picture")
    if line["frame"] not in off:
        continue
    if line["clean_hash"] != off[line["frame"]]:
        sys.exit(f"FAILED: {where}: the picture differs from the run without overlay")
    frames += not line["repeat"]
    with_overlay += line["scene_frame"] is not None
if frames == 0 or with_overlay == 0:
    sys.exit("FAILED: nothing was compared")
print(f"{frames} frames, {len(on)} presents, {with_overlay} of them with an overlay: identical outside it")
