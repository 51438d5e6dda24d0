"""An inference server of the KServe v2 protocol with Triton's binary tensors, made of FastAPI and ONNX Runtime.

Written from the protocol's text, not from our client: the two share no code. It says what it serves as Triton does, in
the model's configuration, and can be told to serve something else, to forget an extension, or to be rude.
"""

import json
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import onnxruntime
import uvicorn
from fastapi import FastAPI, Request, Response

from tests.peers.free_ports import free_port

_KINDS = {"tensor(float)": ("FP32", np.float32), "tensor(float16)": ("FP16", np.float16)}


@dataclass
class Serving:
    """One running server and what it is told to do; ``requests`` are the paths it was asked for."""

    port: int
    models: dict[str, bytes]
    parameters: dict[str, dict[str, str]] = field(default_factory=dict)  # of a model: what its configuration says
    binary: bool = True
    version: str = "1"
    token: str | None = None
    requests: list[str] = field(default_factory=list)
    said_model: str | None = None
    certificate: str = ""  # a PEM file of key and certificates: the server speaks TLS

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    def session(self, name: str) -> onnxruntime.InferenceSession:
        """What runs a model."""
        return onnxruntime.InferenceSession(self.models[name], providers=["CPUExecutionProvider"])


def _application(serving: Serving) -> FastAPI:
    app = FastAPI()

    @app.middleware("http")
    async def note(request: Request, call_next):
        serving.requests.append(request.url.path)
        if serving.token is not None and request.headers.get("authorization") != f"Bearer {serving.token}":
            return Response(status_code=401)
        return await call_next(request)

    @app.get("/v2")
    def server():
        extensions = ["classification", "model_configuration"] + (["binary_tensor_data"] if serving.binary else [])
        return {"name": "peer", "version": "0.1", "extensions": extensions}

    @app.get("/v2/models/{name}")
    @app.get("/v2/models/{name}/versions/{version}")
    def metadata(name: str, version: str = ""):
        if name not in serving.models or version not in ("", serving.version):
            return Response(json.dumps({"error": "unknown model"}), 404)
        session = serving.session(name)
        ends = {
            kind: [{"name": one.name, "datatype": _KINDS[one.type][0], "shape": [-1] * len(one.shape)} for one in found]
            for kind, found in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
        }
        return {"name": name, "versions": [serving.version], "platform": "onnxruntime_onnx", **ends}

    @app.get("/v2/models/{name}/config")
    @app.get("/v2/models/{name}/versions/{version}/config")
    def configuration(name: str, version: str = ""):
        if name not in serving.parameters:
            return Response(status_code=404)
        said = {key: {"string_value": value} for key, value in serving.parameters[name].items()}
        return {"name": name, "platform": "onnxruntime_onnx", "parameters": said}

    @app.post("/v2/models/{name}/infer")
    @app.post("/v2/models/{name}/versions/{version}/infer")
    async def infer(name: str, request: Request, version: str = ""):
        body = await request.body()
        length = request.headers.get("inference-header-content-length")
        head = json.loads(body if length is None else body[: int(length)])
        rest = b"" if length is None else body[int(length) :]
        session, (asked,) = serving.session(name), head["inputs"]
        kind = {"FP32": "<f4", "FP16": "<f2"}[asked["datatype"]]
        if "data" in asked:
            values = np.array(asked["data"], kind)
        else:
            values = np.frombuffer(rest[: asked["parameters"]["binary_data_size"]], kind)
        names = [one["name"] for one in head["outputs"]]
        try:
            found = session.run(names, {asked["name"]: values.reshape(asked["shape"])})
        except Exception:  # noqa: BLE001 - as a server does, whatever it was
            return Response(json.dumps({"error": "invalid argument"}), 400)
        as_bytes = [one.get("parameters", {}).get("binary_data", False) for one in head["outputs"]]
        return _answer(serving, name, names, found, as_bytes)

    return app


def _answer(serving: Serving, name: str, names: list[str], found: list[np.ndarray], as_bytes: list[bool]) -> Response:
    outputs, tail = [], b""
    for output, array, binary in zip(names, found, as_bytes, strict=True):
        datatype = {"float32": "FP32", "float16": "FP16"}[str(array.dtype)]
        told = {"name": output, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            content = struct.pack(f"<{array.size}{'f' if datatype == 'FP32' else 'e'}", *array.ravel().tolist())
            told["parameters"] = {"binary_data_size": len(content)}
            tail += content
        else:
            told["data"] = array.ravel().tolist()
        outputs.append(told)
    said = serving.said_model or name
    head = json.dumps({"model_name": said, "model_version": serving.version, "outputs": outputs}).encode()
    if not any(as_bytes):
        return Response(head, media_type="application/json")
    return Response(
        head + tail,
        media_type="application/octet-stream",
        headers={"Inference-Header-Content-Length": str(len(head))},
    )


@contextmanager
def serving(models: dict[str, bytes], **told: object) -> Iterator[Serving]:
    """A server on a free port of loopback, ready when this is entered."""
    running = Serving(free_port(), models, **told)
    server = uvicorn.Server(
        uvicorn.Config(
            _application(running),
            host="127.0.0.1",
            port=running.port,
            log_level="critical",
            access_log=False,
            ssl_certfile=running.certificate or None,
        )
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the peer did not start")
        time.sleep(0.01)
    try:
        yield running
    finally:
        server.should_exit = True
        thread.join()
