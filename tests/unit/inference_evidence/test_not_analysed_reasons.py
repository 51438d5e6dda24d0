"""The table of reasons for not being analysed holds every reason that can end an analysis, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from inference.evidence.not_analysed_reasons import NAME, OWN_SCHEME, REASONS, REPEATED, told
from inference.retries import FAILURES, Again
from storage.domain.not_analysed import OTHER_KIND

ROOT = Path(__file__).parents[3]
_GIVE_A_REASON = {"UnusableInput", "_Refused", "_named", "Reason"}
# Reasons that put a job back: when its attempts are spent, it ends as attempts-spent.
_PUT_BACK = {"worker-stopped", "internal-error", "storage-unavailable"}
# Of a series that was not taken beside one that was analysed.
_BESIDE_A_RESULT = {"ranked-lower"}
# Reasons that the worker looks up by the class of an error, and that end a job themselves.
_FINAL = {code for code, kind in FAILURES.items() if kind.again in (Again.NEVER, Again.ONCE)}
# Where a reason is passed on instead of given: the constructors themselves, and names looked up in a table.
_PASSED_ON = {"code"}


def _calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
            yield node


def _given_reasons() -> set[str]:
    """The first argument of everything that gives a reason in the room of inference, and the end of all attempts."""
    given, patterns, measured = set(), set(), set()
    for path in (ROOT / "inference").rglob("*.py"):
        for call in _calls(path):
            name, first = call.func.id, call.args[0]  # type: ignore[attr-defined]
            if name == "_check_spacing" and isinstance(first, ast.Constant):
                measured.add(str(first.value))
            if name not in _GIVE_A_REASON:
                continue
            if isinstance(first, ast.Constant):
                given.add(str(first.value))
            elif isinstance(first, ast.JoinedStr):
                patterns.add(ast.unparse(first))
            else:
                assert ast.unparse(first) in _PASSED_ON, f"{path.name}: {ast.unparse(call)}"
    assert patterns == {"f'{what}-spacing-too-large'"}
    given |= {f"{what}-spacing-too-large" for what in measured}
    spent = {
        str(call.args[0].value)
        for call in _calls(ROOT / "storage/postgres/held_job.py")
        if call.func.id == "Reason" and isinstance(call.args[0], ast.Constant)  # type: ignore[attr-defined]
    }
    assert spent == {"attempts-spent", "delivery-expired"}
    return (given - _PUT_BACK - _BESIDE_A_RESULT) | _FINAL | {"attempts-spent"}


def test_every_reason_that_can_end_an_analysis_is_in_the_table() -> None:
    """A reason without an entry would reach a radiologist as an unknown failure; one too many would be dead words."""
    assert set(REASONS) == _given_reasons()


def test_the_page_holds_the_same_table() -> None:
    """Whoever reads the codes in a PACS finds them in the documentation."""
    page = (ROOT / "docs/reference/not-analysed.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (\S+) \| (\S+) \| (.+?) \| (.+?) \|$", page, re.MULTILINE)

    assert rows == [
        (code, one.concept.value, one.concept.scheme_designator, one.concept.meaning, one.sentence)
        for code, one in REASONS.items()
    ]


@pytest.mark.parametrize("code", REASONS)
def test_every_concept_is_one_of_the_standard_or_marked_as_ours(code: str) -> None:
    """A DCM code is in the Standard's dictionary with that meaning; a private one fits into a Code Value (SH)."""
    concept = REASONS[code].concept
    if concept.scheme_designator == OWN_SCHEME:
        assert re.fullmatch(r"[A-Z-]{3,16}", concept.value)
        assert len(concept.meaning) <= 64
    else:
        assert concept.scheme_designator == "DCM"
        (known,) = [one for one in map(codes.DCM.__getattr__, codes.DCM.dir()) if one.value == concept.value]
        assert known.meaning == concept.meaning


def test_one_private_code_has_one_meaning() -> None:
    """A code value that stood for two things would be read wrongly."""
    concepts = [NAME, *(one.concept for one in REASONS.values())]

    meanings = {(one.value, one.scheme_designator, one.meaning) for one in concepts}
    assert len({(value, scheme) for value, scheme, _ in meanings}) == len(meanings)


def test_the_kinds_that_are_not_told_are_reasons() -> None:
    """What keeps a study silent are reasons that the input contract can give."""
    assert set(REASONS) > OTHER_KIND


def test_only_the_sentences_of_the_input_contract_are_repeated() -> None:
    """They are made where the contract is compared with the images, and nowhere else."""
    contract = ROOT / "inference/imaging/series_selection.py"
    given = {
        str(call.args[0].value)
        for call in _calls(contract)
        if call.func.id == "_Refused" and isinstance(call.args[0], ast.Constant)  # type: ignore[attr-defined]
    }
    measured = {"slice-spacing-too-large", "pixel-spacing-too-large"}
    same_words = {"derived-result", "localizer"}  # their own sentence is the plain one

    assert (given - same_words) | measured | {"no-series-accepted"} == REPEATED
    assert given > same_words


def test_a_reason_of_another_release_is_told_as_an_unknown_failure() -> None:
    """A code that this release does not know still gives a report, which claims nothing."""
    assert told("of-tomorrow").concept == codes.DCM.UnknownFailure
    assert "no result" in told("of-tomorrow").sentence
