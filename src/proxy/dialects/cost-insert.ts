import { type JsonSpan, skipWhitespace, visitMembers } from './json-bytes.js';
import { type SseEvent } from './sse-splitter.js';
import { usageSpans } from './usage-text.js';

/** What is written into the final usage object. */
export interface InsertedCost {
  /** USD as plain decimal text, e.g. `0.00012`; becomes a JSON number of exactly these digits. */
  readonly costUsd: string;
  /** The value of `cost_details`: the JSON text of an object, on one line. */
  readonly detailsJson: string;
}

const PLAIN_DECIMAL = /^(?:0|[1-9][0-9]*)(?:\.[0-9]+)?$/;

/** Bytes to put in place of a span (empty: an insertion). */
interface Splice extends JsonSpan {
  readonly text: string;
}

/**
 * The event's bytes with `cost` and `cost_details` in its usage object: the top-level one, else
 * the one in `response`, `message`, `x_groq`, `delta` or a choice. Members of these names that
 * the provider wrote are replaced where they stand, since a duplicate key has no meaning; every
 * other byte stays. Null where the event carries no usage object.
 * @throws RangeError when the cost is not plain decimal text or the details are no line of JSON object
 */
export function insertCostIntoEvent(event: SseEvent, cost: InsertedCost): Buffer | null {
  if (event.isUnread || !event.hasData) return null;
  const splices = splicesInto(event.dataBytes(), cost);
  if (splices === null) return null;
  const spans = event.dataSpans();
  const moved = splices.map(({ start, end, text }) => {
    const from = sourceOffset(spans, start);
    return { start: from, end: end === start ? from : sourceOffset(spans, end - 1) + 1, text };
  });
  return spliced(event.source, event.start, event.end, moved);
}

/**
 * The plain body's bytes with `cost` and `cost_details` in its usage object, chosen and changed
 * as in {@link insertCostIntoEvent}. Null where it carries none. The length changes:
 * `content-length` has to follow.
 * @throws RangeError as above
 */
export function insertCostIntoBody(body: Buffer, cost: InsertedCost): Buffer | null {
  const hasBom = body[0] === 0xef && body[1] === 0xbb && body[2] === 0xbf;
  const json = hasBom ? body.subarray(3) : body;
  const splices = splicesInto(json, cost);
  if (splices === null) return null;
  const bytes = spliced(json, 0, json.length, splices);
  return hasBom ? Buffer.concat([body.subarray(0, 3), bytes]) : bytes;
}

function splicesInto(json: Buffer, cost: InsertedCost): Splice[] | null {
  assertInsertable(cost);
  const usage = usageSpans(json)[0];
  if (usage === undefined) return null;
  const standing = new Map<string, JsonSpan>();
  const brace = visitMembers(json, usage.start, (key, start, end) => {
    standing.set(key, { start, end });
  });
  if (brace < 0) return null;
  const isEmpty = standing.size === 0;
  const splices: Splice[] = [];
  const added: string[] = [];
  for (const [name, text] of [
    ['cost', cost.costUsd],
    ['cost_details', cost.detailsJson],
  ] as const) {
    const span = standing.get(name);
    if (span === undefined) added.push(`"${name}":${text}`);
    else splices.push({ ...span, text });
  }
  if (added.length > 0) {
    // Behind the last value, so that the provider's own layout before the brace stays.
    const lastEnd = Math.max(...[...standing.values()].map(({ end }) => end), -1);
    const at = isEmpty ? skipWhitespace(json, usage.start + 1) : lastEnd;
    splices.push({ start: at, end: at, text: (isEmpty ? '' : ',') + added.join(',') });
  }
  return splices.sort((a, b) => a.start - b.start || a.end - b.end);
}

function assertInsertable(cost: InsertedCost): void {
  if (!PLAIN_DECIMAL.test(cost.costUsd)) throw new RangeError('costUsd is not plain decimal text');
  if (!/^\{[^\r\n]*\}$/.test(cost.detailsJson)) {
    throw new RangeError('detailsJson is not a JSON object on one line');
  }
}

/** Where a byte of the joined data stands in the event's source. */
function sourceOffset(spans: readonly JsonSpan[], offset: number): number {
  let left = offset;
  for (const { start, end } of spans) {
    const length = end - start;
    if (left <= length) return start + left;
    // The newline that joins two data lines.
    left -= length + 1;
  }
  throw new RangeError('an offset outside the data of its event');
}

function spliced(source: Buffer, from: number, to: number, splices: readonly Splice[]): Buffer {
  const parts: Buffer[] = [];
  let at = from;
  for (const { start, end, text } of splices) {
    parts.push(source.subarray(at, start), Buffer.from(text));
    at = end;
  }
  parts.push(source.subarray(at, to));
  return Buffer.concat(parts);
}
