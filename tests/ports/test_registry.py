"""What every registry does (`registry.ports.Registry`)."""

from collections.abc import Callable

import pytest
from tests.fakes.models import a_manifest, a_version

from seatrial.server.core.errors import UnknownModel
from seatrial.server.registry.model import Stage
from seatrial.server.registry.ports import Registry
from seatrial.server.storage.memory import MemoryRegistry

A, B = a_manifest(name="a"), a_manifest(name="b")
TEN = [a_version(A, number) for number in (10, 2, 1)]

pytestmark = pytest.mark.parametrize("make", [MemoryRegistry])

Make = Callable[[], Registry]


def test_a_new_registry_is_empty(make: Make) -> None:
    """It has no versions, and finds none."""
    registry = make()

    assert list(registry.versions()) == []
    with pytest.raises(UnknownModel):
        registry.get("a:1")


def test_a_version_is_found_by_its_id(make: Make) -> None:
    """All that was kept comes back."""
    registry = make()
    version = a_version(A, 3, Stage.STAGING)
    registry.add(version)
    registry.add(a_version(B, 3))

    assert registry.get("a:3") == version


def test_versions_come_by_name_then_by_number(make: Make) -> None:
    """2 comes before 10, and the order in which they were added does not matter."""
    registry = make()
    for version in (a_version(B, 1), *TEN):
        registry.add(version)

    assert [version.model_id for version in registry.versions()] == ["a:1", "a:2", "a:10", "b:1"]


@pytest.mark.parametrize("model_id", ["b:1", "a:2", "a", "a:", "a:01", "A:1", "", "a:1:1", "a:latest"])
def test_any_other_id_is_an_unknown_model(make: Make, model_id: str) -> None:
    """Of another name, another number, or another form."""
    registry = make()
    registry.add(a_version(A))

    with pytest.raises(UnknownModel):
        registry.get(model_id)


def test_an_id_is_taken_once(make: Make) -> None:
    """A second version of an id is refused, and the first stays."""
    registry = make()
    first = a_version(A)
    registry.add(first)

    with pytest.raises(ValueError, match="a:1"):
        registry.add(a_version(A, 1, Stage.DEV))
    assert registry.get("a:1") == first


def test_a_list_of_versions_stays_as_it_was_read(make: Make) -> None:
    """Adding later does not change what a reader holds."""
    registry = make()
    registry.add(a_version(A))
    before = registry.versions()
    registry.add(a_version(B))

    assert [version.model_id for version in before] == ["a:1"]
