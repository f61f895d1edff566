"""Which format a lake is written in: `lake.json` says so, created with put-if-absent before anything else.

A program that reads or writes another format would misread the tables or add to them what others cannot read, so it
refuses, before anything is acked. Format 1, which no release had, said nothing and had `date=` in its paths.
"""

import json

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError, LakeError, NotFoundError
from wgtwo_pipeline.lake.store import Store

KEY = "lake.json"
FORMAT = 2
_EPOCHS = "epochs/"
_CONTENT = (json.dumps({"lake": "wgtwo-pipeline", "format": FORMAT}) + "\n").encode()


def check(store: Store) -> None:
    """Refuses a lake of another format; a new one may say nothing yet. Raises LakeError naming the fix."""
    try:
        found = _read(store)
    except CorruptError:
        raise
    except LakeError:  # there is none; S3 says "forbidden" of that to those who may list only some prefixes
        if _is_new(store):
            return
        found = _read_again(store)
    _refuse_other(store, found)


def ensure(store: Store) -> None:
    """Makes a new lake say its format, else checks it. Call it before the first object is created. Idempotent.

    Two at once are harmless: the first counts, whoever comes second finds what it says. Raises LakeError.
    """
    if not _is_new(store):
        _refuse_other(store, _read_again(store))
        return
    try:
        store.create(KEY, _CONTENT)
    except AlreadyExistsError:
        _refuse_other(store, _read(store))


def _is_new(store: Store) -> bool:
    return next(iter(store.list(_EPOCHS)), None) is None


def _read(store: Store) -> int:
    data = bytes(store.read(KEY))
    try:
        return int(json.loads(data)["format"])
    except (ValueError, KeyError, TypeError):
        raise CorruptError(
            f"lake {_name(store)}: {KEY} does not say a format; restore it from a version or copy of the bucket"
        ) from None


def _read_again(store: Store) -> int:
    """Of a lake that holds epochs: without the object, it is of the format that had none."""
    try:
        return _read(store)
    except NotFoundError:
        return 1


def _refuse_other(store: Store, found: int) -> None:
    if found > FORMAT:
        raise LakeError(
            f"lake {_name(store)} is of format {found}, this version knows {FORMAT}: install a newer wgtwo-pipeline"
        )
    if found < FORMAT:
        raise LakeError(
            f"lake {_name(store)} is of format {found}, which no release had, this version writes {FORMAT}: begin a "
            "new lake, and read that one with the version that wrote it"
        )


def _name(store: Store) -> str:
    return store.uri("").rstrip("/")
