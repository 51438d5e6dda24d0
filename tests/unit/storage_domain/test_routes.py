"""The called AE title chooses who looks at a study and where results go."""

from ipaddress import ip_network

import pytest

from storage.domain.job import Priority
from storage.domain.route import Route, Routes, Sender, Urgency, Way

ROUTES = Routes(
    [
        Route("LUNG", frozenset({"lungs"}), frozenset({"pacs"})),
        Route("TRIAL", frozenset({"liver"}), frozenset({"research"})),
        Route("ALL"),
    ]
)
CONFIGURED = ["pacs", "research", "viewer"]


@pytest.mark.parametrize(
    ("called", "algorithms", "destinations"),
    [
        (["LUNG"], {"lungs"}, ["pacs"]),
        (["LUNG "], {"lungs"}, ["pacs"]),
        (["LUNG", "TRIAL"], {"lungs", "liver"}, ["pacs", "research"]),
        (["OVERREAD"], None, CONFIGURED),
        (["LUNG", "OVERREAD"], None, CONFIGURED),
        (["ALL"], None, CONFIGURED),
        ([""], None, CONFIGURED),
        ([], None, CONFIGURED),
    ],
)
def test_a_title_leads_where_its_route_says(called, algorithms, destinations):
    """One route restricts, several add up, and a title without one leads everywhere."""
    ways = [Way(title) for title in called]

    assert ROUTES.algorithms(ways) == algorithms
    assert ROUTES.destinations(ways, CONFIGURED) == destinations


WARD, ELSEWHERE = "10.1.0.7", "192.168.0.7"
URGENT = Routes(
    [Route("STAT", priority=Priority.STAT), Route("TRIAL", priority=Priority.LOW), Route("ALL")],
    [
        Sender("ER1", (ip_network("10.1.0.0/16"),), Priority.STAT),
        Sender("CT9", (ip_network("10.1.0.0/16"), ip_network("fd00::/8")), Priority.ROUTINE),
        Sender("*", (ip_network("10.1.0.0/16"), ip_network("fd00::/8")), Priority.LOW),
    ],
)


@pytest.mark.parametrize(
    ("ways", "priority", "who"),
    [
        ([], "routine", ""),
        ([Way("OVERREAD", "CT1", ELSEWHERE)], "routine", ""),
        ([Way("STAT", "CT1", ELSEWHERE)], "stat", "comes under STAT"),
        ([Way("STAT ", "CT1", ELSEWHERE)], "stat", "comes under STAT"),
        ([Way("TRIAL", "CT1", ELSEWHERE)], "low", "comes under TRIAL"),
        ([Way("OVERREAD", "ER1 ", WARD)], "stat", "what ER1 sends"),
        ([Way("OVERREAD", "ER1", "::ffff:10.1.0.7")], "stat", "what ER1 sends"),
        ([Way("OVERREAD", "ER1", ELSEWHERE)], "routine", ""),
        ([Way("OVERREAD", "ER1", "no address")], "routine", ""),
        ([Way("TRIAL", "ER1", WARD)], "stat", "what ER1 sends"),
        ([Way("OVERREAD", "CT1", WARD)], "low", "what CT1 sends"),
        ([Way("OVERREAD", "CT9", "fd00::9")], "routine", "what CT9 sends"),
        ([Way("TRIAL", "CT1", ELSEWHERE), Way("STAT", "CT1", ELSEWHERE)], "stat", "comes under STAT"),
        ([Way("TRIAL", "CT1", ELSEWHERE), Way("OVERREAD", "CT1", ELSEWHERE)], "routine", ""),
        ([Way("", "", WARD)], "routine", ""),
    ],
)
def test_the_most_urgent_word_counts(ways, priority, who):
    """A route and a peer each have a word; nothing said is routine, and low needs every way to say it."""
    urgency = URGENT.urgency(ways)

    assert urgency.priority == priority
    assert (who in urgency.because) if who else urgency == Urgency()
