"""The OpenAPI document is true, and nothing that it allows or forbids to send makes the service fail."""

import json
import os
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from pydicom.filereader import dcmread

from tests.integration.dicomweb.conftest import file_bytes
from tests.peers.web_door import PASSWORD, WebDoor

_EXAMPLES = os.environ.get("TEST_SCHEMATHESIS_EXAMPLES", "10")


_CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def _stored(door: WebDoor, name: str) -> dict[str, str]:
    """Send one of pydicom's test files for analysis; what paths say of it."""
    answer = door.browser().post("/api/v1/analyze", files=[("files", file_bytes(name))], auth=("operator", PASSWORD))
    assert answer.status_code == 202, answer.text
    instance = dcmread(BytesIO(file_bytes(name)), stop_before_pixels=True)
    study, series = str(instance.StudyInstanceUID), str(instance.SeriesInstanceUID)
    return {
        **{"study": study, "study_instance_uid": study, "series": series, "series_uid": series},
        **{"instance": str(instance.SOPInstanceUID), "frames": "1", "tag": "7fe00010"},
    }


def test_schemathesis_finds_no_server_error(api_door: WebDoor, tmp_path: Path) -> None:
    """A bounded number of generated requests per operation, sound and unsound, is never answered with a 5xx.

    What is answered is also what the document says: its status, its media type, its form.
    More of them: TEST_SCHEMATHESIS_EXAMPLES=1000 .venv/bin/pytest tests/integration/dicomweb/test_openapi.py
    """
    url = f"http://127.0.0.1:{api_door.port}"
    environment = {
        "SCHEMATHESIS_HOOKS": "tests.peers.schemathesis_hooks",
        "KNOWN_PATHS": json.dumps(
            [_stored(api_door, name) for name in ("CT_small.dcm", "JPEG2000.dcm", "test-SR.dcm")]
        ),
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }

    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{url}/api/v1/openapi.json"),
            *("--checks", _CHECKS, "--mode", "all", "--max-examples", _EXAMPLES, "--workers", "4"),
            *("--auth", f"operator:{PASSWORD}", "--seed", "1", "--generation-database", "none", "--no-color"),
            *("--phases", "examples,coverage,fuzzing", "--suppress-health-check", "all", "--continue-on-failure"),
        ],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
