"""What a fault run found out."""

from dataclasses import dataclass, field

from overread.torture.checker import Verdict, check_promise
from overread.torture.stand import Stand


@dataclass
class Outcome:
    """One run: what was done, how many acknowledgements were checked, and what was broken."""

    name: str
    done: str
    acknowledged: int = 0
    faults: list[str] = field(default_factory=list)

    def judge(self, stand: Stand) -> None:
        """Check the promise on a stand whose spool is empty; a fault keeps the stand's folder."""
        self.add(check_promise(stand.ledger_path, stand.data_dir, stand.database_url), stand)

    def add(self, verdict: Verdict, stand: Stand) -> None:
        """Take up what the checker found."""
        self.acknowledged += verdict.acknowledged
        if not verdict.holds:
            self.faults += [f"{fault} (kept in {stand.keep()})" for fault in verdict.faults()]

    def fault(self, sentence: str, stand: Stand) -> None:
        """Something else that must not be."""
        self.faults.append(f"{sentence} (kept in {stand.keep()})")
