"""What an audit finds wrong, and what it has proved."""

from collections import Counter
from dataclasses import dataclass, field

MOST_FINDINGS = 1_000

KINDS = {
    "missing_epoch": "an epoch's number is skipped",
    "missing_seal": "a committed epoch has no seal",
    "missing_file": "a manifest names a file that is not there",
    "missing_segment": "a segment of the open epoch is not there",
    "missing_descriptors": "what an epoch's deliveries are decoded with is not there",
    "missing_copy": "a retained copy is not there although older ones are",
    "missing_row": "a received delivery is neither in its table nor in the quarantine",
    "lost": "a segment's deliveries were received and could not be read when their epoch was published",
    "extra_file": "an object that no manifest names",
    "extra_row": "a row that was never received",
    "duplicate_row": "an event is in its table more than once",
    "changed_file": "an object is not what its manifest says",
    "wrong_manifest": "a manifest does not add up, or contradicts its seal",
    "wrong_checkpoint": "a checkpoint contradicts the manifests; delete it, it is only there for speed",
    "wrong_catalog": "the Iceberg tables show something else than the manifests; delete iceberg/ and register again",
    "missing_receipt": "an erasure has no receipt although a later one has",
    "wrong_account": "a file does not say of its lost rows what the receipts say",
    "overdue_erasure": "an erasure was requested and is not finished for too long",
    "not_erased": "an object holds something of somebody who is erased",
    "too_old": "a segment from before an erasure that is no longer in force; it is not published",
    "unreadable": "an object is not readable as what its name says",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: of which kind, with which object, and how."""

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind.upper().replace('_', ' ')}  {self.where}: {self.what}"


@dataclass
class Findings:
    """Collects what is wrong: all are counted, the first `MOST_FINDINGS` kept. `proved` counts what was looked at.

    `warnings` are what somebody should look at; they are no difference between the objects.
    """

    kept: list[Finding] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    total: int = 0
    proved: Counter[str] = field(default_factory=Counter)

    def add(self, kind: str, where: str, what: str) -> None:
        """Notes one difference."""
        assert kind in KINDS
        self.total += 1
        if len(self.kept) < MOST_FINDINGS:
            self.kept.append(Finding(kind, where, what))

    def warn(self, what: str) -> None:
        """Notes what is no difference, and not as it should be either."""
        self.warnings.append(what)

    def merge(self, more: "Findings") -> None:
        """Adds what was found apart."""
        self.total += more.total
        self.kept += more.kept[: MOST_FINDINGS - len(self.kept)]
        self.warnings += more.warnings
        self.proved += more.proved

    def expect(self, truth: bool, kind: str, where: str, what: str) -> None:
        """Notes a difference unless `truth`."""
        if not truth:
            self.add(kind, where, what)
