from __future__ import annotations

import json
import statistics

import pytest
from ansible_collections.coldvox.ci.plugins.module_utils.agent.cli import metrics_report
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
def test_summarize_agrees_with_the_statistics_module(pairs: list[tuple[float, int]]) -> None:
    summary = metrics_report.summarize([row(load, memory) for load, memory in pairs])
    load, memory = ([pair[side] for pair in pairs] for side in (0, 1))
    assert summary.samples == len(pairs)
    assert summary.load_mean == pytest.approx(statistics.fmean(load), abs=0.006)
    assert summary.load_peak == max(load)
    assert summary.memory_mean_mb == pytest.approx(statistics.fmean(memory), abs=0.006)
    assert summary.memory_peak_mb == max(memory)
    assert summary.cache_mean_mb == summary.models_mean_mb == summary.rust_cache_mean_mb == 10


@pytest.mark.parametrize(
    ("load", "memory_mb", "insights"),
    [
        (4.0, 20000, ()),
        (4.01, 20000, ("High CPU Usage",)),
        (4.0, 20001, ("High Memory Usage",)),
        (5.0, 30000, ("High CPU Usage", "High Memory Usage")),
    ],
)
def test_summarize_reports_only_values_above_the_limits(
    load: float, memory_mb: int, insights: tuple[str, ...]
) -> None:
    assert metrics_report.summarize([row(load, memory_mb)] * 3).insights == insights


def test_summarize_compares_unrounded_means() -> None:
    assert metrics_report.summarize([row(4.0), row(4.001)]).insights == ("High CPU Usage",)


def test_summarize_skips_rows_without_numbers() -> None:
    summary = metrics_report.summarize(
        [row(2.0), {**row(), "load_avg": "high"}, row(4.0, at="2026-03-01 10:00:00")]
    )
    assert (summary.samples, summary.load_mean, summary.first, summary.last) == (
        2,
        3.0,
        "2026-03-01 09:30:00",
        "2026-03-01 10:00:00",
    )


def test_summarize_accepts_no_samples() -> None:
    summary = metrics_report.summarize([])
    assert (summary.samples, summary.load_mean, summary.insights) == (0, 0.0, ())
    for form in metrics_report.FORMATS:
        assert metrics_report.render(summary, form)


def test_render_shows_the_same_in_all_formats() -> None:
    summary = metrics_report.summarize([row(5.0, 30000)])
    assert json.loads(metrics_report.render(summary, "json"))["load_mean"] == 5.0
    assert "- **Average Load**: 5.00" in metrics_report.render(summary, "md")
    expected = "- **High CPU Usage**: Average load (5.00) suggests CPU bottleneck"
    assert expected in metrics_report.render(summary, "md")
    page = metrics_report.render(summary, "html")
    assert "<td>5.00</td>" in page
    assert "http" not in page.replace('charset="utf-8"', "")


def test_render_escapes_html() -> None:
    page = metrics_report.render(metrics_report.summarize([row(at="1<script>alert(1)</script>")]), "html")
    assert "<script>" not in page
