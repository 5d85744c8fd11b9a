"""`junit.xml`: a test case for each check, objective, comparison and known answer. What is not proven is an error."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from seatrial.contracts.proof import Proof
from seatrial.grading.numbers import value
from seatrial.trials.report import words

Result = Literal["", "failure", "error", "skipped"]
_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Signs that XML 1.0 cannot hold, and an answer can."""
_GRADES: dict[str, Result] = {
    "marginal": "failure",
    "poor": "failure",
    "not proven": "error",
    "not measured": "skipped",
    "unverifiable": "skipped",
}
_OUTCOMES: dict[str, Result] = {"pass": "", "fail": "failure", "not proven": "error"}


@dataclass(frozen=True, slots=True)
class _Case:
    group: str
    name: str
    result: Result
    message: str


def junit(proof: Proof) -> str:
    """One suite; its first case is the verdict."""
    cases = list(_cases(proof))
    suite = Element("testsuite", name=f"seatrial {words.title(proof)}", tests=str(len(cases)))
    for result in ("failure", "error", "skipped"):
        name = {"failure": "failures", "error": "errors", "skipped": "skipped"}[result]
        suite.set(name, str(sum(case.result == result for case in cases)))
    suite.set("time", f"{proof.run.ended - proof.run.started:.3f}")
    for case in cases:
        element = SubElement(suite, "testcase", classname=f"seatrial.{case.group}", name=case.name)
        if case.result:
            SubElement(element, case.result, message=_NO_XML.sub("�", case.message))
    indent(suite)
    return tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _cases(proof: Proof) -> Iterator[_Case]:
    verdict = proof.verdict
    yield _Case("verdict", words.title(proof), _OUTCOMES[verdict.outcome], "; ".join(verdict.reasons))
    for check in proof.checks:
        result: Result = {True: "", False: "error", None: "skipped"}[check.holds]  # type: ignore[assignment]
        yield _Case("run", check.name, result, f"{check.received}; expected {check.expected}")
    for grade in proof.grades:
        message = grade.reason or f"{value(grade.value, grade.unit)}; acceptable is {grade.limit}"
        yield _Case("objective", words.what(grade), _GRADES.get(grade.grade, ""), message)
    for item in proof.comparisons:
        message = item.reason or f"ratio {item.ratio:.3f} ({item.low:.3f} to {item.high:.3f}), limit {item.limit:.2f}"
        yield _Case("champion", f"{item.sli} of {item.endpoint}", _OUTCOMES[item.outcome], message)
    for answer in proof.answers:
        wrong: Result = "failure" if answer.right < answer.cases else ""
        message = f"{answer.right} of {answer.cases} right; {answer.example}"
        yield _Case("answers", f"{answer.model_id} {answer.check}", wrong, message)
