"""What a prover looks up of the host that it asks."""

import socket

import pytest

from listener.scu.proof.prover import Prover
from listener.scu.settings import DestinationSettings
from storage.domain.proof import ProofPolicy, ProofWay


class _NothingIsDue:
    def __init__(self) -> None:
        self.believed: list[list[str]] = []

    def claim(self, _destination, _policy, _ae_title, addresses):
        self.believed.append(list(addresses))


@pytest.mark.parametrize(("way", "looked_up"), [(ProofWay.COMMITMENT, 1), (ProofWay.QUERY, 0)])
def test_the_name_of_a_host_is_not_looked_up_each_second(monkeypatch, way, looked_up):
    """A prover wakes each second, and a name service is not there for that; only who may report is to be known."""
    asked = []
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.1.2.3", 0))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **_: asked.append(args) or found)
    place = DestinationSettings(name="pacs", host="pacs.example", port=104, ae_title="PACS")
    proofs = _NothingIsDue()
    prover = Prover(proofs, place, ProofPolicy(way, 0, 600, 24), None)

    for _ in range(3):
        prover.ask_once()

    assert len(asked) == looked_up
    assert proofs.believed == [["10.1.2.3"] * looked_up] * 3
