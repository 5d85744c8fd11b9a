"""Content negotiation, as far as two media types need it."""


def prefers(accept: str, wanted: str, default: str) -> bool:
    """Whether an Accept header asks for `wanted` rather than for `default`; with no preference it does not."""
    qualities = dict(map(_entry, accept.split(",")))
    return _quality(qualities, wanted) > _quality(qualities, default)


def _entry(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return media_type, float(parameter[2:])
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _quality(qualities: dict[str, float], media_type: str) -> float:
    """The quality of the most specific range that matches."""
    for candidate in (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*"):
        if candidate in qualities:
            return qualities[candidate]
    return 0.0
