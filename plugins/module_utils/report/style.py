"""The style sheet of the report page: one column on a phone, two on a desk, light or dark as the reader is.

Every pair of colours that carries text has a contrast of 4.5 or more (WCAG 2.2, 1.4.3), and every line of a
chart 3 or more (1.4.11); the browser test measures it.
"""

from __future__ import annotations

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
