"""The called AE title chooses who looks at a study and where results go."""

import pytest

from storage.domain.route import Route, Routes

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
    assert ROUTES.algorithms(called) == algorithms
    assert ROUTES.destinations(called, CONFIGURED) == destinations
