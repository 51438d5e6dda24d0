"""PixelMed's DicomSRValidator, which knows the templates and context groups of PS3.16, as of June 2022."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

_JAR = "/usr/share/java/pixelmed.jar"
_PROGRAM = Path(__file__).parent / "pixelmed" / "ValidateReports.java"
# Its style sheets are larger than what Java lets them be by default.
_LIMITS = [f"-Djdk.xml.xpath{what}Limit=0" for what in ("ExprOp", "TotalOp", "ExprGrp")]


def pixelmed_says(reports: Mapping[str, bytes], folder: Path) -> dict[str, list[str]]:
    """What the validator says of each Part 10 file, line by line; all are judged by one process."""
    files = {str(folder / f"{place}.dcm"): name for place, name in enumerate(reports)}
    for file, name in files.items():
        Path(file).write_bytes(reports[name])
    command = ["java", *_LIMITS, "-Xss512m", "-cp", _JAR, str(_PROGRAM), *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr[-2000:]
    said: dict[str, list[str]] = {}
    for line in run.stdout.splitlines():
        if line.startswith("File "):
            said[files[line.removeprefix("File ")]] = lines = []
        elif line:
            lines.append(line)
    return said
