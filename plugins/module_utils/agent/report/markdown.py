"""The report as Markdown, for an issue, a job summary or a mail. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .charts import cell
from .figures import Figures
from .page import period, summary
from .words import clean, count, lasting

_VERDICTS = {True: "met", False: "**missed**", None: "not known"}
# What means something within a line of Markdown, or of the HTML that it may hold.
_SPECIAL = "\\`*_[]<>|&~$"


def markdown(figures: Figures) -> str:
    """Return the whole report, with a newline at its end."""
    return "\n".join(_lines(figures)) + "\n"


def _lines(figures: Figures) -> Iterator[str]:
    yield f"# {text(figures.host)}: CI report, {period(figures)}"
    yield ""
    yield text(summary(figures))
    yield from _table(
        "Goals",
        ("Goal", "Target", "Now", ""),
        [(text(one.name), text(one.target), text(one.value), _VERDICTS[one.met]) for one in figures.goals],
    )
    yield ""
    price = f"{figures.policy.price_per_minute:g} {text(figures.policy.currency)}"
    yield f"{count(figures.saved_minutes, 'hosted minute')} saved, at {price} a minute."
    if figures.kinds:
        yield from _table(
            "What ran here",
            ("Job", "Workflow", "Runs", "Success", "Mean", "Hosted mean"),
            [
                (
                    text(one.job),
                    text(one.workflow),
                    str(one.runs),
                    cell(one.success_percent, " %"),
                    "-" if one.mean_seconds is None else lasting(one.mean_seconds),
                    "-" if one.hosted_mean_seconds is None else lasting(one.hosted_mean_seconds),
                )
                for one in figures.kinds
            ],
        )
    if figures.more_kinds:
        yield ""
        yield f"And {count(figures.more_kinds, 'kind')} of jobs that took less time."
    yield from _table(
        "Days",
        ("Day", "Succeeded", "Failed", "Hosted", "Mean", "Cache hits"),
        [
            (
                one.date,
                str(one.succeeded),
                str(one.failed),
                str(one.hosted),
                "-" if one.mean_seconds is None else lasting(one.mean_seconds),
                cell(one.hit_percent, " %"),
            )
            for one in figures.days
            if one.succeeded or one.failed or one.hosted
        ],
    )
    for part, why in figures.unknown.items():
        yield ""
        yield f"Not known, {text(part)}: {text(why)}"


def text(words: object) -> str:
    """Return ``words`` as text, whatever they contain: names of jobs come from strangers."""
    escaped = "".join(f"\\{letter}" if letter in _SPECIAL else letter for letter in clean(str(words)))
    # GitHub calls whoever stands behind an @, escaped or not.
    return escaped.replace("@", "@<!-- -->")


def _table(title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
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
