"""From one release to the next, with traffic on: the schema first, then one replica after the other."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from benchmarks.faults import RATE, Broken, Writer, open_load, outcome
from tests.live import environment
from tests.stack import HAPROXY, ROOT, Stack, running_stack

import seatrial
from seatrial.server.storage import schema

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.load,
    pytest.mark.shared,
    pytest.mark.skipif(HAPROXY is None, reason="needs HAProxy: apt-get install haproxy"),
]
NEXT_VERSION, NEXT_SCHEMA = "99.0.0", "9999"
STEP = f'''"""What a release adds: a table, a column that may be empty, an index."""

import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{NEXT_SCHEMA}", "{schema.head()}", None, None


def upgrade() -> None:
    """Add them."""
    op.create_table("novelties", sa.Column("id", sa.Integer, primary_key=True))
    op.add_column("versions", sa.Column("novelty", sa.Text, nullable=True))
    op.create_index("ix_versions_digest", "versions", ["digest"])


def downgrade() -> None:
    """Take them away."""
    op.drop_index("ix_versions_digest", "versions")
    op.drop_column("versions", "novelty")
    op.drop_table("novelties")
'''


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One that serves this release."""
    with running_stack(tmp_path_factory.mktemp("stack")) as started:
        yield started


@pytest.fixture(scope="module")
def following(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The next release, as a command: this one with another version, and one more step of the schema."""
    folder = tmp_path_factory.mktemp("next")
    package = folder / "seatrial"
    shutil.copytree(ROOT / "src" / "seatrial", package, ignore=shutil.ignore_patterns("__pycache__"))
    edit(package / "__init__.py", f'"{seatrial.__version__}"', f'"{NEXT_VERSION}"')
    storage = package / "server" / "storage"
    edit(storage / "schema.py", f'"{schema.head()}")', f'"{schema.head()}", "{NEXT_SCHEMA}")')
    (storage / "migrations" / "versions" / f"m{NEXT_SCHEMA}_next.py").write_text(STEP, encoding="utf-8")
    return ("env", f"PYTHONPATH={folder}", sys.executable, "-m", "seatrial")


def edit(path: Path, before: str, after: str) -> None:
    """Put one text in the place of another, which must be there."""
    text = path.read_text(encoding="utf-8")
    assert before in text, (path, before)
    path.write_text(text.replace(before, after), encoding="utf-8")


def versions_served(stack: Stack) -> set[str]:
    """The release of each replica."""
    return {httpx2.get(f"{replica.url}/").json()["version"] for replica in stack.replicas}


@pytest.mark.proves("R3")
def test_an_upgrade_costs_no_request(stack: Stack, following: tuple[str, ...], tmp_path: Path) -> None:
    """Under load the old servers go on over the new schema, reading and writing; then new ones take their place."""
    writer, before = Writer(stack), versions_served(stack)
    key = stack.make_key()
    with open_load(stack, key, tmp_path / "load", RATE / 4) as load:
        upgraded = stack.command("db", "upgrade", python=following)
        written_by_the_old = writer.write()
        stack.restart_each(following)
        written_by_the_new = writer.write()
    samples = load.samples()
    seen = outcome("upgrade", Broken(samples[0].intended + 1, samples[-1].intended), samples)

    assert upgraded == f"schema {NEXT_SCHEMA}\n"
    assert (written_by_the_old.status_code, written_by_the_new.status_code) == (201, 201)
    assert (before, versions_served(stack)) == ({seatrial.__version__}, {NEXT_VERSION})
    assert (seen.failed, seen.wrong) == (0, 0), seen.failures
    known = {model["model_id"] for model in httpx2.get(f"{stack.balancer.url}/models").json()}
    assert {written_by_the_old.json()["model_id"], written_by_the_new.json()["model_id"]} <= known


def test_a_server_of_the_release_before_does_not_start_over_a_newer_schema(
    stack: Stack, following: tuple[str, ...], tmp_path: Path
) -> None:
    """It says what to do, and ends with 3; a migration that ran already is none."""
    assert stack.command("db", "upgrade", python=following) == f"schema {NEXT_SCHEMA}\n"
    done = subprocess.run(
        [sys.executable, "-m", "seatrial", "serve", "--port", "0"],
        cwd=tmp_path,
        env=environment(tmp_path, SEATRIAL_DATABASE_URL=stack.database_url),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode == 3
    assert re.search(rf"schema {NEXT_SCHEMA}, which is newer than this server .*Install the release", done.stderr)
