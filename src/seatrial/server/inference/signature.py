"""What a model accepts. A signature turns decoded JSON into arrays, or says exactly what is wrong with it."""

from collections.abc import Sequence

import numpy as np

from seatrial.contracts.manifest import Manifest
from seatrial.server.inference.faults import Faults, Kind, Path, Sized
from seatrial.server.inference.reader import InputReader
from seatrial.server.inference.runtime import Array
from seatrial.server.inference.types import MAX_ROWS, Value

Arrays = dict[str, Array]


class Signature:
    """The inputs of one model; lives as long as the model is loaded.

    An example is an object of features by name. Where the only input is an array its bare value will do, and where all
    inputs are single numbers or categories so will an array of them in the manifest's order.
    """

    def __init__(self, manifest: Manifest) -> None:
        self.readers = tuple(InputReader(spec) for spec in manifest.inputs)
        self.names = tuple(reader.name for reader in self.readers)
        self._name_set = set(self.names)
        self.width = sum(reader.size for reader in self.readers)
        """How many values one example has: the second number of `input_shape`."""
        self.positional = all(reader.scalar for reader in self.readers)
        self.bare = len(self.readers) == 1 and not self.positional

    def plain(self, data: Value) -> Arrays | None:
        """The arrays of one example where it is plainly right, without a thought for faults; else `None`."""
        if not self.bare:
            return None
        name = self.names[0]
        if type(data) is dict and len(data) == 1 and name in data:
            data = data[name]
        if type(data) is not np.ndarray:
            return None
        array = self.readers[0].example(data)
        return None if array is None else {name: array}

    def accept(self, data: Value, faults: Faults) -> Arrays | None:
        """The arrays of one example, each with a leading axis of 1; `None` when `faults` got something."""
        plain = self.plain(data)
        if plain is not None:
            return plain
        row = self._features(data, ("data",), faults)
        if row is None:
            return None
        arrays: Arrays = {}
        for reader, step in zip(self.readers, self._steps(named=row is data), strict=True):
            array = reader.read(row[reader.name], ("data", *step), faults)
            if array is not None:
                arrays[reader.name] = array[np.newaxis]
        return None if faults.total else arrays

    def accept_batch(self, data: Value, faults: Faults) -> Arrays | None:
        """The arrays of a batch, each with a leading axis of rows; `None` when `faults` got something."""
        if not isinstance(data, list | np.ndarray):
            faults.add(Kind.SHAPE, ("data",), "A batch is an array of examples.", "an array", data)
            return None
        if not 1 <= len(data) <= MAX_ROWS:
            sizes = f"1 to {MAX_ROWS} examples"
            faults.add(Kind.SHAPE, ("data",), f"A batch has {sizes}.", sizes, data)
            return None
        columns = self._columns(data)
        return columns if columns is not None else self._rows(data, faults)

    def _steps(self, *, named: bool) -> list[Path]:
        """Where each value stands in an example: below its name in an object, else where the array has it."""
        if named:
            return [(name,) for name in self.names]
        return [()] if self.bare else [(index,) for index in range(len(self.names))]

    def _features(self, value: Value, path: Path, faults: Faults) -> dict[str, Value] | None:
        """One example as an object of features, complete and with none too many."""
        if isinstance(value, dict):
            return value if self._complete(value, path, faults) else None
        if self.bare and isinstance(value, list | np.ndarray):
            return {self.names[0]: value}
        if self.positional and isinstance(value, list | np.ndarray):
            if len(value) == len(self.names):
                return dict(zip(self.names, value, strict=True))
            detail = f"An array of features has one value for each of {', '.join(self.names)}."
            faults.add(Kind.SHAPE, path, detail, f"{len(self.names)} values", value)
            return None
        expected = f"an object with {', '.join(map(repr, self.names))}"
        faults.add(Kind.SHAPE, path, "This is no example.", expected, value)
        return None

    def _complete(self, row: dict[str, Value], path: Path, faults: Faults) -> bool:
        """Whether the object has each feature once, and no other."""
        duplicates: tuple[str, ...] = getattr(row, "duplicates", ())
        if not duplicates and row.keys() == self._name_set:
            return True
        for name in self.names:
            if name not in row:
                text = f"The feature '{name}' is missing."
                faults.add(Kind.SHAPE, (*path, name), text, f"'{name}'", Sized("nothing"))
        known = ", ".join(self.names)
        for name, value in row.items():
            if name not in self._name_set:
                faults.add(Kind.SHAPE, (*path, name), "There is no such feature.", f"one of: {known}", value)
            elif name in duplicates:
                faults.add(Kind.SHAPE, (*path, name), "The feature stands twice.", "each feature once", value)
        return False

    def _columns(self, data: Sequence[Value] | Array) -> Arrays | None:
        """The quick way for regular batches: whole columns at a time; `None` sends the batch to `_rows`."""
        if isinstance(data, np.ndarray):
            return self._block(data)
        count = len(self.names)
        try:
            if any(type(row) is not dict or len(row) != count for row in data):
                return None
            columns = {reader.name: reader.column([row[reader.name] for row in data]) for reader in self.readers}  # type: ignore[index]
        except (KeyError, TypeError):
            return None
        return _complete_columns(columns)

    def _block(self, data: Array) -> Arrays | None:
        """A two-dimensional block of numbers: rows of one flat input, or rows of single numbers."""
        if data.ndim != 2:  # noqa: PLR2004 - rows and values
            return None
        if self.bare:
            block = self.readers[0].block(data)
            return None if block is None else {self.names[0]: block}
        if not self.positional or data.shape[1] != len(self.names):
            return None
        columns = {reader.name: reader.block(data[:, index]) for index, reader in enumerate(self.readers)}
        return _complete_columns(columns)

    def _rows(self, data: Sequence[Value] | Array, faults: Faults) -> Arrays | None:
        """The exact way: row by row, with a pointer for each fault."""
        rows: list[list[Array | None]] = []
        for index, value in enumerate(data):
            if faults.enough:
                break
            path: Path = ("data", index)
            row = self._features(value, path, faults)
            if row is not None:
                steps = self._steps(named=row is value)
                read = zip(self.readers, steps, strict=True)
                rows.append([reader.read(row[reader.name], path + step, faults) for reader, step in read])
        if faults.total:
            return None
        return {name: np.stack(column) for name, column in zip(self.names, zip(*rows, strict=True), strict=True)}


def _complete_columns(columns: dict[str, Array | None]) -> Arrays | None:
    """The columns, where the quick way could take every one of them."""
    complete = {name: column for name, column in columns.items() if column is not None}
    return complete if len(complete) == len(columns) else None
