"""What the headers of a prediction may say: its type, its size, its deadline."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from starlette.testclient import TestClient
from starlette.types import Message
from tests.inprocess import caller, converse, problem, serving
from tests.inputs import DENVER

PATHS = ("/predict", "/predict/batch")
LIMIT = 1000


def body_for(path: str) -> bytes:
    """A good body for a route."""
    return json.dumps({"data": [DENVER] if path.endswith("batch") else DENVER}).encode()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/octet-stream",
        "application/xml",
        "application/jsonp",
        "application/problem+json",
        "json",
        "application/json; charset=latin-1",
        "application/json; charset=utf-16",
    ],
)
def test_another_content_type_is_415(client: TestClient, path: str, content_type: str) -> None:
    """A body that is said to be anything but JSON in UTF-8 is not read."""
    response = client.post(path, content=body_for(path), headers={"Content-Type": content_type})
    answer = problem(response, 415, "unsupported-media-type")

    assert content_type in answer["detail"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'Application/JSON; charset="utf-8"',
        "application/json; profile=x",
    ],
)
def test_json_may_be_said_in_its_own_ways(client: TestClient, path: str, content_type: str) -> None:
    """Case, parameters and quotes of the content type do not matter."""
    response = client.post(path, content=body_for(path), headers={"Content-Type": content_type})

    assert response.status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_content_type_is_json(client: TestClient, path: str) -> None:
    """A prediction without a content type is read as JSON."""
    response = client.post(path, content=body_for(path))

    assert "content-type" not in response.request.headers
    assert response.status_code == 200


@pytest.mark.proves("S39")
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd", "GZIP", "gzip, identity"])
def test_a_compressed_body_is_415(client: TestClient, path: str, encoding: str) -> None:
    """A compressed body is refused, and the answer says which encoding is read."""
    response = client.post(path, content=body_for(path), headers={"Content-Encoding": encoding})

    problem(response, 415, "unsupported-media-type")
    assert response.headers["accept-encoding"] == "identity"


@pytest.mark.parametrize("path", PATHS)
def test_the_identity_encoding_is_no_compression(client: TestClient, path: str) -> None:
    """`Content-Encoding: identity` says nothing, and is accepted."""
    response = client.post(path, content=body_for(path), headers={"Content-Encoding": "identity"})

    assert response.status_code == 200


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """A server that takes at most LIMIT bytes."""
    with serving(tmp_path_factory.mktemp("data"), setting={"max_body_bytes": LIMIT}) as started:
        yield started


@pytest.mark.parametrize("path", PATHS)
def test_a_body_of_the_limit_is_read(small: TestClient, path: str) -> None:
    """The limit itself is allowed."""
    assert small.post(path, content=body_for(path).ljust(LIMIT)).status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_body_declared_too_large_is_413(small: TestClient, path: str) -> None:
    """One byte more than SEATRIAL_MAX_BODY_BYTES is refused by its Content-Length, and the connection closed."""
    response = small.post(path, content=body_for(path).ljust(LIMIT + 1))
    answer = problem(response, 413, "body-too-large")

    assert "1000 bytes" in answer["detail"]
    assert response.headers["connection"] == "close"


@pytest.mark.proves("S37")
@pytest.mark.parametrize("path", PATHS)
def test_a_body_declared_too_large_is_not_read(small: TestClient, path: str) -> None:
    """The answer comes before a byte of the body does."""
    sent, taken = converse(small.app, path, [], {b"content-length": b"99999999999"})

    assert (sent[0]["status"], taken) == (413, 0)


@pytest.mark.proves("S37")
@pytest.mark.parametrize("path", PATHS)
def test_a_streamed_body_too_large_is_413(small: TestClient, path: str) -> None:
    """A body without a length is read no further than the limit."""
    chunk: Message = {"type": "http.request", "body": b" " * 400, "more_body": True}
    sent, taken = converse(small.app, path, [chunk] * 100, {b"transfer-encoding": b"chunked"})

    assert sent[0]["status"] == 413
    assert taken == 3
    assert json.loads(sent[1]["body"])["type"] == "urn:seatrial:problem:body-too-large"


@pytest.mark.parametrize("path", PATHS)
def test_a_streamed_body_is_read_whole(small: TestClient, path: str) -> None:
    """A body that comes in pieces is the same body."""
    body = body_for(path)
    chunks: list[Message] = [
        {"type": "http.request", "body": body[i : i + 7], "more_body": i + 7 < len(body)}
        for i in range(0, len(body), 7)
    ]
    sent, _ = converse(small.app, path, chunks)

    assert sent[0]["status"] == 200


@pytest.mark.parametrize("path", PATHS)
def test_a_caller_who_hangs_up_is_not_answered(small: TestClient, path: str) -> None:
    """Where the connection ends within the body nothing is sent, and nothing fails."""
    chunks: list[Message] = [
        {"type": "http.request", "body": b'{"data": ', "more_body": True},
        {"type": "http.disconnect"},
    ]

    assert converse(small.app, path, chunks) == ([], 2)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "wish", ["0", "-1", "nan", "inf", "infinity", "1e999", "soon", "", "1,5", "1_0", "0x10", "5s", "0.0", "1e-999"]
)
def test_a_deadline_that_is_no_positive_finite_number_is_400(client: TestClient, path: str, wish: str) -> None:
    """X-Request-Timeout is checked, and the detail repeats it."""
    response = client.post(path, content=body_for(path), headers={"X-Request-Timeout": wish})
    answer = problem(response, 400, "invalid-header")

    assert f"not '{wish}'" in answer["detail"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wish", ["5", "0.5e1", "+5", "5.", " 5 ", "1000000", "1e300"])
def test_a_deadline_is_a_positive_number_of_seconds(client: TestClient, path: str, wish: str) -> None:
    """Every usual way to write a number of seconds is read; more than the setting is no fault."""
    response = client.post(path, content=body_for(path), headers={"X-Request-Timeout": wish})

    assert response.status_code == 200


@pytest.mark.parametrize("path", PATHS)
def test_headers_are_checked_before_the_body_is_read(client: TestClient, path: str) -> None:
    """A bad header is answered although the body never comes."""
    sent, taken = converse(client.app, path, [], {b"x-request-timeout": b"soon"})

    assert (sent[0]["status"], taken) == (400, 0)


def test_a_body_on_another_route_is_ignored(small: TestClient) -> None:
    """Limits are for the routes that read a body."""
    response = small.request("GET", "/health/live", content=b" " * 5000, headers={"Content-Encoding": "gzip"})

    assert response.status_code == 200


@pytest.mark.parametrize("sent", ["a", "A-z_0.9", "x" * 128, "0" * 128])
@pytest.mark.parametrize("path", ["/", "/health", "/models", "/metrics", "/nowhere", "/docs"])
def test_a_harmless_request_id_is_echoed(client: TestClient, path: str, sent: str) -> None:
    """1 to 128 of A-Za-z0-9._- come back as they are, on every route."""
    assert client.get(path, headers={"X-Request-ID": sent}).headers["x-request-id"] == sent


@pytest.mark.proves("S43")
@pytest.mark.parametrize("sent", ["", " ", "x" * 129, "a b", "a/b", "a,b", '"a"', "<script>", "a\u00fc".encode()])
@pytest.mark.parametrize("path", ["/", "/nowhere", "/predict"])
def test_any_other_request_id_is_replaced(client: TestClient, path: str, sent: str | bytes) -> None:
    """What could harm a log is not repeated; a new id of 128 bits takes its place."""
    made = client.post(path, headers={"X-Request-ID": cast("str", sent)}).headers["x-request-id"]

    assert len(made) == 32
    assert int(made, 16) >= 0


def test_every_request_gets_its_own_id(client: TestClient) -> None:
    """No two requests without an id have the same one; a prediction's success has one too."""
    made = {client.post("/predict", json={"data": DENVER}).headers["x-request-id"] for _ in range(20)}

    assert len(made) == 20


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8000"])
def test_loopback_names_are_answered(client: TestClient, host: str) -> None:
    """A loopback server answers for the names of loopback, with any port, in any case."""
    assert client.get("/models", headers={"Host": host}).status_code == 200
    assert client.get("/models", headers={"Host": host.upper()}).status_code == 200


STRANGERS = [
    "evil.example",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "",
    "10.0.0.1",
    "a b",
    "localhost@evil",
]


@pytest.mark.proves("S42")
@pytest.mark.parametrize("host", STRANGERS)
@pytest.mark.parametrize("path", ["/", "/models", "/metrics", "/docs", "/openapi.json", "/nowhere"])
def test_other_hosts_are_400(client: TestClient, path: str, host: str) -> None:
    """A page that rebinds its name to this machine gets nothing."""
    problem(client.get(path, headers={"Host": host}), 400, "unknown-host")


@pytest.mark.proves("S42")
@pytest.mark.parametrize("path", PATHS)
def test_other_hosts_get_no_prediction(client: TestClient, path: str) -> None:
    """The lane checks the host too, before it reads the body."""
    sent, taken = converse(client.app, path, [], {b"host": b"evil.example"})

    assert (sent[0]["status"], taken) == (400, 0)


@pytest.mark.parametrize("host", STRANGERS)
@pytest.mark.parametrize("path", ["/health", "/health/live", "/health/ready"])
def test_health_is_answered_under_any_host(client: TestClient, path: str, host: str) -> None:
    """An orchestrator asks by address."""
    assert client.get(path, headers={"Host": host}).status_code == 200


def test_allowed_hosts_replace_the_names_of_loopback(tmp_path: Path) -> None:
    """SEATRIAL_ALLOWED_HOSTS is the whole list, without regard to case."""
    with serving(tmp_path, setting={"allowed_hosts": ("Models.Example",)}) as started:
        assert started.get("/", headers={"Host": "models.example:80"}).status_code == 200
        problem(started.get("/", headers={"Host": "127.0.0.1"}), 400, "unknown-host")


def test_a_public_listener_answers_for_any_host(tmp_path: Path) -> None:
    """Where the listener is not loopback, and no names are set, every Host is answered."""
    with serving(tmp_path, setting={"host": "0.0.0.0"}) as started:  # noqa: S104 - what is tested
        stranger = caller(started.app, origin="http://models.example", peer=("10.0.0.9", 4))
        assert stranger.get("/").status_code == 200


@pytest.mark.proves("S40")
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("Content-Type", ("text/plain", "application/json")),
        ("Content-Encoding", ("gzip", "identity")),
        ("Host", ("evil.example", "127.0.0.1")),
        ("X-Request-Timeout", ("0", "3")),
        ("Authorization", ("Bearer a", "Bearer b")),
    ],
)
def test_a_header_that_decides_something_comes_once(client: TestClient, name: str, values: tuple[str, str]) -> None:
    """Of two that disagree none is chosen."""
    headers = [(name, value) for value in values]
    response = client.post("/predict", content=body_for("/predict"), headers=headers)

    assert f"'{name.lower()}' came more than once" in problem(response, 400, "invalid-header")["detail"]


def test_an_upgrade_is_refused_by_name(client: TestClient) -> None:
    """The body of a request that asks for another protocol does not arrive, so it is not said to be empty."""
    headers = {"Upgrade": "h2c", "Connection": "Upgrade"}
    response = client.post("/predict", content=body_for("/predict"), headers=headers)

    assert "Upgrade" in problem(response, 400, "invalid-header")["detail"]


def test_a_415_says_what_would_do(client: TestClient) -> None:
    """The type that is read, where the type is wrong; the encoding, where that is."""
    wrong_type = client.post("/predict", content=b"{}", headers={"Content-Type": "text/plain"})
    compressed = client.post(
        "/predict", content=b"{}", headers={"Content-Type": "application/json", "Content-Encoding": "gzip"}
    )

    assert wrong_type.headers["accept"] == "application/json"
    assert compressed.headers["accept-encoding"] == "identity"
