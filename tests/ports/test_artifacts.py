"""What every store of artifacts does (`registry.ports.Artifacts`)."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.fakes.artifacts import MemoryArtifacts
from tests.fakes.models import digest_of, echo_golden

from seatrial.contracts.golden import parse_golden
from seatrial.server.core.errors import ModelUnusable
from seatrial.server.registry.ports import Artifacts
from seatrial.server.storage.artifacts import ContentStore

A, B = digest_of(b"model a"), digest_of(b"model b")


class Kept(NamedTuple):
    """A store with one model: the digests of its file and of its golden answers; and a way to damage the former."""

    artifacts: Artifacts
    golden: str
    damage: Callable[[bytes], object]


def on_disk(golden: bytes, folder: Path) -> Kept:
    store = ContentStore(folder)
    store.put(b"model a")
    path = folder / A[7:9] / A[7:]
    return Kept(store, store.put(golden), path.write_bytes)


def in_memory(golden: bytes, folder: Path) -> Kept:
    del folder
    artifacts = MemoryArtifacts()
    artifacts.put(A, b"model a", golden)
    return Kept(artifacts, A, lambda content: artifacts.put(A, content, golden))


pytestmark = pytest.mark.parametrize("make", [on_disk, in_memory])

Make = Callable[[bytes, Path], Kept]


def test_files_are_found_by_their_digest(make: Make, tmp_path: Path) -> None:
    """The model and its golden answers."""
    kept = make(echo_golden(1.0), tmp_path)

    assert kept.artifacts.model(A) == b"model a"
    assert kept.artifacts.golden(kept.golden) == parse_golden(echo_golden(1.0))


@pytest.mark.parametrize("content", [b"", b"model A", b"model a "])
def test_bytes_that_are_not_those_of_the_digest_are_never_given(make: Make, tmp_path: Path, content: bytes) -> None:
    """A file that was changed or cut makes the model unusable."""
    kept = make(echo_golden(), tmp_path)
    kept.damage(content)

    with pytest.raises(ModelUnusable, match=A):
        kept.artifacts.model(A)


@pytest.mark.parametrize("golden", [b"", b"{", b"{}", b"\xff", b'{"cases": [], "tolerance": 0}'])
def test_golden_answers_that_cannot_be_read_make_the_model_unusable(make: Make, tmp_path: Path, golden: bytes) -> None:
    """Not JSON, not a golden file, or without a case."""
    kept = make(golden, tmp_path)

    with pytest.raises(ModelUnusable, match="The golden answers cannot be read"):
        kept.artifacts.golden(kept.golden)
    assert kept.artifacts.model(A) == b"model a"


def test_a_digest_that_nobody_has_makes_the_model_unusable(make: Make, tmp_path: Path) -> None:
    """A registry may know more than this machine has; that is the model's failure, and named."""
    kept = make(echo_golden(), tmp_path)

    for read in (kept.artifacts.model, kept.artifacts.golden):
        with pytest.raises(ModelUnusable, match=B):
            read(B)
