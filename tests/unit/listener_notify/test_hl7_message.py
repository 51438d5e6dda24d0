"""A result as ORU^R01, as two libraries that share no code with it and with each other read it."""

from dataclasses import replace
from datetime import timedelta

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message

from listener.notify.hl7_message import Addresses, control_id, escaped, number, oru_r01
from tests.peers.told_results import EARLIER, request

BETWEEN = Addresses("OVERREAD", "RADIOLOGY", "RIS", "HOSPITAL", ("OBR-3", "OBR-18"))
HOSTILE = "a|b^c&d~e\\f\r\nMSH|^~\\&\x0bg\x1c\rZZZ Müller 山田"


def read(**facts):
    """The message on a result as python-hl7 reads it."""
    return hl7.parse(oru_r01(request(**facts), BETWEEN).decode())


def observations(message) -> dict[tuple[str, str], list[str]]:
    """Value and unit of each OBX, by its code and its sub-ID."""
    return {(str(one[3][0][0]), str(one[4])): [str(one[5]), str(one[6])] for one in message.segments("OBX")}


def test_it_is_a_message_of_its_version() -> None:
    """hl7apy finds each segment where ORU^R01 of v2.5.1 has it, and each value of the type that it says it has."""
    text = oru_r01(request(predecessor=EARLIER), BETWEEN).decode()

    message = parse_message(text, validation_level=VALIDATION_LEVEL.STRICT, find_groups=True)

    assert message.validate()
    assert message.msh.msh_9.to_er7() == "ORU^R01^ORU_R01"
    assert message.msh.msh_18.to_er7() == "UNICODE UTF-8"
    assert len(message.msh.msh_10.to_er7()) == 20


def test_the_patient_is_named_by_an_identifier_alone() -> None:
    """PID-3 has it with who gave it; the name is stated to be unknown, and nothing else is there."""
    (pid,) = read().segments("PID")

    assert str(pid) == "PID|1||P1^^^HOSPITAL||^^^^^^U"


def test_the_order_is_found_by_its_accession_number() -> None:
    """It stands in the fields that the receiver looks at; without one the result names itself as the filler's."""
    (obr,) = read().segments("OBR")
    assert (str(obr[2]), str(obr[3]), str(obr[18]), str(obr[25])) == ("", "A7", "A7", "P")

    (obr,) = read(accession_number="").segments("OBR")
    assert str(obr[3]) == "7^OVERREAD"

    placer = oru_r01(request(), BETWEEN._replace(accession_fields=("OBR-2",))).decode()
    (obr,) = hl7.parse(placer).segments("OBR")
    assert (str(obr[2]), str(obr[3])) == ("A7", "7^OVERREAD")


def test_each_finding_is_coded_with_its_numbers() -> None:
    """Code, presence, certainty and measurements of one finding share a sub-ID; units are of UCUM, numbers plain."""
    found = observations(read())

    assert found["113014", ""][0] == "^1.2.3^ISO"
    assert found["OVERREAD-REPORT", ""][0] == "^1.2.3.9^ISO"
    assert found["OVERREAD-NOTICE", ""][0].startswith("AI result, not verified")
    assert found["OVERREAD-FINDINGS", ""][0] == "1"
    assert found["121071", "1"][0] == "12738006^Brain^SCT"
    assert found["OVERREAD-PRESENCE", "1"][0] == "121053^Present^DCM"
    assert found["118565006", "1"] == ["0.00001", "cm3^cubic centimeter^UCUM"]
    assert found["112031", "1"] == ["-37.25", "[hnsf'U]^Hounsfield unit^UCUM"]
    assert found["OVERREAD-PRESENCE", "2"][0] == "121054^Absent^DCM"
    assert found["111012", "2"] == ["12.5", "%^percent^UCUM"]


def test_what_replaces_another_result_names_it_and_is_as_preliminary() -> None:
    """OBX-11 and OBR-25 are P, for nobody has verified either; C would be the correction of a final result."""
    first, second = read(), read(predecessor=EARLIER)

    assert {str(one[11]) for one in first.segments("OBX")} == {"P"}
    assert {str(one[11]) for one in second.segments("OBX")} == {"P"}
    assert observations(second)["OVERREAD-REPLACES", ""][0] == "^1.2.3.7^ISO"


def test_no_value_can_end_a_field_or_a_frame() -> None:
    """What a sender wrote into an identifier is one value to the reader, and the bytes of MLLP are not in it."""
    message = oru_r01(request(patient_id=HOSTILE, accession_number=HOSTILE), BETWEEN)
    parsed = hl7.parse(message.decode())

    assert b"\x0b" not in message
    assert b"\x1c" not in message
    assert [str(one[0]) for one in parsed][:3] == ["MSH", "PID", "OBR"]
    assert {str(one[0]) for one in parsed} == {"MSH", "PID", "OBR", "OBX"}
    (pid,) = parsed.segments("PID")
    assert parsed.unescape(str(pid[3][0][0][0])) == HOSTILE


def test_the_same_result_gives_the_same_bytes() -> None:
    """Neither the time of a try nor its number is in the message."""
    first = request()
    later = replace(first, now=first.now + timedelta(hours=1), tries=9, claim_uid="d")

    assert oru_r01(first, BETWEEN) == oru_r01(later, BETWEEN)
    assert control_id(first) == control_id(later)


@pytest.mark.parametrize(("value", "text"), [(1e-7, "0.0000001"), (1e22, "1" + "0" * 22), (12.5, "12.5"), (3, "3")])
def test_a_number_has_no_exponent(value: float, text: str) -> None:
    """NM is decimal."""
    assert number(value) == text


def test_escapes_are_those_of_the_standard() -> None:
    """Section 2.7.1 names one for each delimiter."""
    assert escaped("|^&~\\\r") == "\\F\\\\S\\\\T\\\\R\\\\E\\\\X0D\\"
