"""Files that nobody should accept, sent to a running server: each is refused for its own reason, and does no harm."""

import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import onnx
import pytest
from tests.fakes.hostile_files import FOREIGN, REFUSED, Make, pickled
from tests.fakes.watched_server import UNPICKLED
from tests.inprocess import problem
from tests.live import environment
from tests.security.conftest import MAX_MODEL_BYTES, Watched

EVIL = "/models?name=evil"


@pytest.fixture(autouse=True)
def no_harm(watched: Watched, tmp_path: Path) -> Iterator[None]:
    """After each file the server is well, has no version and no file more, and nothing was unpickled."""
    files = watched.files()
    yield
    assert watched.is_well()
    assert watched.http.get("/models", params={"model_name": "evil"}).json() == []
    assert watched.files() == files
    assert list((watched.data / "artifacts" / "staging").iterdir()) == []
    assert list((watched.folder / "tmp").iterdir()) == []
    assert watched.unpickled() == ""
    assert not (tmp_path / "loaded").exists()


@pytest.mark.proves("S49")
@pytest.mark.parametrize(("make", "kind"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_onnx_is_refused_by_its_content(
    watched: Watched, tmp_path: Path, make: Callable[[Path], bytes], kind: str
) -> None:
    """Under a name and type that lie: the answer says what the file is. Pickles would leave a marker if loaded."""
    content = make(tmp_path / "loaded")
    form = {"model": ("model.onnx", content, "application/onnx")}
    raw = watched.http.post(EVIL, content=content, headers={"Content-Type": "application/onnx"})
    in_form = watched.http.post(EVIL, files=form)

    for response in (raw, in_form):
        answer = problem(response, 415, "unsupported-media-type")
        assert answer["detail"] == f"The file is {kind}; an ONNX file is expected."
        assert "application/octet-stream" in response.headers["accept"]


@pytest.mark.proves("S50")
@pytest.mark.proves("S51")
@pytest.mark.parametrize(("make", "detail", "received"), REFUSED.values(), ids=REFUSED)
def test_an_onnx_file_that_cannot_be_served_is_refused(
    watched: Watched, make: Make, detail: str, received: str
) -> None:
    """With a fault that says what is wrong with it; files that break what reads them break a process of their own."""
    model = make()
    content = model if isinstance(model, bytes) else model.SerializeToString()
    answer = problem(watched.http.post(EVIL, content=content), 422, "model-refused")
    first = answer["errors"][0]

    assert first["pointer"] == "/model"
    assert first["detail"].startswith(detail)
    assert received in {"", first["received"]}


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "in pieces"])
def test_a_file_that_is_too_large_is_refused(watched: Watched, declared: bool) -> None:  # noqa: FBT001 - the parameter
    """By its declared length before it is read; else where it passes the limit."""
    content = bytes(MAX_MODEL_BYTES + 1)
    body = content if declared else (content[begin : begin + 65536] for begin in range(0, len(content), 65536))
    answer = problem(watched.http.post(EVIL, content=body), 413, "body-too-large")

    assert answer["detail"] == f"The body is larger than the limit of {MAX_MODEL_BYTES} bytes."


def test_a_part_of_a_form_that_is_too_large_is_refused(watched: Watched) -> None:
    """The limit of a model holds in a form, too."""
    form = {"model": bytes(MAX_MODEL_BYTES + 1)}

    problem(watched.http.post(EVIL, files=form), 413, "body-too-large")


@pytest.mark.parametrize("part", ["manifest", "golden"])
def test_a_pickle_beside_the_model_is_refused(watched: Watched, tmp_path: Path, part: str) -> None:
    """What comes with a file is read as text."""
    form = {"model": onnx.ModelProto().SerializeToString(), part: pickled(tmp_path / "loaded")}
    answer = problem(watched.http.post(EVIL, files=form), 422, "model-refused")

    assert answer["errors"][0]["pointer"] == f"/{part}"


def test_the_watch_sees_what_a_pickle_asks_for(tmp_path: Path) -> None:
    """Else it would prove nothing of the others."""
    program = (
        "import pickle, sys; from tests.fakes.watched_server import note; sys.addaudithook(note); pickle.loads({!r})"
    )
    content = pickle.dumps(Path("any"))
    known = environment(tmp_path, PYTHONPATH=str(Path(__file__).parents[2]))
    subprocess.run([sys.executable, "-c", program.format(content)], cwd=tmp_path, env=known, check=True, timeout=60)

    assert "Path" in (tmp_path / UNPICKLED).read_text(encoding="utf-8")
