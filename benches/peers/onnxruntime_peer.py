"""OpenCV + ONNX Runtime: `--style loop` as most write it, `--style threads` as it should be written."""
import sys

import cv2
import onnxruntime as ort
from common import arguments, run_loop, run_threads


def open_model(engine, a):
    options = ort.SessionOptions()
    options.intra_op_num_threads = a.threads
    session = ort.InferenceSession(engine.model, options, providers=["CPUExecutionProvider"])
    return lambda tensor: session.run(engine.outputs, {engine.name: tensor})


if __name__ == "__main__":
    style = sys.argv.pop(1)
    versions = f"opencv {cv2.__version__}, onnxruntime {ort.__version__}"
    run = {"loop": run_loop, "threads": run_threads}[style]
    run(f"opencv + onnxruntime, {style}", open_model, arguments(), versions)
