#!/bin/sh
# Trains, measures and writes an engine from the data sets, start to end; stopped, it carries on from its checkpoints.
#   train.sh --data DIR --work DIR --out DIR [--engine NAME] [--keyhole FILE]      (python: $PYTHON, with requirements.txt installed)
set -eu
export OMP_WAIT_POLICY=passive   # threads that wait for each other must not spin on a shared machine
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
keyhole=$here/../../target/release/keyhole
engine=surgical-cpu
while [ $# -gt 1 ]; do
    case "$1" in
        --data) data=$2 ;; --work) work=$2 ;; --out) out=$2 ;; --engine) engine=$2 ;; --keyhole) keyhole=$2 ;;
        *) echo "train.sh: unknown option $1" >&2; exit 2 ;;
    esac
    shift 2
done
: "${data:?--data DIR is missing}" "${work:?--work DIR is missing}" "${out:?--out DIR is missing}"
mkdir -p "$work" "$out"
metrics=$here/metrics-${engine#surgical-}.json
number() { sed -n "s/.*\"$1\": *\([0-9]*\).*/\1/p" "$here/training.json"; }

"$python" "$here/simulate.py" --keyhole "$keyhole" --out "$work/simulated" --scenes 100-147   # to train on
"$python" "$here/simulate.py" --keyhole "$keyhole" --out "$work/simulated" --scenes 1-9       # to measure on
sets="--data $data --simulated $work/simulated --work $work"
"$python" "$here/cohort.py" --data "$data" --write >"$work/cohort.toml"
# shellcheck disable=SC2086   # $sets is a list of words; folders with blanks in their names will not do
{
    [ -f "$work/labels.npz" ] || "$python" "$here/train.py" $sets --steps "$(number steps_before_labels)"
    [ -f "$work/labels.npz" ] || "$python" "$here/label.py" --data "$data" --work "$work" --out "$work/labels.npz"
    "$python" "$here/train.py" $sets --labels "$work/labels.npz" --steps "$(number steps)"
    "$python" "$here/export.py" trunk --engine "$engine" $sets
    "$python" "$here/quality.py" --engine "$engine" $sets
}
"$python" "$here/export.py" model --engine "$engine" --work "$work" --out "$out"
"$python" "$here/evaluate.py" --data "$data" --simulated "$work/simulated" --engine "$out/model.onnx" \
    --out "$metrics" --overlays "$work/overlays"
"$python" "$here/export.py" manifest --engine "$engine" --out "$out"
"$python" "$here/calibration_set.py" --data "$data" --simulated "$work/simulated" --out "$work/labelled"
halves=''
for set in "$work"/labelled/calibration/*/; do halves="$halves --data $set"; done
# shellcheck disable=SC2086
"$keyhole" calibrate confidence $halves --engine "$out" --out "$out" --html "$work/calibration.html"
"$keyhole" engine lock "$out" --key "$here/../development-key.toml" --golden "$here/../surgical-cpu/golden.png"
cp "$work/net.manifest.tsv" "$here/data-manifest.tsv"
cp "$work/training-log.jsonl" "$here/training-log.jsonl"
