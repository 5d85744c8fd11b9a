"""Import every module of a package in this process and write down what importing did besides.

Run by test_floors.py in a fresh interpreter: `python import_everything.py PACKAGE FINDINGS`. Findings go to that file,
one a line, so that anything on the standard streams was printed by an import.
"""

import importlib
import os
import pkgutil
import sys
import threading
import wsgiref.handlers  # noqa: F401 - copies the whole environment when imported; prometheus_client imports it
from pathlib import Path

import altair as alt  # noqa: F401 - looks for proxies in the whole environment; the reports import it

findings: list[str] = []
environment = type(os.environ)
read_variable = environment.__getitem__


def watched(self: "os._Environ[str]", key: str) -> str:
    """Note who reads one of our settings from the environment, then read it."""
    if key.startswith("SEATRIAL_"):
        findings.append(f"{key} was read while {module} was imported")
    return read_variable(self, key)


environment.__getitem__ = watched  # type: ignore[method-assign]
os.environ["SEATRIAL_CANARY"] = "read by whoever copies the whole environment"

module, report = sys.argv[1:]
package = importlib.import_module(module)
for found in pkgutil.walk_packages(package.__path__, f"{module}."):
    if found.name.startswith("seatrial.trials.load.swarm."):
        continue  # the one place that imports Locust, which patches the process that does
    if found.name.endswith(".__main__"):
        continue  # a program
    if found.name == "seatrial.server.storage.migrations.env":
        continue  # a script, which Alembic runs
    module = found.name
    importlib.import_module(module)
    started = [thread.name for thread in threading.enumerate() if thread is not threading.main_thread()]
    if started:
        findings.append(f"threads ran after {module} was imported: {started}")
        break
if "locust" in sys.modules or "gevent" in sys.modules:
    findings.append("Locust was imported, which patches the process")
Path(report).write_text("\n".join(findings), encoding="utf-8")
