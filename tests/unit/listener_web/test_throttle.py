"""Guessing gets slow before it gets anywhere."""

from listener.web.throttle import Throttle


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        """What time it is."""
        return self.time


def _admitted(throttle: Throttle, name: str, address: str, attempts: int) -> int:
    return sum(throttle.admit(name, address) == 0 for _ in range(attempts))


def test_the_eleventh_failure_of_a_name_from_an_address_waits() -> None:
    """Ten attempts pass; from elsewhere the account can still log in."""
    throttle = Throttle(Clock())

    assert _admitted(throttle, "anna", "10.0.0.1", 50) == 10
    assert throttle.admit("anna", "10.0.0.2") == 0
    assert throttle.admit("bert", "10.0.0.1") == 0


def test_an_address_that_tries_many_names_waits() -> None:
    """Thirty attempts from one address, whatever the names."""
    throttle = Throttle(Clock())

    assert sum(throttle.admit(f"name{number}", "10.0.0.1") == 0 for number in range(200)) == 30


def test_a_name_that_is_tried_from_many_addresses_waits() -> None:
    """A hundred attempts on one name, wherever they come from."""
    throttle = Throttle(Clock())

    assert sum(throttle.admit("anna", f"10.0.{number // 256}.{number % 256}") == 0 for number in range(500)) == 100


def test_the_wait_ends_when_the_oldest_attempt_is_a_quarter_of_an_hour_old() -> None:
    """The time told is the time after which one more attempt passes."""
    clock = Clock()
    throttle = Throttle(clock)
    _admitted(throttle, "anna", "10.0.0.1", 10)

    wait = throttle.admit("anna", "10.0.0.1")
    clock.time += wait
    assert throttle.admit("anna", "10.0.0.1") == 0


def test_a_success_forgets_the_failures_of_its_pair_only() -> None:
    """Who mistypes and then gets in starts anew; the address keeps its other failures."""
    throttle = Throttle(Clock())
    _admitted(throttle, "anna", "10.0.0.1", 9)
    throttle.admit("anna", "10.0.0.1")
    throttle.succeeded("anna", "10.0.0.1")

    assert _admitted(throttle, "anna", "10.0.0.1", 50) == 10
    assert _admitted(throttle, "bert", "10.0.0.1", 50) == 10
    assert _admitted(throttle, "cora", "10.0.0.1", 50) == 1


def test_a_flood_of_names_takes_no_more_memory() -> None:
    """What is remembered is bounded."""
    throttle = Throttle(Clock())
    for number in range(30_000):
        throttle.admit(f"name{number}", f"address{number}")

    assert len(throttle._attempts) <= 20_003
