"""`samples.jsonl.gz`: a JSON object a line, one for each request, in no order that matters."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import orjson
from pydantic import ValidationError

from seatrial.contracts.record import Sample, sample_adapter
from seatrial.grading.toml import WrongFile

FILE_NAME = "samples.jsonl.gz"
_COMPRESSION = 5


def encode(sample: Sample) -> bytes:
    """One line."""
    return orjson.dumps(sample, option=orjson.OPT_APPEND_NEWLINE)


def write_samples(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples, and how many there were."""
    count = 0
    with gzip.open(path, "wb", compresslevel=_COMPRESSION) as file:
        for count, sample in enumerate(samples, 1):  # noqa: B007 - the last count is the answer
            file.write(encode(sample))
    return count


def compress(sources: Iterable[Path], path: Path) -> None:
    """Put plain files of samples into one; a line that was cut off at the end of one is left out."""
    with gzip.open(path, "wb", compresslevel=_COMPRESSION) as file:
        for source in sources:
            with source.open("rb") as lines:
                file.writelines(line for line in lines if line.endswith(b"\n"))


def read_samples(path: Path) -> Iterator[Sample]:
    """Read samples from a file, plain or with `.gz`.

    Raises:
        WrongFile: it cannot be read, or a line is no sample; the text names the line.
    """
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                yield decode(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error) as error:
        raise WrongFile(f"{path}: cannot be read: {error}") from error


def decode(line: bytes, where: str) -> Sample:
    """Read one line; `where` is what a fault calls it."""
    try:
        return sample_adapter.validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "/".join(map(str, first["loc"]))
        raise WrongFile(f"{where}: is no sample: {place}: {first['msg']}") from error
