"""The page for machine-learning engineers on networks of one's own, followed to the letter."""

import re
import subprocess
import sys
from pathlib import Path

from inference.algorithms.trial import try_out

_PAGE = Path(__file__).parents[3] / "docs" / "for-ml-engineers.md"


def test_the_script_and_the_manifest_of_the_page_make_an_algorithm(tmp_path: Path) -> None:
    """The script writes network and golden pair and prints the digest; with the manifest and a card they are taken."""
    page = _PAGE.read_text(encoding="utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    (manifest,) = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    folder = tmp_path / "algorithms" / "bright-tissue"

    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    digest = run.stdout.split()[-1]
    filled = manifest.replace("the number that the script printed", digest)
    (folder / "algorithm.yaml").write_text(filled, encoding="utf-8")
    (folder / "card.md").write_text("# bright-tissue 1\n", encoding="utf-8")
    trial = try_out(folder)

    assert trial.artifact_sha256 == digest
    assert re.fullmatch(r"largest difference .*, Dice 1\.0000", trial.golden or "")
