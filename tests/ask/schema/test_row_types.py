"""The rows that Beam pipelines get have the tables' columns, in types that every runner can carry."""

import pickle
from collections.abc import Sequence
from typing import get_type_hints

import pyarrow as pa
import pytest
from apache_beam.coders import RowCoder, registry
from apache_beam.utils.timestamp import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from wgtwo_pipeline import rows
from wgtwo_pipeline.ask import row_types
from wgtwo_pipeline.ask.schema import schemas

SCHEMAS = schemas()
LARGEST = 2**63 - 1
FIRST, LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # microseconds of the years 1 to 9999

VALUES = {
    pa.string(): st.text(),
    pa.binary(): st.binary(),
    pa.bool_(): st.booleans(),
    pa.int64(): st.integers(-LARGEST - 1, LARGEST),
    pa.date32(): st.dates(),
    pa.timestamp("us", "UTC"): st.integers(FIRST, LAST).map(lambda micros: Timestamp(micros=micros)),
    pa.list_(pa.string()): st.lists(st.text()),
}


def test_the_module_is_up_to_date():
    """Nobody edits it by hand, and nobody forgets `make rows`."""
    assert row_types.PATH.read_text(encoding="utf-8") == row_types.source(), "run: make rows"


@pytest.mark.parametrize("table", SCHEMAS)
def test_a_row_has_its_table_s_columns(table):
    """Under the same names, in the same order; `from wgtwo_pipeline.rows import *` gives the class."""
    row_type = rows.ROW_TYPES[table]
    assert list(row_type._fields) == SCHEMAS[table].names
    assert row_type.__name__ in rows.__all__
    assert pickle.loads(pickle.dumps(row_type)) is row_type, "workers import it by its name"


@pytest.mark.parametrize("table", SCHEMAS)
def test_types_are_beam_s_own(table):
    """No field is an opaque value to SQL, to other languages and to sinks; only the first is never null."""
    first, *others = registry.get_coder(rows.ROW_TYPES[table]).schema.fields
    assert not first.type.nullable
    assert all(field.type.nullable for field in others)
    urns = {field.type.logical_type.urn for field in (first, *others)}
    assert urns <= {"", "beam:logical_type:micros_instant:v1", "beam:logical_type:date:v1"}


@pytest.mark.parametrize("table", SCHEMAS)
def test_the_column_that_is_called_bytes_hides_no_type(table):
    """A field's type is that of its column, whatever its name."""
    hints = get_type_hints(rows.ROW_TYPES[table])
    kinds = {pa.binary(): bytes, pa.bool_(): bool, pa.string(): str, pa.list_(pa.string()): Sequence[str]}
    for field in list(SCHEMAS[table])[1:]:
        if field.type in kinds:
            assert hints[field.name] == kinds[field.type] | None, field.name


@given(st.data())
def test_the_coder_keeps_every_value(data):
    """What a file holds comes out of a shuffle as it went in, also the largest number and null."""
    table = data.draw(st.sampled_from(sorted(SCHEMAS)))
    row_type, (first, *others) = rows.ROW_TYPES[table], SCHEMAS[table]
    values = [data.draw(VALUES[first.type])] + [data.draw(st.none() | VALUES[field.type]) for field in others]
    coder = registry.get_coder(row_type)
    assert isinstance(coder, RowCoder)
    row = row_type(*values)
    decoded = coder.decode(coder.encode(row))
    assert decoded == row
    assert type(decoded) is row_type
