"""A model in memory."""

import pytest
from tests.fakes.models import a_manifest, a_model

from seatrial.contracts.manifest import Label


@pytest.mark.parametrize("classes", [(), ("a", "b"), (0, 1, 2)])
def test_classes_are_those_of_the_manifest(classes: tuple[Label, ...]) -> None:
    """A classification has its labels in the order of its output, a regression has none."""
    assert a_model(a_manifest(classes=classes)).classes == classes
