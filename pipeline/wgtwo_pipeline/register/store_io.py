"""The lake's objects as pyiceberg reads and writes them: through our store, created once."""

import io
from typing import Any

from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.lake.iceberg import location
from wgtwo_pipeline.lake.store import Store


class StoreIO(FileIO):
    """Reads and creates objects of one lake; a location outside of it is a ValueError."""

    def __init__(self, store: Store) -> None:
        super().__init__({})
        self._store = store
        self._root = location(store, "")

    def new_input(self, location: str) -> "StoreInput":
        """An object to read."""
        return StoreInput(location, self._store, self.key(location))

    def new_output(self, location: str) -> "StoreOutput":
        """An object to create."""
        return StoreOutput(location, self._store, self.key(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Deletes an object; a missing one is no error."""
        self._store.delete([self.key(location if isinstance(location, str) else location.location)])

    def key(self, location: str) -> str:
        """The key of a location."""
        if not location.startswith(self._root):
            raise ValueError(f"{location} is outside of the lake {self._root}")
        return location[len(self._root) :]


class StoreInput(InputFile):
    """One object, opened for ranged reads."""

    def __init__(self, location: str, store: Store, key: str) -> None:
        super().__init__(location)
        self._store, self._key = store, key

    def __len__(self) -> int:
        with self._open() as file:
            return int(file.seek(0, io.SEEK_END))

    def exists(self) -> bool:
        """Whether it is there."""
        try:
            self._open().close()
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        """Opens it, or raises FileNotFoundError."""
        stream: InputStream = self._open()
        return stream

    def _open(self) -> Any:
        try:
            return self._store.open(self._key)
        except NotFoundError as error:
            raise FileNotFoundError(self._key) from error


class StoreOutput(OutputFile):
    """One object that is created, whole, when its stream is closed."""

    def __init__(self, location: str, store: Store, key: str) -> None:
        super().__init__(location)
        self._store, self._key = store, key

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Whether it is there already."""
        return self.to_input_file().exists()

    def to_input_file(self) -> StoreInput:
        """The same to read."""
        return StoreInput(self.location, self._store, self._key)

    def create(self, overwrite: bool = False) -> OutputStream:
        """A stream to write to; whatever `overwrite` says, an object that is there with other content stays."""
        return _Upload(self._store, self._key)


class _Upload(io.BytesIO):
    def __init__(self, store: Store, key: str) -> None:
        super().__init__()
        self._store, self._key = store, key

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._store.create(self._key, data)
