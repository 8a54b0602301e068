import { expect } from 'vitest';
import type { AccountRouting } from '../../src/domain/routing-offers.js';
import { IdentityService } from '../../src/identity/identity.service.js';
import { startService, type TestService } from '../support/service.js';
import { ask, chat, startSimulated, type SimulatedService } from '../support/simulated.js';
import { endedEvent, type RoutedEvent } from '../support/upstreams.js';

/** An organization with a token that may decide for it. */
export interface Organization {
  readonly slug: string;
  readonly token: string;
}

export interface Answered {
  readonly status: number;
  readonly text: string;
  /** Who answered. */
  readonly provider: string | null;
  readonly event: () => Promise<RoutedEvent>;
}

/** Two processes on one database, in front of a simulator. */
export interface RoutingFixture {
  readonly service: SimulatedService;
  readonly replica: TestService;
  readonly organization: () => Promise<Organization>;
  /** What an organization decides about a provider: it counts everywhere when this resolves. */
  readonly decide: (
    of: Organization,
    provider: string,
    body: { readonly enabled?: boolean; readonly apiKey?: string | null },
  ) => Promise<void>;
  /** The same about the choice among them. */
  readonly route: (of: Organization, body: Partial<AccountRouting>) => Promise<void>;
  readonly call: (of: Organization, model: string, how?: How) => Promise<Answered>;
  readonly close: () => Promise<void>;
}

interface How {
  readonly directives?: string;
  readonly more?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  /** Which of the two processes. */
  readonly at?: string;
}

const ENVIRONMENT = { ALLOW_PRIVATE_UPSTREAMS: '127.0.0.1' };
const SCOPES = ['inference', 'usage.read', 'limits.write'];
/** How soon what was decided must count at every replica. */
const KNOWN_WITHIN_MS = 1_000;
const NOTHING_DECIDED: AccountRouting = {
  default: null,
  preferred: [],
  disabled: new Set(),
  ownKeys: new Set(),
};

export async function startRouting(
  providerKeys: Readonly<Record<string, string>> = {},
): Promise<RoutingFixture> {
  const service = await startSimulated({ environment: ENVIRONMENT, simulator: { providerKeys } });
  const replica = await startService(
    { UPSTREAM_BASE_URL: service.simulator.url, ...ENVIRONMENT },
    service.database,
  );
  let made = 0;

  async function known(
    of: Organization,
    isSo: (routing: AccountRouting) => boolean,
  ): Promise<void> {
    const untilMs = performance.now() + KNOWN_WITHIN_MS;
    const identities = [service, replica].map(({ app }) =>
      app.get(IdentityService, { strict: false }),
    );
    for (;;) {
      const found = await Promise.all(identities.map((one) => one.identify(of.token, '127.0.0.1')));
      if (found.every((one) => isSo(one?.routing ?? NOTHING_DECIDED))) return;
      if (performance.now() > untilMs) throw new Error(`not known within ${KNOWN_WITHIN_MS} ms`);
      // They answer from memory: a notice needs a turn of the event loop.
      await new Promise((wake) => setTimeout(wake, 5));
    }
  }

  async function put(of: Organization, path: string, body: object): Promise<string> {
    const url = `/organizations/${of.slug}${path}`;
    const answer = await service.api(url, { method: 'PUT', body, token: of.token });
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    return JSON.stringify(answer.body);
  }

  return {
    service,
    replica,
    organization: async () => {
      made += 1;
      const slug = `owner-${made}`;
      const body = { name: slug, slug, plan: 'pro' };
      await service.api('/organizations', { method: 'POST', body });
      const answer = await service.api<{ token: string }>(`/organizations/${slug}/tokens`, {
        method: 'POST',
        body: { name: 'own', scopes: SCOPES },
      });
      return { slug, token: answer.body.token };
    },
    decide: async (of, provider, body) => {
      const shown = await put(of, `/providers/${provider}`, body);
      if (typeof body.apiKey === 'string') expect(shown).not.toContain(body.apiKey);
      await known(of, ({ disabled, ownKeys }) => {
        const isOff = body.enabled === undefined || disabled.has(provider) === !body.enabled;
        const isOwn = body.apiKey === undefined || ownKeys.has(provider) === (body.apiKey !== null);
        return isOff && isOwn;
      });
    },
    route: async (of, body) => {
      await put(of, '/routing', body);
      await known(of, (routing) =>
        Object.entries(body).every(
          ([name, value]) =>
            JSON.stringify(routing[name as keyof AccountRouting]) === JSON.stringify(value),
        ),
      );
    },
    call: async (of, model, { directives = 'output=5', more = {}, headers = {}, at } = {}) => {
      const caller = { url: at ?? service.url, token: of.token };
      const response = await chat(caller, ask(model, directives, more), { headers });
      return {
        status: response.status,
        text: await response.text(),
        provider: response.headers.get('x-inference-provider'),
        event: () => endedEvent(service, response.headers.get('x-request-id') ?? ''),
      };
    },
    close: async () => {
      await replica.close();
      await service.close();
    },
  };
}
