"""What a server answers, as a text and an exit code; and what is sent to it."""

import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from seatrial.cli.client import Body, Client, NotDone, read_answer, read_key, read_server
from seatrial.contracts.problem import Fault, Problem

URL = "http://models.example"
FAULT = Fault("/manifest/stage", "There is no such member.", "name, task", "'stage'")


def refused(status: int, content: bytes) -> NotDone:
    with pytest.raises(NotDone) as caught:
        read_answer(status, content, URL)
    return caught.value


def problem(slug: str, status: int, detail: str, *faults: Fault) -> bytes:
    """The body of a server's answer."""
    return json.dumps(Problem(slug, "Title", status, detail, "/models", "id", faults, len(faults)).as_dict()).encode()


@pytest.mark.parametrize(
    ("slug", "status", "code"),
    [
        ("invalid-input", 422, 1),
        ("stage-conflict", 409, 1),
        ("gate-refused", 409, 1),
        ("body-too-large", 413, 1),
        ("unknown-route", 404, 1),
        ("unknown-model", 404, 2),
        ("unknown-key", 404, 2),
        ("unauthenticated", 401, 3),
        ("forbidden", 403, 3),
        ("internal-error", 500, 3),
        ("storage-unavailable", 503, 3),
    ],
)
def test_a_problem_is_its_detail_and_an_exit_code(slug: str, status: int, code: int) -> None:
    """1 for a refusal, 2 for a model or key that is not there, 3 where the server cannot or the key may not."""
    ending = refused(status, problem(slug, status, "This is why."))

    assert (str(ending), ending.code, ending.slug) == ("This is why.", code, slug)


def test_each_fault_is_a_line() -> None:
    """As `models add` prints those that it finds itself."""
    ending = refused(422, problem("model-refused", 422, "It is not taken.", FAULT, FAULT))

    line = "  /manifest/stage: There is no such member. Expected name, task, received 'stage'."
    assert str(ending).splitlines() == ["It is not taken.", line, line]


def test_a_problem_does_not_steer_the_terminal() -> None:
    """Whatever a server writes, the text is what it seems: signs that move the cursor, or end the line, are spaces."""
    ending = refused(422, problem("invalid-input", 422, "one\x1b[2J\ntwo", Fault("/a\r", "b", "c", "d")))

    assert str(ending).splitlines() == ["one [2J two", "  /a : b Expected c, received d."]


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (200, b"<html>"),
        (200, b"[" * 100_000),
        (302, b""),
        (404, b"Not Found"),
        (404, b'{"detail": "Not Found"}'),
        (404, b"[]"),
        (502, b"<html>Bad Gateway"),
    ],
)
def test_what_is_no_seatrial_is_said(status: int, content: bytes) -> None:
    """A proxy, or another server: exit code 3, and nothing of the body."""
    ending = refused(status, content)

    assert (str(ending), ending.code) == (f"{URL} answered {status}, and not as Seatrial does.", 3)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://models.example/seatrial/", "https://models.example/seatrial"),
        ("http://[::1]:8000/", "http://[::1]:8000"),
    ],
)
def test_a_url_has_a_host_and_perhaps_a_path(text: str, url: str) -> None:
    """Without the slash at its end."""
    assert read_server(text) == url


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("models.example", "expected a URL such as"),
        ("ftp://models.example", "expected a URL such as"),
        ("file:///etc/passwd", "expected a URL such as"),
        ("http://", "expected a URL such as"),
        ("http://a..b", "expected a URL such as"),
        ("http://host:port", "expected a URL such as"),
        ("http://host/a b", "expected a URL such as"),
        ("http://host/\r\nX: y", "expected a URL such as"),
        ("http://host/?a=b", "without query and fragment"),
    ],
)
def test_another_url_is_a_usage_error(text: str, told: str) -> None:
    """With what was expected, and what came."""
    with pytest.raises(NotDone, match="--server: ") as caught:
        read_server(text)

    assert caught.value.code == 2
    assert told in str(caught.value)
    assert repr(text) in str(caught.value)


def test_secrets_are_not_repeated() -> None:
    """Neither a password in a URL, nor a key that cannot be one, nor one that can."""
    for read, text in ((read_server, "http://me:secret@host"), (read_key, "sec ret"), (read_key, "secret\u00e9")):
        with pytest.raises(NotDone) as caught:
            read(text)
        assert (caught.value.code, "sec" in str(caught.value)) == (2, False)

    assert read_key(" secret\n") == "secret"
    assert "secret" not in repr(Client(URL, "secret"))


class Recorder(BaseHTTPRequestHandler):
    """Answers with a redirect, and remembers what came."""

    came: list[tuple[str, str, Mapping[str, str], bytes]]

    def do_GET(self) -> None:
        """Send the caller to itself."""
        self.answer(302, {"Location": "/elsewhere"}, b"")

    def do_POST(self) -> None:
        """Answer as if it were done."""
        self.answer(201, {}, b'{"done": true}')

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Remember the request, and answer."""
        content = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.came.append((self.command, self.path, dict(self.headers), content))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - as in the library
        """Say nothing."""


@contextmanager
def recorder() -> Iterator[tuple[str, list[tuple[str, str, Mapping[str, str], bytes]]]]:
    """A server, by its URL, and what it was asked."""
    Recorder.came = []
    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", Recorder.came
        finally:
            server.shutdown()
            thread.join()


def test_the_key_goes_into_one_header() -> None:
    """A path in front of the routes stays there, and the query says what is said."""
    with recorder() as (url, came):
        body = Body(iter([b"", b"ab", b"c"]), 3, "application/octet-stream")
        done = Client(f"{url}/prefix", "secret").post("/models", {"name": "it", "reason": "a&b ü"}, body)
        Client(url).post("/models", {})

    (_, path, headers, content), (*_, anonymous, nothing) = came
    assert (done, path, content) == ({"done": True}, "/prefix/models?name=it&reason=a%26b+%C3%BC", b"abc")
    assert [name for name, value in headers.items() if "secret" in value] == ["Authorization"]
    assert (headers["Authorization"], headers["Content-Length"]) == ("Bearer secret", "3")
    assert ("Authorization" in anonymous, nothing) == (False, b"")


def test_no_redirect_is_followed() -> None:
    """The key is for the server that was named."""
    with recorder() as (url, came), pytest.raises(NotDone, match="answered 302, and not as Seatrial does"):
        Client(url, "secret").get("/models")

    assert len(came) == 1


def test_an_answer_before_the_end_of_a_body_is_heard() -> None:
    """A server that has refused a large file does not read the rest of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(2**16)
                told = problem("body-too-large", 413, "It is too large.")
                connection.sendall(b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n%s" % (len(told), told))

        thread = threading.Thread(target=refuse)
        thread.start()
        body = Body((bytes(2**20) for _ in range(64)), 2**26, "application/octet-stream")
        with pytest.raises(NotDone) as caught:
            Client(f"http://127.0.0.1:{listener.getsockname()[1]}").post("/models", {}, body)
        thread.join()

    assert (str(caught.value), caught.value.code) == ("It is too large.", 1)


@pytest.mark.parametrize(
    ("path", "see"), [("/models/digits/rollback", "models history"), ("/auth/keys/abcdefgh/rotate", "keys list")]
)
def test_where_nobody_listens_is_said(path: str, see: str) -> None:
    """Exit code 3. Where a connection is lost after something was asked for, it may have been done: see there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

        def hang_up() -> None:
            connection, _ = listener.accept()
            connection.recv(2**16)
            connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(NotDone, match=f"all the same: see `seatrial {see}`") as lost:
            Client(url).post(path, {})
        thread.join()
    with pytest.raises(NotDone, match=r"does not answer: Connection refused\. Is it running there") as nobody:
        Client(url).post("/models/digits/rollback", {})

    assert (lost.value.code, nobody.value.code) == (3, 3)
