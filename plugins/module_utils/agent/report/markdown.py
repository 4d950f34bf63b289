"""Report as Markdown, for an issue, a job summary or a mail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .charts import cell, time_cell
from .figures import Figures
from .page import period, summary
from .words import clean, count

_VERDICTS = {True: "met", False: "**missed**", None: "not known"}
# Metacharacters within a line of Markdown, and of the HTML that it may hold.
_SPECIAL = "\\`*_[]<>|&~$"


def markdown(figures: Figures) -> str:
    """Return the whole report, with a newline at its end."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: Figures) -> Iterator[str]:
    yield f"# {text(figures.host)}: CI report, {period(figures)}"
    yield ""
    yield text(summary(figures))
    yield from table(
        "Goals",
        ("Goal", "Target", "Now", ""),
        [
            (text(goal.name), text(goal.target), text(goal.value), _VERDICTS[goal.met])
            for goal in figures.goals
        ],
    )
    yield ""
    price = f"{figures.policy.price_per_minute:g} {text(figures.policy.currency)}"
    yield f"{count(figures.saved_minutes, 'hosted minute')} saved, at {price} a minute."
    if figures.kinds:
        yield from table(
            "What ran here",
            ("Job", "Workflow", "Runs", "Success", "Mean", "Hosted mean"),
            [
                (
                    text(kind.job),
                    text(kind.workflow),
                    str(kind.runs),
                    cell(kind.success_percent, " %"),
                    time_cell(kind.mean_seconds),
                    time_cell(kind.hosted_mean_seconds),
                )
                for kind in figures.kinds
            ],
        )
    if figures.more_kinds:
        yield ""
        yield f"And {count(figures.more_kinds, 'kind')} of jobs that took less time."
    yield from table(
        "Days",
        ("Day", "Succeeded", "Failed", "Hosted", "Mean", "Cache hits"),
        [
            (
                day.date,
                str(day.succeeded),
                str(day.failed),
                str(day.hosted),
                time_cell(day.mean_seconds),
                cell(day.hit_percent, " %"),
            )
            for day in figures.days
            if day.succeeded or day.failed or day.hosted
        ],
    )
    for part, why in figures.unknown.items():
        yield ""
        yield f"Not known, {text(part)}: {text(why)}"


def text(words: object) -> str:
    """Return ``words`` as plain text of Markdown: strangers choose the names of jobs."""
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in clean(str(words)))
    # GitHub notifies the user after an @, also after an escaped one.
    return escaped.replace("@", "@<!-- -->")


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a section with a table of ``rows``; nothing without rows."""
    listed = list(rows)
    if not listed:
        return
    yield ""
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in listed:
        yield f"| {' | '.join(row)} |"
