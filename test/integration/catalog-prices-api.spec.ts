import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { noteOfCondition } from '../../src/catalog/unpriced-note.js';
import { UnpricedEventsService } from '../../src/catalog/unpriced-events.service.js';
import { Journal, refOf, type Ending } from '../../src/metering/journal.js';
import { admittedOf, requestOf, settledAt, type TestAccount } from '../support/journal.js';
import {
  asked,
  listed,
  MODEL,
  startCatalog,
  startScriptedUpstream,
  type CatalogUnderTest,
  type ScriptedUpstream,
} from './catalog-fixture.js';

let upstream: ScriptedUpstream;
let service: CatalogUnderTest;
/** The price book's clock, always ahead of what the start wrote by the system's. */
let time = Date.now() + 3_600_000;

const later = (ms = 60_000): Date => {
  time += ms;
  service.setTime(new Date(time));
  return new Date(time);
};
const iso = (at: Date | number): string => new Date(at).toISOString();

beforeAll(async () => {
  upstream = await startScriptedUpstream();
  upstream.answerProviders(listed('groq', { input: 0.1, output: 0.2 }));
  service = await startCatalog(upstream.url, { PRICE_SYNC_INTERVAL_S: '86400' });
});
beforeEach(() => {
  later();
});
afterAll(async () => {
  await service.close();
  await upstream.close();
});

describe('POST /api/prices', () => {
  it.each([
    [{ unit: 'input', usdPerMillion: '0.90' }, 'input', '900000', '1'],
    [{ unit: 'output', usdPerMillion: '0.0000005' }, 'output', '500000', '1000000'],
    [{ unit: 'megapixel', usdPerUnit: '0.025' }, 'pixel', '25000', '1'],
    [{ unit: 'compute_second', usdPerUnit: '0.00012' }, 'compute_ms', '120000', '1'],
    [{ unit: 'audio_hour', usdPerUnit: '0.111' }, 'audio_ms', '111000000000', '3600000'],
    [{ unit: 'cached_input', usdPerMillion: '0', condition: 'flex' }, 'cached_input', '0', '1'],
  ])('stores %j exactly', async (price, unit, picoUsd, perUnits) => {
    const body = { provider: 'fal-ai', model: 'org/exact', source: 'statement', ...price };
    const created = await service.api.post('/api/prices', body);
    expect(created).toMatchObject({ status: 201, body: { unit, perUnits, source: 'statement' } });
    expect(await service.prices(`id = ${created.body.id}`)).toMatchObject([
      { unit, pico_usd: picoUsd, per_units: perUnits, from_ms: time, to_ms: null },
    ]);
  });

  it.each([
    [{ usdPerMillion: 0.9 }, 'usdPerMillion', '"0.9"'],
    [{ usdPerMillion: '-1' }, 'usdPerMillion', 'at least 0'],
    [{ usdPerMillion: '10000.01' }, 'usdPerMillion', 'at most 10000'],
    [{ usdPerMillion: '1,5' }, 'usdPerMillion', 'decimal string'],
    [{ usdPerMillion: '0.0000000000001' }, 'usdPerMillion', '12'],
    [{ usdPerMillion: '1', usdPerUnit: '1' }, 'usdPerMillion', 'only one'],
    [{}, 'usdPerMillion', 'must be given'],
    [{ unit: 'megapixel', usdPerMillion: '1' }, 'usdPerMillion', 'usdPerUnit'],
    [{ unit: 'furlong', usdPerUnit: '1' }, 'unit', 'no unit'],
    [{ usdPerMillion: '1', model: 'org/name:groq' }, 'model', 'suffix'],
    [{ usdPerMillion: '1', condition: 'default' }, 'condition', 'ordinary'],
    [{ usdPerMillion: '1', effectiveFrom: 'tomorrow' }, 'effectiveFrom', 'ISO 8601'],
    [{ usdPerMillion: '1', provider: 'No Slug' }, 'provider', 'slug'],
    [{ usdPerMillion: '1', source: 'hearsay' }, 'source', 'manual'],
    [{ usdPerMillion: '1', price: '1' }, 'price', 'not known'],
  ])('refuses %j, naming %s', async (fields, field, problem) => {
    const body = { provider: 'groq', model: 'org/refused', unit: 'input', ...fields };
    const refused = await service.api.post('/api/prices', body);
    expect(refused).toMatchObject({ status: 400, body: { error: { code: 'invalid_request' } } });
    expect(refused.body.error.details).toMatchObject([{ field }]);
    expect(refused.body.error.message).toContain(problem);
    expect(await service.prices(`model = 'org/refused'`)).toEqual([]);
  });

  it('ends the row in force, 2 s from now at the earliest, and notes who did it', async () => {
    const post = (fields: object): ReturnType<typeof service.api.post> =>
      service.api.post('/api/prices', {
        provider: 'novita',
        model: 'org/next',
        unit: 'input',
        ...fields,
      });
    const first = await post({ usdPerMillion: '1' });
    const now = later();
    const second = await post({ usdPerMillion: '2' });
    expect(second.body['effectiveFrom']).toBe(iso(now.getTime() + 2000));
    const third = await post({ usdPerMillion: '3', effectiveFrom: iso(time + 3_600_000) });
    expect(third).toMatchObject({ status: 201, body: { effectiveFrom: iso(time + 3_600_000) } });
    // Between two rows whose times are set there is no room.
    const between = await post({ usdPerMillion: '4', effectiveFrom: iso(time + 60_000) });
    expect(between).toMatchObject({ status: 409, body: { error: { code: 'price_in_force' } } });
    const past = await post({ usdPerMillion: '5', effectiveFrom: iso(time - 1) });
    expect(past).toMatchObject({ status: 409, body: { error: { code: 'price_in_force' } } });
    expect(await service.prices(`model = 'org/next'`)).toMatchObject([
      { pico_usd: '1000000', to_ms: now.getTime() + 2000 },
      { pico_usd: '2000000', to_ms: time + 3_600_000 },
      { pico_usd: '3000000', to_ms: null },
    ]);
    const [note] = await service.database.query<Record<string, unknown>>(
      `SELECT actor, action, subject, before, after FROM audit_log WHERE after->>'id' = $1`,
      [second.body.id],
    );
    expect(note).toMatchObject({
      actor: 'operator',
      action: 'price.create',
      subject: 'default/novita/org/next/input',
      before: { id: first.body.id },
      after: { id: second.body.id, priceUsd: '0.000002' },
    });
  });

  it('takes one of two requests that come at once, and the other after it', async () => {
    const body = { provider: 'novita', model: 'org/race', unit: 'input', usdPerMillion: '1' };
    const answers = await Promise.all([
      service.api.post('/api/prices', body),
      service.api.post('/api/prices', body),
    ]);
    // The second would end the first 2 s from now.
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
    expect(await service.prices(`model = 'org/race'`)).toMatchObject([
      { from_ms: time, to_ms: time + 2000 },
      { from_ms: time + 2000, to_ms: null },
    ]);
  });

  it('is for the operator alone', async () => {
    const { secret } = await service.api.addOrganization('prices-are-not-theirs');
    const theirs = service.api.as(secret);
    for (const [method, path] of [
      ['GET', '/api/prices'],
      ['POST', '/api/prices/sync'],
      ['GET', '/api/prices/pending'],
      ['POST', '/api/prices/pending/00000000-0000-0000-0000-000000000000/approve'],
    ] as const) {
      expect(await theirs.call(method, path)).toMatchObject({ status: 403 });
      expect(await theirs.as(null).call(method, path)).toMatchObject({ status: 401 });
    }
  });
});

describe('GET /api/prices', () => {
  it('finds rows by provider, model and time, in pages', async () => {
    const path = `/api/prices?provider=novita&model=${encodeURIComponent('org/next')}`;
    const all = await service.api.get(path);
    expect(all.body.data).toHaveLength(3);
    const first = await service.api.get(`${path}&limit=2`);
    const rest = await service.api.get(`${path}&limit=2&cursor=${first.body.nextCursor ?? ''}`);
    expect([...first.body.data, ...rest.body.data]).toEqual(all.body.data);
    expect(rest.body.nextCursor).toBeNull();
    const from = String(all.body.data[1]?.['effectiveFrom']);
    const inForce = await service.api.get(`${path}&at=${from}`);
    expect(inForce.body.data.map(({ id }) => id)).toEqual([all.body.data[1]?.id]);
    const before = await service.api.get(`${path}&at=${iso(Date.parse(from) - 1)}`);
    expect(before.body.data.map(({ id }) => id)).toEqual([all.body.data[0]?.id]);
  });

  it('notes a sync that was asked for', async () => {
    const synced = await service.api.post('/api/prices/sync');
    expect(synced).toMatchObject({
      status: 200,
      body: { models: 1, pricesAdded: 0, findings: [] },
    });
    const notes = await service.database.query(
      `SELECT 1 FROM audit_log WHERE action = 'price.sync'`,
    );
    expect(notes).toHaveLength(1);
    const unknown = await service.api.post('/api/prices/pending/nonsense/approve');
    expect(unknown).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
  });
});

describe('events that wait for a price', () => {
  const PRICED_AT_USD = '2';
  let account: TestAccount;
  let journal: Journal;

  beforeAll(async () => {
    const { accountId, tokenId } = await service.api.addOrganization('waiting');
    account = { accountId, tokenId };
    journal = service.app.get(Journal, { strict: false });
  });

  /** A request that was served without a price, by the system's clock. */
  async function unpriced(model: string, overrides: Partial<Ending> = {}): Promise<string> {
    const admitted = admittedOf(await journal.admit(requestOf(account, 1_000_000_000n, { model })));
    const ending = settledAt(0n, {
      state: 'unpriced',
      provider: 'groq',
      ratedCostPicoUsd: null,
      priceRowIds: [],
      quantities: { input: 1000n, cached_input: 10n, output: 100n },
      reasoningTokens: 40n,
      ...overrides,
    });
    expect(await journal.settle(refOf(admitted), ending).receipt).toEqual({ kind: 'unpriced' });
    return admitted.request.id;
  }

  async function stateOf(id: string): Promise<Record<string, unknown>> {
    const [event] = await service.database.query<Record<string, unknown>>(
      `SELECT state, cost_pico_usd::text AS cost, price_row_ids::text[] AS rows, is_price_assumed, units,
         reasoning_tokens::text AS reasoning, provider_model_id, duration_ms
       FROM usage_events WHERE id = $1`,
      [id],
    );
    return event ?? {};
  }

  /** Fills the past up to now, as an operator does who learns of a price late. */
  async function price(model: string, unit: string, fields: object = {}): Promise<string> {
    const created = await service.api.post('/api/prices', {
      provider: 'groq',
      model,
      unit,
      usdPerMillion: PRICED_AT_USD,
      effectiveFrom: iso(Date.now() - 3_600_000),
      ...fields,
    });
    if (created.status !== 201) throw new Error(created.text);
    return created.body.id;
  }

  it('are rated once all of their units have a price, and release their hold', async () => {
    const id = await unpriced('org/late');
    const held = async (): Promise<unknown> =>
      (
        await service.database.query(
          'SELECT held_pico_usd::text AS held FROM budgets WHERE subject_id = $1',
          [account.accountId],
        )
      )[0];
    expect(await held()).toEqual({ held: '1000000000' });
    const input = await price('org/late', 'input');
    expect(await stateOf(id)).toMatchObject({ state: 'unpriced', cost: null });
    const output = await price('org/late', 'output', { usdPerMillion: '5' });
    expect(await stateOf(id)).toEqual({
      state: 'settled',
      // 1,010 input (the cached as input, which is assumed) and 100 output.
      cost: (1010n * 2_000_000n + 100n * 5_000_000n).toString(),
      rows: [input, output],
      is_price_assumed: true,
      units: { input: '1000', cached_input: '10', output: '100' },
      reasoning: '40',
      provider_model_id: 'provider/model',
      duration_ms: 9,
    });
    expect(await held()).toEqual({ held: '0' });
    // A settled event is never rated again.
    expect(await service.app.get(UnpricedEventsService, { strict: false }).rateAll()).toBe(0);
  });

  it('are not rated by a row that was not in force when they were admitted', async () => {
    const id = await unpriced('org/too-late');
    await price('org/too-late', 'input', { effectiveFrom: iso(Date.now() + 7_200_000) });
    await price('org/too-late', 'output', { effectiveFrom: iso(Date.now() + 7_200_000) });
    expect(await stateOf(id)).toMatchObject({ state: 'unpriced' });
  });

  it('are rated by their own tier and by no other', async () => {
    const flex = await unpriced('org/tier', { rawUsage: noteOfCondition('flex') });
    await price('org/tier', 'input');
    await price('org/tier', 'output');
    expect(await stateOf(flex)).toMatchObject({ state: 'unpriced' });
    await price('org/tier', 'input', { condition: 'flex', usdPerMillion: '1' });
    await price('org/tier', 'output', { condition: 'flex', usdPerMillion: '1' });
    expect(await stateOf(flex)).toMatchObject({
      state: 'settled',
      cost: (1110n * 1_000_000n).toString(),
    });
  });

  it('are charged at most their hold where their usage was estimated', async () => {
    const quantities = { input: 400n, output: 400n };
    const id = await unpriced('org/estimated', { usageSource: 'estimated', quantities });
    await price('org/estimated', 'input');
    await price('org/estimated', 'output');
    // The hold of 1,000,000,000 buys 500 tokens: all of the input, 100 of the output.
    expect(await stateOf(id)).toMatchObject({
      state: 'settled',
      cost: '1000000000',
      units: { input: '400', output: '100' },
    });
  });

  it('are left alone where the rows of old would price them: there was another reason', async () => {
    await price('org/reason', 'input');
    await price('org/reason', 'output');
    const id = await unpriced('org/reason');
    await service.database.query(
      `UPDATE usage_events SET settled_at = settled_at + interval '2 days' WHERE id = $1`,
      [id],
    );
    await price('org/reason', 'request', { usdPerMillion: undefined, usdPerUnit: '1' });
    expect(await stateOf(id)).toMatchObject({ state: 'unpriced' });
  });

  it('are rated by one of two processes that come at once', async () => {
    const id = await unpriced('org/twice');
    await Promise.all([price('org/twice', 'input'), price('org/twice', 'output')]);
    const events = service.app.get(UnpricedEventsService, { strict: false });
    await Promise.all([events.rateAll(), events.rateAll()]);
    expect(await stateOf(id)).toMatchObject({ state: 'settled' });
    const [charged] = await service.database.query<{ n: number }>(
      'SELECT count(*)::int AS n FROM charged_requests WHERE event_id = $1',
      [id],
    );
    expect(charged?.n).toBe(1);
  });
});

describe('the database itself', () => {
  it('refuses two rows in force for one key', async () => {
    const insert = (from: string, to: string | null, condition = ''): Promise<unknown> =>
      service.database.query(
        `INSERT INTO prices (upstream, provider, model, unit, condition, pico_usd, per_units, effective_from, effective_to, source, imported_at)
         VALUES ('default', 'cohere', 'org/overlap', 'input', $3, 1, 1, $1, $2, 'manual', now())`,
        [from, to, condition],
      );
    await insert('2026-01-01', '2026-02-01');
    await insert('2026-02-01', null);
    await insert('2026-01-01', null, 'flex');
    await expect(insert('2026-01-15', '2026-01-16')).rejects.toThrow('prices_one_in_force');
    await expect(insert('2026-03-01', null)).rejects.toThrow('prices_one_in_force');
  });

  it('refuses to change or delete a row, or to move its end', async () => {
    const query = (sql: string): Promise<unknown> => service.database.query(sql);
    const of = `WHERE model = 'org/overlap' AND condition = ''`;
    await expect(query(`UPDATE prices SET pico_usd = 2 ${of}`)).rejects.toThrow('never changes');
    await expect(query(`UPDATE prices SET source = 'statement' ${of}`)).rejects.toThrow(
      'never changes',
    );
    await expect(query(`DELETE FROM prices ${of}`)).rejects.toThrow('never deleted');
    const ended = `${of} AND effective_to IS NOT NULL`;
    await expect(query(`UPDATE prices SET effective_to = NULL ${ended}`)).rejects.toThrow(
      'set once',
    );
    await query(`UPDATE prices SET effective_to = '2026-04-01' ${of} AND effective_to IS NULL`);
  });
});

describe('GET /v1/models', () => {
  it('shows the upstream its own entry with the prices that we charge', async () => {
    upstream.answer(
      JSON.stringify({
        object: 'list',
        data: [
          {
            id: MODEL,
            object: 'model',
            created: 1,
            owned_by: 'org',
            architecture: { input_modalities: ['text'] },
            providers: [
              listed('groq', { input: 0.1, output: 0.2 }, { supports_tools: true, new_field: [1] }),
              listed('scaleway', null),
              listed('cohere', undefined, { is_free: true }),
            ],
          },
        ],
      }),
    );
    await service.syncNow();
    await service.api.post('/api/prices', {
      provider: 'groq',
      model: MODEL,
      unit: 'cached_input',
      usdPerMillion: '0.05',
    });
    later();
    const expected = {
      id: MODEL,
      object: 'model',
      created: 1,
      owned_by: 'org',
      architecture: { input_modalities: ['text'] },
      providers: [
        {
          provider: 'cohere',
          status: 'live',
          context_length: 131_072,
          throughput: 100,
          is_free: true,
          pricing: { input: 0, output: 0 },
        },
        {
          provider: 'groq',
          status: 'live',
          context_length: 131_072,
          throughput: 100,
          supports_tools: true,
          new_field: [1],
          pricing: { input: 0.1, output: 0.2, cached_input: 0.05 },
        },
        { provider: 'scaleway', status: 'live', context_length: 131_072, throughput: 100 },
      ],
    };
    const open = service.api.as(null);
    const list = await open.get('/v1/models');
    expect(list.headers.get('content-type')).toContain('application/json');
    expect(list.body).toEqual({ object: 'list', data: [expected] });
    for (const id of ['org/name', 'org%2Fname', 'orgname']) {
      expect(await open.get(`/v1/models/${id}`)).toMatchObject({ status: 200, body: expected });
    }
  });

  it('shows a price from the instant it is in force', async () => {
    await service.api.post('/api/prices', {
      provider: 'groq',
      model: MODEL,
      unit: 'cached_input',
      usdPerMillion: '0.06',
    });
    const shown = async (): Promise<unknown> => {
      const { body } = await service.api.as(null).get('/v1/models');
      const groq = (
        body.data[0]?.['providers'] as { provider: string; pricing?: Record<string, number> }[]
      ).find(({ provider }) => provider === 'groq');
      return groq?.pricing?.['cached_input'];
    };
    later(1999);
    expect(await shown()).toBe(0.05);
    later(1);
    expect(await shown()).toBe(0.06);
  });

  it('answers 404 for an unknown model, with the closest', async () => {
    const unknown = await service.api.as(null).get('/v1/models/org/nam');
    expect(unknown).toMatchObject({
      status: 404,
      body: { error: { code: 'not_found', param: 'model', details: { closest: [MODEL] } } },
    });
  });
});

describe('a provider that refuses to be asked for its usage', () => {
  it('is not asked again, by any process, after any restart', async () => {
    const asks = (of: CatalogUnderTest): unknown => {
      const resolution = of.catalog.resolve(asked(`${MODEL}:groq`, new Date(time)));
      return resolution.kind === 'routes'
        ? resolution.routes[0]?.behaviour.streamUsage
        : resolution.reason;
    };
    const other = await startCatalog(upstream.url, {}, service.database);
    expect([asks(service), asks(other)]).toEqual(['ask', 'ask']);
    service.catalog.rememberNoStreamUsage('default', null);
    expect(asks(service)).toBe('ask');
    service.catalog.rememberNoStreamUsage('default', 'groq');
    expect(asks(service)).toBe('never');
    await expect.poll(() => asks(other), { timeout: 5000 }).toBe('never');
    await other.close();
    const restarted = await startCatalog(upstream.url, {}, service.database);
    expect(asks(restarted)).toBe('never');
    await restarted.close();
  });

  it('is configured by the operator in the table of providers', async () => {
    await service.database.query(
      `UPDATE providers SET stream_usage = 'never', on_client_gone = 'abort', is_enabled = false WHERE slug = 'groq'`,
    );
    await service.catalog.refresh();
    expect(service.catalog.resolve(asked(`${MODEL}:groq`, new Date(time)))).toMatchObject({
      reason: 'provider',
    });
    await service.database.query(`UPDATE providers SET is_enabled = true WHERE slug = 'groq'`);
    await service.catalog.refresh();
    expect(service.catalog.resolve(asked(`${MODEL}:groq`, new Date(time)))).toMatchObject({
      routes: [
        {
          behaviour: { onClientGone: 'abort', streamUsage: 'never', maxOutputField: 'max_tokens' },
        },
      ],
    });
  });
});
