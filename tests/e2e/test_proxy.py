"""A server behind a real proxy: whom it takes a caller for, and what it lets them do."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
from tests.e2e.callers import EMAIL, PASSWORD, audited, check_as_a_stranger
from tests.e2e.conftest import StartServer
from tests.inputs import DENVER
from tests.live import PATIENCE, ServerProcess, free_port, until

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
CONF = Path(__file__).with_name("nginx.conf")
CALLER = "127.0.0.2"
"""From where callers ask. The whole of 127.0.0.0/8 is this machine on Linux, and nowhere else."""
ALL = ("--host", "0.0.0.0")  # noqa: S104 - which is what this is about
TRUSTING = (*ALL, "--trusted-proxies", "127.0.0.1")
FAR_AWAY = {"X-Forwarded-For": "203.0.113.9", "X-Real-IP": "203.0.113.9", "Forwarded": "for=203.0.113.9"}
HSTS = "strict-transport-security"
CREDENTIALS = {"email": EMAIL, "password": PASSWORD}

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of this machine's own"),
]


@contextmanager
def proxied(server: ServerProcess, **headers: str) -> Iterator[httpx2.Client]:
    """Somebody who asks through a proxy of the test's own, and sends these headers with each request."""
    port = str(free_port())
    folder = server.folder / "nginx"
    folder.mkdir()
    text = CONF.read_text(encoding="utf-8").replace("PORT", port).replace("UPSTREAM", str(server.port))
    (folder / "nginx.conf").write_text(text, encoding="utf-8")
    command = [str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]
    proxy = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    try:
        with caller(f"http://127.0.0.1:{port}", **headers) as http:
            until(lambda: proxy.poll() is not None or listens(http), "the proxy listens")
            yield http
    finally:
        proxy.terminate()
        proxy.wait(PATIENCE)


def caller(url: str, **headers: str) -> httpx2.Client:
    """Somebody who asks from an address that is not the proxy's."""
    transport = httpx2.HTTPTransport(local_address=CALLER)
    return httpx2.Client(base_url=url, timeout=PATIENCE, transport=transport, headers=headers)


def listens(http: httpx2.Client) -> bool:
    try:
        return http.get("/health/live").status_code == 200
    except httpx2.ConnectError:
        return False


def failed_logins(server: ServerProcess) -> list[str]:
    """From where the audit says that logins failed."""
    return [entry["address"] for entry in audited(server, "authn_login_fail")]


@pytest.mark.parametrize("arguments", [(), ALL, TRUSTING], ids=["loopback", "all", "trusting"])
def test_strangers_get_nothing_through_a_proxy(start_server: StartServer, arguments: tuple[str, ...]) -> None:
    """Also of a server that listens on loopback only, which would let those in who are on its machine."""
    with proxied(start_server(*arguments)) as http:
        check_as_a_stranger(http)


@pytest.mark.proves("S34")
@pytest.mark.parametrize("headers", [{}, FAR_AWAY], ids=["honest", "lying"])
def test_the_caller_of_a_trusted_proxy_is_who_it_says(start_server: StartServer, headers: dict[str, str]) -> None:
    """In the audit, and in what is counted, whatever the caller says of themselves; and TLS is kept."""
    server = start_server(*TRUSTING, "--anonymous-scopes", "predict", "--anonymous-rate-limit", "5/hour")
    with proxied(server, **headers) as http:
        answers = [http.post("/auth/login", json=CREDENTIALS)]
        answers += [http.post("/predict", json={"data": DENVER}, headers=lie(n) if headers else {}) for n in range(5)]
        with caller(server.url, **headers) as direct:
            counted = direct.post("/predict", json={"data": DENVER}, headers={"X-Forwarded-For": "203.0.113.77"})

    assert failed_logins(server) == [CALLER]
    assert [answer.status_code for answer in answers] == [401, 200, 200, 200, 200, 429]
    assert {answer.headers[HSTS] for answer in answers} == {"max-age=31536000"}
    assert (counted.status_code, HSTS in counted.headers) == (429, False)


def lie(number: int) -> dict[str, str]:
    return {"X-Forwarded-For": f"203.0.113.{number}", "X-Forwarded-Proto": "http"}


@pytest.mark.proves("S34")
def test_a_proxy_that_is_not_trusted_is_the_caller(start_server: StartServer) -> None:
    """And who asks without one is who they are, though they say something else; neither came by TLS."""
    server = start_server(*ALL, "--trusted-proxies", "192.0.2.1")
    with proxied(server) as http, caller(server.url, **FAR_AWAY, **{"X-Forwarded-Proto": "https"}) as direct:
        answers = [asking.post("/auth/login", json=CREDENTIALS) for asking in (http, direct)]

    assert failed_logins(server) == ["127.0.0.1", CALLER]
    assert [(answer.status_code, HSTS in answer.headers) for answer in answers] == [(401, False)] * 2
