"""What is told: the words of a story, what goes wrong at which step, what an operator has configured."""

from dataclasses import dataclass
from datetime import UTC, datetime

from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest.settings import Member

ACK_TIMEOUT_SECONDS = 30.0
LATE_STEPS = 9
ZIGZAG = "zigzag"
V0 = Member(api.V0, "v0.queue", 0)
V1 = Member(next(m for m in api.V1 if m.name == "StreamHandsetChangeEvents"), "v1.handsets.queue", 0)
V1_CONSENTS = Member(next(m for m in api.V1 if m.name == "StreamConsentChangeEvents"), "v1.consents.queue", 0)

FAULTS = {
    "put": ("kill before", "kill after", "lose before", "lose after", "late"),
    "delete": ("kill before", "kill after", "lose before", "lose after", "late"),
    "replace": ("kill before", "kill after", "lose before", "lose after", "late"),
    "ack": ("kill before", "kill after", "lose before", "lose after", "refuse"),
    "receive": ("cut",),
}
"""What can go wrong at a step of each kind, besides freezing."""
ZOMBIE_FAULTS = {"put": ("again",), "replace": ("again",)}
"""What takes until others have gone on: a put that took place, and that its store repeats after a while."""
MOST_STEPS = 6_000
QUIET_TURNS = 8
PATIENCE = 8
"""So often something may fail, or be begun anew, before it counts as stuck."""


@dataclass(frozen=True)
class Choice:
    """What an operator has configured for publishing."""

    rows_per_group: int = 3
    rows_per_file: int = 3
    row_group_rows: int = 2
    partition_by: str = "date"
    epoch_rows: int = 100
    retention_seconds: float = 0.0


@dataclass(frozen=True)
class Story:
    """What happens, as words: a channel (`voice`, `sms:utf8`) emits an event; `ingest` and `publish` run for a
    while, `due` publishes only what is worth it; `wait:31` passes seconds; `restart` asks ingest to stop, in order,
    `crash:publish` kills; between `deaf` and `hears` the service gets no ack, between `mute` and `unmute` nothing
    that it sends arrives; `down:90` takes the lake away for 90 seconds. `sms:@a` is an event of somebody,
    `consent_revoke:@a` her revocation, `consent_change_v1:@a` says that she grants again, `erase` obeys what was
    revoked; `restore` puts back the oldest segment that was deleted, as it was."""

    name: str
    script: str
    choices: tuple[Choice, ...] = (Choice(),)  # each start of a publisher takes the next
    members: tuple[Member, ...] = (V0,)
    starts: datetime = datetime(2026, 11, 23, 23, 59, 58, tzinfo=UTC)
    max_in_flight: int = 6
    repeat: int = 0  # so many times more the service sends each delivery
    checkpoint_every: int = 2
    suppress_seconds: float = 86_400.0

    @property
    def erases(self):
        return " erase" in self.script


@dataclass(frozen=True)
class Fault:
    """What happens at a step. `resume`: a frozen process goes on after so many further steps (None: at the end);
    `way`: at once until it ends, or in turns with the others; `all`: a kill takes every process with it;
    `pause`: so many seconds pass before anyone starts again."""

    what: str
    resume: int | None = None
    way: str = ""
    all: bool = True
    pause: float = 0.0


@dataclass(frozen=True)
class Step:
    """One operation that took place."""

    role: str
    kind: str
    key: str
