"""Style sheet of the report, for wide and narrow pages, light and dark."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1c1e21; --soft: #5d646c; --line: #d9dde1; --tint: #f4f6f8;
  --link: #00588c; --mark: #d55e00;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16181b; --ink: #e6e8ea; --soft: #a2a9b1; --line: #363b41; --tint: #1f2327;
    --link: #7cc4f0; --mark: #f08a3c;
  }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; scroll-padding-top: 1rem; }
body {
  margin: 0 auto; max-width: 74rem; padding: 0 1.5rem 4rem;
  display: grid; grid-template-columns: 13rem minmax(0, 1fr); gap: 0 2.5rem;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  color: var(--ink); background: var(--paper);
}
header, main { grid-column: 2; }
nav {
  grid-area: 1 / 1 / span 2; align-self: start;
  position: sticky; top: 0; max-height: 100vh; overflow-y: auto;
}
nav ol { list-style: none; margin: 2.4rem 0; padding: 0; font-size: 0.9rem; }
nav a { display: block; padding: 0.25rem 0; color: var(--soft); text-decoration: none; }
nav a:hover, nav a:focus { color: var(--link); text-decoration: underline; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 2rem 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 0.7rem; }
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
.wide { overflow-x: auto; }
img {
  display: block; width: min(100%, var(--natural)); height: auto;
  background: #ffffff; padding: 0.5rem; border: 1px solid var(--line); border-radius: 4px;
}
figcaption { font-size: 0.9rem; margin-top: 0.4rem; }
figcaption small { display: block; color: var(--soft); overflow-wrap: anywhere; }
table { border-collapse: collapse; font-size: 0.875rem; margin: 0.3rem 0 1rem; }
caption { text-align: left; font-weight: 600; padding-bottom: 0.3rem; }
th, td { padding: 0.3rem 0.9rem 0.3rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; border-bottom: 1px solid var(--ink); white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
.number { font-variant-numeric: tabular-nums; }
pre {
  background: var(--tint); border: 1px solid var(--line); border-radius: 4px;
  padding: 0.7rem 0.9rem; margin: 0 0 0.7rem; white-space: pre-wrap; overflow-wrap: anywhere;
}
code { font-size: 0.875rem; }
summary { cursor: pointer; padding: 0.2rem 0; }
@media (max-width: 52rem) {
  body { display: block; padding: 0 1rem 3rem; }
  header, main { grid-column: 2; }
nav { grid-area: 1 / 1 / span 2; position: static; max-height: none; }
  nav ol { margin: 0 0 1rem; columns: 2; }
  h1 { font-size: 1.3rem; margin-top: 1.2rem; }
  /* figures scroll instead of shrinking until their text is unreadable */
  img { width: min(var(--natural), 42rem); max-width: none; }
}
@media print { nav { display: none; } body { display: block; } }
"""
