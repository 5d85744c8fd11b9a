"""What the benchmarks share: pinned servers, wrk, interleaved pairs, intervals, the machine's fingerprint."""

import json
import os
import platform
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent
RESULTS = Path(os.environ.get("BENCH_RESULTS", ROOT / "results"))
START_SECONDS = 60.0
STOP_SECONDS = 10.0
CACHED_AT_LEAST = 0.9
"""Of the answers that should have come from a cache; the first ones cannot."""

WRK = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local headers = {["Content-Type"] = "application/json", ["Authorization"] = os.getenv("AUTHORIZATION")}
local turn, sent = 0, 0
local threads = {}
local unique, every = tonumber(os.getenv("UNIQUE") or ""), tonumber(os.getenv("UNIQUE_EVERY") or "1")
cached, answers = 0, 0
setup = function(thread) threads[#threads + 1] = thread end
request = function()
  turn = turn % #bodies + 1
  local body = bodies[turn]
  if unique then
    sent = sent + 1
    if sent % every == 0 then
      body = body:gsub("%[0.0,0.0,", string.format("[0.%04d,0.%06d,", unique, sent), 1)
    end
  end
  return wrk.format("POST", os.getenv("ROUTE"), headers, body)
end
response = function(status, _, body)
  answers = answers + 1
  if body:find('"cached":true', 1, true) then cached = cached + 1 end
end
done = function()
  for _, thread in ipairs(threads) do
    print("cached answers: " .. thread:get("cached") .. " of " .. thread:get("answers"))
  end
end
"""
"""Rotates the lines of a file as bodies; with UNIQUE set, a number, no two bodies are the same, nor
those of another number, or of every so many one is new (UNIQUE_EVERY)."""


@dataclass(frozen=True)
class Block:
    """One run of wrk against one server. `cpu_us` is the server's CPU time, user and system, for each request."""

    requests_per_second: float
    cpu_us: float
    p99_ms: float
    errors: int


@contextmanager
def pinned(command: Sequence[str], core: int | None, url: str, env: dict[str, str] | None = None) -> Iterator[int]:
    """Start a server on one core, or on any, wait until it answers, give its process id; end it afterwards."""
    pin = _pin(core)
    process = subprocess.Popen(
        [*pin, *command],
        env={**os.environ, **(env or {}), "ORT_DISABLE_TELEMETRY": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for(url, process)
        yield process.pid
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=STOP_SECONDS)
        with suppress(ProcessLookupError):  # what it has left behind, and whatever does not stop when it is asked to
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=STOP_SECONDS)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server for {url} ended with {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nothing answers at {url}")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, user and system (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_of_all(pid: int) -> float:
    """The same of a process and all that it has started, which go on."""
    found = cpu_seconds(pid)
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            found += cpu_seconds_of_all(int(child))
    return found


def _pin(core: int | None) -> list[str]:
    return ["taskset", "-c", str(core)] if core is not None and shutil.which("taskset") else []


def run_wrk(url: str, pid: int, core: int | None, seconds: float, connections: int, env: Mapping[str, str]) -> Block:
    """One block of closed-loop load from one core, with bodies that rotate.

    Args:
        url: of the server.
        pid: of its first process, whose CPU time is taken, with that of all that it has started.
        core: that the generator has; `None` is all of them.
        seconds: for how long.
        connections: how many.
        env: BODIES (a file), ROUTE and AUTHORIZATION; with UNIQUE no body is sent twice. CACHED is the share of the
            answers that must come from a cache, 0 where it is not given, or `any`.

    Raises:
        ValueError: the block is void: other answers came from a cache than should have.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK)
        script.flush()
        before = cpu_seconds_of_all(pid)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-s", script.name, url]
        told = {**os.environ, **env}
        done = subprocess.run([*_pin(core), *command], env=told, check=True, capture_output=True, text=True)
        used = cpu_seconds_of_all(pid) - before
    return _parse(done.stdout, used, env.get("CACHED", "0"))


def _parse(text: str, cpu: float, cached: str) -> Block:
    found = int(_find(r"cached answers: (\d+)", text)) / max(1, int(_find(r"cached answers: \d+ of (\d+)", text)))
    if cached != "any" and not float(cached) * CACHED_AT_LEAST <= found <= float(cached):
        raise ValueError(f"void: {found:.1%} of the answers came from a cache, not {float(cached):.0%}")
    requests = int(_find(r"(\d+) requests in", text))
    value, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    errors = (int(bad[1]) if bad else 0) + (sum(map(int, broken.groups())) if broken else 0)
    milliseconds = float(value) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
    return Block(float(_find(r"Requests/sec:\s+([\d.]+)", text)), cpu / requests * 1e6, milliseconds, errors)


def _find(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"wrk said nothing like {pattern!r}:\n{text}")
    return match[1]


def interleave(a: Callable[[], Block], b: Callable[[], Block], pairs: int) -> list[tuple[Block, Block]]:
    """Pairs of blocks in the order ABBA, so that drift of the machine falls on both alike."""
    found = []
    for pair in range(pairs):
        if pair % 2 == 0:
            first = a()
            found.append((first, b()))
        else:
            second = b()
            found.append((a(), second))
        rates = " / ".join(f"{block.requests_per_second:8.0f}" for block in found[-1])
        print(f"  pair {pair + 1:2}/{pairs}: {rates} requests/s", file=sys.stderr)
    return found


def interval(ratios: Sequence[float], draws: int = 10_000, seed: int = 1) -> tuple[float, float, float]:
    """The median of the ratios, and its 95 % bootstrap interval."""
    chance = random.Random(seed)  # noqa: S311 - resampling, not cryptography
    medians = sorted(statistics.median(chance.choices(ratios, k=len(ratios))) for _ in range(draws))
    return statistics.median(ratios), medians[int(draws * 0.025)], medians[int(draws * 0.975)]


def fingerprint() -> dict[str, Any]:
    """What the figures were measured on."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else []
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def write(name: str, result: dict[str, Any]) -> Path:
    """Keep a result under `benchmarks/results/`, or where BENCH_RESULTS says."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({**result, "machine": fingerprint()}, indent=1) + "\n", encoding="utf-8")
    return path


def as_rows(pairs: Sequence[tuple[Block, Block]]) -> list[dict[str, Any]]:
    """Pairs of blocks for JSON."""
    return [{"a": asdict(a), "b": asdict(b)} for a, b in pairs]
