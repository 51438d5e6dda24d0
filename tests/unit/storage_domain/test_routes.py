"""The called AE title chooses who looks at a study and where results go."""

from ipaddress import ip_network

import pytest

from storage.domain.job import Priority
from storage.domain.route import Route, Routes, Rule, RuleAttribute, Sender, Urgency, Way

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


CHEST = {"modality": "CT", "body_part_examined": "CHEST", "station_name": "ER-CT1"}
HEAD = {"modality": "MR", "body_part_examined": "HEAD"}
RULED = Routes(
    [
        Route(
            "OVERREAD",
            frozenset({"lungs"}),
            rules=(Rule(RuleAttribute.MODALITY, ("CT",)), Rule(RuleAttribute.BODY_PART_EXAMINED, ("CHEST", "THORAX*"))),
        ),
        Route("TRIAL", frozenset({"liver"}), frozenset({"research"}), rules=(Rule(RuleAttribute.MODALITY, ("CT",)),)),
        Route("OVERREAD", priority=Priority.STAT, rules=(Rule(RuleAttribute.STATION_NAME, ("er-ct?",)),)),
        Route("TRIAL", frozenset({"brain"})),
    ]
)


@pytest.mark.parametrize(
    ("ways", "algorithms", "destinations"),
    [
        ([("OVERREAD", CHEST)], {"lungs"}, CONFIGURED),
        ([("OVERREAD", HEAD)], None, CONFIGURED),
        ([("OVERREAD", HEAD), ("OVERREAD", CHEST)], {"lungs"}, CONFIGURED),
        ([("OVERREAD", {"modality": "CT"}), ("OVERREAD", {"body_part_examined": "CHEST"})], None, CONFIGURED),
        ([("TRIAL", CHEST)], {"liver"}, ["research"]),
        ([("TRIAL", HEAD)], {"brain"}, CONFIGURED),
        ([("TRIAL", {})], {"brain"}, CONFIGURED),
        ([("TRIAL", HEAD), ("OVERREAD", CHEST)], {"brain", "lungs"}, CONFIGURED),
        ([("TRIAL", HEAD), ("OVERREAD", HEAD)], None, CONFIGURED),
        ([("", CHEST)], None, CONFIGURED),
    ],
)
def test_the_first_entry_of_a_name_that_holds_counts(ways, algorithms, destinations):
    """All rules are met by one series; where no entry of the name holds, it leads everywhere."""
    came = [Way(title, series=series) for title, series in ways]

    assert RULED.algorithms(came) == algorithms
    assert RULED.destinations(came, CONFIGURED) == destinations


def test_only_the_chosen_entry_gives_a_priority():
    """What goes by an earlier entry is not urgent by a later one that would hold as well."""
    assert RULED.urgency([Way("OVERREAD", series=CHEST)]) == Urgency()
    assert RULED.urgency([Way("OVERREAD", series={"station_name": "ER-CT2"})]).priority == "stat"


def test_images_that_say_stat_are_urgent():
    """The word of the images counts beside the others, but only where it is STAT."""
    said = [Way("OVERREAD", series={"requested_procedure_priority": word}) for word in ("STAT", "HIGH", "")]

    assert [RULED.urgency([way]).priority for way in said] == ["stat", "routine", "routine"]
    assert "Requested Procedure Priority" in RULED.urgency(said).because


def test_it_is_told_which_entry_was_chosen_and_by_which_rules():
    """Entries are counted as they are written; what the images say is not repeated, because it may be of a patient."""
    came = [Way("OVERREAD", series=CHEST), Way("TRIAL", series=HEAD), Way("OTHER", series=CHEST), Way()]

    assert [choice.sentence for choice in RULED.choices(came)] == [
        "",
        "",
        "What came under OVERREAD goes by entry 1 of [[listener.routes]], because modality is CT and "
        "body_part_examined is CHEST or THORAX*: to the algorithms lungs only.",
        "What came under TRIAL goes by entry 4 of [[listener.routes]]: to the algorithms brain only.",
    ]
    [choice] = RULED.choices([Way("OVERREAD", series=HEAD)])
    assert choice.sentence.endswith("meets the rules of none of its [[listener.routes]], so it goes everywhere.")


@pytest.mark.parametrize(
    ("pattern", "value", "holds"),
    [
        ("CHEST", "chest", True),
        ("CHEST", "CHESTS", False),
        ("*chest*", "CT CHEST 1 MM", True),
        ("ER-CT?", "ER-CT1", True),
        ("ER-CT?", "ER-CT12", False),
        ("[AB]", "[AB]", True),
        ("[AB]", "A", False),
        ("STRASSE", "Stra\u00dfe", True),
        ("", "", True),
        ("", "CT", False),
        ("*", "", True),
    ],
)
def test_a_pattern_is_of_the_whole_value(pattern, value, holds):
    """A star and a question mark are the only signs with a meaning, and case has none."""
    assert Rule(RuleAttribute.STATION_NAME, (pattern,)).holds(Way(series={"station_name": value})) is holds


def test_a_rule_on_the_sender_looks_at_its_title():
    """The calling AE title is of the association and not of a series."""
    rule = Rule(RuleAttribute.CALLING_AE_TITLE, ("CT*",))

    assert rule.holds(Way(calling_ae_title="CT1 "))
    assert not rule.holds(Way(calling_ae_title="MR1", series={"calling_ae_title": "CT1"}))


def test_the_web_has_entries_of_its_own():
    """They are for what came without a title, tell accounts apart, and are no entries of any title."""
    routes = Routes(
        [
            Route("", frozenset({"lungs"}), rules=(Rule(RuleAttribute.ACCOUNT, ("trial*",)),)),
            Route("", priority=Priority.LOW),
        ]
    )

    assert routes.algorithms([Way(account="trial-7")]) == {"lungs"}
    assert routes.algorithms([Way(account="clinic")]) is None
    assert routes.urgency([Way(account="clinic")]) == Urgency(
        Priority.LOW, "[[listener.routes]] gives it to what comes over the web."
    )
    assert (
        routes.choices([Way(account="clinic")])[0].sentence
        == "What came over the web goes by entry 2 of [[listener.routes]]."
    )
    assert routes.algorithms([Way("OVERREAD", account="trial-7")]) is None
