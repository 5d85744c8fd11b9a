"""Problems: their JSON form, and JSON pointers."""

import pytest

from seatrial.contracts.problem import Fault, Problem, pointer


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ((), ""),
        (("data",), "/data"),
        (("data", "a/b", 3), "/data/a~1b/3"),
        (("~1",), "/~01"),
        (("",), "/"),
        (("é\n",), "/é\n"),
    ],
)
def test_a_pointer_is_rfc_6901(parts: tuple[str | int, ...], expected: str) -> None:
    """`~` and `/` in names are escaped, the escape itself first."""
    assert pointer(*parts) == expected


def test_a_problem_as_json() -> None:
    """Every member is there, the type is a URN of the slug, and extensions stand beside the rest."""
    fault = Fault("/data/x", "wrong", "a number", "null")
    problem = Problem("slug", "Title", 422, "detail", "/predict", "id-1", (fault,), 30, {"offset": 7})

    assert problem.as_dict() == {
        "type": "urn:seatrial:problem:slug",
        "title": "Title",
        "status": 422,
        "detail": "detail",
        "instance": "/predict",
        "request_id": "id-1",
        "errors": [{"pointer": "/data/x", "detail": "wrong", "expected": "a number", "received": "null"}],
        "errors_total": 30,
        "offset": 7,
    }


def test_a_problem_without_faults() -> None:
    """An error that is not about an input lists none."""
    problem = Problem("slug", "Title", 404, "detail", "/", "id-1").as_dict()

    assert (problem["errors"], problem["errors_total"]) == ([], 0)
    assert list(problem)[-1] == "errors_total"
