"""A PACS for tests that is asked for storage commitment and reports in ways that no real one here does."""

import threading
from collections.abc import Callable, Iterator

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, StoragePresentationContexts, build_role, evt
from pynetdicom.association import Association
from pynetdicom.presentation import build_context

COMMITMENT = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
_ROLE = build_role(COMMITMENT, scu_role=False, scp_role=True)


def report_on(action: Dataset, transaction_uid: str | None = None) -> Dataset:
    """A report that everything is committed to, on this transaction or another one."""
    told = Dataset()
    told.TransactionUID = transaction_uid or action.TransactionUID
    told.ReferencedSOPSequence = action.ReferencedSOPSequence
    return told


class CommitmentPacs:
    """Takes what it is sent and every request; reports on the association of the request if it has a ``report``.

    ``requests`` are the Action Information of each N-ACTION, ``answers`` the statuses that its reports got.
    """

    def __init__(self) -> None:
        self.requests: list[Dataset] = []
        self.answers: list[int] = []
        self.answered = threading.Event()
        self.status = 0x0000  # of its answer to an N-ACTION
        self.report: Callable[[Dataset], Dataset] | None = None
        entity = AE(ae_title="PACS")
        for context in StoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", ["1.2.840.10008.1.2.1"])
        entity.add_supported_context(COMMITMENT)
        self._server = entity.start_server(
            ("127.0.0.1", 0),
            block=False,
            evt_handlers=[(evt.EVT_C_STORE, lambda _: 0x0000), (evt.EVT_N_ACTION, self._asked)],
        )
        self.port = self._server.socket.getsockname()[1]

    def stop(self) -> None:
        """End it."""
        self._server.shutdown()

    def report_to(
        self, port: int, told: Dataset, title: str = "PACS", role: bool = True, source: str = "127.0.0.1"
    ) -> int | None:
        """Report on an association of its own, from an address of this machine; ``None`` when it was not let in."""
        entity = AE(title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 30
        association = entity.associate(
            "127.0.0.1",
            port,
            contexts=[build_context(COMMITMENT)],
            ae_title="OVERREAD",
            ext_neg=[_ROLE] if role else [],
            bind_address=(source, 0),
        )
        if not association.is_established:
            return None
        kind = 2 if told.get("FailedSOPSequence") else 1
        try:
            answer, _ = association.send_n_event_report(told, kind, COMMITMENT, WELL_KNOWN)
            return int(answer.Status)
        finally:
            association.release()

    def _asked(self, event: evt.Event) -> tuple[int, None]:
        action = event.action_information
        self.requests.append(action)
        if self.report is not None:
            threading.Thread(target=self._report, args=(event.assoc, self.report(action)), daemon=True).start()
        return self.status, None

    def _report(self, association: Association, told: Dataset) -> None:
        answer, _ = association.send_n_event_report(told, 1, COMMITMENT, WELL_KNOWN)
        self.answers.append(int(answer.Status))
        self.answered.set()


@pytest.fixture
def commitment_pacs() -> Iterator[CommitmentPacs]:
    """A running PACS that never reports unless it is told to."""
    pacs = CommitmentPacs()
    yield pacs
    pacs.stop()
