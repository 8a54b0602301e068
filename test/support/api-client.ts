import { ADMIN_TOKEN } from './service.js';

/** The parts of our answers that tests read by name; the rest is compared whole. */
export interface ApiBody {
  readonly id: string;
  readonly token: string;
  readonly data: readonly ApiBody[];
  readonly nextCursor: string | null;
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly details: unknown;
  };
  readonly [name: string]: unknown;
}

export interface ApiAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: ApiBody;
}

export type ApiMethod = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** Calls our API as a program would; without a token of its own, as the operator. */
export class ApiClient {
  constructor(
    private readonly url: string,
    private readonly token: string | null = ADMIN_TOKEN,
  ) {}

  as(token: string | null): ApiClient {
    return new ApiClient(this.url, token);
  }

  async call(method: ApiMethod, path: string, body?: unknown): Promise<ApiAnswer> {
    const isRaw = typeof body === 'string';
    return this.send(path, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: isRaw ? body : JSON.stringify(body) }),
    });
  }

  async send(path: string, init: RequestInit): Promise<ApiAnswer> {
    const headers = new Headers(init.headers);
    if (this.token !== null) headers.set('authorization', `Bearer ${this.token}`);
    const answer = await fetch(this.url + path, { ...init, headers });
    const text = await answer.text();
    return {
      status: answer.status,
      headers: answer.headers,
      text,
      body: (text === '' ? {} : JSON.parse(text)) as ApiBody,
    };
  }

  get(path: string): Promise<ApiAnswer> {
    return this.call('GET', path);
  }
  post(path: string, body?: unknown): Promise<ApiAnswer> {
    return this.call('POST', path, body);
  }
  put(path: string, body: unknown): Promise<ApiAnswer> {
    return this.call('PUT', path, body);
  }
  patch(path: string, body: unknown): Promise<ApiAnswer> {
    return this.call('PATCH', path, body);
  }
  delete(path: string): Promise<ApiAnswer> {
    return this.call('DELETE', path);
  }

  /** An organization, and a token of it with these scopes. */
  async addOrganization(
    slug: string,
    plan: 'free' | 'pro' | 'team' = 'pro',
    scopes?: readonly string[],
  ): Promise<{ accountId: string; tokenId: string; secret: string }> {
    const organization = await this.post('/api/organizations', { name: slug, slug, plan });
    const made = await this.addToken(slug, scopes === undefined ? {} : { scopes });
    return { accountId: organization.body.id, ...made };
  }

  async addToken(
    slug: string,
    fields: Readonly<Record<string, unknown>>,
  ): Promise<{ tokenId: string; secret: string }> {
    const path = `/api/organizations/${slug}/tokens`;
    const { status, body, text } = await this.post(path, { name: 'test', ...fields });
    if (status !== 201) throw new Error(`no token was made: ${status} ${text}`);
    return { tokenId: body.id, secret: body.token };
  }
}

/** Waits for a condition, not for a time; fails after `withinMs`. */
export async function eventually(
  isSo: () => boolean | Promise<boolean>,
  withinMs = 10_000,
): Promise<void> {
  const deadline = performance.now() + withinMs;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`not so within ${withinMs} ms`);
    await new Promise((wake) => setTimeout(wake, 5));
  }
}
