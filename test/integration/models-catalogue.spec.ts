import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../support/api-client.js';
import {
  listed,
  startCatalog,
  startScriptedUpstream,
  type CatalogUnderTest,
  type ScriptedUpstream,
} from './catalog-fixture.js';

interface ShownModel {
  readonly id: string;
  readonly providers: readonly { readonly provider: string; readonly [name: string]: unknown }[];
}

const SCOPES = ['inference', 'usage.read', 'limits.write'];

describe('the models', () => {
  let upstream: ScriptedUpstream;
  let service: CatalogUnderTest;
  let secret: string;

  const get = async (
    path: string,
    headers: Record<string, string> = {},
  ): Promise<{ status: number; body: unknown }> => {
    const answer = await fetch(`${service.url}/v1/models${path}`, { headers });
    return { status: answer.status, body: await answer.json() };
  };
  const shown = async (headers: Record<string, string> = {}): Promise<Record<string, string[]>> => {
    const { body } = await get('', headers);
    return Object.fromEntries(
      (body as { data: ShownModel[] }).data.map(({ id, providers }) => [
        id,
        providers.map(({ provider }) => provider),
      ]),
    );
  };
  const as = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` });

  beforeAll(async () => {
    upstream = await startScriptedUpstream();
    upstream.answer(
      JSON.stringify({
        object: 'list',
        data: [
          {
            id: 'org/name',
            object: 'model',
            owned_by: 'org',
            providers: [
              listed(
                'groq',
                { input: 0.5, output: 1, cached_input: 0.05 },
                { supports_tools: true },
              ),
              listed('novita', { input: 0.4, output: 1 }),
            ],
          },
          { id: 'org/only', object: 'model', providers: [listed('groq', { input: 1, output: 1 })] },
        ],
      }),
    );
    service = await startCatalog(upstream.url, { PRICE_SYNC_INTERVAL_S: '86400' });
    ({ secret } = await service.api.addOrganization('picky', 'pro', SCOPES));
  });
  afterAll(async () => {
    await service.close();
    await upstream.close();
  });

  it.each(['/org/name', '/org%2Fname', '/orgname'])('are found as %s', async (path) => {
    expect(await get(path)).toEqual({
      status: 200,
      body: {
        id: 'org/name',
        object: 'model',
        owned_by: 'org',
        providers: [
          {
            provider: 'groq',
            status: 'live',
            context_length: 131_072,
            throughput: 100,
            supports_tools: true,
            pricing: { input: 0.5, output: 1, cached_input: 0.05 },
          },
          {
            provider: 'novita',
            status: 'live',
            context_length: 131_072,
            throughput: 100,
            pricing: { input: 0.4, output: 1 },
          },
        ],
      },
    });
  });

  it.each(['/org/nam', '/nobody', '/org%2Fname%3Agroq'])('are not found as %s', async (path) => {
    expect(await get(path)).toMatchObject({ status: 404, body: { error: { code: 'not_found' } } });
  });

  it('are shown to everybody whole, and to a token what its organization allows', async () => {
    const all = { 'org/name': ['groq', 'novita'], 'org/only': ['groq'] };
    expect(await shown()).toEqual(all);
    expect(await shown(as(secret))).toEqual(all);
    const owner = service.api.as(secret);
    await owner.put('/api/organizations/picky/providers/groq', { enabled: false });
    await eventually(async () => Object.keys(await shown(as(secret))).length === 1);
    expect(await shown(as(secret))).toEqual({ 'org/name': ['novita'] });
    expect(await shown({ 'x-api-key': secret })).toEqual({ 'org/name': ['novita'] });
    expect((await get('/org/name', as(secret))).body).toMatchObject({
      providers: [{ provider: 'novita' }],
    });
    expect(await shown()).toEqual(all);
    const { secret: other } = await service.api.addOrganization('easy', 'pro', SCOPES);
    expect(await shown(as(other))).toEqual(all);
  });

  it("are shown to a user's token as the organization that is to pay allows", async () => {
    const email = 'member@example.com';
    const user = await service.api.post('/api/users', { email, name: 'M' });
    const token = await service.api.post(`/api/users/${user.body.id}/tokens`, { name: 't' });
    await service.api.post('/api/organizations/picky/members', {
      email,
      name: 'M',
      role: 'member',
    });
    const own = as(token.body.token);
    expect(Object.keys(await shown(own))).toEqual(['org/name', 'org/only']);
    expect(await shown({ ...own, 'x-hf-bill-to': 'picky' })).toEqual({ 'org/name': ['novita'] });
    expect(await get('', { ...own, 'x-hf-bill-to': 'easy' })).toMatchObject({
      status: 403,
      body: { error: { code: 'not_a_member' } },
    });
  });

  it('are not shown to a token that is none', async () => {
    expect(await get('', as('tg_nobody'))).toMatchObject({
      status: 401,
      body: { error: { code: 'invalid_token' } },
    });
  });
});
