import { uuidv7 } from 'uuidv7';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AlertsService } from '../../src/alerts/alerts.service.js';
import { creditText, NO_CREDIT, type CreditState } from '../../src/domain/credits.js';
import { nextPeriod, periodBounds, periodOf } from '../../src/domain/periods.js';
import { ApiClient, eventually, type ApiBody } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.js';

const ENVIRONMENT = {
  UPSTREAM_BASE_URL: 'http://127.0.0.1:9',
  ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1',
};
const USD = 1_000_000_000_000n;

let one: TestService;
let two: TestService;
let operator: ApiClient;
let receiver: WebhookReceiver;

beforeAll(async () => {
  receiver = await startWebhookReceiver();
  one = await startService(ENVIRONMENT);
  two = await startService(ENVIRONMENT, one.database);
  operator = new ApiClient(one.url);
});
afterAll(async () => {
  await two.close();
  await one.close();
  await receiver.close();
});

function alertsOf(service: TestService): AlertsService {
  return service.app.get(AlertsService, { strict: false });
}

/** What the journal does to a budget. */
async function use(subjectId: string, usedPicoUsd: bigint, at = new Date()): Promise<void> {
  await one.database.query(
    'UPDATE budgets SET used_pico_usd = $2::numeric, period = $3 WHERE subject_id = $1',
    [subjectId, usedPicoUsd.toString(), periodOf(at)],
  );
}

async function limit(slug: string, usd: string | null, payAsYouGo: boolean): Promise<void> {
  const body = { monthlySpendLimitUsd: usd, payAsYouGo };
  const { status } = await operator.put(`/api/organizations/${slug}/limits`, body);
  expect(status).toBe(200);
}

/** Credit of the running month, so much of it burned. */
async function giveCredit(accountId: string, amount: bigint, burned: bigint): Promise<void> {
  const period = periodOf(new Date());
  const state: CreditState = {
    ...NO_CREDIT,
    grants: [
      {
        id: uuidv7(),
        kind: 'plan',
        amountPicoUsd: amount,
        remainingPicoUsd: amount - burned,
        grantedAt: periodBounds(period).start,
        expiresAt: periodBounds(period).end,
        period,
        burnedPicoUsd: { [period]: burned },
      },
    ],
    grantedPicoUsd: { [period]: amount },
  };
  await one.database.query('UPDATE budgets SET credit = $2::jsonb WHERE subject_id = $1', [
    accountId,
    creditText(state),
  ]);
}

/** `scope basis threshold`, oldest first. */
async function shown(slug: string): Promise<readonly string[]> {
  const { body } = await operator.get(`/api/organizations/${slug}/alerts?limit=200`);
  const texts = body.data.map(
    (alert) => `${String(alert['scope'])} ${String(alert['basis'])} ${String(alert['threshold'])}`,
  );
  return texts.reverse();
}

describe('an alert', () => {
  it('is raised and told once per threshold, however many processes notice at once', async () => {
    const { accountId } = await operator.addOrganization('watched');
    await limit('watched', '10', true);
    const path = '/api/organizations/watched/alerts';
    await operator.put(path, { webhookUrl: `${receiver.url}/watched` });
    const told = (): readonly number[] =>
      receiver.received
        .filter((message) => message.path === '/watched')
        .map(({ body }) => (JSON.parse(body) as { data: { threshold: number } }).data.threshold);
    const notice = async (): Promise<void> => {
      const looks = [one, two].flatMap((service) => [
        alertsOf(service).evaluate([accountId], new Date()),
        alertsOf(service).evaluateAll(new Date()),
      ]);
      await Promise.all(looks);
    };
    await use(accountId, 5n * USD - 1n);
    await notice();
    expect(await shown('watched')).toEqual([]);
    await use(accountId, 5n * USD);
    await notice();
    await eventually(() => told().length === 1);
    await use(accountId, 11n * USD);
    await notice();
    await eventually(() => told().length === 3);
    await notice();
    expect(await shown('watched')).toEqual([
      'account pay_as_you_go 50',
      'account pay_as_you_go 80',
      'account pay_as_you_go 100',
    ]);
    expect([...told()].sort((a, b) => a - b)).toEqual([50, 80, 100]);
    const { body } = await operator.get(path);
    expect(body.data[2]).toMatchObject({
      usedUsd: '5',
      limitUsd: '10',
      subjectId: accountId,
      subjectName: 'watched',
      period: periodOf(new Date()),
      deliveries: [{ channel: 'webhook', state: 'delivered', attempts: 1, lastError: null }],
    });
  });

  it('measures the credit of an account whose pay-as-you-go is off', async () => {
    const { accountId } = await operator.addOrganization('frugal', 'free');
    await giveCredit(accountId, 10n * USD, 8n * USD - 1n);
    await alertsOf(one).evaluateAll(new Date());
    expect(await shown('frugal')).toEqual(['account credit 50']);
    await giveCredit(accountId, 10n * USD, 10n * USD);
    await alertsOf(two).evaluateAll(new Date());
    expect(await shown('frugal')).toEqual([
      'account credit 50',
      'account credit 80',
      'account credit 100',
    ]);
    // What comes after the credit is another limit, with alerts of its own.
    await limit('frugal', '10', true);
    await use(accountId, 5n * USD);
    await alertsOf(one).evaluateAll(new Date());
    expect((await shown('frugal')).at(-1)).toBe('account pay_as_you_go 50');
  });

  it('measures the limits of members and tokens', async () => {
    const { accountId, tokenId } = await operator.addOrganization('team', 'team');
    const member = await operator.post('/api/organizations/team/members', {
      email: 'ann@example.com',
      name: 'Ann',
      role: 'member',
      monthlyLimitUsd: '2',
    });
    await operator.patch(`/api/tokens/${tokenId}`, { monthlyLimitUsd: '1' });
    await use(member.body.id, 2n * USD);
    await use(tokenId, USD / 2n);
    await use(accountId, 0n);
    await alertsOf(one).evaluate([member.body.id, tokenId, accountId, uuidv7()], new Date());
    expect([...(await shown('team'))].sort()).toEqual([
      'member limit 100',
      'member limit 50',
      'member limit 80',
      'token limit 50',
    ]);
    const { body } = await operator.get('/api/organizations/team/alerts');
    const names = new Set(body.data.map((alert) => alert['subjectName']));
    expect(names).toEqual(new Set(['Ann', 'test']));
  });

  it('is never raised where there is no end, or a limit of 0 that nothing was used of', async () => {
    const endless = await operator.addOrganization('endless');
    await limit('endless', null, true);
    await use(endless.accountId, 900n * USD);
    const shut = await operator.addOrganization('shut');
    await limit('shut', '0', true);
    const empty = await operator.addOrganization('empty', 'free');
    await giveCredit(empty.accountId, 0n, 0n);
    await alertsOf(one).evaluateAll(new Date());
    for (const slug of ['endless', 'shut', 'empty']) expect(await shown(slug)).toEqual([]);
    await use(shut.accountId, 1n);
    await alertsOf(one).evaluateAll(new Date());
    expect(await shown('shut')).toHaveLength(3);
  });

  it('is raised again in the next period, and only for it', async () => {
    const { accountId } = await operator.addOrganization('monthly');
    await limit('monthly', '10', true);
    await use(accountId, 6n * USD);
    const now = new Date();
    const later = periodBounds(nextPeriod(periodOf(now))).start;
    // Nothing was used of the new period yet.
    await alertsOf(one).evaluateAll(later);
    expect(await shown('monthly')).toEqual([]);
    await alertsOf(one).evaluateAll(now);
    await use(accountId, 6n * USD, later);
    await alertsOf(one).evaluateAll(later);
    const { body } = await operator.get('/api/organizations/monthly/alerts');
    expect(body.data.map((alert) => alert['period'])).toEqual([periodOf(later), periodOf(now)]);
  });

  it('is raised again when its limit was raised and is reached anew, and only then', async () => {
    const { accountId } = await operator.addOrganization('raised');
    const path = '/api/organizations/raised/alerts';
    const look = async (): Promise<readonly string[]> => {
      await Promise.all([one, two].map((each) => alertsOf(each).evaluateAll(new Date())));
      return (await shown('raised')).map((text) => text.replace('account pay_as_you_go ', ''));
    };
    await limit('raised', '10', true);
    await use(accountId, 8n * USD);
    expect(await look()).toEqual(['50', '80']);
    // Half of 12 is reached all along: nobody is told twice.
    await limit('raised', '12', true);
    expect(await look()).toEqual(['50', '80']);
    await use(accountId, 10n * USD);
    expect(await look()).toEqual(['50', '80', '80']);
    // Nobody looks between the change and the request that reaches it.
    await limit('raised', '30', true);
    await use(accountId, 25n * USD);
    expect(await look()).toEqual(['50', '80', '80', '50', '80']);
    // A threshold that is chosen again is told again only if it was not reached in between.
    await operator.put(path, { thresholds: [100] });
    expect(await look()).toHaveLength(5);
    await operator.put(path, { thresholds: [50, 80] });
    expect(await look()).toHaveLength(5);
    await operator.put(path, { thresholds: [100] });
    await use(accountId, 20n * USD);
    expect(await look()).toHaveLength(5);
    await operator.put(path, { thresholds: [50, 80] });
    await use(accountId, 24n * USD);
    expect((await look()).slice(5)).toEqual(['80']);
  });

  it('is raised soon after the journal touched its budget', async () => {
    const { accountId } = await operator.addOrganization('touched');
    await limit('touched', '10', true);
    await use(accountId, 5n * USD);
    alertsOf(one).budgetsTouched([accountId]);
    await eventually(async () => (await shown('touched')).length === 1);
    await use(accountId, 8n * USD);
    alertsOf(two).budgetsTouched(new Set([uuidv7(), accountId]));
    await eventually(async () => (await shown('touched')).length === 2);
  });

  it('is raised even when more budgets were touched than are remembered', async () => {
    const { accountId } = await operator.addOrganization('crowded');
    await limit('crowded', '10', true);
    await use(accountId, 5n * USD);
    alertsOf(one).budgetsTouched(Array.from({ length: 20_000 }, () => uuidv7()));
    alertsOf(one).budgetsTouched([accountId]);
    await eventually(async () => (await shown('crowded')).length === 1);
  });

  it('follows the thresholds of its account', async () => {
    const { accountId } = await operator.addOrganization('choosy');
    await limit('choosy', '10', true);
    await use(accountId, 10n * USD);
    const choose = (thresholds: readonly number[]): Promise<unknown> =>
      operator.put('/api/organizations/choosy/alerts', { thresholds });
    await choose([]);
    await alertsOf(one).evaluateAll(new Date());
    expect(await shown('choosy')).toEqual([]);
    await choose([99, 1]);
    await alertsOf(one).evaluateAll(new Date());
    expect(await shown('choosy')).toEqual(['account pay_as_you_go 1', 'account pay_as_you_go 99']);
  });

  it('is listed newest first, page by page', async () => {
    const seen: unknown[] = [];
    let cursor = '';
    do {
      const { body } = await operator.get(`/api/organizations/watched/alerts?limit=2${cursor}`);
      seen.push(...body.data.map((alert) => alert['threshold']));
      cursor = body.nextCursor === null ? '' : `&cursor=${body.nextCursor}`;
    } while (cursor !== '');
    expect(seen).toEqual([100, 80, 50]);
  });
});

describe('the settings of alerts', () => {
  const path = '/api/organizations/settled/alerts';
  const settingsOf = (body: ApiBody): Record<string, unknown> =>
    body['settings'] as Record<string, unknown>;

  it('are the usual ones until somebody chooses', async () => {
    await operator.addOrganization('settled');
    expect((await operator.get(path)).body).toEqual({
      settings: { thresholds: [50, 80, 100], webhookUrl: null, emails: [], webhookSecret: null },
      data: [],
      nextCursor: null,
    });
  });

  it('change by what is given, and show a secret once', async () => {
    const first = await operator.put(path, { webhookUrl: 'https://example.com/hook?k=1' });
    expect(first.status).toBe(200);
    const secret = settingsOf(first.body)['webhookSecret'];
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    const second = await operator.put(path, { thresholds: [90, 10], emails: ['a@example.com'] });
    expect(settingsOf(second.body)).toEqual({
      thresholds: [10, 90],
      webhookUrl: 'https://example.com/hook?k=1',
      emails: ['a@example.com'],
      webhookSecret: null,
    });
    expect(settingsOf((await operator.get(path)).body)['webhookSecret']).toBeNull();
    const rotated = await operator.put(path, { rotateWebhookSecret: true });
    expect(settingsOf(rotated.body)['webhookSecret']).toMatch(/^whsec_/);
    expect(settingsOf(rotated.body)['webhookSecret']).not.toBe(secret);
  });

  it('keep the secret from the database and the audit log, and the address from the latter', async () => {
    const made = await operator.put(path, { rotateWebhookSecret: true });
    const secret = String(settingsOf(made.body)['webhookSecret']).slice('whsec_'.length);
    const [stored] = await one.database.query<{ text: string; box: string }>(
      `SELECT s::text AS text, encode(webhook_secret, 'escape') AS box FROM alert_settings s
       JOIN accounts a ON a.id = account_id WHERE slug = 'settled'`,
    );
    expect(stored?.text).not.toContain(secret);
    expect(stored?.box).not.toContain(secret);
    const { body, text } = await operator.get('/api/audit-log?limit=1');
    expect(body.data[0]).toMatchObject({
      actor: 'operator',
      action: 'alerts.update',
      subject: 'organization:settled',
      before: { thresholds: [10, 90], webhook: 'https://example.com', emails: ['a@example.com'] },
    });
    expect(text).not.toContain('/hook');
    expect(text).not.toContain(secret);
  });

  it('are changed one after the other: of two first webhooks one makes the secret', async () => {
    await operator.addOrganization('hurried');
    const answers = await Promise.all(
      Array.from({ length: 4 }, (_, index) =>
        new ApiClient(index % 2 === 0 ? one.url : two.url).put(
          '/api/organizations/hurried/alerts',
          {
            webhookUrl: 'https://example.com/hook',
          },
        ),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200]);
    const secrets = answers.flatMap(({ body }) => settingsOf(body)['webhookSecret'] ?? []);
    expect(secrets).toHaveLength(1);
  });

  it('lose nothing to another change at the same time', async () => {
    await operator.addOrganization('shared');
    const put = (service: TestService, change: object): Promise<unknown> =>
      new ApiClient(service.url).put('/api/organizations/shared/alerts', change);
    for (let round = 1; round <= 5; round += 1) {
      const emails = [`round-${round}@example.com`];
      const webhookUrl = `https://example.com/${round}`;
      await Promise.all([
        put(one, { thresholds: [round] }),
        put(two, { emails }),
        put(one, { webhookUrl }),
      ]);
      const { body } = await operator.get('/api/organizations/shared/alerts');
      expect(settingsOf(body)).toMatchObject({ thresholds: [round], emails, webhookUrl });
    }
  });

  it.each([
    [{ thresholds: [0] }, 'thresholds'],
    [{ thresholds: [101] }, 'thresholds'],
    [{ thresholds: [50.5] }, 'thresholds'],
    [{ thresholds: ['50'] }, 'thresholds'],
    [{ thresholds: [50, 50] }, 'thresholds'],
    [{ thresholds: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] }, 'thresholds'],
    [{ thresholds: null }, 'thresholds'],
    [{ thresholds: 50 }, 'thresholds'],
    [{ webhookUrl: 'example.com/hook' }, 'webhookUrl'],
    [{ webhookUrl: 'ftp://example.com/hook' }, 'webhookUrl'],
    [{ webhookUrl: 'https://user:password@example.com' }, 'webhookUrl'],
    [{ webhookUrl: 'https://example.com/#top' }, 'webhookUrl'],
    [{ webhookUrl: `https://example.com/${'x'.repeat(1000)}` }, 'webhookUrl'],
    [{ webhookUrl: 'https://exa mple.com' }, 'webhookUrl'],
    [{ webhookUrl: 7 }, 'webhookUrl'],
    [{ webhookUrl: 'http://localhost:3000/hook' }, 'webhookUrl'],
    [{ webhookUrl: 'http://169.254.169.254/latest' }, 'webhookUrl'],
    [{ webhookUrl: 'http://[::1]/hook' }, 'webhookUrl'],
    [{ webhookUrl: 'http://0xa9fea9fe/' }, 'webhookUrl'],
    [{ emails: ['nobody'] }, 'emails'],
    [{ emails: ['a@example.com', 'A@example.com'] }, 'emails'],
    [{ emails: ['a@example.com\nbcc: b@example.com'] }, 'emails'],
    [{ emails: Array.from({ length: 11 }, (_, index) => `a${index}@example.com`) }, 'emails'],
    [{ emails: 'a@example.com' }, 'emails'],
    [{ rotateWebhookSecret: 'yes' }, 'rotateWebhookSecret'],
    [{ webhookUrl: null, rotateWebhookSecret: true }, 'rotateWebhookSecret'],
    [{ webhook: 'https://example.com' }, 'webhook'],
  ])('refuse %j by the name of its field', async (change, field) => {
    const before = settingsOf((await operator.get(path)).body);
    const { status, body } = await operator.put(path, change);
    expect(status).toBe(400);
    expect(body.error).toMatchObject({ code: 'invalid_request', param: field });
    expect(settingsOf((await operator.get(path)).body)).toEqual(before);
  });

  it('are read and changed by whom they are for', async () => {
    const { secret } = await operator.addOrganization('mine', 'pro', ['limits.write']);
    const own = operator.as(secret);
    expect((await own.get('/api/organizations/mine/alerts')).status).toBe(200);
    expect((await own.put('/api/organizations/mine/alerts', { emails: [] })).status).toBe(200);
    expect((await own.get(path)).status).toBe(404);
    expect((await own.put(path, { emails: [] })).status).toBe(404);
    const reader = operator.as(
      (await operator.addToken('mine', { scopes: ['billing.read'] })).secret,
    );
    expect((await reader.get('/api/organizations/mine/alerts')).status).toBe(200);
    expect((await reader.put('/api/organizations/mine/alerts', { emails: [] })).status).toBe(403);
    const usual = operator.as((await operator.addToken('mine', {})).secret);
    expect((await usual.get('/api/organizations/mine/alerts')).status).toBe(403);
    expect((await operator.as(null).get(path)).status).toBe(401);
  });

  it('belong to a user as to an organization', async () => {
    const user = await operator.post('/api/users', { email: 'eve@example.com', name: 'Eve' });
    const ownPath = `/api/users/${user.body.id}/alerts`;
    const { secret } = await operator
      .post(`/api/users/${user.body.id}/tokens`, { name: 'own', scopes: ['limits.write'] })
      .then(({ body }) => ({ secret: body.token }));
    const set = await operator.as(secret).put('/api/me/alerts', { thresholds: [42] });
    expect(set.status).toBe(200);
    expect(settingsOf((await operator.get(ownPath)).body)).toMatchObject({ thresholds: [42] });
    const { body } = await operator.get('/api/audit-log?limit=1');
    expect(body.data[0]).toMatchObject({
      action: 'alerts.update',
      subject: `user:${user.body.id}`,
    });
    expect((await operator.get('/api/me/alerts')).status).toBe(404);
  });
});
