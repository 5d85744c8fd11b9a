"""Every benchmark, one after the other: `scripts/bench`; with `--quick`, each in a few seconds."""

import os
import subprocess
import sys
import tempfile
import time

BENCHMARKS: dict[str, tuple[tuple[str, ...], tuple[str, ...] | None]] = {
    "ceiling": ((), ("--pairs", "3", "--seconds", "2")),
    "scaling": ((), ("--pairs", "1", "--seconds", "1", "--connections", "1", "32", "256")),
    "batch": ((), ("--pairs", "2", "--seconds", "2")),
    "cache": ((), ("--pairs", "2", "--seconds", "2")),
    "overload": ((), ("--seconds", "6")),
    "users": ((), ("--seconds", "8")),
    "swap": ((), ("--swaps", "2")),
    "logins": (("--windows", "12"), ("--windows", "2")),
    "generators": ((), ("--turns", "1", "--seconds", "2")),
    "peers": ((), ("fastapi", "--pairs", "2", "--seconds", "2")),
    "soak": ((), ("--minutes", "0.15")),
    "replicas": ((), ("--pairs", "1", "--seconds", "2")),
    "faults": ((), ("a replica killed (SIGKILL)", "--seconds", "3")),
    "chaos": ((), None),
}
"""With which flags each is run, and with which where there is little time: none where it takes too long."""


def main() -> int:
    """Run them; 1 if one of them says that something did not hold."""
    quick = "--quick" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        return run(quick=quick, env={**os.environ, **({"BENCH_RESULTS": folder} if quick else {})})


def run(*, quick: bool, env: dict[str, str]) -> int:
    """The same; what was measured in a hurry is not kept."""
    failed = []
    begin = time.monotonic()
    for name, (whole, short) in BENCHMARKS.items():
        flags = short if quick else whole
        if flags is None:
            continue
        print(f"\n== {name}", flush=True)
        since = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *flags]
        if subprocess.run(command, check=False, env=env).returncode:
            failed.append(name)
        print(f"{name} took {time.monotonic() - since:.0f} s", flush=True)
    print(f"\n{time.monotonic() - begin:.0f} s; {'failed: ' + ', '.join(failed) if failed else 'all held'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
