"""`seatrial models ... --server`: the same commands, over HTTP, with a key."""

import json
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.onnx_models import linear
from tests.live import ServerProcess, server_process, until
from typer.testing import CliRunner

from seatrial.cli.main import app
from seatrial.server.registry.ledger import Note
from seatrial.server.registry.model import Stage
from seatrial.server.settings import Settings
from seatrial.server.storage.opening import open_registry

pytestmark = pytest.mark.e2e
SLO = Path(__file__).resolve().parents[1] / "fakes" / "slo.toml"
LINEAR: bytes = linear().SerializeToString()
Done = tuple[int, str, str]


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what the tests say."""
    monkeypatch.chdir(tmp_path)
    for name in (*Settings.model_fields, "api_key"):
        monkeypatch.delenv(f"SEATRIAL_{name.upper()}", raising=False)


class Operator:
    """Somebody with the key of a server, on its machine."""

    def __init__(self, server: ServerProcess) -> None:
        self.server = server
        self.data = server.folder / "data"
        self.key = server.token

    def here(self, *arguments: str) -> Done:
        """`seatrial models` on the data directory: exit code, output and errors."""
        return run(*arguments, "--data-dir", str(self.data), SEATRIAL_SLO=str(SLO))

    def there(self, *arguments: str) -> Done:
        """The same over HTTP; the key comes from the environment."""
        return run(*arguments, "--server", self.server.url, SEATRIAL_API_KEY=self.key)


def run(*arguments: str, **variables: str) -> Done:
    done = CliRunner().invoke(app, ["models", *arguments], env={"COLUMNS": "200", **variables})
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """For all tests of this file, which come in their order; digits has a second version, in dev."""
    with server_process(
        tmp_path_factory.mktemp("server"), SEATRIAL_SLO=str(SLO), SEATRIAL_MAX_MODEL_BYTES=str(2**20)
    ) as server:
        found = Operator(server)
        with closing(open_registry(None, found.data)) as registry:
            second = replace(registry.get("digits:1"), version=2, stage=Stage.DEV)
            registry.add(second, Note("local:test", "the [same] again"))
        until(lambda: server.http.get(f"{server.url}/models/digits:2").status_code == 200, "the server knows it")
        yield found


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("list", "--json"),
        ("show", "digits:2"),
        ("show", "digits:2", "--json"),
        ("history",),
        ("history", "digits"),
        ("history", "--json"),
    ],
)
def test_a_server_tells_what_its_data_directory_holds(operator: Operator, arguments: tuple[str, ...]) -> None:
    """To the letter."""
    here, there = operator.here(*arguments), operator.there(*arguments)

    assert there == here
    assert (there[0], "digits:2" in there[1], there[2]) == (0, True, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "nobody:1"),
        ("show", "digits"),
        ("show", "../metrics:1"),
        ("history", "nobody"),
        ("rollback", "nobody", "--reason", "slow"),
        ("promote", "nobody:1", "staging"),
        ("promote", "digits:2", "nowhere"),
        ("promote", "digits:2", "staging", "--override"),
    ],
)
def test_what_is_named_wrongly_ends_with_2(operator: Operator, arguments: tuple[str, ...]) -> None:
    """With the same text as without a server."""
    here, there = operator.here(*arguments), operator.there(*arguments)

    assert there == here
    assert (there[0], there[1], there[2].startswith("seatrial: ")) == (2, "", True)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("archive", "digits:2"), "no route does it"),
        (("history", "--verify"), "each entry follows one of any model"),
        (("list", "--data-dir", "."), "takes neither --data-dir nor --database-url"),
        (("list", "--database-url", "postgresql://h/d"), "takes neither --data-dir nor --database-url"),
        (("list", "--api-key", "se\ncret"), "--api-key: expected letters, digits and signs of ASCII"),
    ],
)
def test_what_a_server_cannot_do_is_said(operator: Operator, arguments: tuple[str, ...], told: str) -> None:
    """With exit code 2."""
    code, printed, text = operator.there(*arguments)

    assert (code, printed, told in text) == (2, "", True)
    assert "cret" not in text


@pytest.mark.parametrize("with_manifest", [False, True])
def test_a_file_is_sent_and_registered(operator: Operator, tmp_path: Path, with_manifest: bool) -> None:  # noqa: FBT001 - a parameter
    """As it is, or in a form with its manifest; the ledger names the owner of the key."""
    (tmp_path / "model.onnx").write_bytes(LINEAR)
    (tmp_path / "it.toml").write_text('[output]\nunits = "EUR"\n')
    name, more = ("form", ["--manifest", "it.toml"]) if with_manifest else ("raw", [])
    added = operator.there("add", "model.onnx", "--name", name, "--reason", "retrained & tried", *more)
    shown = json.loads(operator.here("show", f"{name}:1", "--json")[1])
    (entry,) = json.loads(operator.here("history", name, "--json")[1])

    assert added == (0, f"{name}:1  dev  {shown['digest']}\nregression of x float32[4]\n", "")
    assert shown["manifest"]["output"]["units"] == ("EUR" if with_manifest else "")
    assert (entry["who"], entry["why"]) == ("local:admin.token", "retrained & tried")
    again = operator.there("add", "model.onnx", "--name", name, "--json", *more)
    assert json.loads(again[1]) == json.loads(operator.here("show", f"{name}:2", "--json")[1])


def test_a_file_that_is_refused_is_told_as_without_a_server(operator: Operator, tmp_path: Path) -> None:
    """Fault by fault; one that is too large before it is sent whole; one that is not there is not sent."""
    (tmp_path / "model.onnx").write_bytes(LINEAR)
    (tmp_path / "model.pkl").write_bytes(b"\x80\x04N.")
    (tmp_path / "bad.toml").write_text('stage = "production"\nroles = 1\n')
    (tmp_path / "large.onnx").write_bytes(bytes(2**26))
    for arguments in (
        ("model.pkl", "--name", "it"),
        ("model.onnx", "--name", "it", "--manifest", "bad.toml"),
        ("nowhere.onnx", "--name", "it"),
        ("model.onnx", "--name", "It"),
    ):
        here, there = operator.here("add", *arguments), operator.there("add", *arguments)
        assert there == here
        assert there[0] in {1, 2}
    code, _, told = operator.there("add", "large.onnx", "--name", "it")

    assert (code, told) == (1, f"seatrial: The body is larger than the limit of {2**20} bytes.\n")


def test_the_gate_refuses_with_its_table(operator: Operator) -> None:
    """The same, with the command to run; nothing has moved."""
    here, there = (ask("promote", "digits:2", "staging") for ask in (operator.here, operator.there))

    assert there == here
    assert (there[0], "none was submitted" in there[1]) == (1, True)
    assert there[2] == (
        "seatrial: digits:2 is not proven for staging. Run: seatrial trial prove --model digits:2 --submit\n"
    )


def test_a_version_is_moved_and_moved_back(operator: Operator) -> None:
    """An override says so and shows what is missing; once more there is nothing to do; what cannot be ends with 1."""
    skipped = [ask("promote", "digits:2", "production") for ask in (operator.here, operator.there)]
    staged = operator.there("promote", "digits:2", "staging", "--override", "--reason", "the fair is today")
    again = operator.there("promote", "digits:2", "staging")
    live = operator.there("promote", "digits:2", "production", "--override", "--reason", "the fair is today")
    back = operator.there("rollback", "digits", "--reason", "it was slow")
    entries = json.loads(operator.there("history", "digits", "--json")[1])

    assert (skipped[1], skipped[1][0]) == (skipped[0], 1)
    assert (staged[0], "none was submitted" in staged[1], staged[1].splitlines()[-1]) == (
        0, True, "digits:2  dev -> staging",
    )  # fmt: skip
    assert again == (0, "Nothing to do.\n", "")
    assert (live[0], live[1].splitlines()[-2:]) == (
        0, ["digits:1  production -> archived", "digits:2  staging -> production"],
    )  # fmt: skip
    assert re.fullmatch(
        r"digits:1 gave its 100 known answers again; the worst differs by \S+\.", back[1].splitlines()[0]
    )
    assert back[1].splitlines()[1:] == ["digits:2  production -> staging", "digits:1  archived -> production"]
    assert [(entry["gate"], entry["who"], entry["why"]) for entry in entries if entry["gate"] == "override"] == [
        ("override", "local:admin.token", "the fair is today")
    ] * 3
    assert operator.here("history", "--verify")[0] == 0


def test_without_a_key_that_may_nothing_is_done(operator: Operator) -> None:
    """With exit code 3, as where nobody listens; the key is in no text."""
    url = operator.server.url
    moved = ("promote", "digits:2", "production", "--override", "--reason", "x", "--server", url)
    none, wrong = run(*moved), run(*moved, "--api-key", "wrong-key-1234")

    assert (none[0], none[1], none[2].startswith("seatrial: This needs")) == (3, "", True), none
    assert wrong == (3, "", "seatrial: The token is not valid, or not any more.\n")
