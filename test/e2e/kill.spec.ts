import { describe, expect, it } from 'vitest';
import type { BookEntry } from '../../simulator/books.js';
import { Asks } from '../faults/asks.js';
import type { Receipt } from '../faults/client.js';
import { compareBooks, type ThreeBooks } from '../faults/compare.js';
import { runFaultLoop } from '../faults/kill-loop.js';
import { QUIET_RUN } from '../faults/options.js';
import type { RecordedEvent } from '../faults/recorded.js';

// The long runs are `npm run test:faults`; these show on every test run that the promise holds.

it('records every delivered answer once and exactly, through SIGKILLs under load', async () => {
  const run = await runFaultLoop({ ...QUIET_RUN, kills: 6, seed: 11, clients: 16 });
  expect(run.violations.slice(0, 5)).toEqual([]);
  expect(run.kills).toBeGreaterThanOrEqual(6);
  expect(run.comparison.deliveredExact).toBeGreaterThan(20);
}, 120_000);

it('forwards nothing unrecorded while the database is away, and serves again by itself', async () => {
  const run = await runFaultLoop({ ...QUIET_RUN, postgresRestarts: 2, seed: 12, clients: 16 });
  expect(run.violations.slice(0, 5)).toEqual([]);
  expect(run.comparison.deliveredExact).toBeGreaterThan(20);
}, 120_000);

describe('the comparison of the three books', () => {
  it('agrees with books that agree', () => {
    expect(rulesBroken({})).toEqual([]);
  });

  it.each<[string, Planted]>([
    ['a delivered answer has its exact cost', { events: [] }],
    ['a delivered answer has its exact cost', { event: { costPicoUsd: 99n } }],
    ['a delivered answer has its exact cost', { event: { outputTokens: 6n } }],
    ['a delivered answer has its exact cost', { event: { state: 'released', costPicoUsd: null } }],
    ['a delivered answer has its exact cost', { receipt: { eventId: 'other' } }],
    ['one event per request', { events: [event, event] }],
    ['nothing is forwarded unrecorded', { receipt: { kind: 'no_answer' }, events: [] }],
    ['a refused request is no event', { receipt: { kind: 'refused' }, lines: [] }],
    ['a refused request calls nobody', { receipt: { kind: 'refused' }, events: [] }],
    ['no charge without a provider', { receipt: { kind: 'hung_up' }, lines: [] }],
    ['never more than was billed', { line: { costPicoUsd: 99n, outcome: 'faulted' } }],
    ['nothing is quarantined', { event: { state: 'quarantined' } }],
    ['no event out of nothing', { receipts: [] }],
    ['no provider request is charged twice', { chargedTwice: ['groq req-1'] }],
    ['every hold ends', { openEvents: 1 }],
    ['held is 0 in the end', { held: 1n }],
    ['used is the sum of the settled', { used: 101n }],
    ['the ledger is the sum of the settled', { booked: 99n }],
    ['the load is served', { receipt: { kind: 'interrupted' } }],
  ])('sees a planted break of: %s', (rule, planted) => {
    expect(rulesBroken(planted)).toContain(rule);
  });
});

interface Planted {
  readonly booked?: bigint;
  readonly receipt?: Partial<Receipt>;
  readonly receipts?: readonly Receipt[];
  readonly event?: Partial<RecordedEvent>;
  readonly events?: readonly RecordedEvent[];
  readonly line?: Partial<BookEntry>;
  readonly lines?: readonly BookEntry[];
  readonly chargedTwice?: readonly string[];
  readonly openEvents?: number;
  readonly held?: bigint;
  readonly used?: bigint;
}

const ask = new Asks(1, 'planted', 1).plain();

const receipt: Receipt = {
  ask,
  kind: 'delivered',
  status: 200,
  code: null,
  eventId: 'event-1',
  retryAfter: null,
  shouldRetry: null,
  problem: null,
};

const event: RecordedEvent = {
  id: 'event-1',
  clientRequestId: ask.id,
  state: 'settled',
  outcome: 'complete',
  provider: 'together',
  providerRequestId: 'req-1',
  usageSource: 'provider',
  inputTokens: 10n,
  outputTokens: 5n,
  costPicoUsd: 100n,
  absorbedPicoUsd: 0n,
  holdPicoUsd: 1000n,
};

const line: BookEntry = {
  seq: 1,
  requestId: 'req-1',
  requestIdSent: true,
  inferenceId: null,
  time: new Date(0),
  task: 'chat',
  provider: 'together',
  model: 'm',
  providerModelId: 'm',
  stream: false,
  promptTokens: 10,
  cachedTokens: 0,
  cacheWriteTokens: 0,
  cacheWrite1hTokens: 0,
  completionTokens: 5,
  reasoningTokens: 0,
  units: {},
  costPicoUsd: 100n,
  status: 200,
  outcome: 'complete',
  billed: true,
  tag: ask.id,
};

function rulesBroken(planted: Planted): string[] {
  const used = planted.used ?? 100n;
  const heldPicoUsd = planted.held ?? 0n;
  const budget = { subjectId: 's', scope: 'token', heldPicoUsd, usedPicoUsd: used };
  const books: ThreeBooks = {
    receipts: planted.receipts ?? [{ ...receipt, ...planted.receipt }],
    billed: planted.lines ?? [{ ...line, ...planted.line }],
    recorded: {
      events: planted.events ?? [{ ...event, ...planted.event }],
      budgets: [{ ...budget, settledPicoUsd: 100n, bookedPicoUsd: planted.booked ?? 100n }],
      openEvents: planted.openEvents ?? 0,
      chargedTwice: planted.chargedTwice ?? [],
    },
    nobodyDied: true,
  };
  return compareBooks(books).violations.map(({ rule }) => rule);
}
