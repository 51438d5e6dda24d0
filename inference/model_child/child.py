"""The process that opens images and runs models; it may die of either.

Started by `inference.model_child.running` as ``python -m inference.model_child.child WIRE BOARD ...``, with no
secret in its environment. Each pair is the seat of one job at a time, and has a thread. Its sessions stay resident
until it ends. It ends when the worker closes the wires.
"""

import gc
import logging
import os
import socket
import sys
import threading

from inference.conclusion import NotAnalysed
from inference.errors import DeviceUnavailable
from inference.model_child.board import StageBoard
from inference.model_child.codec import decode, encode
from inference.model_child.confinement import confine, limit_memory
from inference.model_child.messages import (
    ANSWERS,
    PING,
    REQUESTS,
    Analysis,
    Answer,
    Request,
    Telling,
    failure_of,
    spoken,
)
from inference.model_child.wire import Closed, Wire
from inference.settings import WorkerSettings
from inference.stages import ALGORITHM, TELL, begin, tell_stages_to
from storage.domain.result import NewResult

_GPU_PROVIDERS = ("CUDA", "Tensorrt", "NvTensorRt")


def main() -> None:
    """Answer requests until there are no more."""
    descriptors = [int(argument) for argument in sys.argv[1:]]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # what we start must not keep the wire open when we die
    wires = [Wire(socket.socket(fileno=descriptor)) for descriptor in descriptors[::2]]
    boards = [StageBoard(descriptor) for descriptor in descriptors[1::2]]
    wire = wires[0]
    try:
        setup, _ = wire.receive()
        confine(int(setup["worker"]))
        if setup["spoken"] != spoken():  # an update has replaced the files from which the worker was started
            wire.send({"changed": True})
            return
        settings = WorkerSettings.model_validate(setup["settings"])
        keep_received_values_out_of_logs()
        job = _Job(settings)
        try:
            if not job.runs_on_gpu():
                limit_memory(int(setup["memory_bytes"]))
        except DeviceUnavailable as error:
            wire.send({"refused": str(error)})
            return
        wire.send({"ready": True})
        job.warm_up()
        for seat in zip(wires[1:], boards[1:], strict=True):
            threading.Thread(target=_serve_or_end, args=(job, *seat), daemon=True).start()
        _serve(job, wire, boards[0])
    except Closed:
        return


def _serve(job: "_Job", wire: Wire, board: StageBoard) -> None:
    """Answer the requests of one seat. Raises Closed."""
    tell_stages_to(board.write)
    while True:
        told, contents = wire.receive()
        if told["request"] == PING:
            wire.send({"answer": PING})
            continue
        request: Request = decode(REQUESTS[told["request"]], told["told"], contents)
        _send(wire, job.done(request))


def _serve_or_end(job: "_Job", wire: Wire, board: StageBoard) -> None:
    """The same in a thread: what ends it ends the process, so that no request stays without an answer."""
    try:
        _serve(job, wire, board)
    except Closed:
        return  # the first seat's wire is closed too, and there the process leaves in order
    except BaseException:  # noqa: BLE001 - there is nobody to tell but the worker, who notices
        os._exit(1)


def _send(wire: Wire, answer: Answer) -> None:
    (name,) = (name for name, kind in ANSWERS.items() if isinstance(answer, kind))
    told, contents = encode(ANSWERS[name], answer)
    wire.send({"answer": name, "told": told}, contents)


class _Job:
    """Does what is asked, with the algorithms that were loaded before; its methods may run in several threads."""

    def __init__(self, settings: WorkerSettings) -> None:
        # Imported here: whoever imports this module for its names must not load the runtime.
        from inference.resident_algorithms import ResidentAlgorithms

        self._settings = settings
        self._resident = ResidentAlgorithms(settings)

    def runs_on_gpu(self) -> bool:
        """Whether a GPU's driver is going to be loaded, which reserves more memory than it uses.

        Raises:
            DeviceUnavailable: the device asked for is not there.
        """
        import onnxruntime

        from inference.algorithms.engine import wanted_providers

        providers = wanted_providers(self._settings.device, onnxruntime.get_available_providers())
        return any(name.startswith(_GPU_PROVIDERS) for name in providers)

    def warm_up(self) -> None:
        """Load, while no job waits yet, what every first job would have to wait for.

        What was loaded stays, so the garbage collector need not look at it again: that took 0.14 s, every few jobs.
        """
        import onnx  # noqa: F401

        import inference.notice
        import inference.pipeline  # noqa: F401
        from inference.evidence.attributes import read_tables_of_the_standard

        read_tables_of_the_standard()
        gc.collect()
        gc.freeze()

    def done(self, request: Request) -> Answer:
        """The answer to a request; this is the boundary of the job."""
        try:
            return self._analysed(request) if isinstance(request, Analysis) else self._told(request)
        except Closed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it was, the worker is told and gives it its name
            return failure_of(error)

    def _analysed(self, request: Analysis) -> NewResult | NotAnalysed:
        from inference.pipeline import analyse

        begin(ALGORITHM)
        ready = self._resident.ready(request.algorithm, on_cpu=request.on_cpu)
        asked = (
            request.started_at,
            request.site_secret,
            request.wanted,
            request.naming,
            request.beside,
            request.earlier,
        )
        return analyse(request.study, ready, *asked)

    def _told(self, request: Telling) -> NewResult:
        from inference.notice import identity_of, tell

        begin(TELL)
        identity = identity_of(request.algorithm)
        return tell(request.study, request.ended, identity, request.site_secret, request.naming)


def keep_received_values_out_of_logs() -> None:
    """pydicom and highdicom repeat odd values, such as a patient's name, in their warnings and log lines.

    A warning is told where it was called, which may be in any library, so all of them go to a logger that is silent.
    """
    import pydicom

    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    logging.captureWarnings(True)
    told = logging.getLogger("py.warnings")
    told.handlers, told.propagate = [logging.NullHandler()], False


if __name__ == "__main__":
    main()
