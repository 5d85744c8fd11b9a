"""The registry in memory; what every registry does is in tests/ports."""

import pytest
from tests.fakes.models import a_manifest, a_version
from tests.fakes.registry import MemoryRegistry

from seatrial.server.registry.model import Stage


def test_it_begins_with_the_versions_it_is_given() -> None:
    """They are found as if they had been added."""
    version = a_version(a_manifest(name="m"), 3, Stage.DEV)

    assert MemoryRegistry([version]).get("m:3") is version


def test_it_does_not_begin_with_two_of_one_id() -> None:
    """Nor would it have taken the second later."""
    version = a_version(a_manifest(name="m"))

    with pytest.raises(ValueError, match="m:1 is registered already"):
        MemoryRegistry([version, version])
