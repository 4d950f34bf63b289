from __future__ import annotations

import json
import statistics

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli import metrics
from ansible_collections.coldvox.ci.plugins.module_utils.metrics import csv_log
from hypothesis import given
from hypothesis import strategies as st


def row(
    load: float = 1.0, memory_mb: int = 1000, at: str = "2026-03-01 09:30:00", **more: str
) -> dict[str, str]:
    given = {"timestamp": at, "load_avg": str(load), "memory_mb": str(memory_mb), "active_jobs": "1", **more}
    return {name: given.get(name, "10") for name in csv_log.COLUMNS}


loads = st.lists(
    st.tuples(st.floats(0, 50).map(lambda value: round(value, 2)), st.integers(0, 60000)),
    min_size=1,
    max_size=50,
)


@given(loads)
def test_means_and_peaks_agree_with_the_statistics_module(pairs: list[tuple[float, int]]) -> None:
    found = metrics.summarize([row(load, memory) for load, memory in pairs])
    load, memory = ([pair[side] for pair in pairs] for side in (0, 1))
    assert found.samples == len(pairs)
    assert found.load_mean == pytest.approx(statistics.fmean(load), abs=0.006)
    assert found.load_peak == max(load)
    assert found.memory_mean_mb == pytest.approx(statistics.fmean(memory), abs=0.006)
    assert found.memory_peak_mb == max(memory)
    assert found.cache_mean_mb == found.models_mean_mb == found.rust_cache_mean_mb == 10


@pytest.mark.parametrize(
    ("load", "memory_mb", "insights"),
    [
        (4.0, 20000, ()),
        (4.01, 20000, ("High CPU Usage",)),
        (4.0, 20001, ("High Memory Usage",)),
        (5.0, 30000, ("High CPU Usage", "High Memory Usage")),
    ],
)
def test_insights_are_strict(load: float, memory_mb: int, insights: tuple[str, ...]) -> None:
    assert metrics.summarize([row(load, memory_mb)] * 3).insights == insights


def test_a_mean_that_only_rounds_to_the_limit_is_above_it() -> None:
    assert metrics.summarize([row(4.0), row(4.001)]).insights == ("High CPU Usage",)


def test_rows_with_something_else_are_passed_over() -> None:
    found = metrics.summarize([row(2.0), {**row(), "load_avg": "high"}, row(4.0, at="2026-03-01 10:00:00")])
    assert (found.samples, found.load_mean, found.first, found.last) == (
        2,
        3.0,
        "2026-03-01 09:30:00",
        "2026-03-01 10:00:00",
    )


def test_no_samples_are_no_error() -> None:
    found = metrics.summarize([])
    assert (found.samples, found.load_mean, found.insights) == (0, 0.0, ())
    for form in metrics.FORMATS:
        assert metrics.rendered(found, form)


def test_the_three_forms_say_the_same() -> None:
    found = metrics.summarize([row(5.0, 30000)])
    assert json.loads(metrics.rendered(found, "json"))["load_mean"] == 5.0
    assert "| Load, mean | 5.00 |" in metrics.rendered(found, "md")
    assert "- High CPU Usage" in metrics.rendered(found, "md")
    page = metrics.rendered(found, "html")
    assert "<td>5.00</td>" in page
    assert "http" not in page.replace('charset="utf-8"', "")


def test_a_page_escapes_what_a_file_said() -> None:
    page = metrics.rendered(metrics.summarize([row(at="1<script>alert(1)</script>")]), "html")
    assert "<script>" not in page
