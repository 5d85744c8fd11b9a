"""`POST /models`: what is registered, what comes back, and each way not to get in. Hostile files: tests/security."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message
from tests.fakes.inspector import SureInspector
from tests.fakes.models import digest_of
from tests.fakes.onnx_models import answers, forest, linear, softmax
from tests.fakes.registry import MemoryRegistry
from tests.inprocess import caller, converse, faults, problem, serving
from tests.live import operator_token

from seatrial.server.core.errors import StorageFull, StorageUnavailable
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import ModelVersion
from seatrial.server.registry.ports import MakeVersion
from seatrial.server.runtimes.inspector import ProcessInspector
from seatrial.server.storage.artifacts import ContentStore

LINEAR: bytes = linear().SerializeToString()
BOUNDARY = "multipart/form-data; boundary=b"


class Sender(NamedTuple):
    """A server, and what its operator sends to it."""

    client: TestClient
    data: Path

    @property
    def token(self) -> str:
        """The operator's."""
        return operator_token(self.data)

    def send(self, query: str = "name=it", **request: Any) -> Any:  # noqa: ANN401 - a response
        """One request, with the operator's token."""
        headers = {"Authorization": f"Bearer {self.token}", **request.pop("headers", {})}
        return self.client.post(f"/models?{query}", headers=headers, **request)

    def staged(self) -> list[Path]:
        """What lies in the staging folder."""
        return list((self.data / "artifacts" / "staging").iterdir())


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """A server that inspects."""
    folder = tmp_path_factory.mktemp("data")
    with serving(folder) as client:
        yield Sender(client, folder)


@pytest.fixture(scope="module")
def sure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sender]:
    """A server that takes every file."""
    folder = tmp_path_factory.mktemp("data")
    setting = {"max_model_bytes": 1000, "max_body_bytes": 500, "request_timeout": 0.2}
    with serving(folder, setting=setting, inspector=SureInspector()) as client:
        yield Sender(client, folder)


def test_a_file_becomes_a_version(real: Sender) -> None:
    """The next of its name, in dev; the answer is that of the route that `Location` names, and the ledger knows why."""
    response = real.send("name=linear&reason=retrained", content=LINEAR)
    second = real.send("name=linear", content=LINEAR)
    version = response.json()

    assert (response.status_code, response.headers["location"]) == (201, "/models/linear:1")
    assert real.client.get("/models/linear:1").json() == version
    assert (version["model_id"], version["stage"], version["loaded"]) == ("linear:1", "dev", False)
    assert (version["digest"], version["reason"]) == (digest_of(LINEAR), "retrained")
    assert second.json()["model_id"] == "linear:2"
    assert [(entry["model_id"], entry["stage"]) for entry in real.client.get("/models?model_name=linear").json()] == [
        ("linear:1", "dev"), ("linear:2", "dev"),
    ]  # fmt: skip
    assert real.staged() == []


def test_its_golden_answers_can_be_read(real: Sender) -> None:
    """They are those of the file, by another implementation."""
    model_id = real.send("name=golden", content=LINEAR).json()["model_id"]
    golden = real.client.get(f"/models/{model_id}/golden").json()
    right = answers(linear(), [case["input"]["x"] for case in golden["cases"]])

    assert len(golden["cases"]) == 20
    for case, row in zip(golden["cases"], right, strict=True):
        assert case["output"] == pytest.approx(row, abs=golden["tolerance"])


@pytest.mark.parametrize("content_type", ["application/octet-stream", "application/onnx", "application/x-onnx", None])
def test_a_file_comes_as_it_is(sure: Sender, content_type: str | None) -> None:
    """Of any of these types, or of none."""
    headers = {} if content_type is None else {"Content-Type": content_type}

    assert sure.send("name=raw", content=b"file", headers=headers).json()["digest"] == digest_of(b"file")


@pytest.mark.parametrize(
    "manifest",
    [
        """
        description = "Will they stay?"
        output.classes = ["stays", "leaves"]
        inputs = [{ name = "x", min = 0, max = 1 }]
        """,
        """
        {"description": "Will they stay?", "output": {"classes": ["stays", "leaves"]}, "name": "churn",
         "inputs": [{"name": "x", "min": 0, "max": 1}], "version": 7, "digest": "whatever", "golden": "there"}
        """,
    ],
    ids=["toml", "json"],
)
def test_a_form_brings_a_manifest(real: Sender, manifest: str) -> None:
    """What the graph does not tell; what the server assigns is ignored."""
    response = real.send("name=churn", files={"manifest": manifest.encode(), "model": forest().SerializeToString()})
    found = response.json()["manifest"]

    assert response.status_code == 201
    assert (found["name"], found["description"]) == ("churn", "Will they stay?")
    assert found["output"]["classes"] == ["stays", "leaves"]
    assert (found["inputs"][0]["min"], found["inputs"][0]["max"]) == (0, 1)


def test_a_form_brings_golden_answers(real: Sender) -> None:
    """Which are kept as they are, if the file reproduces them."""
    golden = {"cases": [{"input": {"x": [1, 0, 0, 0]}, "output": [1.5], "label": 1.4}], "tolerance": 1e-5}
    form = {"model": LINEAR, "golden": json.dumps(golden).encode()}
    model_id = real.send("name=known", files=form).json()["model_id"]
    wrong = {
        **form,
        "golden": json.dumps({**golden, "tolerance": 0, "cases": [{"input": {"x": [0, 0, 0, 0]}, "output": [9]}]}),
    }
    refused = problem(real.send("name=known", files=wrong), 422, "model-refused")

    assert real.client.get(f"/models/{model_id}/golden").json()["cases"] == golden["cases"]
    assert refused["errors"][0]["pointer"] == "/golden"


@pytest.mark.parametrize(
    ("part", "content", "fault"),
    [
        ("manifest", b'stage = "production"', ("/manifest/stage", "no such member", '"production"')),
        ("manifest", b'name = "other"', ("/manifest/name", "it", "other")),
        ("manifest", b"[[inputs]]\nname = 'x'\nmin = 'low'", ("/manifest/inputs/0/min", "a number", '"low"')),
        ("manifest", b"\xff", ("/manifest", "JSON or TOML in UTF-8", "neither")),
        ("manifest", b"= 1", ("/manifest", "JSON or TOML in UTF-8", "neither")),
        ("golden", b"{}", ("/golden/cases", "a value", "nothing")),
        ("golden", b"[", ("/golden", "JSON", "bytes")),
    ],
)  # fmt: skip
def test_what_comes_with_a_file_is_checked(
    sure: Sender, part: str, content: bytes, fault: tuple[str, str, str]
) -> None:
    """Each fault has a pointer; nothing is kept."""
    answer = problem(sure.send(files={"model": b"file", part: content}), 422, "model-refused")

    assert faults(answer)[0] == fault
    assert sure.staged() == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("", "/query/name"), ("name=", "/query/name"), ("name=A", "/query/name"), ("name=a:1", "/query/name"),
        ("name=" + "a" * 65, "/query/name"), ("name=../a", "/query/name"), ("name=a&reason=%00", "/query/reason"),
        ("name=a&reason=%1b[2J", "/query/reason"), ("name=a&reason=" + "a" * 501, "/query/reason"),
    ],
)  # fmt: skip
def test_a_bad_query_is_refused(sure: Sender, query: str, pointer: str) -> None:
    """A name is one that can be part of a model_id; a reason is a line of text."""
    answer = problem(sure.send(query, content=b"file"), 422, "invalid-input")

    assert [fault["pointer"] for fault in answer["errors"]] == [pointer]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "text/plain"},
        {"Content-Type": "multipart/form-data"},
        {"Content-Encoding": "gzip"},
    ],
    ids=lambda headers: " ".join(*headers.items()),
)
def test_another_type_of_body_is_refused(sure: Sender, headers: dict[str, str]) -> None:
    """What `curl -d` sends, too; the answer says what would do."""
    response = sure.send(content=b"file", headers=headers)

    problem(response, 415, "unsupported-media-type")
    assert "application/octet-stream" in response.headers.get("accept", "") or "accept-encoding" in response.headers


def part(name: str, content: bytes = b"file") -> bytes:
    return b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), content)


@pytest.mark.parametrize(
    ("body", "pointer", "detail"),
    [
        (b"", "", "The form ends before its last boundary."),
        (b"junk", "", "The form cannot be read: "),
        (part("model"), "", "The form ends before its last boundary."),
        (part("manifest", b"") + b"--b--\r\n", "/model", "The part with the model is missing."),
        (part("model") + part("model") + b"--b--\r\n", "/model", "The part 'model' stands twice."),
        (part("model") + part("stage") + b"--b--\r\n", "", "The form has a part 'stage'."),
        (b"--b\r\n\r\nfile\r\n--b--\r\n", "", "The form has a part ''."),
    ],
)
def test_a_bad_form_is_refused(sure: Sender, body: bytes, pointer: str, detail: str) -> None:
    """It has each of its parts at most once, ends as it should, and has nothing else."""
    answer = problem(sure.send(content=body, headers={"Content-Type": BOUNDARY}), 422, "invalid-input")

    assert answer["errors"][0]["pointer"] == pointer
    assert answer["errors"][0]["detail"].startswith(detail)
    assert sure.staged() == []


@pytest.mark.parametrize("pieces", [1, 7, 1000])
def test_a_form_may_come_in_pieces(tmp_path: Path, pieces: int) -> None:
    """Cut anywhere, it brings the same file."""
    body = part("manifest", b'description = "d"') + part("model", bytes(range(256)) * 2) + b"--b--\r\n"
    inspector = SureInspector()
    with serving(tmp_path, inspector=inspector) as client:
        sender = Sender(client, tmp_path)
        cut = (body[begin : begin + pieces] for begin in range(0, len(body), pieces))
        response = sender.send(content=cut, headers={"Content-Type": BOUNDARY})

    assert response.status_code == 201
    assert inspector.seen == [bytes(range(256)) * 2]


@pytest.mark.parametrize(
    "form", [{"model": b"x" * 1001}, {"model": b"x", "manifest": b"#" * 501}, {"model": b"x", "golden": b" " * 501}]
)
def test_each_part_has_a_limit(sure: Sender, form: dict[str, bytes]) -> None:
    """The model's is SEATRIAL_MAX_MODEL_BYTES, that of what comes with it SEATRIAL_MAX_BODY_BYTES."""
    problem(sure.send(files=form), 413, "body-too-large")
    assert sure.staged() == []


def test_a_name_has_only_so_many_versions(tmp_path: Path) -> None:
    """Another is refused before it is inspected; another name is not."""
    inspector = SureInspector()
    with serving(tmp_path, setting={"max_versions": 2}, inspector=inspector) as client:
        sender = Sender(client, tmp_path)
        done = [sender.send(content=b"file").status_code for _ in range(2)]
        answer = problem(sender.send(content=b"file"), 409, "too-many-versions")
        other = sender.send("name=other", content=b"file")

    assert (done, other.status_code) == ([201, 201], 201)
    assert answer["detail"] == "'it' has 2 versions, which is the limit (SEATRIAL_MAX_VERSIONS)."
    assert len(inspector.seen) == 3


@pytest.mark.parametrize("token", [None, "wrong"])
def test_nobody_registers_without_the_scope(sure: Sender, token: str | None) -> None:
    """Not even on loopback; and the body is not read."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    problem(sure.client.post("/models?name=it", content=b"x" * 5000, headers=headers), 401, "unauthenticated")


def events(app: ASGIApp, token: str, *messages: Message) -> list[Message]:
    """What a server sends to who sends these messages to `POST /models`."""
    sent, _ = converse(app, "/models", list(messages), {b"authorization": b"Bearer " + token.encode()})
    return sent


def test_an_upload_that_is_broken_off_leaves_nothing(sure: Sender) -> None:
    """Neither a draft nor a version, and nothing that looks like a failure of the server."""
    before = sure.client.get("/models").json()
    app = named(sure.client.app)
    sent = events(
        app,
        sure.token,
        {"type": "http.request", "body": b"x" * 500, "more_body": True},
        {"type": "http.disconnect"},
    )

    assert sent[0]["status"] == 400
    assert sure.staged() == []
    assert sure.client.get("/models").json() == before


def test_an_upload_that_stands_still_is_given_up(sure: Sender) -> None:
    """After SEATRIAL_REQUEST_TIMEOUT, with 504; the draft is gone."""
    sent = events(named(sure.client.app), sure.token, {"type": "http.request", "body": b"x", "more_body": True})

    assert sent[0]["status"] == 504
    assert sure.staged() == []


def named(app: ASGIApp) -> ASGIApp:
    """The server, asked for the name `it`."""

    async def asked(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        await app({**scope, "query_string": b"name=it"}, receive, send)

    return asked


class LostRegistry(MemoryRegistry):
    """A registry whose database goes away when it is to be written."""

    def add_next(self, name: str, make: MakeVersion, note: Note, limit: int) -> ModelVersion:
        """Fail, as `Ledger.add_next` may."""
        del name, make, note, limit
        raise StorageUnavailable("no route to db.internal")


def test_a_lost_database_is_told(tmp_path: Path) -> None:
    """503, without its address; the draft is gone."""
    with serving(tmp_path, ledger=LostRegistry(), inspector=SureInspector()) as client:
        sender = Sender(client, tmp_path)
        answer = problem(sender.send(content=b"file"), 503, "storage-unavailable")

    assert "db.internal" not in answer["detail"]
    assert sender.staged() == []


def test_an_inspection_that_cannot_begin_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """500, which blames nobody's file and tells nothing of the server; the log has what the process said."""
    program = (sys.executable, "-c", "import nothing_of_this_name")
    with serving(tmp_path, inspector=ProcessInspector(program=program)) as client:
        answer = problem(Sender(client, tmp_path).send(content=LINEAR), 500, "inspection-failed")

    assert "nothing_of_this_name" not in str(answer)
    assert "No module named 'nothing_of_this_name'" in capsys.readouterr().out


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """507, where the file is to be brought to disk; nothing of it is left, and the ledger knows nothing of it."""
    ledger = MemoryRegistry()
    with serving(tmp_path, ledger=ledger, inspector=SureInspector()) as client:
        sender = Sender(client, tmp_path)
        monkeypatch.setattr(ContentStore, "adopt", _full)
        problem(sender.send(content=b"file"), 507, "storage-full")

    assert sender.staged() == []
    assert ledger.history() == []


def _full(store: ContentStore, draft: object) -> str:
    del store, draft
    raise StorageFull("no room")


def test_a_classifier_says_its_classes(real: Sender) -> None:
    """Without a manifest: those of the graph."""
    found = [
        real.send("name=classes", content=model.SerializeToString()).json()["manifest"]["output"]["classes"]
        for model in (softmax(), forest(labels=("stays", "leaves")))
    ]

    assert found == [[0, 1, 2], ["stays", "leaves"]]


def test_the_caller_is_named_in_the_ledger(tmp_path: Path) -> None:
    """With the reason that was given."""
    ledger = MemoryRegistry()
    with serving(tmp_path, ledger=ledger, inspector=SureInspector()) as client:
        Sender(client, tmp_path).send("name=it&reason=because", content=b"file")
        caller(client.app).post("/models?name=it", content=b"file")

    assert [(entry.name, entry.version, entry.action, entry.who, entry.why) for entry in ledger.history()] == [
        ("it", 1, "register", "local:admin.token", "because")
    ]
