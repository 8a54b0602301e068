import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatUsd } from '../../src/domain/money.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { ADMIN_TOKEN, startService, type TestService } from '../support/service.js';
import {
  addOrganization,
  addToken,
  type ErrorBody,
  type EventFacts,
  get,
  insertEvents,
  moveToNewYork,
  type TestOrganization,
} from './usage-fixture.js';

interface Figures {
  readonly requests: number;
  readonly errors: number;
  readonly inputTokens: number;
  readonly cachedInputTokens: number;
  readonly outputTokens: number;
  readonly reasoningTokens: number;
  readonly units: Readonly<Record<string, string>>;
  readonly costUsd: string;
  readonly creditUsd: string;
  readonly payAsYouGoUsd: string;
}

interface UsageBody {
  readonly start: string;
  readonly end: string;
  readonly bucket: string;
  readonly data: readonly (Figures & Readonly<Record<string, unknown>>)[];
  readonly totals: Figures;
  readonly nextCursor: string | null;
}

let database: TestDatabase;
let service: TestService;
let organizations = 0;

beforeAll(async () => {
  database = await freshDatabase();
  await moveToNewYork(database);
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' }, database);
});

afterAll(async () => {
  await service.close();
  await database.drop();
});

async function newOrganization(): Promise<TestOrganization> {
  organizations += 1;
  return addOrganization(service, `usage-${organizations.toString()}`);
}

async function usageOf(
  { slug }: TestOrganization,
  query: Readonly<Record<string, string>>,
  token = ADMIN_TOKEN,
): Promise<UsageBody> {
  const answer = await get<UsageBody>(
    service,
    `/api/organizations/${slug}/usage?${textOf(query)}`,
    token,
  );
  expect(answer).toMatchObject({ status: 200 });
  return answer.body;
}

/** Sums outgrow what `parseUsd` takes for one amount. */
function picoOf(usd: string): bigint {
  const [whole = '', fraction = ''] = usd.split('.');
  return BigInt(whole + fraction.padEnd(12, '0'));
}

const textOf = (query: Readonly<Record<string, string>>): string =>
  new URLSearchParams(query).toString();

/** Grouped usage computed in the plainest way, to compare with. */
function expectedGroups(
  events: readonly EventFacts[],
  keyOf: (event: EventFacts) => Readonly<Record<string, unknown>>,
): unknown[] {
  const groups = new Map<
    string,
    { key: Readonly<Record<string, unknown>>; events: EventFacts[] }
  >();
  for (const event of events) {
    const key = keyOf(event);
    const name = JSON.stringify(key);
    const group = groups.get(name) ?? { key, events: [] };
    group.events.push(event);
    groups.set(name, group);
  }
  const list = [...groups.values()].map(({ key, events: members }) => ({
    ...key,
    ...expectedFigures(members),
  }));
  const order = (group: (typeof list)[number]): string =>
    (group as { bucketStart?: string }).bucketStart ?? '';
  return list.sort((a, b) => {
    if (order(a) !== order(b)) return order(a) < order(b) ? -1 : 1;
    const difference = picoOf(b.costUsd) - picoOf(a.costUsd);
    return difference === 0n ? 0 : difference > 0n ? 1 : -1;
  });
}

function expectedFigures(events: readonly EventFacts[]): Figures {
  const sum = (of: (event: EventFacts) => bigint | null | undefined): bigint =>
    events.reduce((total, event) => total + (of(event) ?? 0n), 0n);
  const units: Record<string, bigint> = {};
  for (const { units: own } of events) {
    for (const [unit, quantity] of Object.entries(own ?? {})) {
      units[unit] = (units[unit] ?? 0n) + BigInt(quantity);
    }
  }
  const cost = sum((event) => ((event.state ?? 'settled') === 'settled' ? event.cost : 0n));
  const isError = ({ outcome, status }: EventFacts): boolean =>
    (outcome ?? 'complete') !== 'complete' || (status ?? 200) >= 400;
  return {
    requests: events.length,
    errors: events.filter(isError).length,
    inputTokens: Number(sum(({ inputTokens }) => inputTokens)),
    cachedInputTokens: Number(sum(({ cachedInputTokens }) => cachedInputTokens)),
    outputTokens: Number(sum(({ outputTokens }) => outputTokens)),
    reasoningTokens: Number(sum(({ reasoningTokens }) => reasoningTokens)),
    units: Object.fromEntries(
      Object.entries(units).map(([unit, quantity]) => [unit, quantity.toString()]),
    ),
    costUsd: formatUsd(cost),
    creditUsd: '0',
    payAsYouGoUsd: formatUsd(cost),
  };
}

const EVENTS: readonly EventFacts[] = [
  { admittedAt: '2026-10-31T23:59:59.999Z', provider: 'groq', cost: 7n, inputTokens: 3n },
  {
    admittedAt: '2026-11-01T00:00:00.000Z',
    cost: 1_000_000n,
    inputTokens: 10n,
    outputTokens: 5n,
    units: { input: '10', output: '5' },
  },
  {
    admittedAt: '2026-11-01T00:59:59.999Z',
    cost: 3n,
    cachedInputTokens: 4n,
    inputTokens: 14n,
    units: { input: '10', cached_input: '4' },
  },
  {
    admittedAt: '2026-11-01T04:30:00.000Z',
    provider: 'groq',
    model: 'org/other',
    cost: 9_000_000_000_000_000_000n,
    tags: { project: 'search', env: 'prod' },
  },
  {
    admittedAt: '2026-11-01T23:59:59.999Z',
    provider: 'groq',
    cost: 9_000_000_000_000_000_000n,
    task: 'embeddings',
    memberId: null,
  },
  {
    admittedAt: '2026-11-02T00:00:00.000Z',
    state: 'released',
    provider: null,
    outcome: 'upstream_error',
    status: 502,
  },
  { admittedAt: '2026-11-02T01:00:00.000Z', status: 429, cost: 0n, tags: { project: 'ads' } },
  {
    admittedAt: '2026-11-02T02:00:00.000Z',
    outcome: 'client_gone',
    cost: 11n,
    reasoningTokens: 2n,
    outputTokens: 6n,
    tags: { project: '' },
  },
  {
    admittedAt: '2026-11-02T03:00:00.000Z',
    state: 'unpriced',
    provider: 'novita',
    inputTokens: 100n,
    units: { input: '100' },
  },
  {
    admittedAt: '2026-11-03T00:00:00.000Z',
    state: 'quarantined',
    units: { pixel: '123456789012345678901234567890' },
    tags: JSON.parse('{"__proto__":"kept"}') as Record<string, string>,
  },
];
const SPAN = { start: '2026-10-01T00:00:00Z', end: '2026-12-01T00:00:00Z' };

describe('grouped usage', () => {
  let organization: TestOrganization;
  let otherToken: string;

  beforeAll(async () => {
    organization = await newOrganization();
    otherToken = (await addToken(service, organization.slug)).id;
    await insertEvents(database, organization, EVENTS);
    await insertEvents(database, organization, [
      { admittedAt: '2026-11-02T05:00:00Z', tokenId: otherToken, cost: 5n },
    ]);
    // Another tenant's events stand beside them and never show.
    await insertEvents(database, await newOrganization(), EVENTS);
  });

  const all = (): EventFacts[] => [
    ...EVENTS.map((event) => ({
      tokenId: organization.token.id,
      memberId: organization.memberId,
      ...event,
    })),
    {
      admittedAt: '2026-11-02T05:00:00Z',
      tokenId: otherToken,
      memberId: organization.memberId,
      cost: 5n,
    },
  ];
  const bucketStart = ({ admittedAt }: EventFacts, length: number, rest: string): string =>
    new Date(admittedAt).toISOString().slice(0, length) + rest;
  const dayOf = (event: EventFacts): string => bucketStart(event, 10, 'T00:00:00.000Z');

  it.each([
    ['hour', 13, ':00:00.000Z'],
    ['day', 10, 'T00:00:00.000Z'],
    ['month', 7, '-01T00:00:00.000Z'],
  ])(
    'cuts buckets by the %s in UTC whatever the time zone of the database',
    async (bucket, length, rest) => {
      const body = await usageOf(organization, { ...SPAN, bucket });
      expect(body.data).toEqual(
        expectedGroups(all(), (event) => ({ bucketStart: bucketStart(event, length, rest) })),
      );
      expect(body.totals).toEqual(expectedFigures(all()));
      expect(body).toMatchObject({
        bucket,
        start: '2026-10-01T00:00:00.000Z',
        end: '2026-12-01T00:00:00.000Z',
        nextCursor: null,
      });
    },
  );

  it.each<[string, (event: EventFacts) => Record<string, unknown>]>([
    ['provider', ({ provider }) => ({ provider: provider === undefined ? 'together' : provider })],
    ['model', ({ model }) => ({ model: model ?? 'org/model' })],
    ['member', ({ memberId }) => ({ member: memberId })],
    ['token', ({ tokenId }) => ({ token: tokenId })],
    ['task', ({ task }) => ({ task: task ?? 'chat' })],
    ['tag:project', ({ tags }) => ({ 'tag:project': tags?.['project'] ?? null })],
    [
      'tag:__proto__',
      ({ tags }) => ({ 'tag:__proto__': Object.hasOwn(tags ?? {}, '__proto__') ? 'kept' : null }),
    ],
    [
      'tag:env,provider,tag:project',
      ({ tags, provider }) => ({
        provider: provider === undefined ? 'together' : provider,
        'tag:env': tags?.['env'] ?? null,
        'tag:project': tags?.['project'] ?? null,
      }),
    ],
  ])('groups by %s', async (groupBy, keyOf) => {
    const body = await usageOf(organization, { ...SPAN, groupBy });
    const expected = expectedGroups(all(), (event) => ({
      bucketStart: dayOf(event),
      ...keyOf(event),
    }));
    expect(body.data).toHaveLength(expected.length);
    expect(body.data).toEqual(expect.arrayContaining(expected));
    expect(body.data.map(({ bucketStart: start, costUsd }) => [start, costUsd])).toEqual(
      (expected as { bucketStart: string; costUsd: string }[]).map(
        ({ bucketStart: start, costUsd }) => [start, costUsd],
      ),
    );
    expect(body.totals).toEqual(expectedFigures(all()));
  });

  it.each<[Record<string, string>, (event: EventFacts) => boolean]>([
    [{ provider: 'groq' }, ({ provider }) => provider === 'groq'],
    [{ model: 'org/other' }, ({ model }) => model === 'org/other'],
    [{ task: 'embeddings' }, ({ task }) => task === 'embeddings'],
    [{ 'tag:project': 'search' }, ({ tags }) => tags?.['project'] === 'search'],
    [{ 'tag:project': '' }, ({ tags }) => tags?.['project'] === ''],
    [{ 'tag:project': 'search', 'tag:env': 'test' }, () => false],
    [{ 'tag:__proto__': 'kept' }, ({ tags }) => Object.hasOwn(tags ?? {}, '__proto__')],
    [{ start: '2026-11-01' }, ({ admittedAt }) => admittedAt >= '2026-11-01'],
    [{ end: '2026-11-01' }, ({ admittedAt }) => admittedAt < '2026-11-01'],
    [
      { start: '2026-11-01T01:59:59.999+01:00' },
      ({ admittedAt }) => admittedAt >= '2026-11-01T00:59:59.999Z',
    ],
    [
      { end: '2026-11-01T00:59:59.999Z' },
      ({ admittedAt }) => admittedAt < '2026-11-01T00:59:59.999Z',
    ],
  ])('narrows by %j', async (filter, isKept) => {
    const body = await usageOf(organization, { ...SPAN, ...filter });
    expect(body.totals).toEqual(expectedFigures(all().filter(isKept)));
  });

  it('narrows by member and by token', async () => {
    const ofMember = await usageOf(organization, { ...SPAN, member: organization.memberId });
    expect(ofMember.totals).toEqual(
      expectedFigures(all().filter(({ memberId }) => memberId !== null)),
    );
    const ofToken = await usageOf(organization, { ...SPAN, token: otherToken });
    expect(ofToken.totals.requests).toBe(1);
  });

  it('tells the current UTC month until now when no span is asked for', async () => {
    const before = Date.now();
    const body = await usageOf(organization, {});
    expect(body.bucket).toBe('day');
    expect(body.start).toBe(`${new Date(before).toISOString().slice(0, 7)}-01T00:00:00.000Z`);
    expect(Date.parse(body.end)).toBeGreaterThanOrEqual(before);
  });

  it('takes the month that the end closes when only an end is given', async () => {
    expect(await usageOf(organization, { end: '2026-12-01' })).toMatchObject({
      start: '2026-11-01T00:00:00.000Z',
    });
    expect(await usageOf(organization, { end: '2026-12-01T00:00:00.001Z' })).toMatchObject({
      start: '2026-12-01T00:00:00.000Z',
    });
  });

  it('answers an empty span with zeros and no groups', async () => {
    const body = await usageOf(organization, { start: '2020-01-01', end: '2020-02-01' });
    expect(body).toMatchObject({ data: [], totals: expectedFigures([]), nextCursor: null });
  });

  it('takes 400 days and refuses one instant more', async () => {
    await usageOf(organization, { start: '2025-01-01', end: '2026-02-05' });
    const { status, body } = await get<ErrorBody>(
      service,
      `/api/organizations/${organization.slug}/usage?start=2025-01-01&end=2026-02-05T00:00:00.001Z`,
    );
    expect(status).toBe(400);
    expect(body.error.details).toMatchObject([{ field: 'start' }]);
  });

  it.each([
    ['start=yesterday', 'start'],
    ['start=2026-02-30', 'start'],
    ['start=2026-11-01T00:00:00', 'start'],
    ['start=2026-11-01T25:00:00Z', 'start'],
    ['start=0001-01-01', 'start'],
    ['start=2026-11-01&start=2026-11-02', 'start'],
    ['end=0001-01-01', 'end'],
    ['end=', 'end'],
    ['start=2026-11-02&end=2026-11-02', 'end'],
    ['start=2026-11-02&end=2026-11-01', 'end'],
    ['start=2199-01-01', 'start'],
    ['bucket=week', 'bucket'],
    ['bucket=', 'bucket'],
    ['groupBy=', 'groupBy'],
    ['groupBy=color', 'groupBy'],
    ['groupBy=provider,provider', 'groupBy'],
    ['groupBy=tag:', 'groupBy'],
    ['groupBy=tag:Project', 'groupBy'],
    ['groupBy=provider;DROP', 'groupBy'],
    [
      `groupBy=${Array.from({ length: 11 }, (_, index) => `tag:t${index.toString()}`).join(',')}`,
      'groupBy',
    ],
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=ten', 'limit'],
    ['cursor=nonsense', 'cursor'],
    [`cursor=${Buffer.from('["x"]').toString('base64url')}`, 'cursor'],
    ['member=me', 'member'],
    ['token=tg_secret', 'token'],
    ['provider=', 'provider'],
    ['provider=a%00b', 'provider'],
    ['model=a&model=b', 'model'],
    [`task=${'x'.repeat(257)}`, 'task'],
    ['tag:Project=x', 'tag:Project'],
    ['tag:=x', 'tag:'],
    ['tag:a=%00', 'tag:a'],
    [`tag:a=${'x'.repeat(65)}`, 'tag:a'],
    ['tag:a=1&tag:a=2', 'tag:a'],
    ['tags=x', 'tags'],
    ['colour=red', 'colour'],
  ])('refuses ?%s and names %s', async (query, field) => {
    const { status, body } = await get<ErrorBody>(
      service,
      `/api/organizations/${organization.slug}/usage?${query}`,
    );
    expect(status).toBe(400);
    expect(body.error.code).toBe('invalid_request');
    expect(body.error.message).toContain(field);
    expect(body.error.details).toMatchObject([{ field, problem: expect.any(String) as unknown }]);
  });

  it('shows an organization to its own tokens and to the operator only', async () => {
    const path = `/api/organizations/${organization.slug}/usage`;
    const foreign = await newOrganization();
    const inference = await addToken(service, organization.slug, ['inference']);
    const billing = await addToken(service, organization.slug, ['billing.read']);
    expect((await get(service, path, organization.token.secret)).status).toBe(200);
    expect((await get(service, path, ADMIN_TOKEN)).status).toBe(200);
    expect((await get(service, path, foreign.token.secret)).status).toBe(404);
    expect((await get(service, path, inference.secret)).status).toBe(403);
    expect((await get(service, path, billing.secret)).status).toBe(403);
    expect((await get(service, path, null)).status).toBe(401);
    expect((await get(service, '/api/organizations/nobody/usage')).status).toBe(404);
  });
});

describe('pages of grouped usage', () => {
  const SETTLED_AT = '2026-11-05T00:00:00Z';
  const LATER = '2026-11-06T00:00:00Z';
  const models = Array.from({ length: 7 }, (_, index) => `org/m${index.toString()}`);

  it('stand still while requests end, and the first page is exact again at once', async () => {
    const organization = await newOrganization();
    const events = ['2026-11-01T10:00:00Z', '2026-11-02T10:00:00Z'].flatMap((admittedAt) =>
      models.map((model, index): EventFacts => ({
        admittedAt,
        model,
        cost: BigInt(index % 3),
        settledAt: SETTLED_AT,
      })),
    );
    await insertEvents(database, organization, events);
    const query = { start: '2026-11-01', end: '2026-12-01', groupBy: 'model' };
    const whole = await usageOf(organization, { ...query, limit: '200' });
    expect(whole.data).toHaveLength(14);

    const seen: unknown[] = [];
    let cursor: string | null = null;
    do {
      const page = await usageOf(organization, {
        ...query,
        limit: '3',
        ...(cursor === null ? {} : { cursor }),
      });
      expect(page.totals).toEqual(whole.totals);
      seen.push(...page.data);
      cursor = page.nextCursor;
      // The cheapest become the dearest, and a new group appears.
      const costs = [...models, 'org/new'].map((model): EventFacts => ({
        admittedAt: '2026-11-01T11:00:00Z',
        model,
        cost: 1000n,
        settledAt: LATER,
      }));
      await insertEvents(database, organization, costs);
    } while (cursor !== null);
    expect(seen).toEqual(whole.data);

    const fresh = await usageOf(organization, { ...query, limit: '3' });
    expect(fresh.totals.requests).toBe(14 + 5 * 8);
  });

  it('keep the span that the first page was asked with', async () => {
    const organization = await newOrganization();
    const now = new Date().toISOString();
    await insertEvents(
      database,
      organization,
      models.map((model): EventFacts => ({ admittedAt: now, model, cost: 1n })),
    );
    const first = await usageOf(organization, { groupBy: 'model', limit: '5' });
    const second = await usageOf(organization, {
      groupBy: 'model',
      limit: '5',
      cursor: first.nextCursor ?? '',
    });
    expect(second).toMatchObject({ start: first.start, end: first.end, nextCursor: null });
    expect(second.data).toHaveLength(2);
  });

  it('refuse a cursor under another question', async () => {
    const organization = await newOrganization();
    const other = await newOrganization();
    await insertEvents(
      database,
      organization,
      models.map((model): EventFacts => ({ admittedAt: '2026-11-01T10:00:00Z', model })),
    );
    const query = { start: '2026-11-01', end: '2026-12-01', groupBy: 'model', limit: '5' };
    const cursor = (await usageOf(organization, query)).nextCursor ?? '';
    expect((await usageOf(organization, { ...query, limit: '50', cursor })).data).toHaveLength(2);
    for (const [slug, asked] of [
      [organization.slug, { ...query, groupBy: 'provider' }],
      [organization.slug, { ...query, 'tag:a': 'b' }],
      [organization.slug, { ...query, end: '2026-11-30' }],
      [other.slug, query],
    ] as const) {
      const { status, body } = await get<ErrorBody>(
        service,
        `/api/organizations/${slug}/usage?${textOf({ ...asked, cursor })}`,
      );
      expect(status).toBe(400);
      expect(body.error.details).toMatchObject([{ field: 'cursor' }]);
    }
  });
});

it('sums over groups to the totals, for any events and any grouping', async () => {
  const quantity = fc.option(fc.bigInt({ min: 0n, max: 10n ** 12n }));
  const optional = (values: readonly string[]): fc.Arbitrary<string | null> =>
    fc.option(fc.constantFrom(...values));
  const event = fc.record({
    admittedAt: fc
      .date({
        min: new Date('2026-09-28T00:00:00Z'),
        max: new Date('2026-11-03T00:00:00Z'),
        noInvalidDate: true,
      })
      .map((date) => date.toISOString()),
    provider: optional(['together', 'groq']),
    model: fc.constantFrom('org/a', 'org/b', 'org/c'),
    task: fc.constantFrom('chat', 'embeddings'),
    state: fc.constantFrom('settled', 'released', 'unpriced', 'quarantined'),
    outcome: fc.constantFrom('complete', 'client_gone', 'upstream_error', 'aborted'),
    status: fc.option(fc.constantFrom(200, 399, 400, 503)),
    tags: fc.option(
      fc.dictionary(fc.constantFrom('project', 'env'), fc.constantFrom('', 'x', 'y')),
    ),
    inputTokens: quantity,
    cachedInputTokens: quantity,
    outputTokens: quantity,
    reasoningTokens: quantity,
    units: fc.option(
      fc.dictionary(
        fc.constantFrom('input', 'output', 'pixel', 'compute_ms'),
        fc.bigInt({ min: 0n, max: 10n ** 15n }).map(String),
      ),
    ),
    cost: fc.bigInt({ min: 0n, max: 10n ** 18n }),
  });
  const dimensions = ['provider', 'model', 'member', 'token', 'task', 'tag:project', 'tag:env'];
  await fc.assert(
    fc.asyncProperty(
      fc.array(event, { maxLength: 40 }),
      fc.shuffledSubarray(dimensions),
      fc.constantFrom('hour', 'day', 'month'),
      fc.integer({ min: 1, max: 30 }),
      async (events, groupBy, bucket, limit) => {
        const organization = await newOrganization();
        if (events.length > 0) await insertEvents(database, organization, events);
        const query = {
          start: '2026-09-28',
          end: '2026-11-04',
          bucket,
          limit: limit.toString(),
          ...(groupBy.length === 0 ? {} : { groupBy: groupBy.join(',') }),
        };
        const groups: Figures[] = [];
        let cursor: string | null = null;
        do {
          const page = await usageOf(organization, {
            ...query,
            ...(cursor === null ? {} : { cursor }),
          });
          expect(page.totals).toEqual(expectedFigures(events));
          groups.push(...page.data);
          cursor = page.nextCursor;
        } while (cursor !== null);
        expect(sumOf(groups)).toEqual(expectedFigures(events));
        expect(groups.every(({ requests }) => requests > 0)).toBe(true);
      },
    ),
    { numRuns: 100 },
  );
}, 120_000);

function sumOf(groups: readonly Figures[]): Figures {
  const count = (of: (group: Figures) => number): number =>
    groups.reduce((total, group) => total + of(group), 0);
  const usd = (of: (group: Figures) => string): string =>
    formatUsd(groups.reduce((total, group) => total + picoOf(of(group)), 0n));
  const units: Record<string, bigint> = {};
  for (const group of groups) {
    for (const [unit, quantity] of Object.entries(group.units))
      units[unit] = (units[unit] ?? 0n) + BigInt(quantity);
  }
  return {
    requests: count(({ requests }) => requests),
    errors: count(({ errors }) => errors),
    inputTokens: count(({ inputTokens }) => inputTokens),
    cachedInputTokens: count(({ cachedInputTokens }) => cachedInputTokens),
    outputTokens: count(({ outputTokens }) => outputTokens),
    reasoningTokens: count(({ reasoningTokens }) => reasoningTokens),
    units: Object.fromEntries(
      Object.entries(units).map(([unit, quantity]) => [unit, quantity.toString()]),
    ),
    costUsd: usd(({ costUsd }) => costUsd),
    creditUsd: usd(({ creditUsd }) => creditUsd),
    payAsYouGoUsd: usd(({ payAsYouGoUsd }) => payAsYouGoUsd),
  };
}
