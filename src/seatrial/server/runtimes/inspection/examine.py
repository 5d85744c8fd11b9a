"""All of an inspection, in order: read, check, describe, run. Called where it can do no harm."""

from collections.abc import Callable

from seatrial.contracts.problem import Fault
from seatrial.server.core.errors import ModelRefused, UnsupportedMediaType
from seatrial.server.registry.candidate import Candidate, Inspected
from seatrial.server.runtimes.inspection.describe import describe
from seatrial.server.runtimes.inspection.graph import check_graph, check_whole, read_model, shown
from seatrial.server.runtimes.inspection.messages import Report
from seatrial.server.runtimes.inspection.rehearse import is_starved, rehearse


def examine(content: bytes, candidate: Candidate, to_extremes: Callable[[], None] = lambda: None) -> Report:
    """A report on a file; nothing that a file does makes it raise. `to_extremes`: see `rehearse`."""
    try:
        inspected = _examine(content, candidate, to_extremes)
    except UnsupportedMediaType as error:
        return Report("foreign", summary=str(error))
    except Exception as error:  # noqa: BLE001 - libraries raise what they like at a file that is made to break them
        if is_starved(error):
            return Report("starved")
        if isinstance(error, ModelRefused):
            return Report("refused", summary=str(error), faults=error.faults)
        text = f"The inspection failed: {shown(f'{type(error).__name__}: {error}', 200)}"
        return Report(
            "refused", summary=text, faults=(Fault("/model", text, "a model that loads and runs", "this one"),)
        )
    return Report("accepted", inspected)


def _examine(content: bytes, candidate: Candidate, to_extremes: Callable[[], None]) -> Inspected:
    model = read_model(content)
    check_graph(model)
    manifest = describe(model, candidate)
    del model
    check_whole(content)
    return Inspected(manifest, rehearse(content, manifest, candidate, to_extremes))
