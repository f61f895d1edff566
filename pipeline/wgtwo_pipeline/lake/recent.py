"""Recent manifests: all since the newest checkpoint in one object, so that a lake opens by few reads at any time.

A checkpoint lists all files that there are, so it comes seldom; this one holds what has come since, and comes often.
Derived from manifests and never needed for correctness: deleting it only costs time.
"""

import contextlib
import gzip
import zlib

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError, NotFoundError
from wgtwo_pipeline.lake.checkpoint import RECENT_SUFFIX, ROOT, Checkpoint
from wgtwo_pipeline.lake.manifest import Manifest
from wgtwo_pipeline.lake.store import Store

_BETWEEN = b"\n\n"
"""An empty line is between manifests, and in none."""


def read(store: Store, base: Checkpoint) -> tuple[Manifest, ...]:
    """Manifests of the epochs after a checkpoint without a gap, not all of them; maybe none. Raises CorruptError."""
    key = base.recent
    if key is None:
        return ()
    try:
        each = gzip.decompress(store.read(key)).split(_BETWEEN)
        found = [Manifest.from_bytes(key, data) for data in each]
    except NotFoundError:  # a newer one has come
        return ()
    except (OSError, EOFError, zlib.error, CorruptError) as error:
        raise CorruptError(
            f"{key} holds no manifests that can be read ({error}); delete it, the manifests say the same"
        ) from None
    later = tuple(manifest for manifest in found if manifest.epoch > base.epoch)
    numbers = [manifest.epoch for manifest in later]
    if numbers != list(range(base.epoch + 1, base.epoch + 1 + len(numbers))):
        raise CorruptError(f"{key} lacks an epoch; delete it, the manifests say the same")
    return later


def write(store: Store, base: Checkpoint, manifests: tuple[Manifest, ...], every_epochs: int) -> bool:
    """Writes the `manifests`, which follow `base`, if `every_epochs` are in no such object yet; whether they were."""
    if len(manifests) < every_epochs:
        return False
    last = manifests[-1].epoch
    if base.recent and last - int(base.recent[len(ROOT) : -len(RECENT_SUFFIX)]) < every_epochs:
        return False
    data = _BETWEEN.join(manifest.to_bytes().strip() for manifest in manifests)
    # One that is there is another publisher's, or another version's: it says the same.
    with contextlib.suppress(AlreadyExistsError):
        store.create(f"{ROOT}{last:010d}{RECENT_SUFFIX}", gzip.compress(data, mtime=0))
    return True
