import { request } from 'undici';

/** What an operator sets up before a load: organizations, members, tokens, over the documented API. */
export class Operator {
  constructor(
    private readonly url: string,
    private readonly adminToken: string,
  ) {}

  /** A team account with pay-as-you-go and a monthly limit that is far away but counts. */
  async createOrganization(slug: string, monthlySpendLimitUsd = '100.00'): Promise<void> {
    await this.send('POST', '/api/organizations', { name: slug, slug, plan: 'team', seats: 5 });
    await this.send('PUT', `/api/organizations/${slug}/limits`, {
      monthlySpendLimitUsd,
      payAsYouGo: true,
    });
  }

  /** Returns the member's id. */
  async createMember(slug: string, name: string, monthlyLimitUsd: string): Promise<string> {
    const email = `${name}@${slug}.example`;
    const body = { email, name, role: 'member', monthlyLimitUsd };
    const { id } = await this.send('POST', `/api/organizations/${slug}/members`, body);
    if (typeof id !== 'string') throw new Error('the new member has no id');
    return id;
  }

  /** Returns the secret. */
  async createToken(
    slug: string,
    token: {
      readonly name: string;
      readonly memberId?: string;
      readonly monthlyLimitUsd?: string;
    },
  ): Promise<string> {
    const { token: secret } = await this.send('POST', `/api/organizations/${slug}/tokens`, token);
    if (typeof secret !== 'string') throw new Error('the new token has no secret');
    return secret;
  }

  private async send(
    method: 'POST' | 'PUT',
    path: string,
    body: unknown,
  ): Promise<Record<string, unknown>> {
    const { statusCode, body: answer } = await request(`${this.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.adminToken}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    if (statusCode >= 300) throw new Error(`${method} ${path} -> ${statusCode} ${text}`);
    return text === '' ? {} : (JSON.parse(text) as Record<string, unknown>);
  }
}
