import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatUsd, parseUsd } from '../../src/domain/money.js';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import { withoutCredit } from '../support/database.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

// round-prices: USD 1.00 a million input tokens, 2.00 a million output tokens.
const MODEL = ROUND_PRICES;
let service: SimulatedService;

beforeAll(async () => {
  service = await startSimulated();
  await withoutCredit(service.database, service.organization);
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

interface Refusal {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly details: Record<string, string | number | null>;
  };
}

async function setLimit(usd: string | null, payAsYouGo = true): Promise<void> {
  const { status, body } = await service.api(`/organizations/${service.organization}/limits`, {
    method: 'PUT',
    body: { monthlySpendLimitUsd: usd, payAsYouGo },
  });
  if (status !== 200) throw new Error(JSON.stringify(body));
}

async function newToken(monthlyLimitUsd: string | null): Promise<{ url: string; token: string }> {
  const made = await service.api<{ token: string }>(
    `/organizations/${service.organization}/tokens`,
    {
      method: 'POST',
      body: { name: 'limited', ...(monthlyLimitUsd === null ? {} : { monthlyLimitUsd }) },
    },
  );
  return { url: service.url, token: made.body.token };
}

describe('the maximum of output tokens', () => {
  it('is written by us under a finite budget, sent upstream and reported', async () => {
    await setLimit('50.00');
    const response = await chat(service, ask(MODEL, 'output=1000000'));
    expect(response.headers.get('x-tollgate-max-tokens')).toBe('16384');
    await response.arrayBuffer();
    expect((await eventOf(service, response.headers.get('x-request-id'))).outputTokens).toBe(
      16_384,
    );
  });

  it('of the caller is never changed', async () => {
    const response = await chat(
      service,
      ask(MODEL, 'output=1000000', { max_completion_tokens: 77 }),
    );
    expect(response.headers.get('x-tollgate-max-tokens')).toBeNull();
    await response.arrayBuffer();
    expect((await eventOf(service, response.headers.get('x-request-id'))).outputTokens).toBe(77);
  });

  it('is not written where nothing is limited', async () => {
    await setLimit(null);
    const response = await chat(service, ask(MODEL, 'output=20000'));
    expect(response.headers.get('x-tollgate-max-tokens')).toBeNull();
    await response.arrayBuffer();
    expect((await eventOf(service, response.headers.get('x-request-id'))).outputTokens).toBe(
      20_000,
    );
    await setLimit('50.00');
  });

  it('is lowered to what a token can still pay', async () => {
    const poor = await newToken('0.002');
    const response = await chat(poor, ask(MODEL, 'output=100000'));
    const written = Number(response.headers.get('x-tollgate-max-tokens'));
    expect(written).toBeGreaterThanOrEqual(256);
    expect(written).toBeLessThan(1000);
    await response.arrayBuffer();
    const event = await eventOf(service, response.headers.get('x-request-id'));
    expect(event.outputTokens).toBe(written);
    expect(parseUsd(event.costUsd ?? '')).toBeLessThanOrEqual(parseUsd('0.002') ?? 0n);
  });
});

describe('refusals', () => {
  it('spend_limit_reached when what is left buys nothing, with every figure', async () => {
    const empty = await newToken('0.00001');
    const response = await chat(empty, ask(MODEL, 'output=5', { max_tokens: 5 }));
    expect(response.status).toBe(402);
    const { error } = (await response.json()) as Refusal;
    expect(error).toMatchObject({
      code: 'spend_limit_reached',
      details: { scope: 'token', limit: '0.00001', used: '0', held: '0' },
    });
    expect(error.details['resetsAt']).toMatch(/^\d{4}-\d{2}-01T00:00:00\.000Z$/);
  });

  it('insufficient_funds when something is left, but not this worst case, and what would fit', async () => {
    const short = await newToken('0.001');
    const response = await chat(short, ask(MODEL, 'output=5', { max_tokens: 100_000 }));
    expect(response.status).toBe(402);
    const { error } = (await response.json()) as Refusal;
    expect(error).toMatchObject({ code: 'insufficient_funds', details: { scope: 'token' } });
    const affordable = Number(error.details['affordableMaxTokens']);
    expect(affordable).toBeGreaterThan(16);
    const again = await chat(short, ask(MODEL, 'output=5', { max_tokens: affordable }));
    expect(again.status).toBe(200);
    await again.arrayBuffer();
  });

  it('says when only open holds are in the way, and a repetition then fits', async () => {
    const narrow = await newToken('0.01');
    const first = chat(narrow, ask(MODEL, 'output=5 delay=600', { max_tokens: 4000 }));
    await eventually('the first to be admitted', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    const refused = await chat(narrow, ask(MODEL, 'output=5', { max_tokens: 4000 }));
    expect(refused.status).toBe(402);
    expect(refused.headers.get('x-should-retry')).toBe('true');
    expect(refused.headers.get('retry-after')).toBe('1');
    await (await first).arrayBuffer();
    expect((await chat(narrow, ask(MODEL, 'output=5', { max_tokens: 4000 }))).status).toBe(200);
  });

  it('credit_exhausted where pay-as-you-go is off', async () => {
    await setLimit('50.00', false);
    const response = await chat(service, ask(MODEL, 'output=5'));
    expect(response.status).toBe(402);
    expect(((await response.json()) as Refusal).error).toMatchObject({
      code: 'credit_exhausted',
      details: { scope: 'account' },
    });
    await setLimit('50.00', true);
  });
});

describe('what the balance and the usage show', () => {
  it('is what the events cost', async () => {
    await allEnded(service);
    const [sum] = await service.database.query<{ sum: string }>(
      'SELECT sum(cost_pico_usd)::text AS sum FROM usage_events',
    );
    const spent = formatUsd(BigInt(sum?.sum ?? '0'));
    const balance = await service.api<{ payAsYouGo: { used: string }; held: string }>(
      `/organizations/${service.organization}/balance`,
    );
    expect(balance.body.payAsYouGo.used).toBe(spent);
    expect(balance.body.held).toBe('0');
    const usage = await service.api<{ totals: { costUsd: string } }>(
      `/organizations/${service.organization}/usage?groupBy=provider,model`,
    );
    expect(usage.body.totals.costUsd).toBe(spent);
  });
});

describe('the price of a request', () => {
  it('is the one in force when it was admitted, whatever happens while it streams', async () => {
    const pending = chat(
      service,
      ask(MODEL, 'tag=old-price input=100 output=100 cached=0 reasoning=0 delay=400', {
        max_tokens: 200,
      }),
    );
    await eventually('admission', async () =>
      (await service.database.query('SELECT id FROM open_events')).length > 0 ? true : null,
    );
    service.simulator.catalogue.setOffer(MODEL, {
      provider: 'together',
      inputUsdPerMillion: '2.00',
      outputUsdPerMillion: '4.00',
    });
    expect((await service.api('/prices/sync', { method: 'POST' })).status).toBeLessThan(300);
    const response = await pending;
    await response.arrayBuffer();
    const event = await eventOf(service, response.headers.get('x-request-id'));
    expect(event.costUsd).toBe('0.0003');
    // The new row starts a moment later, so that every process knows it by then.
    const next = await eventually('the new price', async () => {
      const answer = await chat(
        service,
        ask(MODEL, 'input=100 output=100 cached=0 reasoning=0', { max_tokens: 200 }),
      );
      await answer.arrayBuffer();
      const shown = await eventOf(service, answer.headers.get('x-request-id'));
      return shown.costUsd === '0.0003' ? null : shown;
    });
    expect(next.costUsd).toBe('0.0006');
  });
});
