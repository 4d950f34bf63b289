"""The report as HTML and Markdown: well-formed, and no name is markup."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.charts import (
    HEIGHT,
    WIDTH,
    Series,
    bars,
    ceiling,
    charts,
    lines,
)
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.figures import Figures
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.markdown import markdown
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.page import page
from hypothesis import given
from hypothesis import strategies as st

from tests._support.report_jobs import a_month, hostile, nothing

_VOID = {"meta"}
_PAGE = {"html", "head", "meta", "title", "style", "body", "main", "header", "section", "footer"}
_TEXT = {"h1", "h2", "h3", "p", "div", "span", "strong", "ul", "li", "details", "summary"}
_TABLE = {"table", "thead", "tbody", "tr", "th", "td"}
_CHART = {"figure", "figcaption", "svg", "desc", "line", "text", "polyline", "rect", "circle"}
_ALLOWED = _PAGE | _TEXT | _TABLE | _CHART


class Checker(HTMLParser):
    """Fails for a tag that is not closed in order, or that is not allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, tag
        given = dict(attrs)
        assert not {name for name in given if name.startswith("on") or name in ("src", "href")}, given
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


# As functions, so that collecting the tests does not compute a month.
@pytest.mark.parametrize(
    "made", [a_month, partial(a_month, 1, 1), partial(a_month, 0), nothing, partial(nothing, 1), hostile]
)
def test_page_is_well_formed_and_loads_nothing(made: Callable[[], Figures]) -> None:
    text = page(made())
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    assert len(checker.ids) == len(set(checker.ids))
    assert "default-src &#x27;none&#x27;" in text
    assert not re.search(r"https?://|@import|url\(|nan|None\b|inf\b", text)


def test_page_of_a_month_stays_small() -> None:
    assert len(page(a_month(10_000))) < 60_000


def test_charts_have_their_numbers_as_a_table() -> None:
    for chart in charts(a_month()):
        root = ET.fromstring(chart.drawing)
        assert root.find("title") is not None
        assert root.find("desc") is not None
        assert len(chart.rows) >= 29
        assert all(len(row) == len(chart.heads) for row in chart.rows)


def test_page_says_why_a_chart_is_empty() -> None:
    text = page(nothing())
    assert "<svg" not in text
    assert text.count("Nothing to show") == 3
    assert "there is no history yet" in text
    assert "the sampler has not run yet" in text


@pytest.mark.parametrize("made", [a_month, nothing, hostile])
def test_markdown_has_whole_tables(made: Callable[[], Figures]) -> None:
    widths = None
    for line in markdown(made()).splitlines():
        cells = len(re.split(r"(?<!\\)\|", line))
        if not line.startswith("|"):
            widths = None
            continue
        assert widths in (None, cells), line
        widths = cells


def test_markdown_escapes_names() -> None:
    text = markdown(hostile())
    assert "<script" not in re.sub(r"\\<", "", text)
    assert "\x1b" not in text
    named = a_month(1)._replace(host="@everyone [x](y) `z`")
    assert markdown(named).startswith("# @<!-- -->everyone \\[x\\](y) \\`z\\`: CI report")


@given(st.lists(st.none() | st.floats(0, 1e9), min_size=1, max_size=40))
def test_charts_stay_within_their_frame_for_any_values(values: list[float | None]) -> None:
    labels = [str(number) for number in range(len(values))]
    series = [Series("a", "one", values), Series("b", "two", values[::-1])]
    for drawn in (
        lines("x", "<t>", "&d", series, labels, marks=[5]),
        bars("y", "<t>", "&d", series, labels),
    ):
        for shape in ET.fromstring(drawn).iter():
            for name in ("x", "y", "cx", "cy", "x1", "x2", "y1", "y2"):
                assert -1 <= float(shape.get(name, 0)) <= WIDTH + 1
            for pair in shape.get("points", "").split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= WIDTH
                assert 0 <= y <= HEIGHT


@pytest.mark.parametrize(
    ("value", "edge"),
    [(0, 1), (0.04, 0.05), (1, 1), (1.1, 2), (2.1, 2.5), (8.2, 10), (101, 200), (1000, 1000)],
)
def test_ceiling_is_a_round_number(value: float, edge: float) -> None:
    assert ceiling(value) == pytest.approx(edge)
