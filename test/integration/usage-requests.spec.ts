import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Journal, refOf, type AdmittedEvent } from '../../src/metering/journal.js';
import { RequestsService } from '../../src/usage/requests.service.js';
import { freshDatabase, type TestDatabase } from '../support/database.js';
import { admittedOf, requestOf, settledAt } from '../support/journal.js';
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

type EventBody = Readonly<Record<string, unknown>> & {
  readonly id: string;
  readonly state: string;
};

interface PageBody {
  readonly data: readonly EventBody[];
  readonly nextCursor: string | null;
}

let database: TestDatabase;
let service: TestService;
let journal: Journal;
let organizations = 0;

beforeAll(async () => {
  database = await freshDatabase();
  await moveToNewYork(database);
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' }, database);
  journal = service.app.get(Journal, { strict: false });
});

afterAll(async () => {
  await service.close();
  await database.drop();
});

async function newOrganization(): Promise<TestOrganization> {
  organizations += 1;
  return addOrganization(service, `requests-${organizations.toString()}`);
}

const accountOf = ({ id, token }: TestOrganization): { accountId: string; tokenId: string } => ({
  accountId: id,
  tokenId: token.id,
});

async function list(
  { slug }: TestOrganization,
  query: Readonly<Record<string, string>> = {},
): Promise<PageBody> {
  const path = `/api/organizations/${slug}/requests?${new URLSearchParams(query).toString()}`;
  const answer = await get<PageBody>(service, path);
  expect(answer).toMatchObject({ status: 200 });
  return answer.body;
}

async function allPages(
  organization: TestOrganization,
  query: Readonly<Record<string, string>>,
  between: () => Promise<void> = () => Promise.resolve(),
): Promise<EventBody[]> {
  const events: EventBody[] = [];
  let cursor: string | null = null;
  do {
    const page: PageBody = await list(organization, {
      ...query,
      ...(cursor === null ? {} : { cursor }),
    });
    events.push(...page.data);
    cursor = page.nextCursor;
    await between();
  } while (cursor !== null);
  return events;
}

async function addPrices(): Promise<bigint[]> {
  const rows = await database.query<{ id: string }>(
    `INSERT INTO prices (upstream, provider, model, unit, condition, pico_usd, per_units, effective_from, source, imported_at)
     VALUES ('default', 'together', 'org/priced', 'input', '', 900000, 1, '2026-01-01T05:00:00Z', 'router_catalogue', now()),
            ('default', 'together', 'org/priced', 'output', '', 500001, 1000000, '2026-01-01T05:00:00Z', 'manual', now())
     RETURNING id`,
  );
  return rows.map(({ id }) => BigInt(id));
}

describe('one request', () => {
  it('is told whole while it is open and after it settled, with the rows that priced it', async () => {
    const organization = await newOrganization();
    const createdAt = new Date();
    const servedAt = new Date(createdAt.getTime() + 5);
    const priceRowIds = await addPrices();
    const event = admittedOf(
      await journal.admit(
        requestOf(accountOf(organization), 1_500_000n, {
          createdAt,
          memberId: organization.memberId,
          model: 'org/priced',
          isStream: true,
          tags: { project: 'search' },
          sessionId: 'session 1',
          clientRequestId: 'client-1',
        }),
      ),
    );
    const path = `/api/requests/${event.request.id}`;
    const known = {
      id: event.request.id,
      createdAt: createdAt.toISOString(),
      admittedAt: event.admittedAt.toISOString(),
      period: event.period,
      organization: organization.slug,
      userId: null,
      memberId: organization.memberId,
      tokenId: organization.token.id,
      tokenName: 'a token',
      tags: { project: 'search' },
      sessionId: 'session 1',
      clientRequestId: 'client-1',
      upstream: 'default',
      model: 'org/priced',
      task: 'chat',
      stream: true,
      holdUsd: '0.0000015',
    };
    const unknown = [
      'servedAt',
      'settledAt',
      'provider',
      'providerModelId',
      'providerRequestId',
      'status',
      'outcome',
      'inputTokens',
      'cachedInputTokens',
      'outputTokens',
      'reasoningTokens',
      'units',
      'usageSource',
      'priceAssumed',
      'external',
      'costUsd',
      'creditUsd',
      'payAsYouGoUsd',
      'ratedCostUsd',
      'absorbedUsd',
      'providerReportedCostUsd',
      'firstByteMs',
      'durationMs',
      'attempts',
    ];
    expect((await get<EventBody>(service, path, organization.token.secret)).body).toEqual({
      ...known,
      ...Object.fromEntries(unknown.map((name) => [name, null])),
      state: 'open',
      priceRows: [],
    });

    const attempt = {
      upstream: 'default',
      provider: 'together',
      providerRequestId: 'p-1',
      status: 200,
      error: null,
      durationMs: 9,
    };
    const cost = 3n * 900_000n + 900_000n + 2n;
    await journal.settle(
      refOf(event),
      settledAt(cost, {
        servedAt,
        providerRequestId: 'p-1',
        quantities: { input: 3n, cached_input: 1n, output: 5n },
        reasoningTokens: 0n,
        isPriceAssumed: true,
        priceRowIds,
        attempts: [attempt],
      }),
    ).receipt;
    const { body } = await get<EventBody>(service, path, organization.token.secret);
    const row = {
      model: 'org/priced',
      condition: null,
      effectiveFrom: '2026-01-01T05:00:00.000Z',
      effectiveTo: null,
    };
    const [inputId, outputId] = priceRowIds.map(String);
    expect(body).toEqual({
      ...known,
      servedAt: servedAt.toISOString(),
      settledAt: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      state: 'settled',
      provider: 'together',
      providerModelId: 'provider/model',
      providerRequestId: 'p-1',
      status: 200,
      outcome: 'complete',
      inputTokens: 4,
      cachedInputTokens: 1,
      outputTokens: 5,
      reasoningTokens: 0,
      units: { input: '3', cached_input: '1', output: '5' },
      usageSource: 'provider',
      priceAssumed: true,
      external: false,
      costUsd: '0.000003600002',
      creditUsd: '0.000003600002',
      payAsYouGoUsd: '0',
      ratedCostUsd: '0.000003600002',
      absorbedUsd: '0',
      providerReportedCostUsd: null,
      firstByteMs: 5,
      durationMs: 9,
      priceRows: [
        {
          ...row,
          id: inputId,
          unit: 'input',
          pricedAs: 'input',
          quantity: '3',
          priceUsd: '0.0000009',
          perUnits: '1',
          amountUsd: '0.0000027',
          source: 'router_catalogue',
        },
        {
          ...row,
          id: inputId,
          unit: 'cached_input',
          pricedAs: 'input',
          quantity: '1',
          priceUsd: '0.0000009',
          perUnits: '1',
          amountUsd: '0.0000009',
          source: 'router_catalogue',
        },
        {
          ...row,
          id: outputId,
          unit: 'output',
          pricedAs: 'output',
          quantity: '5',
          priceUsd: '0.000000500001',
          perUnits: '1000000',
          amountUsd: '0.000000000002',
          source: 'manual',
        },
      ],
      attempts: [attempt],
    });
  });

  it('is found by its own organization and the operator, and is 404 to everyone else', async () => {
    const organization = await newOrganization();
    const foreign = await newOrganization();
    const event = admittedOf(await journal.admit(requestOf(accountOf(organization), 0n)));
    const blind = await addToken(service, organization.slug, ['inference', 'billing.read']);
    const path = `/api/requests/${event.request.id}`;
    const statusFor = async (token: string | null): Promise<number> =>
      (await get(service, path, token)).status;
    expect(await statusFor(organization.token.secret)).toBe(200);
    expect(await statusFor(ADMIN_TOKEN)).toBe(200);
    expect(await statusFor(foreign.token.secret)).toBe(404);
    expect(await statusFor(blind.secret)).toBe(403);
    expect(await statusFor(null)).toBe(401);
    await journal.settle(refOf(event), settledAt(0n)).receipt;
    expect(await statusFor(foreign.token.secret)).toBe(404);
    expect(await statusFor(organization.token.secret)).toBe(200);
  });

  it('is kept within its account by the query itself too', async () => {
    const organization = await newOrganization();
    const foreign = await newOrganization();
    const open = admittedOf(await journal.admit(requestOf(accountOf(organization), 0n)));
    const ended = admittedOf(await journal.admit(requestOf(accountOf(organization), 0n)));
    await journal.settle(refOf(ended), settledAt(0n)).receipt;
    const requests = service.app.get(RequestsService, { strict: false });
    for (const { request } of [open, ended]) {
      expect((await requests.find(request.id, organization.id))?.id).toBe(request.id);
      expect(await requests.find(request.id, foreign.id)).toBeNull();
    }
  });

  it.each([uuidv7(), 'nonsense', '%00', "'--"])('is 404 when there is no %s', async (id) => {
    const { status, body } = await get<ErrorBody>(service, `/api/requests/${id}`);
    expect(status).toBe(404);
    expect(body.error.code).toBe('not_found');
  });
});

describe("an organization's requests", () => {
  it('are listed newest first, open ones among them, each once while they end', async () => {
    const organization = await newOrganization();
    await insertEvents(database, await newOrganization(), [{ admittedAt: '2026-11-01T00:00:00Z' }]);
    // Equal instants: the id decides.
    const old = Array.from({ length: 5 }, (): EventFacts => ({
      id: uuidv7(),
      admittedAt: '2026-10-01T00:00:00Z',
    }));
    await insertEvents(database, organization, old);
    const admitted: AdmittedEvent[] = [];
    for (let index = 0; index < 6; index += 1) {
      admitted.push(admittedOf(await journal.admit(requestOf(accountOf(organization), 10n))));
    }
    const expected = [
      ...admitted.map(({ request, admittedAt }) => ({
        id: request.id,
        at: admittedAt.toISOString(),
      })),
      ...old.map(({ id = '', admittedAt }) => ({ id, at: new Date(admittedAt).toISOString() })),
    ].sort((a, b) => (`${a.at} ${a.id}` < `${b.at} ${b.id}` ? 1 : -1));

    const ending = [...admitted];
    const seen = await allPages(organization, { limit: '2' }, async () => {
      const next = ending.shift();
      if (next !== undefined) await journal.settle(refOf(next), settledAt(7n)).receipt;
      await journal.admit(requestOf(accountOf(organization), 10n));
    });
    expect(seen.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
    const after = await list(organization, { limit: '200' });
    expect(after.data.filter(({ state }) => state === 'open').length).toBeGreaterThan(0);
    expect(after.data.length).toBeGreaterThan(seen.length);
  });

  it('are narrowed by every filter', async () => {
    const organization = await newOrganization();
    const other = await addToken(service, organization.slug);
    const at = (day: string): string => `2026-11-${day}T00:00:00Z`;
    const ids = Array.from({ length: 6 }, () => uuidv7());
    const [a = '', b = '', c = '', d = '', e = ''] = ids;
    await insertEvents(database, organization, [
      {
        id: a,
        admittedAt: at('01'),
        provider: 'groq',
        tags: { project: 'search', env: 'prod' },
        clientRequestId: 'client-a',
      },
      {
        id: b,
        admittedAt: at('02'),
        model: 'org/other',
        outcome: 'client_gone',
        sessionId: 'session-b',
      },
      {
        id: c,
        admittedAt: at('03'),
        state: 'unpriced',
        tokenId: other.id,
        memberId: null,
        tags: { project: 'search' },
      },
      {
        id: d,
        admittedAt: at('04'),
        state: 'released',
        provider: null,
        outcome: 'aborted',
        task: 'embeddings',
      },
    ]);
    const open = requestOf(accountOf(organization), 5n, {
      id: e,
      model: 'org/other',
      clientRequestId: 'client-e',
      tags: { project: 'ads' },
    });
    await journal.admit(open);
    const cases: [Record<string, string>, string[]][] = [
      [{}, [e, d, c, b, a]],
      [{ provider: 'groq' }, [a]],
      [{ model: 'org/other' }, [e, b]],
      [{ member: organization.memberId }, [d, b, a]],
      [{ token: other.id }, [c]],
      [{ task: 'embeddings' }, [d]],
      [{ state: 'open' }, [e]],
      [{ state: 'unpriced' }, [c]],
      [{ state: 'settled' }, [b, a]],
      [{ outcome: 'complete' }, [c, a]],
      [{ outcome: 'client_gone' }, [b]],
      [{ clientRequestId: 'client-a' }, [a]],
      [{ clientRequestId: 'client-e' }, [e]],
      [{ clientRequestId: 'nobody' }, []],
      [{ sessionId: 'session-b' }, [b]],
      [{ 'tag:project': 'search' }, [c, a]],
      [{ 'tag:project': 'search', 'tag:env': 'prod' }, [a]],
      [{ start: at('02') }, [e, d, c, b]],
      [{ end: at('02') }, [a]],
      [{ start: at('02'), end: at('04') }, [c, b]],
    ];
    // The open request is of today: these tests may run before or after the dates above.
    await database.query(
      `UPDATE open_events SET admitted_at = '2026-11-30T00:00:00Z' WHERE id = $1`,
      [e],
    );
    for (const [query, expected] of cases) {
      expect([query, (await list(organization, query)).data.map(({ id }) => id)]).toEqual([
        query,
        expected,
      ]);
    }
  });

  it.each([
    ['state=done', 'state'],
    ['outcome=fine', 'outcome'],
    ['start=monday', 'start'],
    ['start=2026-11-02&end=2026-11-01', 'end'],
    ['limit=1000', 'limit'],
    ['cursor=%00', 'cursor'],
    [`cursor=${Buffer.from('["2026-11-01T00:00:00.000Z","me"]').toString('base64url')}`, 'cursor'],
    ['clientRequestId=', 'clientRequestId'],
    ['sessionId=a%0Ab', 'sessionId'],
    ['tag:UPPER=x', 'tag:UPPER'],
    ['token=1', 'token'],
    ['page=2', 'page'],
  ])('are refused for ?%s, naming %s', async (query, field) => {
    const { slug } = await newOrganization();
    const { status, body } = await get<ErrorBody>(
      service,
      `/api/organizations/${slug}/requests?${query}`,
    );
    expect(status).toBe(400);
    expect(body.error.details).toMatchObject([{ field }]);
  });

  it('are 404 to a foreign token and 403 without the scope', async () => {
    const organization = await newOrganization();
    const foreign = await newOrganization();
    const blind = await addToken(service, organization.slug, ['inference']);
    const path = `/api/organizations/${organization.slug}/requests`;
    expect((await get(service, path, foreign.token.secret)).status).toBe(404);
    expect((await get(service, path, blind.secret)).status).toBe(403);
    expect((await get(service, path, organization.token.secret)).status).toBe(200);
  });
});

describe('the requests of all organizations', () => {
  it('are the operator’s, by state, in pages', async () => {
    const organizationsOfThree = [
      await newOrganization(),
      await newOrganization(),
      await newOrganization(),
    ];
    const before = new Set(
      (await operatorList({ state: 'quarantined', limit: '200' })).map(({ id }) => id),
    );
    const facts = { admittedAt: '2026-11-01T00:00:00Z', state: 'quarantined' };
    for (const organization of organizationsOfThree)
      await insertEvents(database, organization, [facts, facts]);
    const found = (await operatorList({ state: 'quarantined', limit: '2' })).filter(
      ({ id }) => !before.has(id),
    );
    expect(found).toHaveLength(6);
    expect(new Set(found.map(({ organization }) => organization)).size).toBe(3);
    const ids = found.map(({ id }) => id);
    expect(ids).toEqual([...ids].sort().reverse());

    const open = admittedOf(
      await journal.admit(requestOf(accountOf(organizationsOfThree[0]!), 1n)),
    );
    const listed = await operatorList({ state: 'open', limit: '200' });
    expect(listed.map(({ id }) => id)).toContain(open.request.id);
    expect(new Set(listed.map(({ state }) => state))).toEqual(new Set(['open']));
    const every = await operatorList({ limit: '7' });
    expect(new Set(every.map(({ id }) => id)).size).toBe(every.length);
    expect(new Set(every.map(({ state }) => state)).size).toBeGreaterThan(2);
    for (const state of ['settled', 'released', 'failed_to_bill', 'pending']) {
      expect(await operatorList({ state, limit: '200' })).toEqual(
        every.filter((event) => event.state === state),
      );
    }
  });

  it('are nobody else’s', async () => {
    const { token } = await newOrganization();
    expect((await get(service, '/api/requests', token.secret)).status).toBe(403);
    expect((await get(service, '/api/requests?state=done')).status).toBe(400);
    expect(
      (await get(service, `/api/requests?cursor=${Buffer.from('["x"]').toString('base64url')}`))
        .status,
    ).toBe(400);
  });

  async function operatorList(query: Readonly<Record<string, string>>): Promise<EventBody[]> {
    const events: EventBody[] = [];
    let cursor: string | null = null;
    do {
      const text = new URLSearchParams({
        ...query,
        ...(cursor === null ? {} : { cursor }),
      }).toString();
      const { status, body }: { status: number; body: PageBody } = await get<PageBody>(
        service,
        `/api/requests?${text}`,
      );
      expect(status).toBe(200);
      events.push(...body.data);
      cursor = body.nextCursor;
    } while (cursor !== null);
    return events;
  }
});
