"""`samples.jsonl.gz`: written, read, and refused by line."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.runs import ANSWER

from seatrial.grading.toml import WrongFile
from seatrial.trials.measure.records import encode, read_samples, write_samples


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Every field survives, parts of a millisecond too."""
    samples = [replace(ANSWER, latency_ms=0.1234567), replace(ANSWER, ok=False, fault="status 503, expected 200")]
    path = tmp_path / "samples.jsonl.gz"

    assert write_samples(path, samples) == 2
    assert list(read_samples(path)) == samples


def test_a_plain_file_is_read_too(tmp_path: Path) -> None:
    """Lines need not be compressed."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(encode(ANSWER) * 3)

    assert list(read_samples(path)) == [ANSWER] * 3


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    """The fault names the file, the line and the field."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(encode(ANSWER) + encode(ANSWER).replace(b'"status":200', b'"status":"high"'))

    with pytest.raises(WrongFile, match=r"samples\.jsonl:2: is no sample: status: "):
        list(read_samples(path))


@pytest.mark.parametrize("content", [None, b"not compressed"])
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None) -> None:
    """A missing file, and one that is no gzip."""
    path = tmp_path / "samples.jsonl.gz"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WrongFile, match="cannot be read"):
        list(read_samples(path))
