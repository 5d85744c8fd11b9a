"""How numbers are written, wherever they are shown."""

NOTHING = "–"
MANY = 100.0
SOME = 10.0
SMALLEST = 0.001


def ms(value: float | None) -> str:
    """Milliseconds with three significant digits, thousands set apart."""
    if value is None:
        return NOTHING
    if value >= MANY:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= SOME else f"{value:.2f}"


def rate(value: float) -> str:
    """Requests a second."""
    return f"{value:,.1f}".replace(",", " ")


def value(number: float | None, unit: str) -> str:
    """A value with its unit: `12.3 ms`, `0.12 %`."""
    if number is None:
        return NOTHING
    if unit == "%":
        return f"{_share(number * 100)} %"
    if unit == "ms":
        return f"{ms(number)} ms"
    return f"{number:,.5g} {unit}".rstrip().replace(",", " ")


def _share(percent: float) -> str:
    """Three significant digits, but nothing below a thousandth."""
    return f"{percent:.3g}" if abs(percent) >= SMALLEST else f"{percent:.3f}".rstrip("0").rstrip(".")
