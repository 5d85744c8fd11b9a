"""How a server process ends: nothing in flight is lost, and the exit code tells the truth."""

import json
import re
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest
from tests.e2e.conftest import StartServer
from tests.fakes.hostile_files import endless
from tests.inprocess import problem
from tests.inputs import DENVER
from tests.live import PATIENCE, PYTHON, ServerProcess, environment, until

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
BODY = json.dumps({"data": DENVER}).encode()


class HalfSent:
    """A prediction of which the server has got the head and a part of the body."""

    def __init__(self, server: ServerProcess) -> None:
        self._connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
        head = (
            f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(BODY)}\r\nExpect: 100-continue\r\n\r\n"
        )
        self._connection.sendall(head.encode())
        assert self._connection.recv(100).startswith(b"HTTP/1.1 100")  # so its request is being answered
        self._connection.sendall(BODY[:10])

    def finish(self) -> tuple[int, float | None]:
        """Send the rest; status and prediction."""
        self._connection.sendall(BODY[10:])
        answer = b""
        while chunk := self._connection.recv(65536):
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body).get("prediction")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


@contextmanager
def half_sent(server: ServerProcess, count: int) -> Iterator[list[HalfSent]]:
    """Some predictions in flight."""
    with ExitStack() as stack:
        requests = [HalfSent(server) for _ in range(count)]
        for request in requests:
            stack.callback(request.close)
        yield requests


def listens(server: ServerProcess) -> bool:
    """Whether the listener is open."""
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE).close()
    except ConnectionRefusedError:
        return False
    return True


def predict(server: ServerProcess) -> httpx2.Response:
    return server.http.post(f"{server.url}/predict", content=BODY)


def test_sigterm_drains(start_server: StartServer) -> None:
    """After SIGTERM readiness is false and requests are answered; then the listener closes; what is in flight ends."""
    server = start_server(SEATRIAL_DRAIN_SECONDS="2")
    expected = predict(server).json()["prediction"]
    with half_sent(server, 8) as requests:
        server.send(signal.SIGTERM)
        until(lambda: server.ready() == 503, "the server is not ready")
        answers = [predict(server) for _ in range(20)]

        assert [answer.status_code for answer in answers] == [200] * 20
        assert {answer.headers["connection"] for answer in answers} == {"close"}
        until(lambda: not listens(server), "the listener is closed")
        assert server.running()
        assert [request.finish() for request in requests] == [(200, expected)] * 8
        assert server.wait() == 0
    assert server.events("stopped")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_a_drain_the_listener_closes_at_once(start_server: StartServer, number: signal.Signals) -> None:
    """By default on loopback, and always on SIGINT, nothing new is taken; what is in flight is answered."""
    server = start_server()
    with half_sent(server, 4) as requests:
        server.send(number)
        until(lambda: not listens(server), "the listener is closed")

        assert server.running()
        assert [request.finish()[0] for request in requests] == [200] * 4
        assert server.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_sigint_does_not_drain(start_server: StartServer, workers: int) -> None:
    """SIGINT ends a server that would drain for an hour at once, with 0; what is in flight is answered."""
    server = start_server("--workers", str(workers), workers=workers, SEATRIAL_DRAIN_SECONDS="3600")
    with half_sent(server, 6) as requests:
        server.send(signal.SIGINT)
        until(lambda: not listens(server), "the listener is closed")

        assert [request.finish()[0] for request in requests] == [200] * 6
        assert server.wait() == 0


def test_a_terminal_tells_everybody(start_server: StartServer) -> None:
    """Ctrl-C goes to the supervisor and to each worker: what is in flight is answered all the same."""
    server = start_server("--workers", "2", workers=2, SEATRIAL_DRAIN_SECONDS="3600")
    with half_sent(server, 6) as requests:
        for process in (psutil.Process(server.pid), *psutil.Process(server.pid).children()):
            process.send_signal(signal.SIGINT)
        until(lambda: not listens(server), "the listener is closed")

        assert [request.finish()[0] for request in requests] == [200] * 6
        assert server.wait() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_drain(start_server: StartServer, second: signal.Signals, workers: int) -> None:
    """Who signals again does not wait for the drain."""
    server = start_server("--workers", str(workers), workers=workers, SEATRIAL_DRAIN_SECONDS="3600")
    server.send(signal.SIGTERM)
    until(lambda: server.ready() == 503, "the server is not ready")
    server.send(second)

    assert server.wait() == 0


def test_a_server_that_stops_begins_no_worker(start_server: StartServer) -> None:
    """SIGTTIN is a wish for one more, of which nobody would hear that all is over."""
    server = start_server("--workers", "2", workers=2, SEATRIAL_DRAIN_SECONDS="3600")
    server.send(signal.SIGTERM)
    until(lambda: server.ready() == 503, "the server is not ready")
    server.send(signal.SIGTTIN)
    server.send(signal.SIGINT)

    assert server.wait() == 0
    assert len(server.events("serving")) == 2


def test_an_idle_connection_does_not_hold_up_the_end(start_server: StartServer) -> None:
    """A connection that is kept, but on which nothing is in flight, is closed."""
    server = start_server()
    with httpx2.Client(base_url=server.url, timeout=PATIENCE) as http:
        assert http.get("/health/live").status_code == 200
        assert server.stop() == 0


def scrape_both(server: ServerProcess) -> list[str]:
    """The metrics as each of two workers tells them; a connection stays with its worker, so each scrape has its own."""
    found: dict[str, str] = {}

    def scrape(_: int) -> None:
        text = server.http.get(f"{server.url}/metrics", headers={"Connection": "close"}).text
        worker = re.search(r"^seatrial_worker_pid (\S+)$", text, re.MULTILINE)
        assert worker
        found[worker[1]] = text

    def both() -> bool:
        list(threads.map(scrape, range(8)))
        return len(found) == 2

    with ThreadPoolExecutor(8) as threads:
        until(both, "both workers have answered")
    return list(found.values())


def test_workers_answer_and_count_together(start_server: StartServer) -> None:
    """Two workers answer on one port; whichever is scraped tells the sums; the end is clean and leaves nothing."""
    server = start_server("--workers", "2", workers=2)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: predict(server), range(30)))
    assert [answer.status_code for answer in answers] == [200] * 30
    sums = (
        'seatrial_requests_total{method="POST",route="/predict",status="200"} 30.0',
        'seatrial_predicted_examples_total{model="geoclimate:1"} 30.0',
    )
    until(lambda: all(line in text for text in scrape_both(server) for line in sums), "both workers tell the sums")
    assert len(list((server.folder / "tmp").glob("seatrial-*"))) == 1

    assert server.stop() == 0
    assert list((server.folder / "tmp").glob("seatrial-*")) == []
    assert len(server.events("stopped")) == 2


def test_a_stop_does_not_wait_for_an_inspection(start_server: StartServer, tmp_path: Path) -> None:
    """Who registers a file that takes its time is told so, also who waits for a turn; the processes are gone."""
    server = start_server()
    content, headers = endless().SerializeToString(), {"Authorization": f"Bearer {server.token}"}

    def register(_: int) -> httpx2.Response:
        return server.http.post(f"{server.url}/models?name=it", content=content, headers=headers)

    def folders() -> list[Path]:
        return list((tmp_path / "tmp").glob("seatrial-inspection-*"))

    with ThreadPoolExecutor(3) as threads:
        waiting = threads.map(register, range(3))
        until(lambda: len(folders()) == 2, "two files are inspected")
        server.send(signal.SIGTERM)
        answers = list(waiting)
    assert [problem(answer, 503, "not-ready")["reasons"] for answer in answers] == [
        {"registration": "the server is stopping"}
    ] * 3
    assert server.wait() == 0
    assert folders() == []


def test_workers_do_not_outlive_their_supervisor(start_server: StartServer) -> None:
    """When the supervisor is killed its workers stop, and the port is free."""
    server = start_server("--workers", "2", workers=2)
    server.send(signal.SIGKILL)

    assert server.wait() == -signal.SIGKILL
    until(lambda: len(server.events("stopped")) == 2, "both workers have stopped")
    assert not listens(server)


def test_workers_drain(start_server: StartServer) -> None:
    """With several workers a SIGTERM drains each; what is in flight is answered."""
    server = start_server("--workers", "2", workers=2, SEATRIAL_DRAIN_SECONDS="1")
    with half_sent(server, 6) as requests:
        server.send(signal.SIGTERM)
        until(lambda: server.ready() == 503, "a worker is not ready")
        assert predict(server).status_code == 200
        until(lambda: not listens(server), "the listener is closed")

        assert [request.finish()[0] for request in requests] == [200] * 6
        assert server.wait() == 0


def run(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """The command line, to its end."""
    command = [*PYTHON, *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env=environment(folder, **variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_port_in_use_is_exit_3_with_a_message(tmp_path: Path, workers: str) -> None:
    """Who cannot listen says where, and ends."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run(tmp_path, "serve", "--port", port, "--workers", workers)

    assert result.returncode == 3
    assert result.stderr == f"seatrial: Cannot listen on 127.0.0.1 port {port}: Address already in use.\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("PORT", "eighty"),
        ("WORKERS", "0"),
        ("REQUEST_TIMEOUT", "0"),
        ("REQUEST_TIMEOUT", "nan"),
        ("MAX_BODY_BYTES", "-1"),
        ("DRAIN_SECONDS", "-1"),
        ("LOG_LEVEL", "loud"),
        ("ANONYMOUS_SCOPES", "predict,admin"),
    ],
)
def test_a_bad_setting_is_exit_3_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    """A bad value in the environment is told with the name of its setting, and what came."""
    result = run(tmp_path, "serve", **{f"SEATRIAL_{name}": value})

    assert result.returncode == 3
    assert result.stderr.startswith(f"seatrial: SEATRIAL_{name}: ")
    assert value.partition(",")[0] in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("flag", "code", "message"),
    [
        ("--port=70000", 3, "seatrial: SEATRIAL_PORT: "),
        ("--log-level=loud", 3, "seatrial: SEATRIAL_LOG_LEVEL: "),
        ("--port=eighty", 2, "Invalid value for '--port'"),
        ("--prot=80", 2, "No such option: --prot"),
    ],
)
def test_a_bad_flag_is_named(tmp_path: Path, flag: str, code: int, message: str) -> None:
    """A flag that cannot be read is exit 2, as with every command; a value that is wrong is exit 3."""
    result = run(tmp_path, "serve", flag)

    assert result.returncode == code
    assert message in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [("portt = 1\n", "there is no setting 'portt'"), ("port = \n", "Invalid value"), ("port = 'x'\n", "SEATRIAL_PORT")],
)
def test_a_bad_file_is_exit_3(tmp_path: Path, text: str, message: str) -> None:
    """A file of settings with a wrong name, a wrong value or wrong TOML stops the start."""
    (tmp_path / "my.toml").write_text(text, encoding="utf-8")
    result = run(tmp_path, "serve", "--config", "my.toml")

    assert result.returncode == 3
    assert message in result.stderr
    assert "Traceback" not in result.stderr


def test_a_file_that_is_not_there_is_exit_3(tmp_path: Path) -> None:
    """`--config` names a file that exists."""
    result = run(tmp_path, "serve", "--config", "nowhere.toml")

    assert result.returncode == 3
    assert "nowhere.toml" in result.stderr


@pytest.mark.parametrize("flag", ["--version", "--help", "-h"])
def test_the_command_tells_of_itself(tmp_path: Path, flag: str) -> None:
    """`seatrial --version` and `--help` answer on standard output with 0."""
    result = run(tmp_path, flag)

    assert (result.returncode, result.stderr) == (0, "")
    assert "seatrial" in result.stdout


def test_the_script_serves(tmp_path: Path) -> None:
    """scripts/serve, as a stranger runs it, serves from the clone and stops cleanly."""
    if not (ROOT / ".venv").is_dir() or not shutil.which("bash"):
        pytest.skip("scripts/serve would make its environment first, which scripts/test has done where it runs us")
    server = ServerProcess(tmp_path, command=(str(ROOT / "scripts" / "serve"),))
    try:
        server.wait_until_serving()
        assert predict(server).status_code == 200
        assert server.stop() == 0
        assert (tmp_path / "data" / "admin.token").is_file()
    finally:
        server.close()
        print(server.log_file.read_text(encoding="utf-8"))  # noqa: T201 - pytest shows it where a test fails
