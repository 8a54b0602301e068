import { startSimulator, type Simulator } from '../../simulator/server.js';
import { ADMIN_TOKEN, startService, type TestService } from './service.js';
import type { TestDatabase } from './database.js';

/** The service in front of a simulator, with one organization and one token. */
export interface SimulatedService extends TestService {
  readonly simulator: Simulator;
  readonly token: string;
  readonly organization: string;
  /** Our API as the operator: path under `/api`. */
  api<Body>(path: string, init?: { method?: string; body?: unknown; token?: string }): Promise<{ status: number; body: Body }>;
}

export interface SimulatedOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly simulator?: Parameters<typeof startSimulator>[0];
  readonly database?: TestDatabase;
  readonly monthlySpendLimitUsd?: string;
}

/** Prices that only the provider's own list states are left out, so that books and bills can agree. */
export async function startSimulated(options: SimulatedOptions = {}): Promise<SimulatedService> {
  const simulator = await startSimulator({ apiKey: 'sim-key', cachedPrices: false, ...options.simulator });
  const service = await startService(
    { UPSTREAM_BASE_URL: simulator.url, ...options.environment },
    options.database,
  );
  const api = async <Body>(
    path: string,
    { method = 'GET', body, token = ADMIN_TOKEN }: { method?: string; body?: unknown; token?: string } = {},
  ): Promise<{ status: number; body: Body }> => {
    const response = await fetch(`${service.url}/api${path}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    return { status: response.status, body: (text === '' ? null : JSON.parse(text)) as Body };
  };
  const organization = `org-${Math.random().toString(36).slice(2, 10)}`;
  const created = await api('/organizations', {
    method: 'POST',
    body: { name: 'Test', slug: organization, plan: 'pro' },
  });
  if (created.status !== 201) throw new Error(`no organization: ${JSON.stringify(created.body)}`);
  if (options.monthlySpendLimitUsd !== undefined) {
    const { status } = await api(`/organizations/${organization}/limits`, {
      method: 'PUT',
      body: { monthlySpendLimitUsd: options.monthlySpendLimitUsd, payAsYouGo: true },
    });
    if (status !== 200) throw new Error(`no limit: ${status}`);
  }
  const token = await api<{ token: string }>(`/organizations/${organization}/tokens`, {
    method: 'POST',
    body: { name: 'test' },
  });
  return {
    ...service,
    simulator,
    organization,
    token: token.body.token,
    api,
    close: async () => {
      await service.close();
      await simulator.close();
    },
  };
}
