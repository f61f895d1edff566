"""Receipts and previews as `erase` prints them; neither says who was erased."""

import json
import sys
from collections.abc import Iterable, Iterator

from wgtwo_pipeline.erase.preview import Preview
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.lake.receipts import Receipt

_CAUSES = {
    "revocations": "consent revocations",
    "numbers": "numbers given by hand",
    "tenant": "a tenant's revocation",
}


def show(found: Iterable[Receipt | Preview], *, as_json: bool) -> None:
    """Prints each as soon as it is there: a paragraph, or a line of JSON."""
    shown = 0
    for each in found:
        shown += 1
        text = json.dumps(each.to_json()) if as_json else "\n".join(to_text(each)) + "\n"
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    if not shown and not as_json:
        sys.stdout.write("Nothing was to be erased.\n")


def to_text(each: Receipt | Preview) -> Iterator[str]:
    """The lines of a receipt, or of a preview."""
    if isinstance(each, Receipt):
        yield f"Erasure {each.erasure}, finished {iso(each.finished_at)} (requested {iso(each.requested_at)})"
        everybody = each.everyone
    else:
        yield "Dry run: nothing is changed"
        everybody = False
    yield f"  asked for by  {_CAUSES[each.cause]}: {'everybody' if everybody else f'{each.subjects:,} subscribers'}"
    tables = ", ".join(f"{rows:,} {table}" for table, rows in sorted(each.erased.items()))
    yield f"  events        {sum(each.erased.values()):,} erased{f' ({tables})' if tables else ''}"
    if each.blanked:
        yield f"  others        {each.blanked:,} events with a number blanked"
    yield (
        f"  objects       {each.files:,} files and {each.copies:,} retained copies rewritten, of {each.looked_at:,} "
        "that were looked at"
    )
    if isinstance(each, Receipt):
        for tenant in each.tenants:
            yield f"  to be answered  tenant {tenant.tenant} revoked for all its subscribers: erase --tenant …"
        yield from (f"  NOT COMPLETE  {note}" for note in each.notes)
