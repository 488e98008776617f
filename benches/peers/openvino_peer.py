"""OpenCV + OpenVINO, latency hint."""
import sys

import cv2
import openvino as ov
from common import arguments, run_loop, run_threads


def open_model(engine, a):
    core = ov.Core()
    model = core.compile_model(engine.model, "CPU", {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": a.threads})
    request, outputs = model.create_infer_request(), [model.output(name) for name in engine.outputs]

    def run(tensor):
        result = request.infer({engine.name: tensor}, share_inputs=True)
        return [result[output] for output in outputs]

    return run


if __name__ == "__main__":
    style = sys.argv.pop(1)
    versions = f"opencv {cv2.__version__}, openvino {ov.__version__}"
    run = {"loop": run_loop, "threads": run_threads}[style]
    run(f"opencv + openvino, {style}", open_model, arguments(), versions)
