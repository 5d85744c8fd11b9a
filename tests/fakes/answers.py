"""A store of answers in memory."""

from collections.abc import Callable

from seatrial.server.registry.mirror import LOST, WELL


class MemoryAnswers:
    """Implements `inference.answers.SharedAnswers`.

    What is `kept` may be spoilt by a test; while it is `lost` it keeps and knows nothing. `asked` hears of each
    question, before it is answered.
    """

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}
        self.lost = False
        self.asked: Callable[[], None] = lambda: None

    @property
    def state(self) -> str:
        """See `SharedAnswers.state`."""
        return LOST if self.lost else WELL

    async def get(self, key: bytes) -> bytes | None:
        """See `SharedAnswers.get`."""
        self.asked()
        return None if self.lost else self.kept.get(key)

    def put(self, key: bytes, value: bytes) -> None:
        """See `SharedAnswers.put`."""
        if not self.lost:
            self.kept[key] = value

    async def close(self) -> None:
        """See `SharedAnswers.close`."""
