"""The page about performance says what was measured last."""

from benchmarks import page


def test_the_page_shows_the_results_that_are_kept() -> None:
    """`python -m benchmarks.page` would change nothing."""
    text = page.PAGE.read_text(encoding="utf-8")

    assert page.replaced(text, page.render()) == text


def test_the_page_about_reliability_too() -> None:
    """The same."""
    text = page.FAULTS_PAGE.read_text(encoding="utf-8")

    assert page.replaced(text, page.faults_table()) == text


def test_the_chart_names_every_server() -> None:
    """Ours, the ceiling, and each peer."""
    svg = page.CHART.read_text(encoding="utf-8")
    names = [peer["name"].partition("'")[0] for peer in page.results("peers")["peers"]]

    assert [name for name in ("Seatrial", "the ceiling", *names) if name not in svg] == []
