"""Settings of storage are refused where they would break the service later."""

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from storage.settings import DatabaseSettings, JobSettings, StudySettings


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        (StudySettings, "quiet_seconds", 604_801),
        (JobSettings, "lease_seconds", 3601),
        (JobSettings, "max_attempts", 1001),
        (JobSettings, "delivery_give_up_hours", 8761),
        *(
            (section, key, value)
            for section, key in (
                (StudySettings, "quiet_seconds"),
                (JobSettings, "lease_seconds"),
                (JobSettings, "delivery_give_up_hours"),
            )
            for value in (math.inf, math.nan)
        ),
    ],
)
def test_a_time_or_count_beyond_reason_is_refused(section: type[BaseModel], key: str, value: float) -> None:
    """Each time has a bound that PostgreSQL's intervals and a hospital's patience can hold."""
    with pytest.raises(ValidationError, match=key):
        section(**{key: value})


@pytest.mark.parametrize(
    "url", ["mysql://a:secret@b/c", "postgres://a:secret@b/c", "host=b password=secret", "/var/run/secret"]
)
def test_a_database_url_of_another_kind_is_refused_without_repeating_it(url: str) -> None:
    """The sentence says what the URL must begin with and holds nothing of a password."""
    with pytest.raises(ValidationError) as caught:
        DatabaseSettings(url=url)

    [problem] = caught.value.errors(include_input=False)
    assert "postgresql://" in problem["msg"]
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "accepted",
    [DatabaseSettings, lambda: DatabaseSettings(url="postgresql://b/c"), lambda: JobSettings(lease_seconds=3600)],
)
def test_the_defaults_and_the_bounds_themselves_are_accepted(accepted: Any) -> None:
    """An empty URL, a postgresql:// one, and a time at its bound are fine."""
    assert accepted()
