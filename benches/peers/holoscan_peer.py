"""NVIDIA Holoscan's Python graph on the CPU: source -> inference (ONNX Runtime in a numpy operator) -> compose."""
import cv2
import holoscan
import onnxruntime as ort
from common import Camera, Engine, Figures, arguments, compose, keep
from holoscan.conditions import CountCondition
from holoscan.core import Application, Operator
from holoscan.schedulers import EventBasedScheduler


class Source(Operator):
    def __init__(self, fragment, *args, app, **kwargs):
        self.app = app
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.output("frame")

    def start(self):
        # Not before the graph runs: its own start is not held against it.
        self.app.begin()

    def compute(self, op_input, op_output, context):
        # None after the last: the graph ends when it reaches the compositor.
        op_output.emit(self.app.camera.next(), "frame")


class Infer(Operator):
    def __init__(self, fragment, *args, engine, threads, **kwargs):
        self.engine = engine
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = ort.InferenceSession(engine.model, options, providers=["CPUExecutionProvider"])
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.input("frame")
        spec.output("scene")

    def compute(self, op_input, op_output, context):
        item = op_input.receive("frame")
        if item is None:
            op_output.emit(None, "scene")
            return
        picture = item[2]
        outputs = self.session.run(self.engine.outputs, {self.engine.name: self.engine.input(picture)})
        contours = self.engine.contours(outputs, picture.shape[1], picture.shape[0])
        op_output.emit((item, contours), "scene")


class Compose(Operator):
    def __init__(self, fragment, *args, app, **kwargs):
        self.app, self.shown = app, None
        super().__init__(fragment, *args, **kwargs)

    def setup(self, spec):
        spec.input("scene")

    def compute(self, op_input, op_output, context):
        scene = op_input.receive("scene")
        if scene is None:
            self.fragment.stop_execution()
            return
        (number, due, picture), contours = scene
        self.shown = compose(picture, contours)
        self.app.figures.present(number, due, (number, due))


class Peer(Application):
    def __init__(self, a):
        self.a = a
        super().__init__()

    def begin(self):
        a = self.a
        self.camera, self.figures = Camera(a.clip, a.fps, a.seconds), Figures(a.warm)

    def compose(self):
        a = self.a
        self.engine = Engine(a.engine)
        source = Source(self, CountCondition(self, int(a.fps * a.seconds) + 1, name="count"), name="source", app=self)
        infer = Infer(self, name="infer", engine=self.engine, threads=a.threads)
        self.out = Compose(self, name="compose", app=self)
        self.add_flow(source, infer, {("frame", "frame")})
        self.add_flow(infer, self.out, {("scene", "scene")})


if __name__ == "__main__":
    a = arguments()
    peer = Peer(a)
    peer.scheduler(EventBasedScheduler(peer, name="scheduler", worker_thread_number=2))
    peer.run()
    peer.figures.print("holoscan graph (python, cpu)", peer.camera, f"holoscan {holoscan.__version__}, onnxruntime {ort.__version__}, opencv {cv2.__version__}")
    keep(a, peer.out.shown)
