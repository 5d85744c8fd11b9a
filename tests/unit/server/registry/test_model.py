"""Versions and their names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.models import a_manifest, a_version

from seatrial.contracts.manifest import NAME_PATTERN
from seatrial.server.core.errors import UnknownModel
from seatrial.server.registry.model import SERVED, Stage, parse_model_id


@given(name=st.from_regex(NAME_PATTERN.replace("$", r"\Z"), fullmatch=True), version=st.integers(1, 999_999_999))
def test_every_model_id_is_read_back(name: str, version: int) -> None:
    """`name:version` of any name that a manifest may have is parsed into its parts."""
    assert parse_model_id(a_version(a_manifest(name=name), version).model_id) == (name, version)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "digits",
        "digits:",
        ":1",
        "digits:0",
        "digits:01",
        "digits:-1",
        "digits:+1",
        "digits:1.0",
        "digits:latest",
        "digits:1 ",
        "digits:1\n",
        " digits:1",
        "Digits:1",
        "digits:1:1",
        "../digits:1",
        "digits:1000000000",
        "a" * 65 + ":1",
        "digits:\u0661",
    ],
)
def test_any_other_form_is_an_unknown_model(text: str) -> None:
    """The error repeats at most 100 characters of it, and tells the form."""
    with pytest.raises(UnknownModel, match="A model_id is name:version, such as digits:1"):
        parse_model_id(text)


def test_a_long_text_is_cut() -> None:
    """An error does not carry back whatever was sent."""
    with pytest.raises(UnknownModel) as caught:
        parse_model_id("x" * 5000)

    assert len(str(caught.value)) < 200


def test_stages_are_served_or_not() -> None:
    """Staging and production are loaded; dev and archived are not."""
    assert {stage: stage in SERVED for stage in Stage} == {
        Stage.DEV: False,
        Stage.STAGING: True,
        Stage.PRODUCTION: True,
        Stage.ARCHIVED: False,
    }
