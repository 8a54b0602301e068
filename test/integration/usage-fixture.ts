import { uuidv7 } from 'uuidv7';
import type { Scope } from '../../src/http/caller.js';
import type { TestDatabase } from '../support/database.js';
import { ADMIN_TOKEN, type TestService } from '../support/service.js';

export interface Answer<Body> {
  readonly status: number;
  readonly body: Body;
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly details: unknown };
}

export interface TestOrganization {
  readonly id: string;
  readonly slug: string;
  readonly memberId: string;
  readonly token: TestToken;
}

export interface TestToken {
  readonly id: string;
  readonly secret: string;
}

/** An event as a test states it; the rest is filled in. Money in pico-USD. */
export interface EventFacts {
  readonly admittedAt: string;
  readonly id?: string;
  readonly tokenId?: string;
  readonly memberId?: string | null;
  readonly state?: string;
  readonly outcome?: string;
  readonly status?: number | null;
  readonly provider?: string | null;
  readonly model?: string;
  readonly task?: string;
  readonly tags?: Readonly<Record<string, string>> | null;
  readonly inputTokens?: bigint | null;
  readonly cachedInputTokens?: bigint | null;
  readonly outputTokens?: bigint | null;
  readonly reasoningTokens?: bigint | null;
  readonly units?: Readonly<Record<string, string>> | null;
  readonly cost?: bigint;
  readonly settledAt?: string;
  readonly clientRequestId?: string;
  readonly sessionId?: string;
}

export async function get<Body>(
  service: TestService,
  path: string,
  token: string | null = ADMIN_TOKEN,
): Promise<Answer<Body>> {
  const response = await fetch(service.url + path, {
    headers: token === null ? {} : { authorization: `Bearer ${token}` },
  });
  return { status: response.status, body: (await response.json()) as Body };
}

async function post<Body>(service: TestService, path: string, body: unknown): Promise<Body> {
  const response = await fetch(service.url + path, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  if (response.status !== 201)
    throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Body;
}

/** An organization with a member and a token of the default scopes, through the operator's API. */
export async function addOrganization(
  service: TestService,
  slug: string,
  plan = 'team',
): Promise<TestOrganization> {
  const { id } = await post<{ id: string }>(service, '/api/organizations', {
    name: slug,
    slug,
    plan,
  });
  const member = await post<{ id: string }>(service, `/api/organizations/${slug}/members`, {
    email: `someone@${slug}.example`,
    name: 'Someone',
    role: 'member',
  });
  return { id, slug, memberId: member.id, token: await addToken(service, slug) };
}

export async function addToken(
  service: TestService,
  slug: string,
  scopes?: readonly Scope[],
  name = 'a token',
): Promise<TestToken> {
  const created = await post<{ id: string; token: string }>(
    service,
    `/api/organizations/${slug}/tokens`,
    { name, ...(scopes === undefined ? {} : { scopes }) },
  );
  return { id: created.id, secret: created.token };
}

/** Writes ended events as the journal leaves them, at times of the test's choosing. */
export async function insertEvents(
  database: TestDatabase,
  organization: TestOrganization,
  events: readonly EventFacts[],
): Promise<void> {
  const rows = events.map((event) => {
    const state = event.state ?? 'settled';
    const cost = state === 'settled' ? (event.cost ?? 0n).toString() : null;
    return {
      id: event.id ?? uuidv7(),
      account_id: organization.id,
      member_id: event.memberId === undefined ? organization.memberId : event.memberId,
      token_id: event.tokenId ?? organization.token.id,
      created_at: event.admittedAt,
      admitted_at: event.admittedAt,
      settled_at: event.settledAt ?? event.admittedAt,
      period: new Date(event.admittedAt).toISOString().slice(0, 7),
      state,
      outcome: event.outcome ?? 'complete',
      upstream: 'default',
      provider: event.provider === undefined ? 'together' : event.provider,
      model: event.model ?? 'org/model',
      task: event.task ?? 'chat',
      is_stream: false,
      status: event.status === undefined ? 200 : event.status,
      tags: event.tags ?? null,
      session_id: event.sessionId ?? null,
      client_request_id: event.clientRequestId ?? null,
      input_tokens: event.inputTokens?.toString() ?? null,
      cached_input_tokens: event.cachedInputTokens?.toString() ?? null,
      output_tokens: event.outputTokens?.toString() ?? null,
      reasoning_tokens: event.reasoningTokens?.toString() ?? null,
      units: event.units ?? null,
      usage_source: 'provider',
      is_price_assumed: false,
      is_external: false,
      is_overrun: false,
      is_late: false,
      is_withheld: false,
      hold_pico_usd: '0',
      cost_pico_usd: cost,
      credit_pico_usd: cost === null ? null : '0',
      pay_as_you_go_pico_usd: cost,
      rated_cost_pico_usd: cost,
      price_row_ids: [],
      attempts: [],
    };
  });
  await database.query(
    'INSERT INTO usage_events SELECT * FROM jsonb_populate_recordset(NULL::usage_events, $1::jsonb)',
    [JSON.stringify(rows)],
  );
}

/** A database whose sessions live in another time zone than UTC: no figure may depend on it. */
export async function moveToNewYork(database: TestDatabase): Promise<void> {
  const name = new URL(database.url).pathname.slice(1);
  await database.query(`ALTER DATABASE ${name} SET timezone = 'America/New_York'`);
}
