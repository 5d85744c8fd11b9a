"""SLO files: limits with operators and units, and faults with their line."""

from pathlib import Path

import pytest

from seatrial.contracts.slo import Limit, parse_change, parse_condition, parse_duration, parse_limit
from seatrial.grading.spec import SHIPPED, read_slo
from seatrial.grading.toml import WrongFile


@pytest.mark.parametrize(
    ("text", "sli", "limit"),
    [
        ("<= 8", "p95_ms", Limit("<=", 8)),
        ("<8 ms", "p95_ms", Limit("<", 8)),
        (">= 95%", "rps_vs_expected", Limit(">=", 0.95)),
        ("> 0.95", "rps_vs_expected", Limit(">", 0.95)),
        ("< 0.1 %", "error_ratio", Limit("<", 0.001)),
        ("> 100 rps", "rps", Limit(">", 100)),
    ],
)
def test_limits(text: str, sli: str, limit: Limit) -> None:
    """An operator, a number, and the unit of the SLI or none."""
    assert parse_limit(text, sli) == limit


@pytest.mark.parametrize(
    ("text", "sli", "complaint"),
    [
        ("8", "p95_ms", "a limit is an operator and a number, such as '<= 200 ms'; received '8'"),
        ("<= +8%", "p95_ms", "a limit is an operator and a number"),
        ("<= 8 s", "p95_ms", "p95_ms is in ms, such as '<= 200 ms'; received '<= 8 s'"),
        ("<= 8 ms", "wrong_answers", "wrong_answers is in plain numbers, such as '<= 200'; received '<= 8 ms'"),
    ],
)
def test_a_limit_without_operator_or_in_another_unit_is_refused(text: str, sli: str, complaint: str) -> None:
    """The text says what was expected and what came."""
    with pytest.raises(ValueError, match="^" + complaint.replace("+", r"\+")):
        parse_limit(text, sli)


@pytest.mark.parametrize(
    ("operator", "value", "held"),
    [("<=", 8, "yes"), ("<", 8, "no"), (">=", 8, "yes"), (">", 8, "no"), ("<", 9, "yes"), (">", 7, "yes")],
)
def test_operators(operator: str, value: float, held: str) -> None:
    """Less or equal is not less."""
    assert parse_limit(f"{operator} {value}", "p95_ms").holds(8) is (held == "yes")


def test_changes_durations_and_conditions() -> None:
    """The other little languages of the file."""
    assert parse_change("<= +10%") == pytest.approx(1.1)
    assert [parse_duration(text) for text in ("500ms", "20 s", "5m", "5min", "24h", "2d")] == [
        0.5, 20, 300, 300, 86400, 172800,
    ]  # fmt: skip
    assert parse_condition("score >= 75%") == 0.75
    assert parse_condition("score >= 90% and no critical below acceptable") == 0.9


@pytest.mark.parametrize("text", ["<= 10%", "<= -10%", ">= +5%", ">= -5%", "about +10%"])
def test_a_change_needs_its_sign(text: str) -> None:
    """`<= +N%`, nothing else."""
    with pytest.raises(ValueError, match="change"):
        parse_change(text)


@pytest.mark.parametrize("text", ["5", "5 weeks", "s"])
def test_a_duration_needs_its_unit(text: str) -> None:
    """A number and a unit."""
    with pytest.raises(ValueError, match="a duration is a number and ms, s, m, h or d"):
        parse_duration(text)


@pytest.mark.parametrize("name", SHIPPED)
def test_ours_are_usable(name: str) -> None:
    """Both shipped files are read, and are told apart by their digest."""
    slo = read_slo(name)

    assert slo.name == name
    assert slo.digest.startswith("sha256:")
    assert slo.document.promotion["production"].needs == ("load.high", "golden", "bench")


def test_every_fault_has_its_line_and_a_remedy(tmp_path: Path) -> None:
    """All faults of a file are told at once."""
    path = tmp_path / "slo.toml"
    path.write_text(
        'schema = "seatrial/slo/v1"\n'
        "\n"
        "[[objective]]\n"
        'sli = "p95_ms"\n'
        'target = "8"\n'
        "[[objective]]\n"
        'sli = "speed"\n'
        "[[objective]]\n"
        'sli = "p99_ms"\n'
        'acceptible = "<= 8"\n'
        "[promotion.production]\n"
        'needs = ["golden"]\n'
        "[total]\n"
        'pass = "score is good"\n',
        encoding="utf-8",
    )
    with pytest.raises(WrongFile) as caught:
        read_slo(str(path))

    lines = str(caught.value).replace(str(path), "slo.toml").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
"slo.toml:5", "slo.toml:7", "slo.toml:10", "slo.toml:11", "slo.toml:14",
    ]  # fmt: skip
    assert lines[0].endswith(
        "/objective/0/target: a limit is an operator and a number, such as '<= 200 ms'; received '8'"
    )
    assert lines[2].endswith("/objective/2/acceptible is not a name that is known here; correct or remove it")
    assert lines[3].endswith("/promotion/production/max_age is missing; add it")


@pytest.mark.parametrize(
    ("target", "acceptable", "complaint"),
    [("<= 9", "<= 8", "at least as strict"), ("<= 8", ">= 8", "opposite directions"), (">= 8", ">= 9", "at least as")],
)
def test_limits_out_of_order_are_refused(tmp_path: Path, target: str, acceptable: str, complaint: str) -> None:
    """A target that is easier than what is acceptable is a mistake."""
    path = tmp_path / "slo.toml"
    text = f'schema = "seatrial/slo/v1"\n[[objective]]\nsli = "rps"\ntarget = "{target}"\nacceptable = "{acceptable}"\n'
    path.write_text(text, encoding="utf-8")

    with pytest.raises(WrongFile, match=rf"slo\.toml:2: /objective/0: .*{complaint}"):
        read_slo(str(path))


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ('target = "<= 8"\npoor = "< 500"', r"poor \(< 500\) begins where it is worse than <= 8: write it as >"),
        ('acceptable = "<= 800"\npoor = "> 500"', r"poor \(> 500\) begins where it is worse than <= 800"),
        ("critical = true", "what is critical needs a target or an acceptable limit"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, lines: str, complaint: str) -> None:
    """A poor limit that is better than what is acceptable, and a critical objective that cannot be missed."""
    path = tmp_path / "slo.toml"
    path.write_text(f'schema = "seatrial/slo/v1"\n[[objective]]\nsli = "p95_ms"\n{lines}\n', encoding="utf-8")

    with pytest.raises(WrongFile, match=rf"slo\.toml:2: /objective/0: {complaint}"):
        read_slo(str(path))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"= 3", "is not TOML"), (b"\xff", r"is not UTF-8 text \(byte 0\)"), (None, "one of default, strict; no such")],
)
def test_what_is_no_slo_file_is_told(tmp_path: Path, content: bytes | None, complaint: str) -> None:
    """No TOML, no text, no file."""
    path = tmp_path / "slo.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(WrongFile, match=complaint):
        read_slo(str(path))
