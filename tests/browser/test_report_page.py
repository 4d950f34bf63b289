"""The report page in a real Chromium: light and dark, desktop and phone.

The screenshots stay in .testbed/reports/screenshots, for people to look at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.figures import Figures
from ansible_collections.coldvox.ci.plugins.module_utils.agent.report.page import page

from testbed.docker_engine import install, this_machine
from testbed.paths import CHECKOUT, Paths
from testbed.progress import Progress
from tests._support.browser import PACKAGE, Browser, find_browser
from tests._support.report_jobs import a_month, hostile, nothing

PATHS = Paths(CHECKOUT / ".testbed")
SCREENSHOTS = PATHS.root / "reports" / "screenshots"
WIDTHS = {"desk": 1200, "phone": 360}
#: WCAG 2.2, success criteria 1.4.3 (text) and 1.4.11 (lines of a chart).
TEXT_CONTRAST, LINE_CONTRAST = 4.5, 3.0

# Returns [contrast, what] of every element with text of its own, or of every line and bar of a chart.
_CONTRAST = """
((kind) => {
  const parts = (colour) => (colour.match(/[\\d.]+/g) || []).map(Number);
  const light = (colour) => {
    const [r, g, b] = parts(colour).slice(0, 3).map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = getComputedStyle(at).backgroundColor;
      const alpha = parts(colour)[3];
      if (alpha === undefined || alpha === 1) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const painted = (element) => {
    const style = getComputedStyle(element);
    if (kind === 'text') return element instanceof SVGElement ? style.fill : style.color;
    return style.stroke === 'none' ? style.fill : style.stroke;
  };
  const chosen = kind === 'text'
    ? [...document.querySelectorAll('body *')].filter((one) => !['title', 'desc'].includes(one.tagName)
        && [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
    : [...document.querySelectorAll('polyline, rect, circle')];
  return chosen.map((one) => {
    const [low, high] = [light(painted(one)), light(behind(one))].sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), `${one.tagName}.${one.getAttribute('class')}: ${one.textContent}`];
  });
})
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = find_browser()
    machine = this_machine()
    # Ubuntu has no such package: its Chromium is a snap.
    if program is None and machine.can_install and machine.os_release.get("ID") == "debian":
        install([PACKAGE, "fonts-dejavu-core"], PATHS, Progress())
        program = find_browser()
    if program is None:
        pytest.skip(f"no Chromium on this machine; install one, on Debian with 'apt-get install {PACKAGE}'")
    with Browser(program) as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def dark(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "dark")


@pytest.fixture(params=list(WIDTHS))
def device(request: pytest.FixtureRequest) -> str:
    return str(request.param)


PAGES: dict[str, Callable[[], Figures]] = {"month": a_month, "fresh": nothing, "hostile": hostile}


@pytest.mark.parametrize("name", PAGES)
def test_report_page_is_readable_and_quiet(
    browser: Browser, tmp_path: Path, name: str, device: str, dark: bool
) -> None:
    figures = PAGES[name]()
    path = tmp_path / "report.html"
    path.write_text(page(figures), encoding="utf-8")
    browser.open(path, width=WIDTHS[device], dark=dark)
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    faint = [element for element in browser.evaluate(f"{_CONTRAST}('text')") if element[0] < TEXT_CONTRAST]
    pale = [element for element in browser.evaluate(f"{_CONTRAST}('line')") if element[0] < LINE_CONTRAST]
    wide = browser.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    browser.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = false; })")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.screenshot(SCREENSHOTS / f"report-{name}-{device}-{'dark' if dark else 'light'}.png")
    assert faint == []
    assert pale == []
    assert wide == 0, "it scrolls sideways"
    assert browser.requested() == [path.as_uri()]
    assert browser.complaints() == []


def test_report_page_differs_in_light_and_dark(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(a_month()), encoding="utf-8")
    seen = []
    for taste in (False, True):
        browser.open(path, width=WIDTHS["desk"], dark=taste)
        seen.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert seen[0] != seen[1]


def test_report_page_charts_have_a_size_a_name_and_numbers(
    browser: Browser, tmp_path: Path, device: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(a_month()), encoding="utf-8")
    browser.open(path, width=WIDTHS[device], dark=False)
    charts = browser.evaluate(
        """[...document.querySelectorAll('figure')].map((figure) => {
          const chart = figure.querySelector('svg');
          const box = chart.getBoundingClientRect();
          const words = chart.getAttribute('aria-labelledby').split(' ')
            .map((id) => document.getElementById(id).textContent);
          const letters = Math.min(...[...chart.querySelectorAll('text')]
            .map((one) => parseFloat(getComputedStyle(one).fontSize) * box.width / 360));
          const cut = [...chart.querySelectorAll('text')].map((one) => one.getBBox())
            .filter((one) => one.x < 0 || one.x + one.width > 360 || one.y < 0 || one.y + one.height > 190);
          return {cut: cut.length, width: box.width, height: box.height, words, letters,
                  rows: figure.querySelectorAll('tbody tr').length};
        })"""
    )
    assert len(charts) == 6
    for chart in charts:
        assert chart["width"] > 250
        assert chart["height"] > 120
        assert all(chart["words"])
        assert chart["letters"] >= 8, "too small to read"
        assert chart["cut"] == 0, "a label leaves its chart"
        assert chart["rows"] > 10


def test_report_page_escapes_names(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(page(hostile()), encoding="utf-8")
    browser.open(path, width=WIDTHS["desk"], dark=False)
    assert browser.evaluate("document.querySelectorAll('script, img, iframe, a').length") == 0
    assert "<script>alert(1)</script>" in browser.evaluate("document.querySelector('.names').textContent")
