/**
 * Endless text of sixteen tokens in a circle. Each is exactly four UTF-8 bytes, so bytes / 4 is the
 * token count; some hold characters of two to four bytes, so that a cut can fall inside one.
 */
const TOKENS = [
  'The ',
  'toll',
  ' is ',
  'né ',
  'each',
  ' car',
  '🙂',
  ' pay',
  's a ',
  '€ ',
  'and ',
  'goes',
  ' on.',
  '"ok"',
  ' \\o/',
  '\nøx',
] as const;

const CIRCLE = TOKENS.length;
const STARTS: readonly number[] = TOKENS.map((_, index) => TOKENS.slice(0, index).join('').length);
const LAP = TOKENS.join('');

/** `count` tokens of text, beginning with the token at `offset` of the circle. */
export function textOf(offset: number, count: number): string {
  if (count <= 0) return '';
  const start = offset % CIRCLE;
  const end = start + count;
  const laps = Math.floor(end / CIRCLE);
  const rest = STARTS[end % CIRCLE] ?? 0;
  return (LAP.repeat(laps) + LAP.slice(0, rest)).slice(STARTS[start] ?? 0);
}
