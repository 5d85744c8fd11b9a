"""What the verbs decide before and after a run."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.fakes.runs import closed_loop, run, stalled, steady

from seatrial.contracts.proof import Proof
from seatrial.grading.spec import read_slo
from seatrial.grading.toml import WrongFile
from seatrial.trials import verbs
from seatrial.trials.core.target import Target
from seatrial.trials.measure.prove import prove

OURS = Target("http://127.0.0.1:1")


def proof(*, good: bool = True) -> Proof:
    facts = run()
    found = prove(facts, closed_loop(facts, steady if good else stalled), read_slo("default"))
    return replace(found, run=replace(found.run, machine=replace(found.run.machine, digest="sha256:" + "ab" * 32)))


def test_a_run_has_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Made where it is not there; a file, or one that holds something, is refused."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "proof.json").write_text("", encoding="utf-8")

    assert verbs.new_folder(tmp_path / "a" / "b").is_dir()
    assert verbs.new_folder(None).parent == Path("trials")
    with pytest.raises(WrongFile, match="file: cannot be used for the records: File exists"):
        verbs.new_folder(tmp_path / "file")
    with pytest.raises(WrongFile, match="full: is not empty; expected a new folder"):
        verbs.new_folder(tmp_path / "full")


def test_a_target_is_ours_unless_a_file_says_otherwise(tmp_path: Path) -> None:
    """Without a URL this machine's; a line's end after a key, as files have it, is no part of it."""
    file = tmp_path / "target.toml"
    file.write_text('schema = "seatrial/target/v1"\n[[request]]\npath = "/"\n', encoding="utf-8")

    assert verbs.find_target("", "key\n", None) == Target(verbs.DEFAULT_TARGET, "key")
    assert verbs.find_target("http://here:1/", "", file).url == "http://here:1"
    with pytest.raises(WrongFile, match="the target is a URL such as"):
        verbs.find_target("", "", file)


def test_baselines_are_of_a_machine_and_a_kind_of_target(tmp_path: Path) -> None:
    """Only a run that passes is kept; another target file has another one."""
    kept, other = tmp_path / "kept", replace(OURS, file=Path("digits.toml"))

    assert verbs.keep_baseline(proof(good=False), kept, OURS) is None
    assert verbs.keep_baseline(proof(), kept, OURS) == kept / ("ab" * 8) / "seatrial"
    assert verbs.beside_baseline(proof(), kept, other, tmp_path) is None
    beside = verbs.beside_baseline(proof(good=False), kept, OURS, tmp_path)
    assert beside is not None
    assert (beside.first.verdict.outcome, beside.second.verdict.outcome) == ("pass", "fail")
    assert (tmp_path / "compare.json").exists()


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1.0), ("2m", 120.0), ("1500ms", 1.5)])
def test_durations_are_at_least_a_second(text: str, seconds: float) -> None:
    """Of the open loop parts of seconds too."""
    assert verbs.seconds(text) == seconds
