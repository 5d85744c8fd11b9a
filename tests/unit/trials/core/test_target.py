"""Target files: what to ask of an API that is not ours."""

from pathlib import Path

import pytest

from seatrial.contracts.record import Subject
from seatrial.grading.toml import WrongFile
from seatrial.trials.core.target import Target, read_target_file, read_url, subjects_of

DIGEST = "sha256:" + "a" * 64


def write(folder: Path, text: str) -> Path:
    path = folder / "target.toml"
    path.write_text('schema = "seatrial/target/v1"\n' + text, encoding="utf-8")
    return path


def test_a_target_file_is_read(tmp_path: Path) -> None:
    """Paths, bodies, weights, headers and what is expected."""
    (tmp_path / "image.bin").write_bytes(b"\x00\x01")
    path = write(
        tmp_path,
        """
url = "http://127.0.0.1:9000/"
wait = [0.5, 1]
[[request]]
path = "/predict?fast=1"
method = "POST"
weight = 10
body = { pixels = [0, 1] }
[request.expect]
json = { "/label" = 7, "/scores/1" = 0.5 }
tolerance = 0.01
[[request]]
name = "raw"
path = "/raw"
method = "PUT"
body_file = "image.bin"
headers = { "content-type" = "application/octet-stream" }
[[request]]
path = "/health"
expect = { status = 204 }
""",
    )
    target = read_target_file(path, api_key="k")
    predict, raw, health = (item.question for item in target.requests)

    assert (target.url, target.wait_s) == ("http://127.0.0.1:9000", (0.5, 1.0))
    assert target.headers == {"Authorization": "Bearer k"}
    assert [item.weight for item in target.requests] == [10, 1, 1]
    assert (predict.endpoint, predict.body) == ("POST /predict", b'{"pixels": [0, 1]}')
    assert dict(predict.headers) == {"Content-Type": "application/json"}
    assert (raw.endpoint, raw.body, dict(raw.headers)) == (
        "raw",
        b"\x00\x01",
        {"content-type": "application/octet-stream"},
    )
    assert (health.check(204, b""), health.check(200, b"")) == ("", "status 200, expected 204")
    assert predict.check(200, b'{"label": 7, "scores": [0, 0.505]}') == ""
    assert predict.check(200, b'{"label": 8, "scores": [0, 0.5]}') == "wrong answer: /label expected 7, received 8"
    assert predict.check(200, b'{"label": true}') == "wrong answer: /label expected 7, received True"
    assert predict.check(200, b'{"label": 7, "scores": 3}') == "wrong answer: /scores/1 expected 0.5, received None"
    assert predict.check(200, b"no") == "wrong answer: body expected JSON, received b'no'"


def test_text_is_compared_as_it_is(tmp_path: Path) -> None:
    """Values that are no numbers must be equal."""
    path = write(tmp_path, '[[request]]\npath = "/"\nexpect = { json = { "/a~1b" = "x" } }\n')
    (item,) = read_target_file(path, "http://127.0.0.1:1").requests

    assert item.question.check(200, b'{"a/b": "x"}') == ""
    assert item.question.check(200, b'{"a/b": "y"}') == "wrong answer: /a~1b expected x, received y"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[[request]]\npath = "nope"\n', r"target\.toml:3: /request/0/path: .*received 'nope'"),
        ('[[request]]\npath = "/"\nbody_file = "none"\n', "body_file 'none' cannot be read: No such file"),
        ('wait = [3, 1]\n[[request]]\npath = "/"\n', r"/wait: expected \[shortest, longest\]; received \[3.0, 1.0\]"),
        (
            '[[request]]\npath = "/"\nexpect = { json = { digit = 7 } }\n',
            r"target\.toml:4: /request/0/expect/json/digit/\[key\]: String should match pattern",
        ),
        ('[[request]]\npath = "/"\n[[request]]\npath = "/?x"\n', "/request: several are called GET /; give each"),
        ('[[request]]\npath = "/"\nbody = 2026-11-24\n', "/request/body: cannot be sent as JSON"),
        ("", r"target\.toml:1: /request is missing; add it"),
        ("request = []\n", r"target\.toml:2: /request: Tuple should have at least 1 item"),
    ],
)
def test_a_target_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    """The fault names the place and what to do."""
    with pytest.raises(WrongFile, match=complaint):
        read_target_file(write(tmp_path, text), "http://127.0.0.1:1")


@pytest.mark.parametrize("url", ["", "localhost:8000", "ftp://x", "http://", "http://a:99999", "http://[::1"])
def test_a_target_is_a_url(url: str) -> None:
    """With http or https and a host."""
    with pytest.raises(WrongFile, match=r"the target is a URL such as http://127\.0\.0\.1:8000; received"):
        read_url(url)


def test_models_in_production_are_what_a_proof_is_about() -> None:
    """Those that the target lists with a digest; another API's answer lists none."""
    listed = [
        {"model_id": "a:1", "digest": DIGEST, "stage": "production"},
        {"model_id": "b:1", "digest": DIGEST, "stage": "dev"},
        {"model_id": "c:1", "digest": "md5:1", "stage": "production"},
        "text",
    ]
    assert subjects_of(listed) == (Subject(model_id="a:1", digest=DIGEST),)
    assert subjects_of({"models": []}) == ()


def test_without_a_key_nothing_is_sent() -> None:
    """No Authorization header."""
    assert Target("http://127.0.0.1:1").headers == {}
