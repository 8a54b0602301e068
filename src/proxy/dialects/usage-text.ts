import {
  compareDecimals,
  isWholeNumberText,
  plainDecimal,
  shiftedDecimal,
} from './decimal-text.js';
import {
  elementsOf,
  isObjectAt,
  type JsonSpan,
  memberOf,
  skipValue,
  skipWhitespace,
  visitMembers,
} from './json-bytes.js';
import { isDetailsContainer, isUsageField, RAW_USAGE_MAX_BYTES } from './usage-fields.js';

/** One xAI tick is 10^-10 USD. */
const TICKS_PER_USD_DIGITS = 10;

const HOLDERS: ReadonlySet<string> = new Set([
  'usage',
  'response',
  'message',
  'x_groq',
  'delta',
  'choices',
]);

/**
 * Where the usage objects of an answer's JSON lie, in the order in which a final one is looked
 * for: at the top, inside `response` and `message`, `x_groq`, `delta`, and in the choices.
 */
export function usageSpans(bytes: Buffer): JsonSpan[] {
  const root = rootObject(bytes);
  if (root < 0) return [];
  const found: JsonSpan[] = [];
  const take = (span: JsonSpan | null): void => {
    if (span !== null && isObjectAt(bytes, span.start)) found.push(span);
  };
  const members = new Map<string, number>();
  visitMembers(bytes, root, (key, start) => {
    if (HOLDERS.has(key)) members.set(key, start);
  });
  const top = members.get('usage');
  if (top !== undefined) take({ start: top, end: skipValue(bytes, top) });
  for (const name of ['response', 'message', 'x_groq', 'delta']) {
    const outer = members.get(name);
    if (outer !== undefined) take(memberOf(bytes, outer, 'usage'));
  }
  const choices = members.get('choices');
  if (choices !== undefined) {
    for (const choice of elementsOf(bytes, choices)) take(memberOf(bytes, choice, 'usage'));
  }
  return found;
}

/** The text of the answer's usage objects, bounded, for a person to look at. */
export function rawUsageText(bytes: Buffer): string {
  const parts = usageSpans(bytes).map(({ start, end }) =>
    bytes.toString('utf8', start, Math.min(end, start + RAW_USAGE_MAX_BYTES)),
  );
  const text = Buffer.from(parts.join('\n'));
  if (text.length <= RAW_USAGE_MAX_BYTES) return parts.join('\n');
  // A cut inside a character leaves a replacement character of three bytes: make room for it.
  return text.toString('utf8', 0, RAW_USAGE_MAX_BYTES - 3);
}

/** The usage field whose number is not whole as it is written, though a float rounds it to one. */
export function fractionalField(bytes: Buffer): string | null {
  let found: string | null = null;
  for (const span of usageSpans(bytes)) {
    visitMembers(bytes, span.start, (key, start, end) => {
      if (isDetailsContainer(key)) {
        visitMembers(bytes, start, (inner, innerStart, innerEnd) => {
          const name = `${key}.${inner}`;
          if (isUsageField(name) && isFractional(bytes, innerStart, innerEnd)) found ??= name;
        });
      } else if (isUsageField(key) && isFractional(bytes, start, end)) found ??= key;
    });
  }
  return found;
}

function isFractional(bytes: Buffer, start: number, end: number): boolean {
  const text = bytes.toString('latin1', start, end);
  return /^[-0-9]/.test(text) && !isWholeNumberText(text);
}

/** What the provider says the request cost, as exact decimal USD text; of several the largest. */
export function statedCostUsd(bytes: Buffer): string | null {
  let largest: string | null = null;
  for (const span of usageSpans(bytes)) {
    const stated = costOf(bytes, span.start);
    if (stated === null) continue;
    if (largest === null || compareDecimals(stated, largest) > 0) largest = stated;
  }
  return largest;
}

function costOf(bytes: Buffer, usage: number): string | null {
  // DeepInfra, OpenRouter, Perplexity (an object with its total), xAI.
  const estimated = numberText(bytes, memberOf(bytes, usage, 'estimated_cost'));
  if (estimated !== null) return plainDecimal(estimated);
  const cost = memberOf(bytes, usage, 'cost');
  if (cost !== null && isObjectAt(bytes, cost.start)) {
    const total = numberText(bytes, memberOf(bytes, cost.start, 'total_cost'));
    return total === null ? null : plainDecimal(total);
  }
  const direct = numberText(bytes, cost);
  if (direct !== null) return plainDecimal(direct);
  const ticks = numberText(bytes, memberOf(bytes, usage, 'cost_in_usd_ticks'));
  if (ticks === null || !/^[0-9]+$/.test(ticks)) return null;
  return shiftedDecimal(ticks, '', -TICKS_PER_USD_DIGITS);
}

/** A number's text, also where it stands in quotes. */
function numberText(bytes: Buffer, span: JsonSpan | null): string | null {
  if (span === null) return null;
  const text = bytes.toString('latin1', span.start, Math.min(span.end, span.start + 1024));
  const bare = text.startsWith('"') && text.endsWith('"') ? text.slice(1, -1) : text;
  return /^[-0-9]/.test(bare) ? bare : null;
}

/** The object at the top; some providers wrap an answer in an array of one. */
function rootObject(bytes: Buffer): number {
  const start = skipWhitespace(bytes, 0);
  if (isObjectAt(bytes, start)) return start;
  const first = elementsOf(bytes, start)[0];
  return first !== undefined && isObjectAt(bytes, first) ? first : -1;
}
