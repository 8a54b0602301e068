import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import { SCOPES, type Scope } from '../http/caller.js';
import type { Identity } from './identity.js';

interface IdentityRecord {
  readonly token_id: string;
  readonly account_id: string;
  readonly slug: string;
  readonly member_id: string | null;
  readonly scopes: readonly string[];
  readonly plan: string;
  readonly requests_per_minute: number | null;
  readonly expires_at: Date | null;
}

/** Tokens as the hot path needs them. */
@Injectable()
export class IdentityRepository {
  constructor(private readonly database: DatabaseService) {}

  /** The token of a hash, unless it was revoked or its member was removed. */
  async findByHash(hash: Buffer): Promise<Identity | null> {
    const [record] = await this.database.prisma.$queryRawUnsafe<IdentityRecord[]>(
      `SELECT t.id::text AS token_id, t.account_id::text, a.slug, t.member_id::text, t.scopes, a.plan,
         t.requests_per_minute, t.expires_at
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
    tokenId: record.token_id,
    accountId: record.account_id,
    slug: record.slug,
    memberId: record.member_id,
    scopes: new Set(record.scopes.filter((scope): scope is Scope => KNOWN_SCOPES.has(scope))),
    plan: record.plan,
    requestsPerMinute: record.requests_per_minute,
    expiresAt: record.expires_at,
  };
}
