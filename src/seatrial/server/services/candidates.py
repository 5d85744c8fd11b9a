"""Loads what is on trial, beside everything else: however long it takes, nobody waits for it but those who try it."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from seatrial.server.inference.model import LoadedModel
from seatrial.server.inference.pool import Pool
from seatrial.server.registry.mirror import View
from seatrial.server.registry.model import ModelVersion, Stage
from seatrial.server.services.models import told

ARCHIVED = "It is archived, and not loaded."
Load = Callable[[ModelVersion], LoadedModel]


class Candidates:
    """Follows which versions are on trial; lives as long as the worker.

    Args:
        pool: where they are put, for requests under their trials.
        load: loads, warms and verifies a version; raises `ModelUnusable`.
        log: hears (event, model_id, detail) of each that is loaded, or fails.
    """

    def __init__(self, pool: Pool, load: Load, log: Callable[[str, str, str], None]) -> None:
        self._pool = pool
        self._load = load
        self._log = log
        self._thread = ThreadPoolExecutor(1, "candidates")
        self._followed: tuple[Mapping[str, str], Mapping[str, str]] = {}, {}

    def follow(self, view: View) -> None:
        """Load what has come on trial and is not served, and let go of what no longer is; returns at once.

        What is archived is not loaded, whatever its trial: so an operator gets rid of a version that does harm.
        """
        archived = {version.model_id for version in view.versions() if version.stage is Stage.ARCHIVED}
        wanted = {trial: model_id for trial, model_id in view.trials.items() if model_id not in archived}
        refused = dict.fromkeys(archived.intersection(view.trials.values()), ARCHIVED)
        if (wanted, refused) == self._followed:
            return
        self._followed = wanted, refused
        self._thread.submit(self._serve, view, wanted, refused)

    def close(self) -> None:
        """Begin nothing more; what is being loaded goes on to its end."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _serve(self, view: View, wanted: Mapping[str, str], refused: Mapping[str, str]) -> None:
        """One version after the other; each answers as soon as it is loaded."""
        held = {model.model_id: model for model in self._pool.snapshot.on_trial.values()}
        failures = dict(refused)
        for model_id in sorted(set(wanted.values()) - held.keys()):
            if model_id in self._pool.snapshot.by_id:
                continue
            try:
                held[model_id] = self._load(view.get(model_id))
            except Exception as error:  # noqa: BLE001 - whatever it is, the next one is loaded
                failures[model_id], detail = told(error)
                self._log("model_failed", model_id, detail)
                continue
            self._log("model_ready", model_id, "on trial")
            self._put(wanted, held, failures)
        self._put(wanted, held, failures)

    def _put(self, wanted: Mapping[str, str], held: Mapping[str, LoadedModel], failures: Mapping[str, str]) -> None:
        on_trial = {trial: held[model_id] for trial, model_id in wanted.items() if model_id in held}
        self._pool.put_on_trial(on_trial, failures)
