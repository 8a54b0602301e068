import { afterAll, beforeAll, expect, it } from 'vitest';
import { ApiClient, eventually } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';

let service: TestService;

beforeAll(async () => {
  service = await startService({ UPSTREAM_BASE_URL: 'http://127.0.0.1:9' });
});
afterAll(async () => {
  await service.close();
});

it('takes an organization from its first day to the leaving of a member', async () => {
  const operator = new ApiClient(service.url);
  const organization = await operator.post('/api/organizations', {
    name: 'Acme GmbH',
    slug: 'acme',
    plan: 'team',
    seats: 2,
  });
  expect(organization.status).toBe(201);
  const admin = operator.as(
    (
      await operator.addToken('acme', {
        scopes: ['tokens.write', 'members.write', 'limits.write', 'usage.read'],
      })
    ).secret,
  );

  const ada = await admin.post('/api/organizations/acme/members', {
    email: 'ada@acme.example',
    name: 'Ada',
    role: 'member',
    monthlyLimitUsd: '20.00',
  });
  expect(ada.status).toBe(201);
  const key = await admin.post('/api/organizations/acme/tokens', {
    name: "Ada's notebook",
    memberId: ada.body.id,
    monthlyLimitUsd: '5.00',
  });
  expect(key.status).toBe(201);
  const limits = await admin.put('/api/organizations/acme/limits', {
    monthlySpendLimitUsd: '80.00',
    payAsYouGo: true,
    requestsPerMinute: 600,
  });
  expect(limits.status).toBe(200);

  const notebook = operator.as(key.body.token);
  expect((await notebook.get('/api/me')).body).toMatchObject({
    kind: 'token',
    token: { name: "Ada's notebook", memberId: ada.body.id, monthlyLimitUsd: '5' },
    organization: { slug: 'acme', plan: 'team', seats: 2, limits: { monthlySpendLimitUsd: '80' } },
  });

  expect((await admin.delete(`/api/organizations/acme/members/${ada.body.id}`)).status).toBe(204);
  await eventually(async () => (await notebook.get('/api/me')).status === 401, 1000);
  const tokens = await admin.get('/api/organizations/acme/tokens');
  expect(tokens.body.data.find(({ id }) => id === key.body.id)?.['revokedAt']).not.toBeNull();

  const log = await operator.get('/api/audit-log');
  expect(log.body.data.map(({ action }) => action)).toEqual([
    'member.remove',
    'organization.limits',
    'token.create',
    'member.create',
    'token.create',
    'organization.create',
  ]);
});
