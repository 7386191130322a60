"""Style sheet of the report, for wide and narrow pages, light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1e21; --soft: #5d646c; --line: #d9dde1; --tint: #f4f6f8;
  --link: #00588c; --mark: #d55e00; --shade: #00000040;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --ink: #e6e8ea; --soft: #a2a9b1; --line: #363b41; --tint: #1f2327;
    --link: #7cc4f0; --mark: #f08a3c; --shade: #ffffff50;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body {
  margin: 0 auto; max-width: 74rem; padding: 0 1.5rem 4rem;
  display: grid; grid-template-columns: 13rem minmax(0, 1fr); gap: 0 2.5rem;
  grid-template-rows: auto 1fr;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper);
}
header, main { grid-column: 2; min-width: 0; }
nav {
  grid-area: 1 / 1 / span 2; align-self: start;
  position: sticky; top: 0; max-height: 100vh; overflow-y: auto;
}
nav ol { list-style: none; margin: 2.4rem 0; padding: 0; font-size: 0.9rem; }
nav li { break-inside: avoid; }
nav a { display: block; padding: 0.25rem 0; color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--link); text-decoration: underline; }
a { color: var(--link); }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 2rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 0.7rem; overflow-wrap: anywhere; }
h3 { font-size: 0.95rem; margin: 0; overflow-wrap: anywhere; }
summary h2, summary h3 { display: inline; }
.opening { font-size: 1.15rem; margin: 0 0 0.5rem; overflow-wrap: anywhere; }
header { margin-bottom: 1rem; }
section { padding: 1.4rem 0 0.6rem; border-top: 1px solid var(--line); }
section:nth-of-type(2) { border-top: none; }
section:first-of-type {
  background: var(--tint); border: 1px solid var(--line); border-left: 5px solid var(--mark);
  border-radius: 4px; padding: 1.1rem 1.3rem 0.5rem; margin-bottom: 1.6rem;
}
ul { margin: 0 0 1rem; padding-left: 1.2rem; }
li { margin-bottom: 0.35rem; overflow-wrap: anywhere; }
li::marker { color: var(--mark); }
figure { margin: 0 0 1.4rem; }
.chart img {
  display: block; width: min(100%, var(--natural)); height: auto;
  background: #ffffff; padding: 0.5rem; border: 1px solid var(--line); border-radius: 4px;
}
figcaption { font-size: 0.9rem; margin-top: 0.4rem; overflow-wrap: anywhere; }
figcaption small { display: block; color: var(--soft); overflow-wrap: anywhere; }
/* what is wider than the page scrolls; a shadow lies where there is more */
.wide {
  overflow-x: auto; scrollbar-width: thin; scrollbar-color: var(--soft) var(--line);
  background:
    linear-gradient(to right, var(--paper) 30%, transparent) left / 3rem 100% no-repeat local,
    linear-gradient(to left, var(--paper) 30%, transparent) right / 3rem 100% no-repeat local,
    linear-gradient(to right, var(--shade), transparent) left / 1rem 100% no-repeat scroll,
    linear-gradient(to left, var(--shade), transparent) right / 1rem 100% no-repeat scroll;
}
table { border-collapse: collapse; font-size: 0.875rem; margin: 0.3rem 0 1rem; }
.caption { font-size: 0.875rem; font-weight: 600; margin: 0; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); white-space: nowrap; }
td { border-bottom: 1px solid var(--line); overflow-wrap: break-word; max-width: 24rem; }
.number { font-variant-numeric: tabular-nums; }
pre {
  background: var(--tint); border: 1px solid var(--line); border-radius: 4px;
  padding: 0.7rem 0.9rem; margin: 0 0 0.7rem; white-space: pre-wrap; overflow-wrap: anywhere;
}
code { font-size: 0.875rem; }
summary { cursor: pointer; padding: 0.2rem 0; }
.gallery { margin: 0 0 0.8rem; }
.words { margin: 0.4rem 0 0.2rem; font-size: 0.85rem; color: var(--soft); }
.pictures { display: grid; gap: 0.5rem; grid-template-columns: repeat(auto-fill, 6.2rem); }
.pictures figure { margin: 0; min-width: 0; }
.pictures img {
  display: block; width: 100%; aspect-ratio: 1; object-fit: contain; image-rendering: pixelated;
  border: 2px solid transparent; border-radius: 4px; background: var(--tint);
}
.pictures .wrong img { border-color: var(--mark); }
.pictures figcaption { font-size: 0.7rem; line-height: 1.3; margin-top: 0.15rem; }
.pictures b, .pictures span { display: block; overflow-wrap: anywhere; }
.pictures b { font-weight: 600; }
.plot {
  display: grid; gap: 1rem; margin: 0 0 0.6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 19rem), 1fr));
}
.plot > * { min-width: 0; }
.key { display: flex; flex-wrap: wrap; gap: 0.1rem 0.9rem; margin: 0 0 0.8rem; padding: 0;
  list-style: none; font-size: 0.8rem; }
.key li { margin: 0; overflow-wrap: anywhere; }
.key i { display: inline-block; width: 0.75em; height: 0.75em; border-radius: 50%;
  margin-right: 0.35em; }
.term, dd { font-size: 0.875rem; color: var(--soft); margin: 0 0 0.3rem; }
dt { font-weight: 600; font-size: 0.9rem; }
dd { margin-left: 1rem; }
@media (max-width: 52rem) {
  /* the answer, the contents, the rest */
  body { display: flex; flex-direction: column; padding: 0 1rem 3rem; }
  main { display: contents; }
  section { order: 3; }
  section:first-of-type { order: 1; }
  nav { order: 2; position: static; max-height: none; }
  nav ol { margin: 0 0 1rem; columns: 2; font-size: 0.8rem; line-height: 1.3; }
  h1 { font-size: 1.3rem; margin-top: 1.2rem; }
  .chart small::before { content: "Touch the figure to enlarge it. "; }
  .chart:focus img { width: var(--natural); max-width: none; }
}
@media print { nav { display: none; } body { display: block; } }
"""
