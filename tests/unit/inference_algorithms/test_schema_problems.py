"""What a manifest or an acceptance set has that its schema does not allow."""

import pytest
from pydantic import ValidationError

from inference.acceptance.acceptance_set import AcceptanceSet
from inference.algorithms.schema_problem import first_problem

_CASE = {"name": "one", "series": "x", "labels": []}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"cases": [{**_CASE, "refuse": "gap"}]}, "cases.0.refuse: there is no such key"),
        ({"cases": [{**_CASE, "name": 5}]}, "cases.0.name: Input should be a valid string"),
        ({"cases": [_CASE], "more": 1}, "more: there is no such key"),
        (None, "the document: Input should be"),
    ],
)
def test_a_problem_is_told_by_its_place(document: object, words: str) -> None:
    """Lists count from 0; a key that the schema does not have is called so."""
    with pytest.raises(ValidationError) as caught:
        AcceptanceSet.model_validate(document)

    assert first_problem(caught.value).startswith(words)


def test_our_own_rules_are_told_without_the_library_s_words() -> None:
    """A rule of ours stands as we wrote it, without `Value error`."""
    with pytest.raises(ValidationError) as caught:
        AcceptanceSet.model_validate({"cases": [{"name": "one", "series": "x"}]})

    told = first_problem(caught.value)

    assert told.startswith("cases.0: ")
    assert "Value error" not in told
