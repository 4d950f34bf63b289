"""Report as an HTML page that loads nothing: no network, script or font. Pure.

Strangers choose the names of jobs and workflows. All text that is not this module's markup goes through
``text``, and the page's Content-Security-Policy forbids the browser to run or load anything.

The page has one column on a phone and two on a desk, light or dark as the reader prefers. Text has a contrast
of 4.5 or more (WCAG 2.2, 1.4.3), a line of a chart 3 or more (1.4.11); the browser test measures both.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from html import escape

from .charts import Chart, cell, charts, time_cell
from .figures import Figures
from .goals import Goal
from .words import clean, count

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --edge: #d9dee5; --text: #1b2330; --quiet: #566072;
  --one: #1f5fbf; --two: #b4530a; --three: #68758a; --good: #176b3a; --bad: #b3261e; --open: #566072;
  --good-soft: #e3f3e9; --bad-soft: #fbe6e4; --open-soft: #eceff3; --grid: #e3e7ed;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12161d; --card: #1a202a; --edge: #2e3744; --text: #e6eaf0; --quiet: #a3aebf;
    --one: #79aefc; --two: #f0a35e; --three: #8f9db1; --good: #6fd398; --bad: #ff9a90; --open: #a3aebf;
    --good-soft: #17342a; --bad-soft: #3c2125; --open-soft: #262e3a; --grid: #2a323e;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text); -webkit-text-size-adjust: 100%;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.25rem 0 .75rem; }
h3 { font-size: 1rem; margin: 0; }
p { margin: 0 0 .5rem; max-width: 46rem; }
.quiet { color: var(--quiet); font-size: .9rem; }
.lead { font-size: 1.1rem; margin: 1rem 0 0; }
.grid { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr)); }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); }
.tiles { grid-template-columns: repeat(auto-fit, minmax(min(100%, 9.5rem), 1fr)); }
.card { background: var(--card); border: 1px solid var(--edge); border-radius: .6rem; padding: .9rem 1rem; }
.grid > * { min-width: 0; }
.value { font-size: 1.5rem; font-weight: 650; line-height: 1.25; }
.why { font-size: 1rem; font-weight: 400; color: var(--quiet); line-height: 1.875rem; }
.verdict { display: inline-block; border-radius: 1rem; padding: 0 .6rem; font-size: .85rem; }
.verdict, th { font-weight: 600; }
.met { color: var(--good); background: var(--good-soft); }
.missed { color: var(--bad); background: var(--bad-soft); }
.open { color: var(--open); background: var(--open-soft); }
.goal { display: flex; flex-direction: column; gap: .15rem; align-items: flex-start; }
figure { margin: 0; display: flex; flex-direction: column; }
svg { display: block; width: 100%; height: auto; margin-top: auto; padding-top: .5rem; }
svg text { font-size: 11px; fill: var(--quiet); }
@media (max-width: 30rem) { svg text { font-size: 13px; } }
svg .end { text-anchor: end; } svg .middle { text-anchor: middle; }
svg line { stroke: var(--grid); stroke-width: 1; }
svg line.mark { stroke: var(--quiet); stroke-dasharray: 3 3; }
polyline { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
polyline.one { stroke: var(--one); } polyline.two { stroke: var(--two); stroke-dasharray: 5 3; }
polyline.three { stroke: var(--three); stroke-width: 1.25; }
rect.one, circle.one { fill: var(--one); } rect.bad { fill: var(--bad); }
circle.two { fill: var(--two); } rect.three, circle.three { fill: var(--three); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0; padding: 0; list-style: none; }
.legend li::before {
  content: ""; display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem;
  margin-right: .4rem; vertical-align: -.08rem; background: var(--key);
}
.legend .one { --key: var(--one); } .legend .two { --key: var(--two); }
.legend .three { --key: var(--three); } .legend .bad { --key: var(--bad); }
.legend .dashes::before {
  background: none; border-top: 2px dashed var(--quiet); border-radius: 0; height: .3rem; width: 1.2rem;
}
details { margin-top: .5rem; } summary { cursor: pointer; padding: .35rem 0; }
summary:focus-visible { outline: 2px solid var(--one); outline-offset: 2px; }
.scroll { overflow: auto; max-height: 22rem; }
.names { max-height: none; }
@media (max-width: 30rem) { .names :is(th, td):is(:nth-child(2), :nth-child(n+6)) { display: none; } }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
table, .value, svg text { font-variant-numeric: tabular-nums; }
th, td { text-align: right; white-space: nowrap; padding: .35rem .6rem; }
td, th { border-bottom: 1px solid var(--edge); }
th { color: var(--quiet); }
tbody tr:last-child td { border-bottom: 0; }
th:first-child, td:first-child, .names :nth-child(2) { text-align: left; }
td:first-child, .names td:nth-child(2) { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
.empty { color: var(--quiet); margin-top: .75rem; max-width: none; }
@media print { body { background: none; } .card { break-inside: avoid; } details { display: none; } }
"""


_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_VERDICTS = {True: ("met", "✓ met"), False: ("missed", "✗ missed"), None: ("open", "? not known")}


def text(words: object) -> str:
    """Return ``words`` as text of the page, without markup."""
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
    """Return the report in one or two sentences."""
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
    """Return what the jobs here would have cost on hosted runners."""
    return f"{figures.saved_money:,.2f} {figures.policy.currency}"


def period(figures: Figures) -> str:
    """Return the days that the report covers."""
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
    keys = [(line.style, line.name) for line in chart.series if len(chart.series) > 1]
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
            cell(kind.success_percent, " %"),
            time_cell(kind.mean_seconds),
            time_cell(kind.p90_seconds),
            time_cell(kind.hosted_mean_seconds),
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
