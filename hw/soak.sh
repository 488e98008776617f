#!/usr/bin/env bash
# `make long`: the README's table at full length (about 40 minutes). Each row prints its figure; the script fails if a row fails.
#   hw/soak.sh [ROW...]      rows: sim-1080p60 clip-60 window-recording clip-25 cold-start overlay-off-identity kills-and-stops video-kills inputs
#   SECONDS_A_ROW=60 hw/soak.sh sim-1080p60
#   ROUNDS=250 hw/soak.sh kills-and-stops          500 blows at the AI process
#   SECONDS_A_ROW=7200 hw/soak.sh sim-1080p60      two hours; 259200: three days
set -euo pipefail
cd "$(dirname "$0")/.."
keyhole=target/release/keyhole
out=${OUT:-target/soak}
clip=${CLIP:-../shared/data/clips/laparoscopy-720p25.mp4}
seconds=${SECONDS_A_ROW:-600}
sim1080='sim:?width=1920&height=1080&fps=60'
sim720='sim:?width=1280&height=720&fps=60'
rows=${*:-sim-1080p60 clip-60 window-recording clip-25 cold-start overlay-off-identity kills-and-stops video-kills inputs}
mkdir -p "$out"

show() { python3 hw/soak_report.py "$@"; }
# Runs keyhole with a report, and watches its memory.
run() { python3 hw/soak_memory.py "$out/$1.memory.json" -- "$keyhole" run --report "$out/$1.json" "${@:2}"; }
# A clip that was never rendered is rendered first: 10 s, once.
warm() { "$keyhole" run --source "$1" --display headless --seconds 25 >/dev/null 2>&1; }
has_clip() { [ -f "$clip" ] || { echo "SKIPPED: $clip is not there (CLIP=... names another)"; return 1; }; }
delays=(--at-most video_delay_ms.p50=5.75 --at-most video_delay_ms.p999=16.7 --at-most annotation_delay_ms.p50=12
    --at-most annotation_delay_ms.p99=25 --at-most overlay_age_ms.p99=50)

sim-1080p60() {
    warm "$sim1080"
    run sim-1080p60 --source "$sim1080" --display headless --seconds "$seconds"
    show "$out/sim-1080p60.json" --frames $((seconds * 60)) --no-drops "${delays[@]}"
}

clip-60() {
    has_clip || return 0
    run clip-60 --source "$clip?fps=60" --display headless --seconds "$seconds"
    show "$out/clip-60.json" --no-drops --inferred-a-second 59.9 "${delays[@]}"
}

window-recording() {
    command -v Xvfb >/dev/null || { echo "SKIPPED: Xvfb is not installed"; return 0; }
    warm "$sim720"
    exec {number}< <(exec Xvfb -displayfd 1 -screen 0 1280x720x24 -nolisten tcp 2>/dev/null)
    server=$!
    trap 'kill $server' EXIT
    read -r display <&"$number"
    rm -rf "$out/recording" && mkdir "$out/recording"
    DISPLAY=":$display" run window-recording --source "$sim720" --display window --seconds "$seconds" \
        --record "$out/recording/overlay.mp4" --record-clean "$out/recording/clean.mp4"
    show "$out/window-recording.json" --no-drops
    ls -l "$out/recording"
}

clip-25() {
    has_clip || return 0
    run clip-25 --source "$clip" --display headless --seconds 60
    show "$out/clip-25.json" --no-drops --at-most first_picture_ms=2000
}

cold-start() {
    # A cache folder that is not given as a whole path would be passed over for the user's own, which is warm.
    cache=$(realpath -m "$out/cache")
    rm -rf "$cache"
    XDG_CACHE_HOME="$cache" run cold-start --source "$sim1080" --display headless --seconds 30
    [ -n "$(ls -A "$cache" 2>/dev/null)" ] || { echo "nothing was rendered into $cache"; return 1; }
    rm -rf "$cache"
    show "$out/cold-start.json" --at-most first_picture_ms=2000
}

overlay-off-identity() {
    for way in on off; do
        "$keyhole" run --source "$sim1080" --display headless --frames 3600 --hud off --timeline "$out/$way.jsonl" --report "$out/$way.json" \
            $([ $way = on ] || echo --overlay off)
    done
    python3 hw/soak_identity.py "$out/on.jsonl" "$out/off.jsonl"
}

# ROUNDS=100: faults of the input, two transitions each.
inputs() {
    warm 'sim:?width=640&height=360&fps=60'
    ROUNDS=${ROUNDS:-500} python3 hw/soak_inputs.py "$keyhole" "$out"
}

kills-and-stops() {
    python3 hw/soak_kills.py "$keyhole" "$out"
}

video-kills() {
    python3 hw/soak_video.py "$keyhole" "$out"
}

failed=()
for row in $rows; do
    printf '\n== %s (%s)\n' "$row" "$(date -u +%H:%M:%S)"
    # In a shell of its own: one row that fails does not hide the next. (`set -e` is void left of ||.)
    set +e
    (set -e; "$row")
    status=$?
    set -e
    [ $status -eq 0 ] || failed+=("$row")
done
[ ${#failed[@]} -eq 0 ] || { echo "FAILED rows: ${failed[*]}"; exit 1; }
