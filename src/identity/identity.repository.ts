import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { AccountRouting } from '../domain/routing-offers.js';
import { SCOPES, type Scope } from '../http/caller.js';
import type { Identity, Payer } from './identity.js';

interface IdentityRecord extends PayerRecord {
  readonly token_id: string;
  readonly scopes: readonly string[];
  readonly requests_per_minute: number | null;
  readonly expires_at: Date | null;
  readonly user_id: string | null;
  readonly memberships: readonly PayerRecord[] | null;
}

interface PayerRecord {
  readonly account_id: string;
  readonly slug: string;
  readonly member_id: string | null;
  readonly plan: string;
  readonly account_requests_per_minute: number | null;
  readonly account_requests_per_day: number | null;
  readonly routing: RoutingRecord | null;
  readonly providers: readonly ProviderRecord[] | null;
}

interface RoutingRecord {
  readonly default: string | null;
  readonly preferred: readonly string[];
}

interface ProviderRecord {
  readonly provider: string;
  readonly is_enabled: boolean;
  readonly has_key: boolean;
}

/** What an account decided about providers, as two columns of JSON. */
function routingOf(accountId: string): { readonly routing: string; readonly providers: string } {
  return {
    routing: `(SELECT jsonb_build_object('default', r.default_policy, 'preferred', r.preferred)
      FROM account_routing r WHERE r.account_id = ${accountId})`,
    providers: `(SELECT jsonb_agg(jsonb_build_object('provider', p.provider, 'is_enabled', p.is_enabled,
        'has_key', p.api_key IS NOT NULL))
      FROM account_providers p WHERE p.account_id = ${accountId})`,
  };
}

const OWN = routingOf('a.id');
const MEMBERS = routingOf('o.id');

/** Tokens as the hot path needs them. */
@Injectable()
export class IdentityRepository {
  constructor(private readonly database: DatabaseService) {}

  /** The token of a hash, unless it was revoked or its member was removed. */
  async findByHash(hash: Buffer): Promise<Identity | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<IdentityRecord[]>(
      `SELECT t.id::text AS token_id, t.account_id::text, a.slug, t.member_id::text, t.scopes, a.plan,
         t.requests_per_minute, t.expires_at,
         a.requests_per_minute AS account_requests_per_minute, a.requests_per_day AS account_requests_per_day,
         a.user_id::text, ${OWN.routing} AS routing, ${OWN.providers} AS providers,
         (SELECT jsonb_agg(jsonb_build_object(
            'account_id', o.id, 'slug', o.slug, 'member_id', own.id, 'plan', o.plan,
            'account_requests_per_minute', o.requests_per_minute, 'account_requests_per_day', o.requests_per_day,
            'routing', ${MEMBERS.routing}, 'providers', ${MEMBERS.providers}))
          FROM members own JOIN accounts o ON o.id = own.account_id
          WHERE own.user_id = a.user_id AND own.removed_at IS NULL) AS memberships
       FROM tokens t
       JOIN accounts a ON a.id = t.account_id
       LEFT JOIN members m ON m.id = t.member_id
       WHERE t.hash = decode($1, 'hex') AND t.revoked_at IS NULL AND m.removed_at IS NULL`,
      hash.toString('hex'),
    );
    return record === undefined ? null : identityOf(record);
  }

  /** One statement for all of them; a row that is locked keeps its older time until the next round. */
  async writeLastUsed(usedAt: ReadonlyMap<string, Date>): Promise<void> {
    await this.database.prisma.$executeRawUnsafe(
      `WITH used AS (
         SELECT * FROM unnest($1::text::uuid[], $2::text::timestamptz[]) AS u(id, at)
       ),
       free AS (
         SELECT t.id FROM tokens t WHERE t.id IN (SELECT id FROM used) ORDER BY t.id FOR NO KEY UPDATE SKIP LOCKED
       )
       UPDATE tokens t SET last_used_at = used.at FROM used JOIN free USING (id)
       WHERE t.id = used.id AND (t.last_used_at IS NULL OR t.last_used_at < used.at)`,
      `{${[...usedAt.keys()].join(',')}}`,
      `{${[...usedAt.values()].map((at) => at.toISOString()).join(',')}}`,
    );
  }
}

const KNOWN_SCOPES: ReadonlySet<string> = new Set(SCOPES);

function identityOf(record: IdentityRecord): Identity {
  return {
    ...payerOf(record),
    tokenId: record.token_id,
    userId: record.user_id,
    scopes: new Set(record.scopes.filter((scope): scope is Scope => KNOWN_SCOPES.has(scope))),
    requestsPerMinute: record.requests_per_minute,
    expiresAt: record.expires_at,
    memberships: new Map((record.memberships ?? []).map((one) => [one.slug, payerOf(one)])),
  };
}

function payerOf(record: PayerRecord): Payer {
  return {
    accountId: record.account_id,
    slug: record.slug,
    memberId: record.member_id,
    plan: record.plan,
    accountRates: {
      requestsPerMinute: record.account_requests_per_minute,
      requestsPerDay: record.account_requests_per_day,
    },
    routing: accountRoutingOf(record),
  };
}

const POLICIES = ['fastest', 'cheapest', 'preferred'] as const;

function accountRoutingOf({ routing, providers }: PayerRecord): AccountRouting | null {
  if (routing === null && providers === null) return null;
  const decided = providers ?? [];
  return {
    default: POLICIES.find((policy) => policy === routing?.default) ?? null,
    preferred: routing?.preferred ?? [],
    disabled: slugsOf(decided.filter(({ is_enabled }) => !is_enabled)),
    ownKeys: slugsOf(decided.filter(({ has_key }) => has_key)),
  };
}

function slugsOf(providers: readonly ProviderRecord[]): ReadonlySet<string> {
  return new Set(providers.map(({ provider }) => provider));
}
