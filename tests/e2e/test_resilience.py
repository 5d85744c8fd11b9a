"""What must not bring it down: bad requests of every kind, too many, too slow, too large; and parts that are gone."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import httpx2
import pytest
from tests.e2e.helpers import PATIENCE, Deployment, ask, expect, expect_problem, known, new_name
from tests.fakes.onnx_models import linear
from tests.inputs import BLANK, DENVER
from tests.live import until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LINEAR: bytes = linear().SerializeToString()
INJECTIONS = (
    "'; DROP TABLE versions; --",
    "digits' OR '1'='1",
    "digits:1 UNION SELECT password FROM accounts",
    "%27%3B--",
)
SCRIPT = "<script>alert(document.domain)</script>"


@pytest.fixture(autouse=True)
def still_right(deployment: Deployment) -> Iterator[None]:
    """After each of these tests both models answer, rightly, and all is well."""
    yield
    with deployment.user() as http:
        until(lambda: http.get("/health").json()["status"] == "healthy", "all is well again", PATIENCE)
        ask(http, known("digits")[0])
        ask(http, known("geoclimate")[0])


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/data"]),
        ({"data": {}}, ["/data/latitude", "/data/longitude", "/data/year", "/data/scenario"]),
        ({"data": {**DENVER, "latitude": None}}, ["/data/latitude"]),
        ({"data": {**DENVER, "scenario": "B2"}}, ["/data/scenario"]),
        ({"data": {**DENVER, "year": 1700, "longitude": 10}}, ["/data/longitude", "/data/year"]),
        ({"data": DENVER, "return_probabilities": "yes"}, ["/return_probabilities"]),
    ],
    ids=["nothing", "empty", "null", "category", "range", "option"],
)
def test_an_invalid_request_is_told_by_its_places(
    deployment: Deployment, body: dict[str, object], pointers: list[str]
) -> None:
    """422 with a pointer for each fault."""
    with deployment.user() as http:
        answer = expect_problem(http.post("/predict", json={"model_name": "geoclimate", **body}), 422, "invalid-input")

    assert [fault["pointer"] for fault in answer["errors"]] == pointers


@pytest.mark.load  # which has the machine for itself: who cannot reach Redis in time is counted by one replica alone
def test_a_key_over_its_rate_is_told_when_to_come_again(deployment: Deployment) -> None:
    """Exactly as many as it may, over both replicas; then 429 with a time after which the next is answered."""
    often = 12
    wish = {"name": new_name(), "scopes": ["predict"], "rate_limit": f"{often}/minute"}
    with deployment.caller() as http:
        key = expect(http.post("/auth/keys", json=wish), 201)
    with deployment.caller(key["key"]) as http:
        answers = [http.post("/predict", json={"model_name": "geoclimate", "data": DENVER}) for _ in range(often + 1)]
        refused = expect_problem(answers[-1], 429, "limit-exceeded")
        seconds = int(answers[-1].headers["retry-after"])
        until(
            lambda: http.post("/predict", json={"model_name": "geoclimate", "data": DENVER}).status_code == 200,
            "it may call again", seconds + 5,
        )  # fmt: skip
    with deployment.caller() as http:
        expect(http.delete(f"/auth/keys/{key['key_id']}"), 204)

    assert [answer.status_code for answer in answers] == [200] * often + [429]
    assert 1 <= seconds <= 60 / often
    assert refused["detail"]


def test_a_deadline_is_met(deployment: Deployment) -> None:
    """What cannot be done in the time that the caller has is 504, which names the phase, soon; nonsense is 400."""
    with deployment.user() as http:
        late = http.post("/predict", content=known("digits")[0].body, headers={"X-Request-Timeout": "0.000001"})
        document = expect_problem(late, 504, "deadline-exceeded")
        for wish in ("0", "-1", "soon", "nan", "inf"):
            answer = http.post("/predict", json={"data": DENVER}, headers={"X-Request-Timeout": wish})
            expect_problem(answer, 400, "invalid-header")

    assert document["detail"].startswith("The deadline of 1e-06 s passed in the phase '")


def test_after_a_hundred_errors_it_is_as_before(deployment: Deployment) -> None:
    """A right answer between any two failures, on one connection."""
    question = known("digits")[5]
    with deployment.user() as http:
        for number in range(100):
            expect_problem(http.post("/predict", json={"data": {"no": number}}), 422, "invalid-input")
            ask(http, question)


def test_errors_at_once_harm_nobody_else(deployment: Deployment) -> None:
    """Sixteen people, half of whom send nonsense: each of the others is answered rightly."""

    def person(number: int) -> int:
        with deployment.user() as http:
            for turn in range(50):
                if number % 2:
                    expect_problem(http.post("/predict", content=b"\x00nonsense"), 400, "invalid-json")
                else:
                    ask(http, known("digits")[(number + turn) % 100])
        return 50

    with ThreadPoolExecutor(16) as people:
        assert sum(people.map(person, range(16))) == 800


def test_a_payload_that_is_too_large_is_refused(deployment: Deployment) -> None:
    """413, before all of it has come; a large one within the limit is answered."""
    rows = [BLANK] * 4000
    with deployment.user() as http:
        done = expect(http.post("/predict/batch", json={"model_name": "digits", "data": rows}), 200)
    assert len(done["predictions"]) == 4000

    place = urlsplit(deployment.url)
    with closing(HTTPConnection(place.hostname or "", place.port, timeout=PATIENCE)) as connection:
        connection.putrequest("POST", "/predict")
        for name, value in {"Content-Length": 16 * 2**20 + 1, "Authorization": f"Bearer {deployment.user_key}"}.items():
            connection.putheader(name, str(value))
        connection.endheaders(b" " * 70_000)  # more than the balancer waits for before it asks
        answer = connection.getresponse()
        document = json.loads(answer.read())
    assert (answer.status, document["type"]) == (413, "urn:seatrial:problem:body-too-large")


@pytest.mark.parametrize(
    "content", [b"{", b'{"data": [1, 2}', b'{"data": 1e400}', b"{'data': 1}", b'{"data": [1,]}', b"\xef\xbb\xbf{"]
)
def test_json_that_is_none_is_told(deployment: Deployment, content: bytes) -> None:
    """400, and where it breaks off."""
    with deployment.user() as http:
        expect_problem(http.post("/predict", content=content), 400, "invalid-json")


def test_a_missing_content_type_is_json(deployment: Deployment) -> None:
    """For predictions only; another type is 415 and says which is read."""
    question = known("geoclimate")[2]
    with deployment.user() as http:
        bare = http.build_request("POST", "/predict", content=question.body)
        bare.headers.pop("content-type", None)
        answer = http.send(bare)
        expect(answer, 200)
        for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded"):
            refused = http.post("/predict", content=question.body, headers={"Content-Type": kind})
            expect_problem(refused, 415, "unsupported-media-type")

    assert not question.check(answer.status_code, answer.content)


@pytest.mark.parametrize("text", INJECTIONS)
def test_sql_in_a_request_is_a_text(deployment: Deployment, text: str) -> None:
    """Wherever a request says something it is what it says: an unknown name; and all that there was is there."""
    with deployment.caller() as http:
        before = expect(http.get("/models"), 200)
        expect_problem(http.post("/predict", json={"model_name": text, "data": DENVER}), 404, "unknown-model")
        listed = expect(http.get("/models", params={"model_name": text}), 200)
        expect_problem(http.get("/models/" + httpx2.URL(f"http://x/{text}").path.lstrip("/")), 404, "unknown-model")
        expect_problem(
            http.post("/auth/login", json={"email": "a@example.org", "password": text}), 401, "unauthenticated"
        )
        after = expect(http.get("/models"), 200)

    assert listed == []
    assert {model["model_id"] for model in before} <= {model["model_id"] for model in after}


def test_a_script_is_told_as_json_that_no_browser_runs(deployment: Deployment) -> None:
    """What a request said stands in its problem as JSON, under a policy that runs nothing."""
    with deployment.user() as http:
        answers = [
            http.post("/predict", json={"model_name": SCRIPT, "data": DENVER}),
            http.post("/predict", json={"model_name": "geoclimate", "data": {**DENVER, "scenario": SCRIPT}}),
            http.get("/models", params={"stage": SCRIPT}),
        ]

    assert [answer.status_code for answer in answers] == [404, 422, 422]
    for answer in answers:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]


def all_say(http: httpx2.Client, part: str, state: str) -> bool:
    """Whether every replica says so of a part: ten answers in a row are of both."""
    return all(expect(http.get("/health"), 200)["checks"][part] == state for _ in range(10))


@contextmanager
def without(deployment: Deployment, part: str) -> Iterator[None]:
    """The database or the cache is gone, for as long."""
    stack = deployment.parts()
    with (stack.database if part == "database" else stack.cache).gone():
        yield


def check_goes_on(http: httpx2.Client, part: str) -> None:
    """Assert that both replicas know that a part is gone, are ready, and answer rightly."""
    until(lambda: all_say(http, part, "unavailable"), "both replicas know", PATIENCE)
    for question in known("digits")[:50]:
        ask(http, question)
    expect(http.get("/health/ready"), 200)


@pytest.mark.proves("R1")
def test_without_the_database_predictions_go_on(deployment: Deployment) -> None:
    """Ready, and degraded; who writes is told to come again; once it is back, they may."""
    with without(deployment, "database"), deployment.caller() as http:
        check_goes_on(http, "database")
        refused = http.post("/models", params={"name": new_name()}, content=LINEAR)
        expect_problem(refused, 503, "storage-unavailable")

    assert int(refused.headers["retry-after"]) >= 1
    with deployment.caller() as http:
        until(
            lambda: http.post("/models", params={"name": new_name()}, content=LINEAR).status_code == 201,
            "it writes again", PATIENCE,
        )  # fmt: skip


@pytest.mark.proves("R17")
def test_without_the_cache_answers_are_the_same(deployment: Deployment) -> None:
    """Ready, degraded, and right."""
    with without(deployment, "cache"), deployment.user() as http:
        check_goes_on(http, "cache")
        assert all_say(http, "database", "ok")


def test_callers_who_send_nothing_keep_nobody_out(deployment: Deployment) -> None:
    """A hundred connections that say half a request, and wait: others are answered meanwhile."""
    place = urlsplit(deployment.url)
    head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    with ExitStack() as exits, deployment.user() as http:
        for _ in range(100):
            idle = exits.enter_context(socket.create_connection((place.hostname, place.port or 80), PATIENCE))
            idle.sendall(head)
        for question in known("geoclimate")[:20]:
            ask(http, question)
