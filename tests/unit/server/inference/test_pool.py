"""The pool: which model answers a request, and what is said when none does."""

import pytest
from tests.fakes.models import X, Y, a_manifest, a_model

from seatrial.contracts.manifest import InputSpec
from seatrial.server.core.errors import InvalidInput, ModelNotLoaded
from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Pool, Snapshot, select
from seatrial.server.inference.types import InferRequest

DIGITS = a_model(a_manifest(InputSpec(name="image", dtype="float32", shape=(4,), min=0, max=1), name="digits"))
CLIMATE = a_model(
    a_manifest(
        InputSpec(name="latitude", dtype="float32", min=15, max=60),
        InputSpec(name="scenario", dtype="int64", categories=("A1B", "E1")),
        name="climate",
    )
)
PLANE = a_model(a_manifest(X, Y, name="plane"))
SPACE = a_model(a_manifest(X, Y, name="space"))
NEXT_PLANE = a_model(a_manifest(X, Y, name="plane"), version=2)

POINT = {"x": 1, "y": 2}


def a_snapshot(
    *defaults: LoadedModel, others: tuple[LoadedModel, ...] = (), staged: tuple[LoadedModel, ...] = ()
) -> Snapshot:
    production = (*defaults, *others)
    return Snapshot(
        by_id={model.model_id: model for model in (*production, *staged)},
        production={model.name: model for model in production},
        defaults=defaults,
        others=others,
    )


def test_a_swap_replaces_the_snapshot_whole() -> None:
    """A pool starts empty; who has taken a snapshot keeps it."""
    pool = Pool()
    taken = pool.snapshot
    pool.swap(a_snapshot(PLANE))

    assert taken == Snapshot()
    assert pool.snapshot.by_id == {"plane:1": PLANE}


@pytest.mark.parametrize(
    ("snapshot", "request_", "model"),
    [
        # by model_id: any that is loaded, in production or not
        (a_snapshot(PLANE, others=(SPACE,)), InferRequest(POINT, model_id="space:1"), SPACE),
        (a_snapshot(PLANE, staged=(NEXT_PLANE,)), InferRequest(POINT, model_id="plane:2"), NEXT_PLANE),
        # by model_name: its production version
        (a_snapshot(PLANE, staged=(NEXT_PLANE,)), InferRequest(POINT, model_name="plane"), PLANE),
        # by what the input fits
        (a_snapshot(DIGITS, CLIMATE), InferRequest([0, 1, 0, 1]), DIGITS),
        (a_snapshot(DIGITS, CLIMATE), InferRequest({"latitude": 20, "scenario": "E1"}), CLIMATE),
        (a_snapshot(DIGITS, CLIMATE, others=(PLANE,)), InferRequest(POINT), PLANE),
        (a_snapshot(others=(DIGITS, PLANE)), InferRequest(POINT), PLANE),
        # if several accept: the first of the defaults
        (a_snapshot(PLANE, SPACE), InferRequest(POINT), PLANE),
        (a_snapshot(SPACE, PLANE), InferRequest(POINT), SPACE),
        (a_snapshot(SPACE, others=(PLANE,)), InferRequest(POINT), SPACE),
        # a version that is not in production answers only by its id
        (a_snapshot(PLANE, staged=(NEXT_PLANE, SPACE)), InferRequest(POINT), PLANE),
    ],
)
def test_the_model_that_answers(snapshot: Snapshot, request_: InferRequest, model: LoadedModel) -> None:
    """A name decides; without one, what the input fits, and the order of the default models."""
    chosen, arrays = select(snapshot, request_, batch=False)

    assert chosen is model
    assert set(arrays) == set(model.signature.names)


def test_a_batch_chooses_as_an_example_does() -> None:
    """All rows together decide."""
    chosen, arrays = select(a_snapshot(DIGITS, PLANE), InferRequest([POINT, {"x": 3, "y": 4}]), batch=True)

    assert chosen is PLANE
    assert arrays["y"].tolist() == [2, 4]


@pytest.mark.parametrize(
    "request_",
    [
        InferRequest(POINT, model_id="plane:3"),
        InferRequest(POINT, model_id="plane"),
        InferRequest(POINT, model_id=""),
        InferRequest(POINT, model_name="plane:1"),
        InferRequest(POINT, model_name="space"),
        InferRequest(POINT, model_name=""),
    ],
)
def test_a_named_model_that_is_not_loaded_does_not_answer(request_: InferRequest) -> None:
    """No other model answers in its place."""
    with pytest.raises(ModelNotLoaded, match="is not being served"):
        select(a_snapshot(PLANE, staged=(SPACE,)), request_, batch=False)


def test_a_named_model_says_what_is_wrong() -> None:
    """The faults are against that model, though another would accept the input."""
    with pytest.raises(InvalidInput, match="The input does not fit the model 'digits:1'") as caught:
        select(a_snapshot(DIGITS, PLANE), InferRequest(POINT, model_name="digits"), batch=False)

    assert [fault.pointer for fault in caught.value.faults] == ["/data/image", "/data/x", "/data/y"]


@pytest.mark.parametrize(
    ("data", "nearest", "pointers"),
    [
        ({"latitude": 90, "scenario": "E1"}, "climate:1", ["/data/latitude"]),
        ({"x": 1, "y": None}, "plane:1", ["/data/y"]),
        ({"x": 1}, "plane:1", ["/data/y"]),
        ([0, 1, 2, 3], "digits:1", ["/data/2", "/data/3"]),
        ({"latitude": 90, "scenario": 1}, "climate:1", ["/data/latitude", "/data/scenario"]),
    ],
)
def test_when_none_fits_the_faults_are_against_the_nearest(data: object, nearest: str, pointers: list[str]) -> None:
    """All candidates are named; a wrong structure makes a model further than any wrong value."""
    with pytest.raises(InvalidInput) as caught:
        select(a_snapshot(DIGITS, CLIMATE, others=(PLANE,)), InferRequest(data), batch=False)

    assert str(caught.value) == (
        "No production model accepts this input (candidates: digits:1, climate:1, plane:1)."
        f" What follows is against '{nearest}'."
    )
    assert [fault.pointer for fault in caught.value.faults] == pointers


def test_of_equally_near_models_the_first_tells_its_faults() -> None:
    """The order of the default models decides."""
    with pytest.raises(InvalidInput, match="against 'space:1'"):
        select(a_snapshot(SPACE, PLANE), InferRequest({"x": 1, "y": "2"}), batch=False)


def test_an_input_that_several_accept_must_name_one() -> None:
    """Where no default model accepts it, nobody guesses; one fault names those that do, and where to say which."""
    with pytest.raises(InvalidInput) as caught:
        select(a_snapshot(DIGITS, others=(PLANE, SPACE)), InferRequest(POINT), batch=False)

    assert [(fault.pointer, fault.expected) for fault in caught.value.faults] == [
        ("/model_name", "one of: plane, space")
    ]
    assert caught.value.total == 1


def test_without_any_model_nothing_answers() -> None:
    """An empty server says so, and does not blame the input."""
    with pytest.raises(ModelNotLoaded, match="No model is in production here"):
        select(Snapshot(), InferRequest(POINT), batch=False)
