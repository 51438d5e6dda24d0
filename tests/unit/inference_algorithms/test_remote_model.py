"""A network at an inference server: the same results, a proven identity, and a name for each way a server can fail."""

import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import trustme
from onnx import TensorProto, helper, numpy_helper

from inference.algorithms.engine import Engine
from inference.algorithms.folder import VerifiedAlgorithm, verify
from inference.algorithms.golden import write_golden
from inference.algorithms.golden_volume import GoldenVolume
from inference.algorithms.kserve_connection import Connection
from inference.algorithms.sliding_window import predict_volume
from inference.errors import ArtifactUnavailable, DeviceUnavailable, InvalidOutput, PredictionFailed
from inference.resident_algorithms import ResidentAlgorithms
from inference.settings import WorkerSettings
from storage.domain.algorithm import AlgorithmStage, RegisteredAlgorithm
from tests.peers.free_ports import free_port
from tests.peers.kserve_server import Serving, serving
from tests.peers.rude_server import rude_before
from tests.peers.tiny_algorithm import bright_network, write_tiny_algorithm
from tests.peers.tiny_classifier import brightness_network, write_tiny_classifier

VOLUME = np.random.default_rng(2).normal(size=(6, 5, 4)).astype(np.float32)
NETWORK = bright_network(0.0)
DIGEST = hashlib.sha256(NETWORK).hexdigest()


def _settings(server: object, **more: object) -> WorkerSettings:
    return WorkerSettings(device="remote", remote_url=getattr(server, "url", server), **more)


def _algorithm(folder: Path, **inference: object) -> VerifiedAlgorithm:
    return verify(write_tiny_algorithm(folder, NETWORK, inference={"input": "x", "output": "y", **inference}))


@contextmanager
def _server(**told: object) -> Iterator[Serving]:
    told.setdefault("parameters", {"tiny": {"artifact_sha256": DIGEST}})
    with serving(told.pop("models", {"tiny": NETWORK}), **told) as server:
        yield server


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("mode", [{}, {"mode": "sliding_window", "window": [4, 3, 2], "batch": 3}])
def test_a_server_gives_what_this_machine_gives(tmp_path: Path, mode: dict[str, object], binary: bool) -> None:
    """With binary tensors bit for bit, and with a server that speaks JSON only to within its decimal digits."""
    verified = _algorithm(tmp_path, **mode)
    here = predict_volume(Engine(verified, WorkerSettings(device="cpu")), VOLUME, verified.manifest.inference)

    with _server(binary=binary) as server:
        there = predict_volume(Engine(verified, _settings(server)), VOLUME, verified.manifest.inference)

    assert np.array_equal(there, here)


def test_a_classifier_runs_at_a_server_too(tmp_path: Path) -> None:
    """Probabilities and maps come over."""
    network = brightness_network()
    verified = verify(write_tiny_classifier(tmp_path, network))
    images = np.random.default_rng(1).uniform(0, 1, (3, 1, 32, 32)).astype(np.float32)
    here = Engine(verified, WorkerSettings(device="cpu")).score(images)
    declared = {"tiny-classifier": {"artifact_sha256": hashlib.sha256(network).hexdigest()}}

    with _server(models={"tiny-classifier": network}, parameters=declared) as server:
        there = Engine(verified, _settings(server)).score(images)

    assert np.array_equal(there.probabilities, here.probabilities)
    assert there.maps is not None
    assert here.maps is not None
    assert np.array_equal(there.maps, here.maps)


def test_ends_of_float16_travel_as_float16(tmp_path: Path) -> None:
    """The server's metadata says FP16; what comes out is float32 again."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["b", 1, "p", "q", "r"]) for name in ("x", "y")]
    half = numpy_helper.from_array(np.float16(0.5), "half")
    graph = helper.make_graph([helper.make_node("Mul", ["x", "half"], ["y"])], "half", infos[:1], infos[1:], [half])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    write_tiny_algorithm(tmp_path, model, inference={"input": "x", "output": "y", "precision": "float16"})
    write_golden(tmp_path, GoldenVolume(VOLUME, VOLUME[np.newaxis] / 2))
    declared = {"tiny": {"artifact_sha256": hashlib.sha256(model).hexdigest()}}

    with _server(models={"tiny": model}, parameters=declared) as server:
        predicted = Engine(verify(tmp_path), _settings(server)).predict(np.abs(VOLUME[np.newaxis, np.newaxis]) / 4)

    assert predicted.dtype == np.float32
    assert predicted[0, 0] == pytest.approx(np.abs(VOLUME) / 8, abs=2e-3)


def test_the_result_names_server_model_and_version(tmp_path: Path) -> None:
    """The execution provider of a result is where it really ran."""
    with _server(version="7") as server:
        engine = Engine(_algorithm(tmp_path), _settings(server, remote_model_version="7"))
        assert engine.provider == f"KServe v2 at 127.0.0.1:{server.port}, model tiny version 7, server peer 0.1"
        engine.predict(VOLUME[np.newaxis, np.newaxis])
        assert server.requests[-1] == "/v2/models/tiny/versions/7/infer"


def test_members_are_models_of_their_own(tmp_path: Path) -> None:
    """An ensemble's second network is NAME-2 at the server, with its own digest; the mean counts."""
    other = bright_network(2.0)
    member = {"file": "second.onnx", "sha256": hashlib.sha256(other).hexdigest()}
    write_tiny_algorithm(tmp_path, NETWORK, artifact={"file": "model.onnx", "sha256": DIGEST, "members": [member]})
    (tmp_path / "second.onnx").write_bytes(other)
    verified = verify(tmp_path)
    here = Engine(verified, WorkerSettings(device="cpu")).predict(VOLUME[np.newaxis, np.newaxis])
    declared = {"lab.tiny": {"artifact_sha256": DIGEST}, "lab.tiny-2": {"artifact_sha256": member["sha256"]}}

    with _server(models={"lab.tiny": NETWORK, "lab.tiny-2": other}, parameters=declared) as server:
        engine = Engine(verified, _settings(server, remote_model="lab.{name}"))
        there = engine.predict(VOLUME[np.newaxis, np.newaxis])
        assert "model lab.tiny version 1" in engine.provider

    assert np.array_equal(there, here)


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({}, "does not say which bytes"),
        ({"tiny": {}}, "does not say which bytes"),
        ({"tiny": {"artifact_sha256": "0" * 64}}, "serves other bytes"),
    ],
)
def test_a_server_must_declare_the_digest(tmp_path: Path, parameters: dict[str, object], told: str) -> None:
    """Silence is no identity, and another digest is another network; nothing is sent to be analysed."""
    with _server(parameters=parameters) as server, pytest.raises(ArtifactUnavailable, match=told):
        Engine(_algorithm(tmp_path), _settings(server))

    assert [path for path in server.requests if path.endswith("/infer")] == []


def test_a_server_that_declares_our_digest_and_runs_other_bytes_is_found_out(tmp_path: Path) -> None:
    """A probe is answered by our own copy too; a network with another threshold answers otherwise."""
    with _server(models={"tiny": bright_network(0.2)}) as server, pytest.raises(ArtifactUnavailable, match="probe"):
        Engine(_algorithm(tmp_path), _settings(server))


def test_a_model_that_is_replaced_under_way_is_noticed(tmp_path: Path) -> None:
    """Another digest is seen before the next batch is sent, another version in the answer to it."""
    for change in ("digest", "version"):
        with _server() as server:
            engine = Engine(_algorithm(tmp_path), _settings(server))
            engine.predict(VOLUME[np.newaxis, np.newaxis])
            if change == "digest":
                server.parameters["tiny"]["artifact_sha256"] = "1" * 64
            else:
                server.version = "2"
            before = server.requests.count("/v2/models/tiny/infer")
            assert not engine.outdated
            with pytest.raises(ArtifactUnavailable, match="other bytes" if change == "digest" else "another version"):
                engine.predict(VOLUME[np.newaxis, np.newaxis])
            assert engine.outdated
            assert server.requests.count("/v2/models/tiny/infer") - before == (0 if change == "digest" else 1)


def test_the_next_attempt_identifies_a_replaced_model_anew(tmp_path: Path) -> None:
    """A worker that keeps its algorithms loaded gives up the one whose server changed, and names the new version."""
    folder = tmp_path / "algorithms" / "tiny" / "1.0"
    verified = _algorithm(folder)
    registered = RegisteredAlgorithm(
        name="tiny",
        version="1.0",
        stage=AlgorithmStage.ACTIVE,
        folder=folder,
        manifest_sha256=verified.manifest_sha256,
        artifact_sha256=verified.artifact_sha256,
    )
    with _server() as server:
        resident = ResidentAlgorithms(_settings(server))
        first = resident.ready(registered)
        assert resident.ready(registered) is first
        server.version = "2"
        with pytest.raises(ArtifactUnavailable):
            first.network.predict(VOLUME[np.newaxis, np.newaxis])
        second = resident.ready(registered)
        second.network.predict(VOLUME[np.newaxis, np.newaxis])

    assert ("version 1" in first.provider, "version 2" in second.provider) == (True, True)


def test_an_answer_for_another_model_is_not_taken(tmp_path: Path) -> None:
    """A proxy that mixes up two models is noticed by the name in the answer."""
    with _server(said_model="other") as server, pytest.raises(ArtifactUnavailable, match="another model"):
        Engine(_algorithm(tmp_path), _settings(server))


def test_a_model_that_is_not_there_is_missed(tmp_path: Path) -> None:
    """The sentence says where to load it."""
    with _server(models={}) as server, pytest.raises(DeviceUnavailable, match="has no model tiny"):
        Engine(_algorithm(tmp_path), _settings(server))


def test_a_server_that_is_not_there_is_missed(tmp_path: Path) -> None:
    """Nobody listens on the port; nothing runs here in its place."""
    with pytest.raises(DeviceUnavailable, match="cannot be talked to"):
        Engine(_algorithm(tmp_path), _settings(f"http://127.0.0.1:{free_port()}"))


def test_the_token_is_shown_to_the_server(tmp_path: Path) -> None:
    """Without it the server does not let us in, and the sentence does not repeat it."""
    (tmp_path / "token").write_text("s3cret\n")
    with _server(token="s3cret") as server:
        with pytest.raises(DeviceUnavailable, match="does not let us in"):
            Engine(_algorithm(tmp_path / "a"), _settings(server))
        Engine(_algorithm(tmp_path / "a"), _settings(server, remote_token_file=str(tmp_path / "token")))


def test_only_a_server_with_a_certificate_of_the_site_is_believed(tmp_path: Path) -> None:
    """Under TLS the authority of remote_ca has to have signed; another one's certificate ends the conversation."""
    ours, foreign = trustme.CA(), trustme.CA()
    for name, authority in (("ours", ours), ("foreign", foreign)):
        authority.cert_pem.write_to_path(tmp_path / name)
    ours.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server")

    with _server(certificate=str(tmp_path / "server")) as server:
        verified = _algorithm(tmp_path / "algorithm")
        assert Engine(verified, _settings(server, remote_ca=str(tmp_path / "ours"))).provider.startswith("KServe v2")
        for authority in (str(tmp_path / "foreign"), ""):
            with pytest.raises(DeviceUnavailable, match="SSLCertVerificationError"):
                Engine(verified, _settings(server, remote_ca=authority))


def test_a_batch_that_the_server_rejects_is_a_failure(tmp_path: Path) -> None:
    """The server's 400 becomes PredictionFailed, without its words."""
    with _server() as server:
        engine = Engine(_algorithm(tmp_path), _settings(server))
        with pytest.raises(PredictionFailed, match="rejects what the network is given"):
            engine.predict(np.zeros((1, 2, 4, 4, 4), np.float32))


VOXELS = int(np.prod(VOLUME.shape))


def _answer(
    shape: tuple[int, ...] = (1, 1, *VOLUME.shape),
    values: bytes | None = None,
    told_bytes: int | None = None,
    told_length: int | None = None,
    head: bytes | None = None,
    name: str = "y",
    datatype: str = "FP32",
    more: bytes = b"",
) -> bytes:
    """An answer of HTTP that can be wrong in one place."""
    content = struct.pack(f"<{int(np.prod(shape))}f", *([0.5] * int(np.prod(shape)))) if values is None else values
    output = {"name": name, "datatype": datatype, "shape": list(shape)}
    output["parameters"] = {"binary_data_size": len(content) if told_bytes is None else told_bytes}
    told = {"model_name": "tiny", "model_version": "1", "outputs": [output]}
    json_part = json.dumps(told).encode() if head is None else head
    body = json_part + content + more
    return (
        f"HTTP/1.1 200 OK\r\nContent-Length: {len(body) if told_length is None else told_length}\r\n"
        f"Inference-Header-Content-Length: {len(json_part)}\r\n\r\n"
    ).encode() + body


def _told(outputs: bytes) -> bytes:
    """An answer without binary tensors whose member ``outputs`` is this."""
    return _answer(values=b"", head=b'{"model_name": "tiny", "model_version": "1", "outputs": ' + outputs + b"}")


def _in_words(word: str) -> bytes:
    """The right output as JSON, but for its first value."""
    values = ", ".join([word] + ["0.5"] * (VOXELS - 1))
    shape = [1, 1, *VOLUME.shape]
    return f'[{{"name": "y", "datatype": "FP32", "shape": {shape}, "data": [{values}]}}]'.encode()


def _says(content: bytes) -> Callable[[socket.socket, threading.Event], None]:
    return lambda caller, ended: caller.sendall(content)


def _trickles(caller: socket.socket, ended: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
    while not ended.wait(0.05):
        caller.sendall(b" ")


def _trickles_headers(caller: socket.socket, ended: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nX-A: ")
    while not ended.wait(0.05):
        caller.sendall(b"a")


def _is_silent(caller: socket.socket, ended: threading.Event) -> None:
    ended.wait()


def _never_ends(caller: socket.socket, ended: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not ended.is_set():
        caller.sendall(bytes(65536))


NAN = struct.pack(f"<{VOXELS}f", *([0.5] * (VOXELS - 1)), float("nan"))


@pytest.mark.parametrize(
    ("rude", "error", "told"),
    [
        pytest.param(_says(_answer((1, 1, 6, 5, 3))), InvalidOutput, "does not cover", id="another size"),
        pytest.param(_says(_answer((2, 1, *VOLUME.shape))), InvalidOutput, "does not cover", id="another batch"),
        pytest.param(_says(_answer((1, VOXELS))), InvalidOutput, "does not cover", id="another rank"),
        pytest.param(_says(_answer(values=NAN)), InvalidOutput, "NaN", id="NaN"),
        pytest.param(_says(_answer(values=b"\0\0")), PredictionFailed, "not one of the KServe", id="too few bytes"),
        pytest.param(_says(_answer(told_bytes=-4)), PredictionFailed, "not one of the KServe", id="negative bytes"),
        pytest.param(_says(_answer(told_bytes=8)), PredictionFailed, "not one of the KServe", id="bytes left over"),
        pytest.param(
            _says(_answer((1, -1, 4), values=b"")), PredictionFailed, "not one of the KServe", id="negative extent"
        ),
        pytest.param(
            _says(_answer((2**40, 2**40), values=b"")), PredictionFailed, "not one of the KServe", id="a vast shape"
        ),
        pytest.param(
            _says(_answer(more=bytes(480))), PredictionFailed, "not one of the KServe", id="a tensor too many"
        ),
        pytest.param(_says(_answer(datatype="BYTES")), PredictionFailed, "not one of the KServe", id="another type"),
        pytest.param(_says(_answer(name="z")), PredictionFailed, "not one of the KServe", id="another output"),
        pytest.param(_says(_answer(head=b"[" * 100000)), PredictionFailed, "not one of the KServe", id="deep JSON"),
        pytest.param(_says(_answer(head=b"not JSON")), PredictionFailed, "not one of the KServe", id="no JSON"),
        pytest.param(_says(_answer(head=b"null")), PredictionFailed, "not one of the KServe", id="null"),
        pytest.param(_says(_told(b'["y"]')), PredictionFailed, "not one of the KServe", id="a word for an output"),
        pytest.param(_says(_told(b"[null]")), PredictionFailed, "not one of the KServe", id="null for an output"),
        pytest.param(_says(_told(b'{"a": 1}')), PredictionFailed, "not one of the KServe", id="outputs as an object"),
        pytest.param(
            _says(_told(b'[{"name": "y", "parameters": [1]}]')),
            PredictionFailed,
            "not one of the KServe",
            id="parameters as a list",
        ),
        *(
            pytest.param(_says(_told(_in_words(word))), PredictionFailed, "not one of the KServe", id=f"{word} for 0.5")
            for word in ('"0.5"', "null", "[0.5]")
        ),
        pytest.param(_says(_answer(told_length=10**6)), DeviceUnavailable, "before it was complete", id="too short"),
        pytest.param(_says(_answer(told_length=100)), PredictionFailed, "not one of the KServe", id="too long"),
        pytest.param(_says(_answer(told_length=10**12)), PredictionFailed, "larger than it may be", id="huge, told"),
        pytest.param(_never_ends, PredictionFailed, "larger than it may be", id="huge, untold"),
        pytest.param(_says(b""), DeviceUnavailable, "closed the connection", id="closed"),
        pytest.param(_says(b"HTTP/1.1 200 OK\r\nConte"), PredictionFailed, "not one of the KServe", id="half a header"),
        pytest.param(_says(b"SSH-2.0-OpenSSH\r\n"), DeviceUnavailable, "cannot be talked to", id="no HTTP"),
        pytest.param(
            _says(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"), DeviceUnavailable, "status 503", id="busy"
        ),
        pytest.param(
            _says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            DeviceUnavailable,
            "status 302",
            id="elsewhere",
        ),
        pytest.param(_is_silent, DeviceUnavailable, "did not answer within", id="silent"),
        pytest.param(_trickles, DeviceUnavailable, "did not answer within", id="slow"),
        pytest.param(_trickles_headers, DeviceUnavailable, "did not answer within", id="slow header"),
    ],
)
def test_each_way_a_server_fails_has_a_name(
    tmp_path: Path, rude: Callable[[socket.socket, threading.Event], None], error: type[Exception], told: str
) -> None:
    """A batch comes to nothing with one sentence, and the next one, answered as it should be, is as good as ever."""
    with _server() as honest, rude_before(honest.port) as server:
        engine = Engine(_algorithm(tmp_path), _settings(server, remote_timeout_s=1, remote_answer_mib=4))
        server.rude = rude
        with pytest.raises(error, match=told) as raised:
            engine.predict(VOLUME[np.newaxis, np.newaxis])
        assert type(raised.value) is error
        server.rude = None
        after = engine.predict(VOLUME[np.newaxis, np.newaxis])

    assert after[0, 0] == pytest.approx(1 / (1 + np.exp(-VOLUME)), abs=1e-6)


def test_an_address_that_swallows_a_call_takes_nothing_of_the_next_ones_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two addresses of a host never answer a call and the third trickles: the one deadline ends it."""
    with _black_hole() as hole, _trickling() as address:
        found = [socket.getaddrinfo(*place, type=socket.SOCK_STREAM)[0] for place in (hole, hole, address)]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        connection = Connection(WorkerSettings(device="remote", remote_url="http://127.0.0.1:1", remote_timeout_s=1))

        with pytest.raises(DeviceUnavailable, match="did not answer within 1 s"):
            connection.ask("/v2")


@contextmanager
def _trickling() -> Iterator[tuple[str, int]]:
    """An address that answers one caller a byte at a time."""
    ended = threading.Event()

    def serve() -> None:
        caller, _ = door.accept()
        with caller, suppress(OSError):
            _trickles(caller, ended)

    with socket.create_server(("127.0.0.1", 0)) as door:
        threading.Thread(target=serve, daemon=True).start()
        try:
            yield door.getsockname()
        finally:
            ended.set()


@contextmanager
def _black_hole() -> Iterator[tuple[str, int]]:
    """An address whose queue of callers is full, so that the kernel answers no further one."""
    with ExitStack() as held:
        hole = held.enter_context(socket.socket())
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(3):
            caller = held.enter_context(socket.socket())
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(hole.getsockname())
        yield hole.getsockname()


@pytest.mark.parametrize(
    "wrong",
    [
        {"device": "remote"},
        {"device": "cpu", "remote_url": "ftp://gpu/"},
        {"device": "remote", "remote_url": "http://gpu.hospital.example:8000"},
        {"device": "remote", "remote_url": "https://name:word@gpu.hospital.example"},
        {"device": "remote", "remote_url": "https://gpu.hospital.example", "remote_model": "{folder}"},
    ],
)
def test_settings_that_would_lead_nowhere_or_in_the_clear_are_refused(wrong: dict[str, str]) -> None:
    """No address, another scheme, pixels in the clear, a password in the address, an unknown name."""
    with pytest.raises(ValueError, match="remote_"):
        WorkerSettings(**wrong)


def test_images_may_travel_in_the_clear_where_it_is_said() -> None:
    """A pool behind the site's own wall is the site's decision."""
    url = "http://gpu.hospital.example:8000"

    assert WorkerSettings(device="remote", remote_url=url, remote_unencrypted=True).remote_url == url
