"""Every error the project raises on purpose.

Each carries facts and names the fix; `exit_code` is what the command line ends with. Messages never
contain tokens, secrets, payloads or phone numbers.
"""

from typing import Any


class PipelineError(Exception):
    """The work failed; the message says what happened and what to do."""

    exit_code = 1
    _tagged_with_step = True
    """So that Beam passes it on as it is, without a traceback in the log and an addition to the message."""


class ConfigurationError(PipelineError):
    """An option or a combination of options cannot work."""

    exit_code = 2


class LakeError(PipelineError):
    """The lake cannot be read or written now; the same call may succeed later."""


class _OfAnObjectError(LakeError):
    """What is wrong with the object of a key."""

    what = ""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key} {self.what}")
        self.key = key

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.key,), self.__dict__  # into another process by its key, not by its sentence


class AlreadyExistsError(_OfAnObjectError):
    """Another object with other content already has this key: someone else was first."""

    what = "already exists with other content"


class NotFoundError(_OfAnObjectError):
    """No object has this key."""

    what = "does not exist"


class ChangedError(_OfAnObjectError):
    """The object is not the one that was read: it has been replaced or deleted since. Read it again."""

    what = "has changed since it was read"


class CorruptError(LakeError):
    """An object of the lake is not what its name, checksum or manifest says."""


class ServiceError(PipelineError):
    """The event service refused something in a way that trying again cannot mend."""


class CatalogError(PipelineError):
    """A catalog of tables cannot be reached, or refused a commit; the same call may succeed later."""


class JobError(PipelineError):
    """A job of a cluster failed, or could not be submitted; the same job may succeed later."""
