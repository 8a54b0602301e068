import { Injectable } from '@nestjs/common';
import { writeAudit, type AuditState } from '../database/audit.js';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import type { Prisma } from '../database/prisma/client.js';
import type { SealedSecret } from '../config/secret-box.js';
import type { Actor } from '../http/actor.js';

/** What an account decided about one provider. */
export interface AccountProvider {
  readonly provider: string;
  readonly isEnabled: boolean;
  /** Its own, sealed. */
  readonly apiKey: SealedSecret | null;
}

export const ROUTING_POLICIES = ['fastest', 'cheapest', 'preferred'] as const;
export type RoutingPolicyName = (typeof ROUTING_POLICIES)[number];

/** Which of the providers that may serve a request an account would have. */
export interface RoutingChoice {
  /** Of requests whose model has no suffix; null: as everybody's. */
  readonly defaultPolicy: RoutingPolicyName | null;
  /** Provider slugs, best first. */
  readonly preferred: readonly string[];
}

/** What is left out stays as it is. */
export interface AccountProviderChange {
  readonly isEnabled?: boolean | undefined;
  readonly apiKey?: SealedSecret | null | undefined;
}

export interface RoutingChange {
  readonly defaultPolicy?: RoutingPolicyName | null | undefined;
  readonly preferred?: readonly string[] | undefined;
}

interface AccountName {
  readonly id: string;
  readonly slug: string;
}

interface KeyRecord {
  readonly account_id: string;
  readonly provider: string;
  readonly api_key: Uint8Array;
  readonly api_key_key_id: string;
}

interface ProviderRecord {
  readonly provider: string;
  readonly is_enabled: boolean;
  readonly api_key: Uint8Array | null;
  readonly api_key_key_id: string | null;
}

type Transaction = Prisma.TransactionClient;

const SELECT_PROVIDER =
  'SELECT provider, is_enabled, api_key, api_key_key_id FROM account_providers';
const KEYS_PAGE = 1000;
const NO_CHOICE: RoutingChoice = { defaultPolicy: null, preferred: [] };

/** What accounts decide about providers. Every change is told to whoever remembers the account. */
@Injectable()
export class AccountProvidersRepository {
  constructor(private readonly database: DatabaseService) {}

  async routing(accountId: string): Promise<RoutingChoice> {
    return readRouting(this.database.prisma, accountId);
  }

  async list(accountId: string): Promise<readonly AccountProvider[]> {
    const records = await this.database.prisma.$queryRawUnsafe<ProviderRecord[]>(
      `${SELECT_PROVIDER} WHERE account_id = $1::text::uuid ORDER BY provider`,
      accountId,
    );
    return records.map(providerOf);
  }

  /** Sealed keys of accounts' own, of one or of all of them. */
  async keys(accountId: string | null): Promise<readonly (AccountKey & { accountId: string })[]> {
    const found: (AccountKey & { accountId: string })[] = [];
    for (;;) {
      const last = found.at(-1);
      const records = await this.database.prisma.$queryRawUnsafe<KeyRecord[]>(
        `SELECT account_id::text, provider, api_key, api_key_key_id FROM account_providers
         WHERE api_key IS NOT NULL AND ($1::text IS NULL OR account_id = $1::text::uuid)
           AND ($2::text IS NULL OR (account_id, provider) > ($2::text::uuid, $3::text))
         ORDER BY account_id, provider LIMIT ${KEYS_PAGE}`,
        accountId,
        last?.accountId ?? null,
        last?.provider ?? '',
      );
      for (const record of records) {
        found.push({
          accountId: record.account_id,
          provider: record.provider,
          apiKey: { keyId: record.api_key_key_id, box: Buffer.from(record.api_key) },
        });
      }
      if (records.length < KEYS_PAGE) return found;
    }
  }

  async changeRouting(
    account: AccountName,
    change: RoutingChange,
    actor: Actor,
    at: Date,
  ): Promise<RoutingChoice> {
    return this.database.prisma.$transaction(async (tx) => {
      await lockAccount(tx, account.id);
      const before = await readRouting(tx, account.id);
      const after: RoutingChoice = {
        defaultPolicy:
          change.defaultPolicy === undefined ? before.defaultPolicy : change.defaultPolicy,
        preferred: change.preferred ?? before.preferred,
      };
      await tx.$executeRawUnsafe(
        `INSERT INTO account_routing (account_id, default_policy, preferred, updated_at)
         VALUES ($1::text::uuid, $2, $3::text::text[], $4::timestamptz)
         ON CONFLICT (account_id) DO UPDATE SET default_policy = EXCLUDED.default_policy,
           preferred = EXCLUDED.preferred, updated_at = EXCLUDED.updated_at`,
        account.id,
        after.defaultPolicy,
        arrayText(after.preferred),
        at.toISOString(),
      );
      await writeAudit(tx, actor, at, {
        action: 'routing.update',
        subject: subjectOf(account),
        before: routingState(before),
        after: routingState(after),
      });
      await notify(tx, account.id);
      return after;
    });
  }

  async changeProvider(
    account: AccountName,
    provider: string,
    change: AccountProviderChange,
    actor: Actor,
    at: Date,
  ): Promise<AccountProvider> {
    return this.database.prisma.$transaction(async (tx) => {
      await lockAccount(tx, account.id);
      const [record] = await tx.$queryRawUnsafe<ProviderRecord[]>(
        `${SELECT_PROVIDER} WHERE account_id = $1::text::uuid AND provider = $2`,
        account.id,
        provider,
      );
      const before = record === undefined ? null : providerOf(record);
      const after: AccountProvider = {
        provider,
        isEnabled: change.isEnabled ?? before?.isEnabled ?? true,
        apiKey: change.apiKey === undefined ? (before?.apiKey ?? null) : change.apiKey,
      };
      await tx.$executeRawUnsafe(
        `INSERT INTO account_providers (account_id, provider, is_enabled, api_key, api_key_key_id, updated_at)
         VALUES ($1::text::uuid, $2, $3::boolean, $4::bytea, $5, $6::timestamptz)
         ON CONFLICT (account_id, provider) DO UPDATE SET is_enabled = EXCLUDED.is_enabled,
           api_key = EXCLUDED.api_key, api_key_key_id = EXCLUDED.api_key_key_id, updated_at = EXCLUDED.updated_at`,
        account.id,
        provider,
        after.isEnabled,
        after.apiKey === null ? null : new Uint8Array(after.apiKey.box),
        after.apiKey?.keyId ?? null,
        at.toISOString(),
      );
      await writeAudit(tx, actor, at, {
        action: 'account_provider.update',
        subject: subjectOf(account),
        before: before === null ? null : providerState(before),
        after: {
          ...providerState(after),
          isApiKeyNew: change.apiKey !== undefined && change.apiKey !== null,
        },
      });
      await notify(tx, account.id);
      return after;
    });
  }
}

export interface AccountKey {
  readonly provider: string;
  readonly apiKey: SealedSecret;
}

/** One change of an account after the other: what is read after this stays true. */
async function lockAccount(tx: Transaction, accountId: string): Promise<void> {
  await tx.$queryRawUnsafe(
    'SELECT 1 FROM accounts WHERE id = $1::text::uuid FOR NO KEY UPDATE',
    accountId,
  );
}

async function readRouting(
  client: Pick<Transaction, '$queryRawUnsafe'>,
  accountId: string,
): Promise<RoutingChoice> {
  const [record] = await client.$queryRawUnsafe<
    { default_policy: string | null; preferred: string }[]
  >(
    `SELECT default_policy, to_json(preferred)::text AS preferred FROM account_routing
     WHERE account_id = $1::text::uuid`,
    accountId,
  );
  if (record === undefined) return NO_CHOICE;
  return {
    defaultPolicy: ROUTING_POLICIES.find((one) => one === record.default_policy) ?? null,
    preferred: JSON.parse(record.preferred) as string[],
  };
}

/** At the commit: whoever remembers a token of the account, and whoever holds its keys. */
async function notify(tx: Transaction, accountId: string): Promise<void> {
  await tx.$queryRawUnsafe(
    `SELECT pg_notify('tollgate_upstreams', $1)::text, pg_notify('tollgate_identity', $1)::text`,
    accountId,
  );
}

function providerOf({
  provider,
  is_enabled: isEnabled,
  api_key: box,
  api_key_key_id: keyId,
}: ProviderRecord): AccountProvider {
  const apiKey = box === null || keyId === null ? null : { keyId, box: Buffer.from(box) };
  return { provider, isEnabled, apiKey };
}

/** The slug of a user's own account says that it is one. */
function subjectOf({ slug }: AccountName): string {
  return slug.includes(':') ? slug : `organization:${slug}`;
}

function routingState({ defaultPolicy, preferred }: RoutingChoice): AuditState {
  return { default: defaultPolicy, preferred };
}

function providerState({ provider, isEnabled, apiKey }: AccountProvider): AuditState {
  return { provider, enabled: isEnabled, hasKey: apiKey !== null };
}
