/**
 * The characters of the PDF's font (Roboto: Latin, Greek, Cyrillic, common signs). No other font is
 * shipped: what is not in it would be an empty box, or nothing.
 */
const MISSING =
  /[^\x20-\x7e\xa0-\u017f\u018f\u0192\u01a0\u01a1\u01af\u01b0\u01fa-\u01ff\u0218-\u021b\u0384-\u038a\u038c\u038e-\u03a1\u03a3-\u03ce\u0400-\u0486\u0488-\u0513\u1e80-\u1e85\u1e9e\u1ea0-\u1ef9\u2010\u2011\u2013-\u2015\u2017-\u201e\u2020-\u2022\u2026\u2030\u2032\u2033\u2039\u203a\u2044\u20a6-\u20ac\u20b1\u20b9\u20ba\u20bd\u2116\u2122\u2212\u2248\u2264\u2265\ufffd]/gu;
/** Marks a place where a character is missing; the font has it. */
const REPLACEMENT = '\ufffd';

/** Longer words than a column is wide get places where they may break. */
const UNBROKEN_MAX_CHARS = 18;
const UNBROKEN = new RegExp(`[^\\s/-]{${UNBROKEN_MAX_CHARS}}(?=[^\\s/-])`, 'gu');
const MAY_BREAK = '\u200b';

/** The text as the PDF can show it: composed, on one line, with a sign for every character it lacks. */
export function printable(text: string): string {
  const shown = oneLine(text).replace(MISSING, REPLACEMENT);
  return shown.replace(UNBROKEN, (run) => run + MAY_BREAK);
}

/** Whether the PDF shows the text as it is. */
export function isPrintable(text: string): boolean {
  return oneLine(text).search(MISSING) === -1;
}

function oneLine(text: string): string {
  return text.normalize('NFC').replace(/\s+/gu, ' ').trim();
}
