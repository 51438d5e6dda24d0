"""Runs one harness under libFuzzer, guided by the coverage of the modules that it tries (atheris).

``python -m tests.fuzz.run NAME --seconds N [--corpus FOLDER]``. Each module of this folder with a ``check`` is a
harness: what it raises is an escape, and so are an input that takes five seconds and memory beyond 1 GiB. The input of
an escape is written into the corpus's folder, and the exit status is not 0.
"""

import argparse
import hashlib
import importlib
import sys
import tempfile
from pathlib import Path

import atheris

# What each harness wants to cover; these must not have been imported before.
HARNESSES: dict[str, tuple[str, ...]] = {
    "multipart": ("listener.web.multipart_reader", "listener.web.part10_head", "python_multipart.multipart"),
    "header": (
        "listener.scp.instance_header",
        "storage.domain.element_walk",
        "listener.scp.commitment",
        "storage.domain.identifiers",
        "pydicom.charset",
    ),
    "command": ("listener.scp.command_set",),
    "address": (
        *("listener.web.dicomweb.search_query", "listener.web.dicomweb.media_types"),
        *("listener.web.dicomweb.picture_wish", "python_multipart.multipart"),
    ),
    "stored_file": (
        *("listener.web.dicomweb.dicom_file", "listener.web.dicomweb.dicom_json", "listener.web.dicomweb.frames"),
        *("listener.web.dicomweb.frame_attributes", "pydicom.filereader", "pydicom.dataset", "pydicom.dataelem"),
        *("pydicom.values", "pydicom.encaps", "pydicom.jsonrep"),
    ),
    "association": (
        *("listener.scp.pdu", "listener.scp.pdu_reader", "listener.scp.upper_layer", "listener.scp.state_table"),
        *("listener.scp.negotiation", "listener.scp.messages", "listener.scp.command_set", "listener.scp.conversation"),
        *("listener.scp.operations", "listener.scp.presentation_contexts", "pynetdicom.pdu_items"),
    ),
}
_SECONDS_OF_AN_INPUT = 5
_MEMORY = 1024  # MiB
_LONGEST = 16 * 1024  # bytes of an input


def main() -> None:
    """Try one harness for a while; libFuzzer ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=sorted(HARNESSES))
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--corpus", type=Path, default=None)
    chosen = parser.parse_args()
    with atheris.instrument_imports(include=list(HARNESSES[chosen.name])):
        harness = importlib.import_module(f"tests.fuzz.{chosen.name}")
    folder = chosen.corpus or Path(tempfile.mkdtemp(prefix=f"overread-fuzz-{chosen.name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    for seed in harness.SEEDS:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={chosen.seconds}",
            f"-timeout={_SECONDS_OF_AN_INPUT}",
            f"-rss_limit_mb={_MEMORY}",
            f"-max_len={_LONGEST}",
            f"-artifact_prefix={folder}/",
            "-print_final_stats=1",
            str(folder),
        ],
        harness.check,
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main()
