import { startSimulator, type Simulator } from '../../simulator/server.js';
import { ADMIN_TOKEN, startService, type TestService } from './service.js';
import { withoutCredit, type TestDatabase } from './database.js';

/** The service in front of a simulator, with one organization and one token. */
export interface SimulatedService extends TestService {
  readonly simulator: Simulator;
  readonly token: string;
  readonly organization: string;
  /** Our API as the operator: path under `/api`. */
  api<Body>(
    path: string,
    init?: { method?: string; body?: unknown; token?: string },
  ): Promise<{ status: number; body: Body }>;
}

export interface SimulatedOptions {
  readonly environment?: Readonly<Record<string, string>>;
  readonly simulator?: Parameters<typeof startSimulator>[0];
  readonly database?: TestDatabase;
  readonly monthlySpendLimitUsd?: string;
  /** What stands between the service and the simulator at this URL; answers its own. */
  readonly upstream?: (simulatorUrl: string) => Promise<string>;
}

/** Prices that only the provider's own list states are left out, so that books and bills can agree. */
export async function startSimulated(options: SimulatedOptions = {}): Promise<SimulatedService> {
  const simulator = await startSimulator({
    apiKey: 'sim-key',
    cachedPrices: false,
    ...options.simulator,
  });
  const upstreamUrl = (await options.upstream?.(simulator.url)) ?? simulator.url;
  const service = await startService(
    { UPSTREAM_BASE_URL: upstreamUrl, ...options.environment },
    options.database,
  );
  const api = async <Body>(
    path: string,
    {
      method = 'GET',
      body,
      token = ADMIN_TOKEN,
    }: { method?: string; body?: unknown; token?: string } = {},
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
    await withoutCredit(service.database, organization);
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

/** The recorded event as our API shows it. */
export interface ShownEvent {
  readonly id: string;
  readonly state: string;
  readonly outcome: string | null;
  readonly provider: string | null;
  readonly model: string;
  readonly providerModelId: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  readonly stream: boolean;
  readonly inputTokens: number | null;
  readonly cachedInputTokens: number | null;
  readonly outputTokens: number | null;
  readonly reasoningTokens: number | null;
  readonly usageSource: string | null;
  readonly costUsd: string | null;
  readonly absorbedUsd: string | null;
  readonly attempts:
    | {
        readonly provider: string | null;
        readonly status: number | null;
        readonly error: string | null;
      }[]
    | null;
}

export async function eventOf(
  service: SimulatedService,
  requestId: string | null,
): Promise<ShownEvent> {
  const { status, body } = await service.api<ShownEvent>(`/requests/${requestId ?? 'missing'}`);
  if (status !== 200) throw new Error(`no event ${requestId ?? ''}: ${status}`);
  return body;
}

/** Waits for something that happens soon, asking again and again. */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | null> | T | null,
  timeoutMs = 15_000,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== null) return answer;
    if (performance.now() > deadline)
      throw new Error(`${what} did not happen within ${timeoutMs} ms`);
    await new Promise((wake) => setTimeout(wake, 10));
  }
}

/** Waits until nothing is open: every event has ended and no hold is left. */
export async function allEnded(service: SimulatedService): Promise<void> {
  await eventually('the end of every event', async () => {
    const open = await service.database.query('SELECT id FROM open_events');
    return open.length === 0 ? true : null;
  });
  const [held] = await service.database.query<{ sum: string | null }>(
    'SELECT sum(held_pico_usd)::text AS sum FROM budgets',
  );
  const [unpriced] = await service.database.query<{ sum: string | null }>(
    `SELECT sum(hold_pico_usd)::text AS sum FROM usage_events WHERE state = 'unpriced'`,
  );
  if ((held?.sum ?? '0') !== '0' && unpriced?.sum === null)
    throw new Error(`holds are left: ${held?.sum ?? ''}`);
}

/** A chat request with plain fetch: what a client sees on the wire. */
export function chat(
  service: { readonly url: string; readonly token: string },
  body: unknown,
  init: { headers?: Record<string, string>; signal?: AbortSignal } = {},
): Promise<Response> {
  return fetch(`${service.url}/v1/chat/completions`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${service.token}`,
      'content-type': 'application/json',
      ...init.headers,
    },
    body: typeof body === 'string' || isBytes(body) ? body : JSON.stringify(body),
    ...(init.signal === undefined ? {} : { signal: init.signal }),
  });
}

/** Bytes in memory of their own, as `fetch` takes them. */
function isBytes(body: unknown): body is Uint8Array<ArrayBuffer> {
  return body instanceof Uint8Array;
}

/** A chat body whose last message carries directives for the simulator. */
export function ask(
  model: string,
  directives: string,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    model,
    messages: [{ role: 'user', content: `Tell me something. [[sim ${directives}]]` }],
    ...more,
  };
}
