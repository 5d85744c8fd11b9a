"""A real server process: started as in the README, asked over HTTP."""

import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tests.e2e.conftest import StartServer
from tests.inputs import BLANK, DENVER, GOOD
from tests.live import PATIENCE, ServerProcess, until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as client:
        yield client


def curl(*arguments: str) -> str:
    """What curl prints; it fails where the answer is an error."""
    program = shutil.which("curl")
    assert program, "curl is needed for this test"
    command = [program, "--silent", "--show-error", "--fail-with-body", "--max-time", "30", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_curl_gets_a_prediction(server: ServerProcess) -> None:
    """`curl -d` without a content type of JSON is 415; with `--json`, or with the header, it is answered."""
    body = json.dumps({"data": DENVER})
    answer = json.loads(curl("--json", body, f"{server.url}/predict"))
    headed = json.loads(curl("-H", "Content-Type: application/json", "-d", body, f"{server.url}/predict"))

    assert answer["units"] == "degrees Celsius"
    assert headed["prediction"] == answer["prediction"]


def test_curl_gets_a_digit_from_a_file(server: ServerProcess, tmp_path: Path) -> None:
    """A body from a file, under the other name of this machine."""
    (tmp_path / "digit.json").write_text(json.dumps({"data": BLANK}), encoding="ascii")
    url = server.url.replace("127.0.0.1", "localhost")
    answer = json.loads(curl("--ipv4", "--json", f"@{tmp_path}/digit.json", f"{url}/predict"))

    assert answer["model_id"] == "digits:1"


def test_the_server_is_ready(http: httpx2.Client) -> None:
    """Once it serves, every model is loaded, warmed and verified."""
    assert http.get("/health/ready").json() == {
        "status": "ready",
        "models": {"digits:1": "ready", "geoclimate:1": "ready"},
        "ledger": {"follows": 2, "newest": 2},
    }
    assert http.get("/health").json()["status"] == "healthy"


@pytest.mark.parametrize("name", GOOD)
def test_every_golden_answer_is_reproduced(http: httpx2.Client, name: str) -> None:
    """Each known input, sent by itself, gets the recorded answer within the tolerance."""
    golden = http.get(f"/models/{name}:1/golden").json()
    for case in golden["cases"]:
        answer = http.post("/predict", json={"data": case["input"], "return_probabilities": True}).json()
        values = list(answer["probabilities"].values()) if "probabilities" in answer else answer["predictions"]

        assert values == pytest.approx(case["output"], abs=golden["tolerance"])


@pytest.mark.parametrize(
    ("path", "media_type"),
    [
        ("/", "application/json"),
        ("/health/live", "application/json"),
        ("/models", "application/json"),
        ("/models/digits:1", "application/json"),
        ("/metrics", "text/plain"),
        ("/openapi.json", "application/json"),
        ("/docs", "text/html"),
        ("/redoc", "text/html"),
    ],
)
def test_every_page_is_served(http: httpx2.Client, path: str, media_type: str) -> None:
    """What reads is answered over a real connection, in its type, with a request id."""
    response = http.get(path)

    assert response.status_code == 200
    assert response.headers["content-type"].startswith(media_type)
    assert response.headers["x-request-id"]
    assert "server" not in response.headers


def raw(server: ServerProcess, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Send these bytes; the status, the headers and the JSON of the answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    return int(status.split()[1]), headers, json.loads(body) if "json" in headers.get("content-type", "") else None


def chunked(*chunks: bytes) -> bytes:
    """A body in pieces, as HTTP/1.1 sends it without knowing its length."""
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def test_a_body_in_pieces_is_read(server: ServerProcess) -> None:
    """`Transfer-Encoding: chunked` is one body."""
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = json.dumps({"data": DENVER}).encode()
    status, _, answer = raw(server, head + chunked(*(body[i : i + 9] for i in range(0, len(body), 9))))

    assert (status, answer["model_id"]) == (200, "geoclimate:1")


def test_a_declared_body_too_large_is_413_before_it_comes(server: ServerProcess) -> None:
    """Over 16 MiB the answer comes at once, and the connection is closed."""
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 16777217\r\n\r\n"
    status, headers, answer = raw(server, head)

    assert (status, headers["connection"], answer["type"]) == (413, "close", "urn:seatrial:problem:body-too-large")


def test_a_streamed_body_too_large_is_413(start_server: StartServer) -> None:
    """A body without a length is refused once it is over the limit, and the connection closed."""
    server = start_server("--max-body-bytes", "1000")
    head = b"POST /predict/batch HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    status, headers, answer = raw(server, head + b"3e9\r\n" + b" " * 1001)

    assert (status, headers["connection"], answer["type"]) == (413, "close", "urn:seatrial:problem:body-too-large")


@pytest.mark.proves("S41")
def test_a_caller_who_stops_in_the_middle_is_504(start_server: StartServer) -> None:
    """One deadline covers the body too: who sends half of it and waits is answered."""
    server = start_server("--request-timeout", "0.2")
    head = b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 100\r\n\r\n{"
    status, _, answer = raw(server, head)

    assert (status, answer["type"]) == (504, "urn:seatrial:problem:deadline-exceeded")
    assert "'receive'" in answer["detail"]


@pytest.mark.proves("S40")
@pytest.mark.parametrize(
    "request_head",
    [
        b"NONSENSE\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: many\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: -5\r\n\r\n",
    ],
    ids=["no HTTP", "a length that is no number", "a negative length"],
)
def test_what_is_not_http_is_400(server: ServerProcess, request_head: bytes) -> None:
    """Broken HTTP is refused by the server itself, which goes on."""
    assert raw(server, request_head)[0] == 400
    assert server.ready() == 200


@pytest.mark.proves("S58")
def test_the_log_keeps_secrets(start_server: StartServer) -> None:
    """A failure is logged with its request id, but without the caller's credentials and inputs."""
    server = start_server("--request-timeout", "1e-9")
    token = server.token
    headers = {"Authorization": f"Bearer {token}", "X-Request-ID": "late-one"}
    body = {"data": {**DENVER, "latitude": 44.125}}
    status = httpx2.post(f"{server.url}/predict", json=body, headers=headers).status_code
    until(lambda: bool(server.events("request_failed")), "the failure is logged")
    (line,) = server.events("request_failed")

    assert status == 504
    assert (line["request_id"], line["status"], line["reason"]) == ("late-one", 504, "deadline-exceeded")
    log = server.log_file.read_text()
    assert token not in log
    assert "44.125" not in log


def test_a_server_keeps_to_its_data_directory(start_server: StartServer, tmp_path: Path) -> None:
    """Nothing is written outside of the data directory: above all no identifier or event for somebody else."""
    (tmp_path / "home").mkdir()
    server = start_server(HOME=str(tmp_path / "home"))

    assert httpx2.post(f"{server.url}/predict", json={"data": DENVER}).status_code == 200
    assert server.stop() == 0
    for folder in (tmp_path / "home", tmp_path / "tmp"):
        assert [str(path) for path in folder.rglob("*")] == []
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "admin.token", "artifacts", "seatrial.db", "secret.key",
    }  # fmt: skip


def test_the_log_says_what_is_served(server: ServerProcess) -> None:
    """Standard error has JSON lines; one says where the server serves what. Standard output stays empty."""
    (line,) = server.events("serving")

    assert (line["url"], line["models"]) == (server.url, ["digits:1", "geoclimate:1"])
    assert {event["model"] for event in server.events("model_ready")} == {"digits:1", "geoclimate:1"}
    assert all(line.startswith("{") for line in server.log_file.read_text().splitlines())
    assert server.output() == ""


@pytest.mark.proves("S44")
def test_a_public_server_without_credentials_gives_only_what_is_public(start_server: StartServer) -> None:
    """On 0.0.0.0 predictions and models are 401; health and documentation are 200; the admin token opens the rest."""
    server = start_server("--host", "0.0.0.0", "--anonymous-scopes", "")  # noqa: S104 - what is tested
    token = server.token
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as http:
        assert http.post("/predict", json={"data": DENVER}).status_code == 401
        assert http.get("/models").status_code == 401
        assert http.get("/metrics").status_code == 401
        for path in ("/", "/health", "/health/ready", "/docs"):
            assert http.get(path).status_code == 200
        http.headers["Authorization"] = f"Bearer {token}"
        assert http.post("/predict", json={"data": DENVER}).status_code == 200
        assert http.get("/models").status_code == 200


def test_settings_come_from_flag_environment_and_file(start_server: StartServer, tmp_path: Path) -> None:
    """A flag wins over the environment, which wins over ./seatrial.toml, which wins over the default."""
    (tmp_path / "seatrial.toml").write_text(
        'max_body_bytes = 1\nanonymous_scopes = "read"\ndefault_models = ["geoclimate"]\n', encoding="utf-8"
    )
    server = start_server(
        "--max-body-bytes", "1000000", SEATRIAL_MAX_BODY_BYTES="2", SEATRIAL_ANONYMOUS_SCOPES="predict"
    )

    assert httpx2.post(f"{server.url}/predict", json={"data": DENVER}).status_code == 200
    assert httpx2.get(f"{server.url}/models").status_code == 401
