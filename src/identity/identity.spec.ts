import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { billedTo, type Identity, type Payer } from './identity.js';

function payer(slug: string, memberId: string | null): Payer {
  return {
    accountId: `account of ${slug}`,
    slug,
    memberId,
    plan: 'team',
    accountRates: { requestsPerMinute: slug.length, requestsPerDay: null },
    routing: null,
  };
}

function identity(own: Payer, userId: string | null, organizations: readonly string[]): Identity {
  return {
    ...own,
    tokenId: 'token',
    userId,
    scopes: new Set(['inference']),
    requestsPerMinute: 7,
    expiresAt: null,
    memberships: new Map(organizations.map((slug) => [slug, payer(slug, `member of ${slug}`)])),
  };
}

const slugs = fc.stringMatching(/^[a-z]{2,4}$/);

describe('who pays', () => {
  it("is the token's own account when nobody is named", () => {
    const token = identity(payer('acme', null), null, []);
    expect(billedTo(token, null)).toBe(token);
  });

  it("may be repeated, but not changed, by an organization's token", () => {
    const token = identity(payer('acme', 'member'), null, []);
    expect(billedTo(token, 'acme')).toBe(token);
    expect(billedTo(token, 'other')).toBeNull();
  });

  it('is exactly an organization that the user belongs to, with the member that he is there', () => {
    fc.assert(
      fc.property(fc.uniqueArray(slugs), slugs, (organizations, named) => {
        const own = payer('user:1', null);
        const token = identity(own, '1', organizations);
        const billed = billedTo(token, named);
        if (!organizations.includes(named)) {
          expect(billed).toBeNull();
          return;
        }
        // Everything of the payer is the organization's, everything of the token stays.
        expect(billed).toEqual({ ...token, ...payer(named, `member of ${named}`) });
        expect(billed?.tokenId).toBe('token');
        expect(billed?.userId).toBe('1');
        expect(billed?.requestsPerMinute).toBe(7);
      }),
    );
  });
});
