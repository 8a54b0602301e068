import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Fault } from '../../simulator/faults.js';
import { Health } from '../../src/catalog/health.js';
import { formatUsd } from '../../src/domain/money.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  eventually,
  startSimulated,
  type ShownEvent,
  type SimulatedService,
} from '../support/simulated.js';

const MODEL = 'tollgate-sim/failover';
/** Fast and dear. */
const FAST = 'together';
/** Slow and cheap. */
const CHEAP = 'fireworks-ai';

type Who = 'first' | 'second';

/** How a request ends whose first provider has a fault. */
interface End {
  readonly status: number;
  readonly state: 'settled' | 'released';
  /** Who the answer is from, or whose failure ended it. */
  readonly by: Who;
  /** Calls to providers. */
  readonly attempts: readonly Who[];
  readonly source: 'provider' | 'estimated' | 'none';
}

const served = (by: Who): End => ({
  status: 200,
  state: 'settled',
  by,
  attempts: by === 'first' ? ['first'] : ['first', 'second'],
  source: 'provider',
});
const failed = (status: number): End => ({
  status,
  state: 'released',
  by: 'first',
  attempts: ['first'],
  source: 'none',
});

/** For a caller that pinned the provider, and for one that left the choice to a policy. */
interface Row {
  readonly fault: Fault;
  readonly pinned: End;
  readonly chosen: End;
}
const elsewhere = (fault: Fault, status: number): Row => ({
  fault,
  pinned: failed(status),
  chosen: served('second'),
});
const here = (fault: Fault, end: End): Row => ({ fault, pinned: end, chosen: end });

const ESTIMATED: End = { ...served('first'), source: 'estimated' };

/** Faults that look the same whether the answer was to be a stream or not. */
const BEFORE_THE_ANSWER: readonly Row[] = [
  elsewhere('408', 408),
  elsewhere('429', 429),
  elsewhere('429-retry-after', 429),
  elsewhere('500', 500),
  elsewhere('502', 502),
  elsewhere('503', 503),
  elsewhere('504-html', 504),
  elsewhere('529', 529),
  elsewhere('html-error', 502),
  // The request itself is wrong, wherever it goes.
  here('404', failed(404)),
  here('422', failed(422)),
  here('424', failed(424)),
  // About our key: told to the operator, not to the caller.
  here('401', failed(502)),
  here('402', failed(502)),
  here('403-spending-limit', failed(502)),
  // The provider may go on and bill.
  here('hang-before-headers', failed(504)),
];
const OF_A_STREAM: readonly Row[] = [
  {
    fault: 'error-first-event',
    pinned: { ...failed(200), attempts: ['first'] },
    chosen: served('second'),
  },
  here('error-mid-stream', ESTIMATED),
  here('reset-mid-stream', ESTIMATED),
  here('end-mid-stream', ESTIMATED),
  here('missing-usage', ESTIMATED),
];
const OF_A_PLAIN_ANSWER: readonly Row[] = [
  here('reset-mid-stream', failed(502)),
  here('missing-usage', ESTIMATED),
];

const POLICIES = [
  { suffix: '', first: FAST, second: CHEAP },
  { suffix: ':fastest', first: FAST, second: CHEAP },
  { suffix: ':preferred', first: FAST, second: CHEAP },
  { suffix: ':cheapest', first: CHEAP, second: FAST },
  { suffix: `:${FAST}`, first: FAST, second: null },
] as const;

let service: SimulatedService;
let count = 0;

beforeAll(async () => {
  service = await startSimulated({
    environment: { UPSTREAM_HEADERS_TIMEOUT_MS: '400', UPSTREAM_IDLE_TIMEOUT_MS: '400' },
  });
  const { catalogue } = service.simulator;
  const terms = (provider: string, usd: string, tokensPerSecond: number) => ({
    provider,
    inputUsdPerMillion: usd,
    outputUsdPerMillion: usd,
    tokensPerSecond,
  });
  catalogue.setOffer(MODEL, terms(FAST, '2.00', 500));
  catalogue.setOffer(MODEL, terms(CHEAP, '0.50', 50));
  // Without a price it is never called, and so the choice is never left to the router.
  catalogue.setOffer(MODEL, { ...terms('groq', '0.10', 900), display: 'hidden' });
  await service.api('/prices/sync', { method: 'POST' });
  await eventually('the model is known', async () => {
    const response = await fetch(`${service.url}/v1/models/${MODEL}`);
    return response.status === 200 ? true : null;
  });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

/** What one case teaches about a provider must not decide the next. */
beforeEach(() => {
  const health = service.app.get(Health, { strict: false });
  for (let calls = 0; calls < 50; calls += 1) {
    const ok = (provider: string, outputTokens: number): void => {
      health.note(
        { upstream: 'default', provider, model: MODEL },
        { kind: 'ok', firstByteMs: 10, outputTokens, durationMs: 1000 },
        new Date(),
      );
    };
    ok(FAST, 1_000_000);
    ok(CHEAP, 1_000);
  }
});

async function run(
  fault: Fault,
  policy: (typeof POLICIES)[number],
  stream: boolean,
): Promise<{ status: number; text: string; event: ShownEvent; tag: string }> {
  count += 1;
  const tag = `failover-${count}`;
  service.simulator.faults.clear();
  // A connection that was used before may be tried once more: the fault is there twice.
  service.simulator.faults.add({
    match: { provider: policy.first, model: MODEL },
    directives: { faults: [fault] },
    times: fault === 'reset-before-headers' ? 2 : 1,
  });
  const response = await chat(
    service,
    ask(`${MODEL}${policy.suffix}`, `tag=${tag} output=12 chunks=6`, { stream }),
  );
  const text = await response.text().catch(() => '');
  const event = await eventually('the event to end', async () => {
    const found = await eventOf(service, response.headers.get('x-request-id'));
    return found.state === 'open' ? null : found;
  });
  return { status: response.status, text, event, tag };
}

for (const stream of [false, true]) {
  const rows = [...BEFORE_THE_ANSWER, ...(stream ? OF_A_STREAM : OF_A_PLAIN_ANSWER)];
  for (const policy of POLICIES) {
    describe(`model${policy.suffix}${stream ? ', streamed' : ''}`, () => {
      it.each(rows)('$fault', async ({ fault, pinned, chosen }) => {
        const end = policy.second === null ? pinned : chosen;
        const { status, text, event, tag } = await run(fault, policy, stream);
        const name = (who: Who): string | null => (who === 'first' ? policy.first : policy.second);
        expect(status).toBe(end.status);
        expect(event).toMatchObject({
          state: end.state,
          provider: name(end.by),
          usageSource: end.source,
        });
        // No attempt is lost.
        expect(event.attempts?.map(({ provider }) => provider)).toEqual(end.attempts.map(name));
        if (end.source === 'provider') {
          expect(text).toContain(stream ? '[DONE]' : '"usage"');
          const billed = service.simulator.books.tagged(tag).filter((line) => line.billed);
          // None is charged twice, and each by whom it was served.
          expect(billed.map(({ provider }) => provider)).toEqual([name(end.by)]);
          expect(event.costUsd).toBe(formatUsd(billed[0]?.costPicoUsd ?? -1n));
        } else if (end.state === 'released') {
          expect(event.costUsd).toBeNull();
          if (stream) expect(text).not.toContain('[DONE]');
        } else {
          expect(event.costUsd).not.toBeNull();
        }
      });
    });
  }
}

it('ends after MAX_ATTEMPTS, and never asks the same provider twice', async () => {
  service.simulator.faults.clear();
  service.simulator.faults.add({
    match: { model: MODEL },
    directives: { faults: ['500'] },
    times: 10,
  });
  const response = await chat(service, ask(MODEL, 'output=5'));
  await response.text();
  expect(response.status).toBe(500);
  const event = await eventOf(service, response.headers.get('x-request-id'));
  expect(event).toMatchObject({ state: 'released', costUsd: null });
  expect(event.attempts?.map(({ provider }) => provider)).toEqual([FAST, CHEAP]);
});

it('does not fail over when a new connection was reset: the request had arrived', async () => {
  const policy = POLICIES[0];
  const { status, event } = await run('reset-before-headers', policy, false);
  expect(status).toBe(502);
  expect(event).toMatchObject({ state: 'released', costUsd: null });
  expect(new Set(event.attempts?.map(({ provider }) => provider))).toEqual(new Set([FAST]));
  expect(event.attempts?.length).toBeLessThanOrEqual(2);
});
