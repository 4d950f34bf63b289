"""The report as one HTML page that needs nothing else: no network, no script, no font. Pure.

Names of jobs and workflows come from strangers: whatever is not markup of this module goes through ``text``,
and the page's own policy forbids a browser to run or to load anything.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

from .charts import Chart, charts, told
from .figures import Figures
from .goals import Goal
from .style import STYLE
from .words import clean, count, lasting

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_VERDICTS = {True: ("met", "✓ met"), False: ("missed", "✗ missed"), None: ("open", "? not known")}


def text(words: object) -> str:
    """Return ``words`` as text of a page, whatever they contain."""
    return escape(clean(str(words)))


def page(figures: Figures) -> str:
    """Return the whole page."""
    title = f"{figures.host}: CI report"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{_head(figures)}\n{_goals(figures)}\n{_tiles(figures)}\n{_charts(figures)}\n{_kinds(figures)}\n"
        f"{_foot(figures)}\n</main>\n</body>\n</html>\n"
    )


def summary(figures: Figures) -> str:
    """Return the report in a sentence or two."""
    totals = figures.totals
    if not totals.jobs_here:
        return f"No job ended here yet: {figures.unknown.get('jobs', 'the history has none in this time')}."
    known = [goal for goal in figures.goals if goal.met is not None]
    met = sum(bool(goal.met) for goal in known)
    goals = f"{met} of {count(len(known), 'goal')} that can be judged {'is' if met == 1 else 'are'} met"
    missed = ", ".join(goal.name.lower() for goal in known if not goal.met)
    return (
        f"{count(totals.jobs_here, 'job')} ran here, and {goals}{f'; missed: {missed}' if missed else ''}. "
        f"On hosted runners they would have cost {money(figures)}."
    )


def money(figures: Figures) -> str:
    """Return what the jobs here would have cost."""
    return f"{figures.saved_money:,.2f} {figures.policy.currency}"


def period(figures: Figures) -> str:
    """Return the days that the report is about."""
    first, last = figures.days[0].date, figures.days[-1].date
    return first if first == last else f"{first} to {last}"


def _head(figures: Figures) -> str:
    return (
        f'<header><h1>{text(figures.host)}</h1>\n<p class="quiet">CI report, {period(figures)}</p>\n'
        f'<p class="lead">{text(summary(figures))}</p></header>'
    )


def _section(name: str, title: str, body: str) -> str:
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{body}</section>'


def _goals(figures: Figures) -> str:
    cards = "\n".join(_goal(goal) for goal in figures.goals)
    return _section("goals", "Goals", f'<div class="grid">\n{cards}\n</div>')


def _goal(goal: Goal) -> str:
    style, word = _VERDICTS[goal.met]
    value = "value" if goal.met is not None else "why"
    return (
        f'<div class="card goal"><h3>{text(goal.name)}</h3><div class="{value}">{text(goal.value)}</div>'
        f'<div><span class="verdict {style}">{word}</span> '
        f'<span class="quiet">{text(goal.target)}</span></div></div>'
    )


def _tiles(figures: Figures) -> str:
    hits = figures.cache_hit_percent
    tiles = (
        (f"{figures.totals.jobs_here:,}", "jobs here"),
        (f"{figures.totals.jobs_hosted:,}", "jobs hosted"),
        (f"{figures.saved_minutes:,}", "hosted minutes saved"),
        (f"{figures.saved_money:,.2f}", f"{figures.policy.currency} saved"),
        ("-" if hits is None else f"{hits:g} %", "cache hits"),
    )
    cards = "\n".join(
        f'<div class="card"><div class="value">{text(value)}</div><div class="quiet">{text(word)}</div></div>'
        for value, word in tiles
    )
    return _section("saved", "In all", f'<div class="grid tiles">\n{cards}\n</div>')


def _charts(figures: Figures) -> str:
    every = charts(figures)
    drawn = "\n".join(_chart(chart) for chart in every if chart.drawing)
    body = f'<div class="grid charts">\n{drawn}\n</div>' if drawn else ""
    for why in dict.fromkeys(chart.empty for chart in every if not chart.drawing):
        titles = [chart.title for chart in every if not chart.drawing and chart.empty == why]
        body += _empty(why, ", ".join(titles))
    return _section("charts", "Over time", body)


def _chart(chart: Chart) -> str:
    keys = [(one.style, one.name) for one in chart.series if len(chart.series) > 1]
    keys += [("dashes", chart.mark)] if chart.mark else []
    items = "".join(f'<li class="{style}">{text(name)}</li>' for style, name in keys)
    legend = f'<ul class="legend quiet">{items}</ul>' if items else ""
    return (
        f'<figure class="card"><figcaption><h3>{text(chart.title)}</h3>{legend}</figcaption>{chart.drawing}'
        f'<details><summary class="quiet">The same as a table</summary><div class="scroll" tabindex="0">'
        f"{_table(chart.heads, chart.rows)}</div></details></figure>"
    )


def _empty(why: str, titles: str = "") -> str:
    of_what = f" of <strong>{text(titles)}</strong>" if titles else ""
    return f'<p class="empty card">Nothing to show{of_what}: {text(why)}.</p>'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{text(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(f'<td>{text(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>"


def _kinds(figures: Figures) -> str:
    if not figures.kinds:
        why = figures.unknown.get("jobs", "no job ended in this time")
        return _section("kinds", "What ran here", _empty(why))
    heads = ("Job", "Workflow", "Runs", "Success", "Mean", "9 in 10 within", "Hosted mean")
    rows = [
        (
            kind.job,
            kind.workflow,
            f"{kind.runs:,}",
            told(kind.success_percent, " %"),
            *(
                "-" if seconds is None else lasting(seconds)
                for seconds in (kind.mean_seconds, kind.p90_seconds, kind.hosted_mean_seconds)
            ),
        )
        for kind in figures.kinds
    ]
    more = f'<p class="quiet">And {count(figures.more_kinds, "kind")} of jobs that took less time.</p>'
    table = f'<div class="card scroll names" tabindex="0">{_table(heads, rows)}</div>'
    return _section("kinds", "What ran here", table + (more if figures.more_kinds else ""))


def _foot(figures: Figures) -> str:
    made = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(figures.ends_at))
    policy = figures.policy
    lines = [
        f"Made at {made} by runnerctl report. Cancelled jobs are left out. A line is broken where the "
        "machine took no samples.",
        "Saved minutes: every job's time rounded up to whole minutes, as GitHub bills it, at "
        f"{policy.price_per_minute:g} {policy.currency} a minute. Public repositories pay nothing for "
        "standard hosted runners.",
        "Fallbacks are hosted runs of jobs that also run here. "
        "Up: minutes with a sample, Monday to Friday, 9 to 17, from the first sample on.",
        *(f"Not known, {part}: {why}." for part, why in figures.unknown.items()),
    ]
    return (
        "<footer><h2>How this was made</h2>\n"
        + "\n".join(f'<p class="quiet">{text(line)}</p>' for line in lines)
        + "</footer>"
    )
