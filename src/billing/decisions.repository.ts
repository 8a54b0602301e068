import { Injectable } from '@nestjs/common';
import { uuidv7 } from 'uuidv7';
import { writeAudit } from '../database/audit.js';
import { DatabaseService } from '../database/database.service.js';
import { providerPayable } from '../domain/ledger.js';
import type { Actor } from '../http/actor.js';
import type { Attempt, EventOutcome } from '../metering/journal.js';
import { postTransfers } from './book.repository.js';
import { inTransaction, lockAccount } from './transactions.repository.js';

/** An event as a decision on it needs it; of one that is open only its state. */
export interface DecidableEvent {
  readonly id: string;
  readonly state: string;
  readonly accountId: string;
  readonly memberId: string | null;
  readonly tokenId: string;
  readonly upstream: string;
  readonly provider: string | null;
  readonly model: string;
  readonly period: string;
  readonly admittedAt: Date;
  readonly settledAt: Date;
  readonly holdPicoUsd: bigint;
  readonly task: string;
  readonly outcome: EventOutcome;
  readonly servedAt: Date | null;
  readonly providerModelId: string | null;
  readonly providerRequestId: string | null;
  readonly status: number | null;
  /** Quantities by unit as decimal text. */
  readonly units: Readonly<Record<string, string>> | null;
  readonly reasoningTokens: bigint | null;
  readonly usageSource: 'provider' | 'estimated' | 'none';
  readonly providerReportedPicoUsd: bigint | null;
  readonly firstByteMs: number | null;
  readonly durationMs: number | null;
  readonly attempts: readonly Attempt[];
  readonly rawUsage: string | null;
}

interface EventRecord extends Omit<
  DecidableEvent,
  'admittedAt' | 'settledAt' | 'servedAt' | 'attempts'
> {
  readonly admittedMs: bigint;
  readonly settledMs: bigint;
  readonly servedMs: bigint | null;
  readonly attempts: readonly Attempt[] | null;
}

const msOf = (name: string): string => `(extract(epoch FROM ${name}) * 1000)::bigint`;

const FIND = `
SELECT id::text, state, account_id::text AS "accountId", member_id::text AS "memberId", token_id::text AS "tokenId", upstream, provider,
  model, period::text AS period, ${msOf('admitted_at')} AS "admittedMs", ${msOf('settled_at')} AS "settledMs", hold_pico_usd AS "holdPicoUsd", task,
  outcome, ${msOf('served_at')} AS "servedMs", provider_model_id AS "providerModelId", provider_request_id AS "providerRequestId",
  status::int AS status, units, reasoning_tokens AS "reasoningTokens", usage_source AS "usageSource",
  provider_reported_pico_usd AS "providerReportedPicoUsd", first_byte_ms AS "firstByteMs", duration_ms AS "durationMs", attempts,
  raw_usage AS "rawUsage"
FROM usage_events WHERE id = $1::text::uuid`;

@Injectable()
export class DecisionsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** Null: no such event. `open`: it has not ended. */
  async find(id: string): Promise<DecidableEvent | 'open' | null> {
    const { prisma } = this.database;
    const [record] = await prisma.$queryRawUnsafe<EventRecord[]>(FIND, id);
    if (record !== undefined) return eventOf(record);
    return (await prisma.openEvent.count({ where: { id } })) > 0 ? 'open' : null;
  }

  /** The event that a provider request was charged to; null: to none. */
  async chargedTo({
    upstream,
    provider,
    providerRequestId,
  }: DecidableEvent): Promise<string | null> {
    if (provider === null || providerRequestId === null) return null;
    const found = await this.database.prisma.chargedRequest.findUnique({
      where: {
        upstream_provider_providerRequestId: { upstream, provider, providerRequestId },
      },
    });
    return found?.eventId ?? null;
  }

  /** Notes a decision, before it takes effect: none does without standing in the audit log. */
  async note(
    id: string,
    entry: {
      readonly action: 'request.decision' | 'request.decision_refused';
      readonly before: Readonly<Record<string, unknown>>;
      readonly after: Readonly<Record<string, unknown>>;
    },
    actor: Actor,
    at: Date,
  ): Promise<void> {
    await this.database.prisma.$transaction((tx) =>
      writeAudit(tx, actor, at, { ...entry, subject: `request:${id}` }),
    );
  }

  /**
   * Ends an event whose period is closed at no cost to the account: released, or with a cost that we
   * bear. False when it had changed its state meanwhile.
   */
  async endLate(event: DecidableEvent, absorbedPicoUsd: bigint, at: Date): Promise<boolean> {
    return inTransaction(this.database, async (tx) => {
      await lockAccount(tx, event.accountId);
      const isAbsorbed = absorbedPicoUsd > 0n;
      const transferId = uuidv7();
      const count = await tx.$executeRawUnsafe(
        isAbsorbed ? ABSORB_LATE : RELEASE_LATE,
        event.id,
        event.state,
        at.toISOString(),
        ...(isAbsorbed ? [absorbedPicoUsd.toString(), transferId] : []),
      );
      if (count !== 1) return false;
      if (!isAbsorbed) return true;
      await tx.$executeRawUnsafe(
        `INSERT INTO charged_requests (upstream, provider, provider_request_id, event_id)
         SELECT upstream, provider, provider_request_id, id FROM usage_events
         WHERE id = $1::text::uuid AND provider IS NOT NULL AND provider_request_id IS NOT NULL ON CONFLICT DO NOTHING`,
        event.id,
      );
      await postTransfers(tx, [
        {
          id: transferId,
          createdAt: at,
          period: event.period,
          kind: 'absorbed',
          debit: 'absorbed_cost',
          credit: providerPayable(event.upstream, event.provider),
          amountPicoUsd: absorbedPicoUsd,
          accountId: event.accountId,
          grantId: null,
          idempotencyId: `decision:${event.id}`,
        },
      ]);
      return true;
    });
  }
}

const RELEASE_LATE = `
UPDATE usage_events SET state = 'released', settled_at = $3::text::timestamptz WHERE id = $1::text::uuid AND state = $2::text`;

const ABSORB_LATE = `
UPDATE usage_events SET state = 'settled', is_late = TRUE, settled_at = $3::text::timestamptz, cost_pico_usd = 0, credit_pico_usd = 0,
  pay_as_you_go_pico_usd = 0, rated_cost_pico_usd = $4::text::bigint, absorbed_pico_usd = $4::text::bigint,
  transfer_ids = ARRAY[$5::text::uuid]
WHERE id = $1::text::uuid AND state = $2::text`;

function eventOf({
  admittedMs,
  settledMs,
  servedMs,
  attempts,
  ...record
}: EventRecord): DecidableEvent {
  return {
    ...record,
    admittedAt: new Date(Number(admittedMs)),
    settledAt: new Date(Number(settledMs)),
    servedAt: servedMs === null ? null : new Date(Number(servedMs)),
    attempts: attempts ?? [],
  };
}
