"""The algorithms a worker has loaded, kept by digest so that each is verified and built once."""

from collections import OrderedDict
from pathlib import Path

from inference.algorithms.engine import Engine
from inference.algorithms.folder import verify
from inference.errors import ArtifactUnavailable, InvalidAlgorithm
from inference.pipeline import ReadyAlgorithm
from inference.settings import WorkerSettings
from inference.turns import Turn
from storage.domain.algorithm import RegisteredAlgorithm

_RESIDENT = 4  # sessions kept; more would only fill the memory of the device


def compiled_networks(installed: Path) -> Path:
    """Where the providers keep what they compiled of the networks, under the data folder.

    ``installed`` is the folder of an algorithm there: ``algorithms/NAME/VERSION-DIGEST``.
    """
    return installed.parents[2] / "compiled-networks"


class ResidentAlgorithms:
    """Loads algorithms on demand; what is loaded keeps the bytes that were checked, whatever happens to the file."""

    def __init__(self, settings: WorkerSettings) -> None:
        self._settings = settings
        self._on_cpu = settings.model_copy(update={"device": "cpu"})
        self._ready: OrderedDict[tuple[str, str, bool], ReadyAlgorithm] = OrderedDict()
        self._turn = Turn()

    def ready(self, registered: RegisteredAlgorithm, on_cpu: bool = False) -> ReadyAlgorithm:
        """The algorithm with exactly the digests that were registered; jobs that ask at a time take turns.

        It runs on the device of the settings, or on the CPU.

        Raises:
            ArtifactUnavailable: its folder is missing, damaged or no longer what was registered.
            DeviceUnavailable: the device asked for is not there.
            OutOfMemory, DeviceFull: there is not memory enough to build its session, here or on the device.
        """
        with self._turn:
            return self._loaded(registered, on_cpu)

    def _loaded(self, registered: RegisteredAlgorithm, on_cpu: bool) -> ReadyAlgorithm:
        digests = registered.manifest_sha256, registered.artifact_sha256
        key = *digests, on_cpu
        if key in self._ready and isinstance(engine := self._ready[key].network, Engine) and engine.outdated:
            del self._ready[key]
        if key in self._ready:
            self._ready.move_to_end(key)
            return self._ready[key]
        try:
            verified = verify(registered.folder)
            if (verified.manifest_sha256, verified.artifact_sha256) != digests:
                raise ArtifactUnavailable(
                    f"The folder of {registered.name} {registered.version} is not the one that was added; "
                    "restore it or add it as a new version."
                )
            settings = self._on_cpu if on_cpu else self._settings
            engine = Engine(verified, settings, compiled_networks(registered.folder))
        except InvalidAlgorithm as error:
            raise ArtifactUnavailable(str(error)) from None
        except OSError as error:
            raise ArtifactUnavailable(
                f"The folder of {registered.name} {registered.version} cannot be read ({error.strerror}); restore it."
            ) from None
        while len(self._ready) >= _RESIDENT:
            self._ready.popitem(last=False)
        self._ready[key] = ReadyAlgorithm(verified, engine, engine.provider)
        return self._ready[key]
