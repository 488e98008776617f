#!/usr/bin/env bash
# `make long`: the README's table at full length. Each row prints its figure; the script fails if a row fails.
# Rows: sim-1080p60, clip-25, clip-60, overlay-off-identity, kills-and-stops
set -euo pipefail
cd "$(dirname "$0")/.."
keyhole=target/release/keyhole
out=${OUT:-target/soak}
clip=${CLIP:-../shared/data/clips/laparoscopy-720p25.mp4}
mkdir -p "$out"
row() { printf '%s\n' "== $1"; }
show() { python3 hw/soak_report.py "$@"; }

row sim-1080p60
$keyhole run --source 'sim:?width=1920&height=1080&fps=60' --display headless --seconds 60 --report "$out/sim.json"
show "$out/sim.json" --frames 3600 --no-drops --at-most video_delay_ms.p50=5.75 --at-most video_delay_ms.p99=16.7 \
    --at-most annotation_delay_ms.p50=16.7 --at-most annotation_delay_ms.p99=33 --at-most overlay_age_ms.p99=50

if [ -f "$clip" ]; then
    row clip-25
    $keyhole run --source "$clip" --display headless --seconds 60 --report "$out/clip25.json"
    show "$out/clip25.json" --no-drops --at-most first_picture_ms=2000
    row clip-60
    $keyhole run --source "$clip?fps=60" --display headless --seconds 60 --report "$out/clip60.json"
    show "$out/clip60.json" --no-drops --inferred-a-second 30
else
    echo "SKIPPED clip-25, clip-60: $clip is not there (CLIP=... names another)"
fi

row overlay-off-identity
$keyhole run --source 'sim:?width=1920&height=1080&fps=60' --display headless --frames 3600 --hud off --timeline "$out/on.jsonl" --report "$out/on.json"
$keyhole run --source 'sim:?width=1920&height=1080&fps=60' --display headless --frames 3600 --hud off --overlay off --timeline "$out/off.jsonl" --report "$out/off.json"
python3 hw/soak_identity.py "$out/on.jsonl" "$out/off.jsonl"

row kills-and-stops
python3 hw/soak_kills.py "$keyhole" "$out"
