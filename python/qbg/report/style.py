"""The style sheet of the HTML report: one palette for light, one for dark, one for paper.

Colors are custom properties, so that SVG and HTML share them. The eight series colors differ in
lightness as well as in hue and start with blue and vermilion, which people with any common color
blindness tell apart (after Okabe and Ito, darkened for contrast on white, lightened for contrast on
black). All text has a contrast of at least 4.5 to its background. Nothing is loaded from anywhere:
fonts are the system's own.
"""

from __future__ import annotations

_LIGHT = """
  --page: #ffffff; --card: #f6f7f9; --ink: #16202b; --soft: #566472; --line: #dde2e8; --grid: #e6eaef;
  --link: #0b62a4; --strong: #eaf2fa; --guide: #7b8794; --check: #e3e6ea;
  --s1: #0b6bb0; --s2: #cc5500; --s3: #00795b; --s4: #a0468c; --s5: #96720a; --s6: #55606c; --s7: #2592c6;
  --s8: #7a4a2b;
  --measured: #00694f; --estimated: #7d5c00; --published: #0b5a96; --projected: #8c3a7a; --simulated: #a04300;
  --good: #00694f; --bad: #b3121d; --bad-page: #fdeeee; --doubt: #8a6100; --doubt-page: #fdf6e3;
"""

_DARK = """
  --page: #11161c; --card: #1a2129; --ink: #e8edf2; --soft: #a3b0bd; --line: #2f3a45; --grid: #28323c;
  --link: #7cc0f5; --strong: #1b2c3d; --guide: #8995a1; --check: #2b343d;
  --s1: #5cb3f0; --s2: #f58f4a; --s3: #35c59b; --s4: #de93cb; --s5: #e3b94d; --s6: #a9b5c1; --s7: #a5daf7;
  --s8: #d0a283;
  --measured: #45cfa6; --estimated: #e3b94d; --published: #7cc0f5; --projected: #e59fd3; --simulated: #f9a369;
  --good: #45cfa6; --bad: #ff8b88; --bad-page: #3a1618; --doubt: #e9c462; --doubt-page: #2c2512;
"""

_PAGE = """
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 system-ui, -apple-system,
  "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif; }
main { max-width: 64rem; margin: 0 auto; padding: 2.5rem 2rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 0.6rem; }
h2 { font-size: 1.3rem; line-height: 1.3; letter-spacing: -0.01em; margin: 0 0 0.8rem; }
h3 { font-size: 1rem; line-height: 1.35; margin: 0 0 0.7rem; }
p { margin: 0 0 0.8rem; max-width: 46rem; }
a { color: var(--link); text-underline-offset: 0.15em; }
code { font: 0.9em/1.4 ui-monospace, "SF Mono", Consolas, "Liberation Mono", monospace;
  background: var(--card); padding: 0.1em 0.3em; border-radius: 3px; overflow-wrap: anywhere; }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.verdict { font-size: 1.15rem; line-height: 1.5; max-width: 50rem; }
.soft { color: var(--soft); }
.passed { display: inline-block; font-weight: 600; font-size: 0.85rem; color: var(--good); margin: 0 0 0.8rem;
  border: 1.5px solid var(--good); border-radius: 4px; padding: 0.1rem 0.6rem; }
.invalid { background: var(--bad-page); border: 3px solid var(--bad); border-radius: 6px;
  padding: 1.2rem 1.5rem 0.8rem; margin: 0 0 2rem; }
.invalid h2 { color: var(--bad); font-size: 2.2rem; font-weight: 800; letter-spacing: 0.06em; margin: 0;
  line-height: 1.2; }
.invalid p { font-weight: 600; margin: 0.2rem 0 0.6rem; }
.doubts { background: var(--doubt-page); border-left: 4px solid var(--doubt); border-radius: 3px;
  padding: 0.8rem 1.2rem 0.4rem; margin: 1.2rem 0; }
.doubts h2 { color: var(--doubt); font-size: 1rem; margin: 0 0 0.3rem; }
.invalid code, .doubts code { background: none; padding: 0; font-weight: 600; }
.invalid ul, .doubts ul { margin: 0 0 0.6rem; padding-left: 1.2rem; }
.invalid li, .doubts li { margin: 0.2rem 0; }
nav { margin: 1.4rem 0 0; font-size: 0.92rem; }
nav ul { list-style: none; display: flex; flex-wrap: wrap; gap: 0.3rem 1.3rem; margin: 0; padding: 0; }
section { margin-top: 2.6rem; padding-top: 1.6rem; border-top: 1px solid var(--line); }
.legend { background: var(--card); border-radius: 6px; padding: 0.9rem 1.2rem; margin: 1.4rem 0 0;
  font-size: 0.9rem; }
.legend h2 { font-size: 0.9rem; margin: 0 0 0.5rem; }
.legend dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.4rem 0.9rem; margin: 0;
  line-height: 1.4; }
.legend dt, .legend dd { margin: 0; }
"""

_BADGES = """
.badge { display: inline-block; font-size: 0.75rem; line-height: 1.35; font-weight: 600; white-space: nowrap;
  padding: 0 0.45em; border: 1.5px solid currentColor; border-radius: 4px; color: var(--b); }
.badge-measured { --b: var(--measured); background: var(--measured); border-color: var(--measured);
  color: var(--page); }
.badge-published { --b: var(--published); }
.badge-estimated { --b: var(--estimated); border-style: double; border-width: 3px; line-height: 1.15; }
.badge-projected { --b: var(--projected); border-style: dashed; border-radius: 1em; }
.badge-simulated { --b: var(--simulated); border-style: dotted; border-width: 2px; line-height: 1.25; }
"""

_TABLES = """
.table { margin: 0 0 1.8rem; }
.scroll { overflow-x: auto; background:
  linear-gradient(to right, var(--page) 30%, transparent) left / 2rem 100% no-repeat local,
  linear-gradient(to left, var(--page) 30%, transparent) right / 2rem 100% no-repeat local,
  linear-gradient(to right, var(--line), transparent) left / 0.7rem 100% no-repeat scroll,
  linear-gradient(to left, var(--line), transparent) right / 0.7rem 100% no-repeat scroll; }
table { border-collapse: collapse; font-size: 0.92rem; line-height: 1.4; min-width: min(100%, 30rem); }
caption { text-align: left; font-weight: 600; padding: 0 0 0.45rem; font-size: 1rem; }
th, td { text-align: left; vertical-align: top; padding: 0.38rem 1.3rem 0.38rem 0; font-weight: normal;
  border-bottom: 1px solid var(--line); }
th:first-child, td:first-child { padding-left: 0.5rem; }
thead th { color: var(--soft); font-size: 0.82rem; font-weight: 600; vertical-align: bottom;
  border-bottom: 1.5px solid var(--soft); }
.n { text-align: right; font-variant-numeric: tabular-nums; }
td.n { white-space: nowrap; }
th[scope="row"]:not(.n) { min-width: 7.5rem; }
td.n.long { white-space: normal; min-width: 7rem; color: var(--soft); }
tbody tr:hover { background: var(--card); }
tr.strong { background: var(--strong); }
tr.strong th, tr.strong td { font-weight: 700; }
sup { font-size: 0.72em; line-height: 0; margin-left: 0.15em; }
sup a { text-decoration: none; }
th.n sup { position: absolute; line-height: 1; margin-top: 0.15em; vertical-align: baseline; }
.notes { font-size: 0.85rem; color: var(--soft); margin: 0.6rem 0 0; padding: 0; list-style: none;
  max-width: 50rem; line-height: 1.45; }
.notes li { margin: 0.15rem 0; }
.notes li:target { color: var(--ink); background: var(--strong); }
.facts { display: block; columns: 2 24rem; column-gap: 3rem; font-size: 0.9rem; }
.facts caption { display: block; column-span: all; }
.facts thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.facts tbody { display: contents; }
.facts tr { display: grid; grid-template-columns: 9rem 1fr; break-inside: avoid;
  border-bottom: 1px solid var(--line); }
.facts th, .facts td { border: 0; padding: 0.3rem 0.5rem 0.3rem 0; overflow-wrap: anywhere; }
.facts th { color: var(--soft); }
.facts th:first-child { padding-left: 0; }
"""

_CHARTS = """
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 2rem 2rem; align-items: start;
  margin-bottom: 1.6rem; }
figure { margin: 0; min-width: 0; }
figure.chart.wide { grid-column: 1 / -1; }
figcaption { color: var(--soft); font-size: 0.88rem; line-height: 1.45; margin-top: 0.5rem;
  max-width: 46rem; }
svg.plot { display: block; width: 100%; height: auto; overflow: visible; }
.half, .narrow, .wide > .half { display: none; }
figure.chart:not(.wide) > .half { display: block; }
.plot text { fill: var(--ink); font-family: inherit; font-variant-numeric: tabular-nums; }
.plot .y-tick text, .plot .x-tick text, .plot .axis-title, .plot text.soft { fill: var(--soft); }
.plot .flag text { fill: var(--ink); font-weight: 600; }
.plot .value { font-weight: 600; }
.plot .category, .plot .value, .plot .flag text { paint-order: stroke; stroke: var(--page); stroke-width: 3;
  stroke-linejoin: round; }
.plot path { fill: none; }
.plot .grid { stroke: var(--grid); }
.plot .base { stroke: var(--soft); }
.plot .marker { stroke: var(--ink); stroke-dasharray: 3 3; opacity: 0.75; }
.plot .line { stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.plot .dashed { stroke-dasharray: 6 5; }
.plot .guide .line { stroke-width: 1.5; }
.plot .fill { fill: var(--c); fill-opacity: 0.18; }
.plot .whisker { stroke: var(--c); stroke-width: 1.5; }
.plot .bars .whisker, .plot.bars .whisker { stroke: var(--ink); }
.plot .point { fill: var(--c); stroke: var(--page); stroke-width: 1; }
.plot .point.hollow { fill: var(--page); stroke: var(--c); stroke-width: 2; }
.plot .bar { stroke: none; }
.plot .bar-measured, .plot .bar-unlabelled { fill: var(--c); }
.plot .bar-published { fill: var(--c); fill-opacity: 0.25; stroke: var(--c); stroke-width: 1.5; }
.plot .bar-projected { fill: var(--c); fill-opacity: 0.1; stroke: var(--c); stroke-width: 1.5;
  stroke-dasharray: 4 3; }
.plot .bar-estimated { stroke: var(--c); stroke-width: 1.5; }
.plot .bar-simulated { stroke: var(--c); stroke-width: 1.5; stroke-dasharray: 1.5 2.5; }
.plot .hatch { stroke: var(--c); stroke-width: 1.5; fill: var(--c); }
.strip { margin: 0 0 1.6rem; }
.strip h3 { margin-bottom: 0.5rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8rem, 15rem)); gap: 0.8rem; }
.pictures img { display: block; width: 100%; height: auto; border-radius: 4px;
  outline: 1px solid var(--line); background:
  repeating-conic-gradient(var(--check) 0 25%, var(--page) 0 50%) 0 0 / 16px 16px; }
.pictures figcaption { font-size: 0.8rem; margin-top: 0.25rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: 0.82rem; }
"""

_NARROW = """
@media (max-width: 60rem) {
  .charts { grid-template-columns: 1fr; }
  .wide > .full { display: none; }
  .wide > .half { display: block; }
  svg.plot { max-width: 34rem; }
}
@media (max-width: 32rem) {
  main { padding: 1.5rem 1rem 3rem; }
  h1 { font-size: 1.5rem; }
  .verdict { font-size: 1.05rem; }
  .wide > .half, figure.chart:not(.wide) > .half { display: none; }
  .chart > .narrow { display: block; }
  .legend dl { grid-template-columns: 1fr; gap: 0.1rem; }
  .legend dd { margin-bottom: 0.5rem; }
  .facts tr { grid-template-columns: 7rem 1fr; }
  .pictures { grid-template-columns: repeat(auto-fit, minmax(6rem, 1fr)); gap: 0.5rem; }
  table { font-size: 0.86rem; min-width: 0; }
  th, td { padding-right: 0.7rem; }
}
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
"""

_PRINT = """
@media print {
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  nav { display: none; }
  .charts { grid-template-columns: 1fr 1fr; gap: 1.5rem; }
  figure.chart:not(.wide) > .half, .wide > .full { display: none; }
  .chart:not(.wide) > .narrow, .wide > .half { display: block; }
  .scroll { overflow: visible; }
  figure, tr, .legend, .invalid, .doubts { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  section { margin-top: 1.2rem; padding-top: 0.8rem; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def sheet() -> str:
    """All of it."""
    series = "\n".join(f".s{number} {{ --c: var(--s{number}); }}" for number in range(1, 9))
    return (
        f":root {{ color-scheme: light dark;{_LIGHT}}}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{{_DARK}}} }}\n"
        f"{series}\n.guide {{ --c: var(--guide); }}\n"
        f"{_PAGE}{_BADGES}{_TABLES}{_CHARTS}{_NARROW}{_PRINT}"
    )
