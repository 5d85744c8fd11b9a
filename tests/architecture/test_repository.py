"""What is true of every file in the repository."""

import hashlib
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

import seatrial

ROOT = Path(__file__).resolve().parents[2]
STATIC = ROOT / "src" / "seatrial" / "server" / "api" / "static"
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))

# Written so that this file does not match itself.
REGISTRY = rb"(?i)\b(?:py[p]i|python[h]osted|np[m]js|ana[c]onda|un[p]kg|js[d]elivr)\.(?:com|net|org)"
MACHINE_PATH = rb"(?<![\w.)}~-])/(?:home|root|Users|wor[k])/[\w.]"


def program(name: str) -> str:
    path = shutil.which(name)
    assert path, f"{name} is needed for this test"
    return path


@pytest.fixture(scope="module")
def files() -> list[Path]:
    """Every file that is committed or would be with `git add --all`."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git clone, so nobody can tell which files are committed")
    command = [program("git"), "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({ROOT / name for name in names if name and (ROOT / name).is_file()})


@pytest.mark.parametrize("pattern", [REGISTRY, MACHINE_PATH], ids=["registry", "machine path"])
def test_no_file_depends_on_where_it_was_written(files: list[Path], pattern: bytes) -> None:
    """No committed file names a package registry's host or a path that only one machine has."""
    hits = [
        f"{path.relative_to(ROOT)}: {found.group().decode()}"
        for path in files
        for found in re.finditer(pattern, path.read_bytes())
    ]

    assert not hits


def test_scripts_can_run(files: list[Path]) -> None:
    """Every file with an interpreter in its first line is executable, and every shell script parses."""
    scripts = [path for path in files if path.read_bytes().startswith(b"#!")]
    asleep = [str(path.relative_to(ROOT)) for path in scripts if not path.stat().st_mode & 0o111]
    shell = [str(path) for path in scripts if path.read_bytes().split(b"\n", 1)[0].endswith(b"sh")]
    broken = [
        result.stderr
        for path in shell
        if (
            result := subprocess.run([program("bash"), "-n", path], capture_output=True, text=True, check=False)
        ).returncode
    ]

    assert not asleep
    assert not broken
    assert ROOT / "scripts" / "test" in scripts


@pytest.mark.proves("S60")
@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_requirements_are_pinned_by_hash(path: Path) -> None:
    """Every requirement is one version with its hashes, and no file says where to fetch it."""
    text = path.read_text(encoding="utf-8")
    requirements = text.replace("\\\n", " ").splitlines()
    loose = [
        line
        for line in requirements
        if not re.fullmatch(r"[a-z0-9._\[\]-]+==[^ ]+( ; .+?)?( +--hash=sha256:[0-9a-f]{64})+", line)
    ]

    assert requirements
    assert not loose
    assert "://" not in text


def test_versions_agree() -> None:
    """The package, pyproject.toml and the newest numbered section of the changelog name one version."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.findall(r"^## \[?([^\]\s]+)", changelog, flags=re.MULTILINE)
    numbered = [name for name in sections if name != "Unreleased"]

    assert sections.count("Unreleased") <= 1
    assert "Unreleased" not in sections[1:]
    assert [seatrial.__version__, project["version"]] == numbered[:1] * 2


def test_vendored_files_are_the_ones_we_took() -> None:
    """Every vendored file is listed in SHA256SUMS and has that digest."""
    lines = (STATIC / "SHA256SUMS").read_text(encoding="utf-8").splitlines()
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    present = {
        str(path.relative_to(STATIC)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in STATIC.rglob("*")
        if path.is_file() and path.name != "SHA256SUMS"
    }

    assert listed
    assert present == listed
