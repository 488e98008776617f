#!/usr/bin/env bash
# `make run`: a window where there is a display; else 20 s headless, leaving a video, a picture and a report in target/run/.
set -euo pipefail
cd "$(dirname "$0")/.."
source_uri=${1:-}
shift || true
arguments=()
[ -n "$source_uri" ] && arguments+=(--source "$source_uri")
out=target/run
mkdir -p "$out"
if [ -n "${DISPLAY:-}" ] || [ -n "${WAYLAND_DISPLAY:-}" ]; then
    exec target/release/keyhole run "${arguments[@]}" --report "$out/report.json" "$@"
fi
echo "keyhole: no display (DISPLAY and WAYLAND_DISPLAY are not set): running headless for 20 s"
status=0
target/release/keyhole run "${arguments[@]}" --display headless --seconds 20 \
    --record "$out/overlay.mp4" --snapshot "$out/overlay.png" --report "$out/report.json" "$@" || status=$?
[ "$status" -eq 0 ] && echo "keyhole: look at $out/overlay.mp4, $out/overlay.png and $out/report.json"
exit "$status"
