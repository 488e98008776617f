"""Prints how much of what an engine says to be sure is right, as through smoke, blood, fog and defocus in five steps each.

    sure_table.py --keyhole FILE --engine DIR --clean DIR --degraded DIR      (OUT of degrade.py, of the clean set)
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

KINDS = ["smoke", "blood", "fog", "defocus"]


def measure(keyhole, engine, data):
    with tempfile.TemporaryDirectory() as folder:
        report = pathlib.Path(folder) / "r.json"
        command = [keyhole, "calibrate", "confidence", "--check", "--engine", engine, "--data", str(data), "--report", str(report)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return json.loads(report.read_text())


def told(figure):
    return "–" if figure is None else f"{figure:.3f}"


def main():
    parser = argparse.ArgumentParser()
    for name in ("keyhole", "engine", "clean", "degraded"):
        parser.add_argument(f"--{name}", required=True)
    args = parser.parse_args()
    sets = [("clean", pathlib.Path(args.clean))]
    sets += [(f"{kind} {step}", pathlib.Path(args.degraded) / f"{kind}-{step}") for kind in KINDS for step in range(1, 6)]
    for name, data in sets:
        report = measure(args.keyhole, args.engine, data)
        classes = [f'{c["class"]} {told(c["sure_precision"])} ({told(c["sure_coverage"])})' for c in report["classes"] if c["sure_from"] < 1]
        print(f'{name:<10} unsure {report["unsure"]:.3f}  abstained {report["abstained"]:.3f}  unknown {report["unknown_pictures"]}  '
              f'sure pixels right (of the class): {", ".join(classes)}', flush=True)


if __name__ == "__main__":
    main()
