#!/usr/bin/env python3
"""Measure the source as numbers, beside the same numbers of the codebases we learn from.

`scripts/lint --house` prints the table. With `--check` the exit code is 1 when an aim is missed; it is 2 when there
was nothing to measure.
"""

import argparse
import ast
import math
import statistics
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COLUMNS = "|modules|lines|median fn|p90 fn|longest module|longest fn|cycles|deferred|return types|tests|sleeps"
ANCHORS = (
    "Starlette|34|6,712|5|27|876|149|0|0|97 %|460|4",
    "svcs|8|2,609|10|30|1,199|95|1|0|100 %|158|0",
)
LONGEST_MODULE, P90_FUNCTION = 400, 30  # our aims; all others are zero, and every function has a return type
MAY_DEFER = ("cli", "server.app")  # the rooms that may import a room of ours only when they need it
CLOCKS = ("anyio", "asyncio", "gevent", "time", "trio")  # their sleep() waits on the real clock
Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom
Spot = tuple[int, str]  # a number of lines and where they stand


@dataclass(frozen=True)
class House:
    """What was measured."""

    modules: list[Spot]
    functions: list[Spot]
    untyped: list[str]  # functions without a return type
    cycles: list[str]
    deferred: list[str]
    may_defer: list[str]  # deferred imports in the rooms that may
    tests: int
    sleeps: list[str]

    @property
    def p90(self) -> int:
        """Ninety of a hundred functions have at most so many lines."""
        return sorted(self.functions)[math.ceil(0.9 * len(self.functions)) - 1][0]

    def row(self, name: str) -> str:
        """The measures in the order of COLUMNS."""
        lines, median = sum(size for size, _ in self.modules), statistics.median(size for size, _ in self.functions)
        deferred = f"{len(self.deferred)} (+{len(self.may_defer)})" if self.may_defer else str(len(self.deferred))
        typed = math.floor(100 - 100 * len(self.untyped) / len(self.functions))
        return (
            f"{name}|{len(self.modules)}|{lines:,}|{median:.0f}|{self.p90}|{max(self.modules)[0]:,}"
            f"|{max(self.functions)[0]}|{len(self.cycles)}|{deferred}|{typed} %|{self.tests}|{len(self.sleeps)}"
        )

    def missed(self) -> list[str]:
        """The aims that are missed, each with the places to look at."""
        findings = {
            "import cycles": self.cycles,
            f"deferred imports of our own outside {' and '.join(MAY_DEFER)}": self.deferred,
            f"modules over {LONGEST_MODULE} lines": [where for size, where in self.modules if size > LONGEST_MODULE],
            f"p90 of function lines over {P90_FUNCTION}": [str(self.p90)] if self.p90 > P90_FUNCTION else [],
            "functions without a return type": self.untyped,
            "sleeps on the clock in tests": self.sleeps,
        }
        return [f"{what}: {', '.join(places)}" for what, places in findings.items() if places]


def imports(node: ast.AST, *, deferred: bool = False) -> Iterator[tuple[Import, bool]]:
    """The imports that run, and whether each stands inside a function."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Import):
            yield child, deferred
        elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            yield from imports(ast.Module(child.orelse, []), deferred=deferred)
        else:
            yield from imports(child, deferred=deferred or isinstance(child, Function))


def targets(statement: Import, importer: str, *, is_package: bool, known: set[str]) -> set[str]:
    """The modules of ours that an import names."""
    if isinstance(statement, ast.Import):
        return {alias.name for alias in statement.names} & known
    source = statement.module or ""
    if statement.level:
        parts = importer.split(".")
        source = ".".join([*parts[: len(parts) - statement.level + is_package], *source.split(".")]).rstrip(".")
    return {name if (name := f"{source}.{alias.name}") in known else source for alias in statement.names} & known


def find_cycles(graph: dict[str, set[str]]) -> list[str]:
    """The groups of modules that all import one another, directly or not."""
    reach = {module: imported - {module} for module, imported in graph.items()}
    for middle, onward in reach.items():
        for reached in reach.values():
            if middle in reached:
                reached.update(onward)
    groups = {
        frozenset(other for other in reached if m in reach[other]) for m, reached in reach.items() if m in reached
    }
    return sorted(" <-> ".join(sorted(group)) for group in groups)


def find_sleeps(tree: ast.Module) -> Iterator[int]:
    """The lines that sleep on the real clock for more than zero seconds."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {f"{alias.asname or alias.name}.sleep" for alias in node.names if alias.name in CLOCKS}
        elif isinstance(node, ast.ImportFrom) and node.module in CLOCKS:
            names |= {alias.asname or alias.name for alias in node.names if alias.name == "sleep"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in names:
            length = node.args[0] if node.args else None
            if not (isinstance(length, ast.Constant) and not length.value):
                yield node.lineno


def parse(folder: Path) -> dict[Path, ast.Module]:
    """Every Python file under a folder."""
    return {path: ast.parse(path.read_bytes(), str(path)) for path in sorted(folder.rglob("*.py"))}


def measure(package: Path, tests: Path) -> House:
    """Measure a package and its tests; ValueError if there is nothing to measure."""
    trees, test_trees = parse(package), parse(tests)
    names = {path: ".".join(path.relative_to(package.parent).with_suffix("").parts) for path in trees}
    names = {path: name.removesuffix(".__init__") for path, name in names.items()}
    graph: dict[str, set[str]] = {name: set() for name in names.values()}
    house = House([], [], [], [], [], [], 0, [])
    lenient = tuple(f"{package.name}.{room}." for room in MAY_DEFER)
    for path, tree in trees.items():
        place, name = str(path.relative_to(package)), names[path]
        house.modules.append((len(path.read_bytes().splitlines()), place))
        for node in ast.walk(tree):
            if isinstance(node, Function):
                house.functions.append(((node.end_lineno or 0) - node.lineno + 1, f"{place}:{node.lineno}"))
                house.untyped.extend([f"{place}:{node.lineno}"] if node.returns is None else [])
        for statement, deferred in imports(tree):
            found = targets(statement, name, is_package=path.stem == "__init__", known=set(graph))
            if not deferred:
                graph[name] |= found
            elif found:
                (house.may_defer if f"{name}.".startswith(lenient) else house.deferred).append(
                    f"{place}:{statement.lineno}"
                )
    if not house.functions:
        raise ValueError(f"there are no functions to measure under {package}")
    test_functions = [
        node
        for tree in test_trees.values()
        for node in ast.walk(tree)
        if isinstance(node, Function) and node.name.startswith("test_")
    ]
    sleeps = [f"{path.relative_to(tests)}:{line}" for path, tree in test_trees.items() for line in find_sleeps(tree)]
    return replace(house, cycles=find_cycles(graph), tests=len(test_functions), sleeps=sleeps)


def table(rows: list[list[str]]) -> Iterator[str]:
    """The rows with their cells aligned: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *rest in rows:
        yield "  ".join([first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])])


def main() -> int:
    """Print the table; with --check, judge it."""
    parser = argparse.ArgumentParser(prog="house.py", description="Measure the source; see the head of this file.")
    parser.add_argument("--check", action="store_true", help="exit with 1 when an aim is missed")
    parser.add_argument("--package", type=Path, default=ROOT / "src" / "seatrial", help="the package to measure")
    parser.add_argument("--tests", type=Path, default=ROOT / "tests", help="its tests")
    options = parser.parse_args()
    try:
        house = measure(options.package, options.tests)
    except ValueError as error:
        print(f"house.py: {error}", file=sys.stderr)
        return 2
    rows = [COLUMNS, house.row(options.package.name.capitalize()), *ANCHORS]
    print(*table([row.split("|") for row in rows]), sep="\n")
    print(f"Our longest: {max(house.modules)[1]}; {max(house.functions)[1]}.")
    missed = house.missed() if options.check else []
    for aim in missed:
        print(f"missed: {aim}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
