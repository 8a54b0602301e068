import { createHash } from 'node:crypto';

// One column of figures that a person compares must line up: tabular numerals, right-aligned. Colours
// are pairs that read on white and on dark, and paper is always white.
const CSS = `
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --wash: #f3f5f7;
  --open: #0a5cad; --good: #14703c; --bad: #b3261e; --draft: #7a5600;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #e8ecf0; --soft: #a3adb8; --line: #3a424b; --paper: #14181d; --wash: #1e242b;
    --open: #79b8ff; --good: #5fd08b; --bad: #ff8f86; --draft: #e6b955;
  }
}
* { box-sizing: border-box; }
html { font-size: 15px; }
body {
  margin: 0; background: var(--paper); color: var(--ink);
  font: 1rem/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
.invoice { max-width: 60rem; margin: 0 auto; padding: 2.5rem 1.5rem; }
h1, h2, p, dl, dd { margin: 0; }
h1 { font-size: 1.75rem; line-height: 1.2; }
h2 { font-size: .8rem; color: var(--soft); font-weight: 600; margin-bottom: .25rem; }
a { color: var(--open); }
.head, .parties { display: flex; flex-wrap: wrap; gap: 1.5rem; justify-content: space-between; }
.head { align-items: flex-start; border-bottom: 2px solid var(--ink); padding-bottom: 1.25rem; }
.number { font-size: 1.1rem; color: var(--soft); font-variant-numeric: tabular-nums; }
.stamp {
  border: 2px solid; border-radius: 4px; padding: .2rem .75rem; font-weight: 700;
  letter-spacing: .06em; text-transform: uppercase;
}
.open { color: var(--open); } .good { color: var(--good); }
.bad { color: var(--bad); } .draft { color: var(--draft); }
.parties { margin: 1.5rem 0; }
.parties > * { flex: 1 1 12rem; min-width: 0; }
.parties > .fact { flex: 1 1 20rem; }
.party p, .fact dd { overflow-wrap: anywhere; }
.party .name { font-weight: 600; }
.fact { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; align-content: start; }
.fact dt { color: var(--soft); }
.due {
  display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: baseline;
  background: var(--wash); padding: .9rem 1.1rem; border-radius: 6px; margin-bottom: 1.75rem;
}
.due strong { font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.due .pay { margin-left: auto; font-weight: 600; }
.scroll { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; font-weight: inherit; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
.figure { text-align: right; white-space: nowrap; }
thead th { color: var(--soft); font-size: .8rem; font-weight: 600; border-bottom: 1px solid var(--ink); }
.section th { font-weight: 700; padding-top: 1.3rem; }
.line th, .line td { border-top: 1px solid var(--line); padding-top: .5rem; }
.line th { font-weight: 600; overflow-wrap: anywhere; }
.line .requests { font-weight: 400; color: var(--soft); white-space: nowrap; }
.part th, .part td { font-size: .87rem; color: var(--soft); padding-top: .1rem; padding-bottom: .2rem; }
.part th { padding-left: 1rem; min-width: 11rem; }
.part .exact { display: block; font-size: .8rem; }
.totals { margin: 1.5rem 0 0 auto; width: auto; min-width: min(100%, 30rem); }
.totals th { white-space: normal; }
.totals .main th, .totals .main td { font-weight: 700; border-top: 1px solid var(--ink); }
.totals .main:last-child { font-size: 1.15rem; }
.notes { margin-top: 1.75rem; color: var(--soft); }
.notes p + p { margin-top: .3rem; }
.foot {
  margin-top: 2rem; padding-top: .75rem; border-top: 1px solid var(--line);
  font-size: .78rem; color: var(--soft); overflow-wrap: anywhere;
}
@media (max-width: 40rem) {
  .invoice { padding: 1.25rem 1rem; }
  .due .pay { margin-left: 0; }
}
@page {
  size: A4; margin: 15mm 14mm 18mm;
  @bottom-right { content: counter(page) " / " counter(pages); font: 9px sans-serif; color: #57606a; }
}
@media print {
  :root {
    color-scheme: light;
    --ink: #000000; --soft: #444b53; --line: #c5ccd3; --paper: #ffffff; --wash: #f3f5f7;
    --open: #0a5cad; --good: #14703c; --bad: #b3261e; --draft: #7a5600;
  }
  html { font-size: 9pt; }
  .invoice { max-width: none; padding: 0; }
  .scroll { overflow: visible; }
  .due { border: 1px solid var(--line); }
  .pay { display: none; }
  thead { display: table-header-group; }
  tbody, .totals, .due, .notes, .parties { break-inside: avoid; }
  .section { break-after: avoid; }
}
`;

/** The stylesheet of the invoice page: served beside it, or written into it. */
export function invoiceCss(): string {
  return CSS;
}

/** What `style-src` of a Content-Security-Policy must name for the page with its style inside. */
export function invoiceCssSource(): string {
  return `'sha256-${createHash('sha256').update(CSS).digest('base64')}'`;
}
