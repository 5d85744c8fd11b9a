"""Where `seatrial models` acts: on a data directory or database, or on a server over HTTP."""

from typing import Protocol

from seatrial.cli.documents import Document, Moved, Returned, Upload


class Place(Protocol):
    """A deployment, as the operator sees it. Reasons are texts that stand in its ledger."""

    def versions(self) -> list[Document]:
        """Every version of every model."""

    def version(self, model_id: str) -> Document:
        """One version, with its manifest."""

    def history(self, name: str | None, *, verify: bool) -> tuple[list[Document], list[str]]:
        """The ledger of a name, or of all; and where it is not whole, if that is to be found."""

    def add(self, upload: Upload) -> Document:
        """Keep a file as the next version of a name: that, with its manifest."""

    def promote(self, model_id: str, stage: str, reason: str, *, override: bool) -> Moved:
        """Move a version; raises `GateRefused` where it is not proven."""

    def roll_back(self, name: str, reason: str) -> Returned:
        """Return to the version that was in production before."""

    def archive(self, model_id: str, reason: str) -> Moved:
        """Put a version aside."""
