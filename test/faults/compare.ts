import type { BookEntry } from '../../simulator/books.js';
import { providerOf } from '../../simulator/providers.js';
import { groupBy } from '../../src/domain/group.js';
import type { Receipt } from './client.js';
import type { Recorded, RecordedEvent } from './recorded.js';

/** What the client received, what the providers billed, what Tollgate recorded. */
export interface ThreeBooks {
  readonly receipts: readonly Receipt[];
  readonly billed: readonly BookEntry[];
  readonly recorded: Recorded;
  /** True when no service process died: then nothing may have been released for a dead owner. */
  readonly nobodyDied: boolean;
}

/** A broken promise, with the request it broke for. */
export interface Violation {
  readonly rule: string;
  readonly what: string;
}

export interface OutcomeRow {
  /** What the client saw; with our code or the status where it was an error. */
  readonly client: string;
  readonly requests: number;
  /** Events by `state/source`, and `none`. */
  readonly recorded: Readonly<Record<string, number>>;
}

export interface Comparison {
  readonly violations: readonly Violation[];
  readonly outcomes: readonly OutcomeRow[];
  readonly deliveredExact: number;
  readonly providerRequests: number;
  readonly settledPicoUsd: bigint;
  readonly billedPicoUsd: bigint;
}

const LEAST_DELIVERED_SHARE = 0.1;

/** Compares the three books, request by request. Pure. */
export function compareBooks(books: ThreeBooks): Comparison {
  const violations: Violation[] = [];
  const events = groupBy(books.recorded.events, (event) => event.clientRequestId ?? '');
  const lines = groupBy(books.billed, (line) => line.tag ?? '');
  const counts = new Map<string, Map<string, number>>();
  let deliveredExact = 0;
  for (const receipt of books.receipts) {
    const { id } = receipt.ask;
    const recorded = events.get(id) ?? [];
    const found = checkRequest(receipt, recorded, lines.get(id) ?? [], books.nobodyDied);
    violations.push(...found);
    if (receipt.kind === 'delivered' && found.length === 0) deliveredExact += 1;
    const client = seenBy(receipt);
    const row = counts.get(client) ?? new Map<string, number>();
    const event = recorded[0];
    const key = event === undefined ? 'no event' : `${event.state}/${event.usageSource}`;
    counts.set(client, row.set(key, (row.get(key) ?? 0) + 1));
  }
  violations.push(...checkStrangers(books, events, lines), ...checkTotals(books.recorded));
  // A run in which hardly anything was served shows nothing.
  if (deliveredExact < books.receipts.length * LEAST_DELIVERED_SHARE) {
    const what = `${deliveredExact} of ${books.receipts.length} delivered and exact`;
    violations.push({ rule: 'the load is served', what });
  }
  return {
    violations,
    outcomes: [...counts].sort().map(([client, row]) => ({
      client,
      requests: [...row.values()].reduce((sum, count) => sum + count, 0),
      recorded: Object.fromEntries(row),
    })),
    deliveredExact,
    providerRequests: books.billed.length,
    settledPicoUsd: sum(books.recorded.events, (event) => event.costPicoUsd ?? 0n),
    billedPicoUsd: sum(books.billed, (line) => line.costPicoUsd),
  };
}

/** Everything the three books say about one request, to look into a violation. */
function storyOf(
  { ask, kind, status, problem }: Receipt,
  event: RecordedEvent | undefined,
  lines: readonly BookEntry[],
): string {
  const directives = /\[\[sim ([^\]]*)\]\]/.exec(ask.body)?.[1] ?? '';
  const client = `client: ${kind} ${status ?? ''} ${problem ?? ''}`.trim();
  const recorded =
    event === undefined
      ? 'no event'
      : `event: ${event.id} ${event.state} ${event.outcome} ${event.usageSource}`;
  const billed = lines.map(
    (line) => `${line.outcome} ${line.status} ${line.billed ? 'billed' : 'free'} ${line.requestId}`,
  );
  const where = `${ask.provider}, ${ask.isStream ? 'streamed' : 'plain'}`;
  return `${ask.id} (${where}, ${directives}); ${client}; ${recorded}; provider: ${billed.join(', ')}`;
}

function seenBy({ kind, code, status }: Receipt): string {
  if (kind !== 'refused' && kind !== 'failed') return kind;
  return `${kind}: ${code ?? `provider's ${status ?? '?'}`}`;
}

function checkRequest(
  receipt: Receipt,
  events: readonly RecordedEvent[],
  lines: readonly BookEntry[],
  nobodyDied: boolean,
): Violation[] {
  const { kind } = receipt;
  const found: Violation[] = [];
  const [event] = events;
  const fail = (rule: string, what: string): void => {
    found.push({ rule, what: `${what}\n      ${storyOf(receipt, event, lines)}` });
  };
  if (events.length > 1) fail('one event per request', `${events.length} events`);
  if (lines.length > 0 && event === undefined) {
    fail('nothing is forwarded unrecorded', 'a provider saw it and there is no event');
  }
  if (kind === 'delivered') checkDelivered(receipt, event, lines, fail);
  if (kind === 'refused') checkRefused(receipt, event, lines, fail);
  if (kind === 'not_sent' && event !== undefined) fail('no event out of nothing', event.id);
  if (receipt.code === 'internal_error') fail('no internal error', 'answered 500 internal_error');
  if (event !== undefined) {
    checkEvent(event, lines, fail);
    checkDrained(event, lines, fail);
    if (nobodyDied && event.outcome === 'aborted' && lines.length > 0) {
      fail('holds of the living are not swept', 'released as of a dead owner');
    }
  }
  return found;
}

type Fail = (rule: string, what: string) => void;

/** Fully delivered: exactly one settled event with the provider's own figures. */
function checkDelivered(
  receipt: Receipt,
  event: RecordedEvent | undefined,
  lines: readonly BookEntry[],
  fail: Fail,
): void {
  const rule = 'a delivered answer has its exact cost';
  if (event === undefined) {
    fail(rule, 'no event');
    return;
  }
  if (event.state !== 'settled') fail(rule, `its event is ${event.state}`);
  if (receipt.eventId !== event.id) {
    fail(rule, `x-request-id ${receipt.eventId ?? 'missing'} is not the event ${event.id}`);
  }
  // Nothing to be exact about where the provider did not say.
  if (receipt.ask.faults.includes('missing-usage')) return;
  const line = lineOf(event, lines);
  if (line === null) {
    fail(rule, `no line of the provider with the id ${event.providerRequestId ?? 'missing'}`);
    return;
  }
  if (event.usageSource !== 'provider') fail(rule, `usage from ${event.usageSource}`);
  compareFigures(event, line, (what) => {
    fail(rule, what);
  });
}

function compareFigures(
  event: RecordedEvent,
  line: BookEntry,
  differ: (what: string) => void,
): void {
  const pairs: [string, unknown, unknown][] = [
    ['provider', event.provider, line.provider],
    ['input tokens', event.inputTokens, BigInt(line.promptTokens)],
    ['output tokens', event.outputTokens, BigInt(line.completionTokens)],
    ['cost', event.costPicoUsd, line.costPicoUsd],
    ['absorbed', event.absorbedPicoUsd, 0n],
  ];
  for (const [name, recorded, billed] of pairs) {
    if (recorded !== billed) {
      differ(`${name}: recorded ${String(recorded)}, billed ${String(billed)}`);
    }
  }
}

/** Turned away: nobody was called. An admission that came too late for its 503 was given back. */
function checkRefused(
  receipt: Receipt,
  event: RecordedEvent | undefined,
  lines: readonly BookEntry[],
  fail: Fail,
): void {
  if (lines.length > 0) fail('a refused request calls nobody', 'a provider saw it');
  if (event !== undefined) {
    const isGivenBack = receipt.code === 'store_unavailable' && event.state === 'released';
    if (!isGivenBack) fail('a refused request is no event', `event ${event.id} ${event.state}`);
  }
  if (receipt.status === 503 && receipt.retryAfter === null && receipt.shouldRetry !== 'false') {
    fail('a 503 says when to come back', 'no Retry-After');
  }
}

/** Holds for every event, whatever its client saw. */
function checkEvent(event: RecordedEvent, lines: readonly BookEntry[], fail: Fail): void {
  const rule = 'no charge without a provider';
  const cost = event.costPicoUsd ?? 0n;
  if (event.state === 'quarantined') fail('nothing is quarantined', event.id);
  if (event.state === 'unpriced') fail('nothing is unpriced', event.id);
  if (cost === 0n) return;
  if (lines.length === 0) {
    fail(rule, `${cost} pico-USD charged and no provider saw it`);
    return;
  }
  if (cost > event.holdPicoUsd) fail('no charge above the hold', `${cost} > ${event.holdPicoUsd}`);
  const line = lineOf(event, lines);
  if (line === null || event.usageSource !== 'provider') return;
  // An answer that its provider finished is billed whole; one that was cut may have billed on a
  // little after the last figure that reached us, never less.
  if (line.outcome === 'complete' && line.costPicoUsd !== cost && event.absorbedPicoUsd === 0n) {
    fail('a charge is what was billed', `recorded ${cost}, billed ${line.costPicoUsd}`);
  }
  if (line.costPicoUsd < cost) {
    fail('never more than was billed', `recorded ${cost}, billed ${line.costPicoUsd}`);
  }
}

/**
 * Whoever hangs up on a provider that bills on is read to the end: otherwise the tokens are billed
 * to us and known to nobody. A process that died could not.
 */
function checkDrained(event: RecordedEvent, lines: readonly BookEntry[], fail: Fail): void {
  if (event.outcome === 'aborted') return;
  for (const line of lines) {
    const isCutByUs = line.outcome === 'client_aborted' && line.billed;
    if (isCutByUs && !providerOf(line.provider).stopsBillingAtAbort) {
      fail('an answer billed to its end is read to its end', `cut, ${event.state}`);
    }
  }
}

function lineOf(event: RecordedEvent, lines: readonly BookEntry[]): BookEntry | null {
  const id = event.providerRequestId;
  return (
    lines.find((line) => id !== null && (line.requestId === id || line.inferenceId === id)) ?? null
  );
}

/** Events and lines that belong to no request of ours, and provider requests charged twice. */
function checkStrangers(
  { receipts, recorded }: ThreeBooks,
  events: ReadonlyMap<string, readonly RecordedEvent[]>,
  lines: ReadonlyMap<string, readonly BookEntry[]>,
): Violation[] {
  const known = new Set(receipts.map(({ ask }) => ask.id));
  const found: Violation[] = [];
  for (const id of events.keys()) {
    if (!known.has(id)) found.push({ rule: 'no event out of nothing', what: id });
  }
  for (const id of lines.keys()) {
    if (!known.has(id)) found.push({ rule: 'no call out of nothing', what: id });
  }
  for (const request of recorded.chargedTwice) {
    found.push({ rule: 'no provider request is charged twice', what: request });
  }
  return found;
}

function checkTotals({ budgets, openEvents }: Recorded): Violation[] {
  const found: Violation[] = [];
  if (openEvents > 0) {
    found.push({ rule: 'every hold ends', what: `${openEvents} open events` });
  }
  for (const budget of budgets) {
    const { scope, subjectId, heldPicoUsd, usedPicoUsd, settledPicoUsd, bookedPicoUsd } = budget;
    const name = `${scope} ${subjectId}`;
    if (heldPicoUsd !== null && heldPicoUsd !== 0n) {
      found.push({ rule: 'held is 0 in the end', what: `${name}: ${heldPicoUsd}` });
    }
    if (usedPicoUsd !== settledPicoUsd) {
      const what = `${name}: used ${usedPicoUsd}, settled ${settledPicoUsd}`;
      found.push({ rule: 'used is the sum of the settled', what });
    }
    if (bookedPicoUsd !== null && bookedPicoUsd !== settledPicoUsd) {
      const what = `${name}: booked ${bookedPicoUsd}, settled ${settledPicoUsd}`;
      found.push({ rule: 'the ledger is the sum of the settled', what });
    }
  }
  return found;
}

function sum<Item>(items: readonly Item[], amountOf: (item: Item) => bigint): bigint {
  return items.reduce((total, item) => total + amountOf(item), 0n);
}
