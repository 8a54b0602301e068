import { Injectable } from '@nestjs/common';
import { DatabaseService } from '../database/database.service.js';
import type { WriterTransaction } from '../database/writer.js';
import type { BudgetRow } from '../domain/budget-rows.js';
import { NO_CREDIT, parseCredit } from '../domain/credits.js';
import { balanceChanges } from '../domain/ledger.js';
import { subjectsOf, type BatchDecision, type Settlement } from './batch-decision.js';
import { arrayText, namesOf, parametersOf, selectionOf, unnestOf } from '../database/columns.js';
import {
  assignmentsFrom,
  CARRIED_COLUMNS,
  BALANCE_COLUMNS,
  BUDGET_COLUMNS,
  ENDED_COLUMNS,
  GRANT_COLUMNS,
  OPENED_COLUMNS,
  RESTATED_COLUMNS,
  TRANSFER_COLUMNS,
  type EndedRow,
  type OpenedRow,
} from './journal.columns.js';
import { upstreamOf, type AdmissionRequest } from './journal.js';

/** Settlements and admissions that one transaction decides and writes. */
export interface Batch {
  readonly id: string;
  readonly ownerId: string;
  readonly settlements: readonly Settlement[];
  readonly admissions: readonly AdmissionRequest[];
}

/** What was found when the batch held its locks. */
export interface LockedState {
  readonly budgets: ReadonlyMap<string, BudgetRow>;
  /** Idempotency keys of the batch's admissions that are taken, by `tokenId key`. */
  readonly takenKeys: ReadonlyMap<string, TakenKey>;
}

export interface TakenKey {
  readonly eventId: string;
  readonly bodyMac: Buffer;
  readonly isEnded: boolean;
}

/** What the batch writes: the part of it whose budgets were free, decided. */
export interface BatchWrites {
  readonly decision: BatchDecision;
  readonly opened: readonly OpenedRow[];
  readonly ended: readonly EndedRow[];
}

/** States of events of a careful batch, read under its locks. */
export interface EventStates {
  readonly openIds: ReadonlySet<string>;
  /** State of those that have ended. */
  readonly endedStates: ReadonlyMap<string, string>;
  /** Event that was charged, by `upstream provider requestId`. */
  readonly chargedTo: ReadonlyMap<string, string>;
}

export interface CommitOptions {
  /** Waits for locked budgets instead of leaving their requests out. */
  readonly isBlocking: boolean;
  /** Reads the states of the events first: after a batch that was stale. */
  readonly isCareful: boolean;
}

/**
 * A row was not as the batch had assumed (an event already ended, a provider request or a key
 * already taken by another process). Nothing was written; run it again carefully.
 */
export class StaleBatchError extends Error {
  override readonly name = 'StaleBatchError';
}

/** Kept this long after the request ended. */
const IDEMPOTENCY_KEPT_MS = 24 * 3600 * 1000;

const IS_LIMITED = `(b.limit_pico_usd IS NOT NULL OR (b.scope = 'account' AND NOT b.is_pay_as_you_go))`;
const LOCKED_COLUMNS = `b.subject_id::text AS subject_id, b.scope, b.limit_pico_usd::text AS limit_pico_usd, b.is_pay_as_you_go,
  b.is_closed, b.period::text AS period, b.used_pico_usd::text AS used, b.previous_used_pico_usd::text AS previous_used,
  b.held_pico_usd::text AS held,
  b.credit::text AS credit, b.closed_through::text AS closed_through`;

/**
 * The batch's id, and the budgets under lock. Rows that will be written are locked for update;
 * unlimited ones of mere admissions only against a change of their limit. Rows are locked in sorted
 * order, and one that is not free is left out instead of waited for.
 */
function lockSql(isBlocking: boolean): string {
  const skip = isBlocking ? '' : 'SKIP LOCKED';
  return `
WITH batch AS (INSERT INTO journal_batches (id, created_at) VALUES ($1::uuid, $2::timestamptz)),
written AS (
  SELECT ${LOCKED_COLUMNS} FROM budgets b
  WHERE b.subject_id = ANY($3::text::uuid[]) AND (b.subject_id = ANY($4::text::uuid[]) OR ${IS_LIMITED})
  ORDER BY b.subject_id FOR NO KEY UPDATE ${skip}
),
read AS (
  SELECT ${LOCKED_COLUMNS} FROM budgets b
  WHERE b.subject_id = ANY($3::text::uuid[]) AND NOT (b.subject_id = ANY($4::text::uuid[]) OR ${IS_LIMITED})
  ORDER BY b.subject_id FOR KEY SHARE ${skip}
)
SELECT * FROM written UNION ALL SELECT * FROM read`;
}

const LOCK_FREE_SQL = lockSql(false);
const LOCK_BLOCKING_SQL = lockSql(true);

const OPENED_FROM = 1 + ENDED_COLUMNS.length;
const BUDGETS_FROM = OPENED_FROM + OPENED_COLUMNS.length;
const TRANSFERS_FROM = BUDGETS_FROM + BUDGET_COLUMNS.length;
const BALANCES_FROM = TRANSFERS_FROM + TRANSFER_COLUMNS.length;
const CARRIED_NAMES = CARRIED_COLUMNS.join(', ');

/** Everything a batch writes on the ordinary path, in one statement. $1 are the ids of the ended. */
const WRITE_SQL = `
WITH ended AS (SELECT * FROM ${unnestOf(ENDED_COLUMNS, 'e', 1)}),
closed AS (
  DELETE FROM open_events o WHERE o.id = ANY($1::text::uuid[])
  RETURNING o.id AS open_id, ${CARRIED_COLUMNS.map((name) => `o.${name}`).join(', ')}
),
journalled AS (
  INSERT INTO usage_events (${CARRIED_NAMES}, ${namesOf(ENDED_COLUMNS)})
  SELECT ${CARRIED_COLUMNS.map((name) => `c.${name}`).join(', ')}, ${selectionOf(ENDED_COLUMNS, 'e')}
  FROM closed c JOIN ended e ON e.id = c.open_id
),
charged AS (
  INSERT INTO charged_requests (upstream, provider, provider_request_id, event_id)
  SELECT e.upstream, e.provider, e.provider_request_id, e.id FROM closed c JOIN ended e ON e.id = c.open_id
  WHERE e.state = 'settled' AND NOT e.is_external AND e.provider IS NOT NULL AND e.provider_request_id IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
),
opened AS (
  INSERT INTO open_events (${namesOf(OPENED_COLUMNS)})
  SELECT ${selectionOf(OPENED_COLUMNS, 'o')} FROM ${unnestOf(OPENED_COLUMNS, 'o', OPENED_FROM)}
),
spent AS (
  UPDATE budgets b SET period = s.period, used_pico_usd = s.used, previous_used_pico_usd = s.previous_used, held_pico_usd = s.held,
    credit = CASE WHEN s.credit IS NULL THEN b.credit ELSE s.credit::jsonb END
  FROM ${unnestOf(BUDGET_COLUMNS, 's', BUDGETS_FROM)}
  WHERE b.subject_id = s.id
),
booked AS (
  INSERT INTO ledger_transfers (${namesOf(TRANSFER_COLUMNS)})
  SELECT ${selectionOf(TRANSFER_COLUMNS, 't')} FROM ${unnestOf(TRANSFER_COLUMNS, 't', TRANSFERS_FROM)}
),
changes AS (SELECT * FROM ${unnestOf(BALANCE_COLUMNS, 'd', BALANCES_FROM)}),
moved AS (
  UPDATE ledger_balances l SET balance_pico_usd = l.balance_pico_usd + c.balance_pico_usd
  FROM changes c WHERE l.ledger_account = c.ledger_account
),
-- The lock of the budget keeps others from opening the same balance meanwhile.
begun AS (
  INSERT INTO ledger_balances (${namesOf(BALANCE_COLUMNS)})
  SELECT ${selectionOf(BALANCE_COLUMNS, 'c')} FROM changes c
  WHERE NOT EXISTS (SELECT 1 FROM ledger_balances l WHERE l.ledger_account = c.ledger_account)
)
SELECT (SELECT count(*) FROM closed)::int AS closed, (SELECT count(*) FROM charged)::int AS charged`;

/**
 * An ended event changes its state (a late settlement, a price that arrived, a charge taken back).
 * One that was released holds nothing, also when it then waits for a price.
 */
const RESTATE_SQL = `
WITH next AS (SELECT * FROM ${unnestOf(RESTATED_COLUMNS, 'n', 1)}),
restated AS (
  UPDATE usage_events u SET ${assignmentsFrom('n')}, hold_pico_usd = CASE WHEN n.was = 'released' AND n.state = 'unpriced' THEN 0 ELSE u.hold_pico_usd END,
    transfer_ids = coalesce(u.transfer_ids, '{}') || n.transfer_ids::uuid[]
  FROM next n WHERE u.id = n.id AND u.state = n.was
  RETURNING u.id, u.upstream, u.provider, u.provider_request_id, u.state, u.is_external
),
charged AS (
  INSERT INTO charged_requests (upstream, provider, provider_request_id, event_id)
  SELECT upstream, provider, provider_request_id, id FROM restated
  WHERE state = 'settled' AND NOT is_external AND provider IS NOT NULL AND provider_request_id IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM restated)::int AS restated, (SELECT count(*) FROM charged)::int AS charged`;

const INSERT_GRANTS_SQL = `
INSERT INTO credit_grants (${namesOf(GRANT_COLUMNS)}, reason, actor)
SELECT ${selectionOf(GRANT_COLUMNS, 'g')}, 'the plan''s monthly credit', 'system' FROM ${unnestOf(GRANT_COLUMNS, 'g', 1)}`;

interface BudgetRecord {
  readonly subject_id: string;
  readonly scope: BudgetRow['scope'];
  readonly limit_pico_usd: string | null;
  readonly is_pay_as_you_go: boolean;
  readonly is_closed: boolean;
  readonly period: string;
  readonly used: string;
  readonly previous_used: string;
  readonly held: string | null;
  readonly credit: string | null;
  readonly closed_through: string | null;
}

/** The journal's SQL: locks, replay check, writes. Decides nothing. */
@Injectable()
export class JournalRepository {
  constructor(private readonly database: DatabaseService) {}

  /**
   * Runs one batch in one transaction: locks what it needs, lets `decide` say what to write, writes.
   *
   * @param decide called once under the locks; null writes nothing and gives the batch up.
   * @throws StaleBatchError when the world was not as assumed; whatever the database throws.
   */
  async commit(
    batch: Batch,
    now: Date,
    options: CommitOptions,
    decide: (locked: LockedState, states: EventStates | null) => BatchWrites | null,
  ): Promise<void> {
    const writer = options.isBlocking ? this.database.lanes : this.database.writer;
    try {
      await writer.transaction(async (tx) => {
        const locked = await this.lock(tx, batch, now, options.isBlocking);
        const states = options.isCareful ? await readStates(tx, batch.settlements) : null;
        const writes = decide(locked, states);
        if (writes === null) throw new GivenUp();
        await this.write(tx, writes);
      });
    } catch (error) {
      if (!(error instanceof GivenUp)) throw error;
    }
  }

  private async lock(
    tx: WriterTransaction,
    batch: Batch,
    now: Date,
    isBlocking: boolean,
  ): Promise<LockedState> {
    const written = new Set(batch.settlements.flatMap(({ event }) => subjectsOf(event)));
    const all = new Set([...written, ...batch.admissions.flatMap(subjectsOf)]);
    const records = await tx.rows<BudgetRecord>(
      isBlocking ? LOCK_BLOCKING_SQL : LOCK_FREE_SQL,
      batch.id,
      now.toISOString(),
      arrayText([...all]),
      arrayText([...written]),
    );
    const claims = batch.admissions.filter(({ idempotency }) => idempotency !== null);
    return {
      budgets: new Map(records.map((record) => [record.subject_id, budgetOf(record)])),
      takenKeys: claims.length === 0 ? new Map() : await readTakenKeys(tx, claims, now),
    };
  }

  private async write(
    tx: WriterTransaction,
    { decision, opened, ended }: BatchWrites,
  ): Promise<void> {
    const fresh = ended.filter(({ settlement }) => settlement.from === 'open');
    const restated = ended.filter(({ settlement }) => settlement.from !== 'open');
    const [counts] = await tx.rows<{ closed: number; charged: number }>(
      WRITE_SQL,
      ...parametersOf(ENDED_COLUMNS, fresh),
      ...parametersOf(OPENED_COLUMNS, opened),
      ...parametersOf(BUDGET_COLUMNS, decision.budgets),
      ...parametersOf(TRANSFER_COLUMNS, decision.transfers),
      ...parametersOf(BALANCE_COLUMNS, balanceChanges(decision.transfers)),
    );
    if (counts?.closed !== fresh.length) throw new StaleBatchError('an event had ended before');
    if (counts.charged !== fresh.filter(isCharged).length) {
      throw new StaleBatchError('a provider request was charged before');
    }
    if (restated.length > 0) await restate(tx, restated);
    if (decision.grants.length > 0) {
      await tx.count(INSERT_GRANTS_SQL, ...parametersOf(GRANT_COLUMNS, decision.grants));
    }
    await writeKeys(tx, opened, fresh, decision.at);
  }
}

/** Rolls the transaction back without being an error to anyone. */
class GivenUp extends Error {}

function isCharged({ settlement: { ending } }: EndedRow): boolean {
  const isPayable = ending.state === 'settled' && ending.isExternal !== true;
  return isPayable && ending.provider !== null && ending.providerRequestId !== null;
}

async function restate(tx: WriterTransaction, rows: readonly EndedRow[]): Promise<void> {
  const [counts] = await tx.rows<{ restated: number; charged: number }>(
    RESTATE_SQL,
    ...parametersOf(RESTATED_COLUMNS, rows),
  );
  if (counts?.restated !== rows.length) throw new StaleBatchError('an event had changed before');
  // A charge that is taken back was charged by its own event.
  const charging = rows.filter((row) => isCharged(row) && row.settlement.from !== 'settled');
  if (counts.charged !== charging.length) {
    throw new StaleBatchError('a provider request was charged before');
  }
}

async function readStates(
  tx: WriterTransaction,
  settlements: readonly Settlement[],
): Promise<EventStates> {
  const ids = arrayText(settlements.map(({ event }) => event.id));
  const [open, ended, charged] = [
    await tx.rows<{ id: string }>(
      'SELECT id::text FROM open_events WHERE id = ANY($1::text::uuid[])',
      ids,
    ),
    await tx.rows<{ id: string; state: string }>(
      'SELECT id::text, state FROM usage_events WHERE id = ANY($1::text::uuid[])',
      ids,
    ),
    await tx.rows<{ key: string; event_id: string }>(
      `SELECT c.upstream || ' ' || c.provider || ' ' || c.provider_request_id AS key, c.event_id::text
       FROM charged_requests c JOIN unnest($1::text::text[], $2::text::text[], $3::text::text[]) AS s(upstream, provider, id)
         ON c.upstream = s.upstream AND c.provider = s.provider AND c.provider_request_id = s.id`,
      arrayText(settlements.map(({ event, ending }) => upstreamOf(event, ending))),
      arrayText(settlements.map(({ ending }) => ending.provider)),
      arrayText(settlements.map(({ ending }) => ending.providerRequestId)),
    ),
  ];
  return {
    openIds: new Set(open.map(({ id }) => id)),
    endedStates: new Map(ended.map(({ id, state }) => [id, state])),
    chargedTo: new Map(charged.map(({ key, event_id: eventId }) => [key, eventId])),
  };
}

async function readTakenKeys(
  tx: WriterTransaction,
  claims: readonly AdmissionRequest[],
  now: Date,
): Promise<ReadonlyMap<string, TakenKey>> {
  const records = await tx.rows<{
    token_id: string;
    key: string;
    body_mac: Uint8Array;
    event_id: string;
    is_ended: boolean;
  }>(
    `SELECT k.token_id::text, k.key, k.body_mac, k.event_id::text, k.ended_at IS NOT NULL AS is_ended
     FROM idempotency_keys k JOIN unnest($1::text::uuid[], $2::text::text[]) AS c(token_id, key)
       ON k.token_id = c.token_id AND k.key = c.key
     WHERE k.ended_at IS NULL OR k.ended_at > $3::timestamptz`,
    arrayText(claims.map(({ tokenId }) => tokenId)),
    arrayText(claims.map(({ idempotency }) => idempotency?.key ?? '')),
    new Date(now.getTime() - IDEMPOTENCY_KEPT_MS).toISOString(),
  );
  return new Map(
    records.map((record) => [
      `${record.token_id} ${record.key}`,
      { eventId: record.event_id, bodyMac: Buffer.from(record.body_mac), isEnded: record.is_ended },
    ]),
  );
}

/** Takes the keys of what was opened, ends or gives back those of what was settled. */
async function writeKeys(
  tx: WriterTransaction,
  opened: readonly OpenedRow[],
  ended: readonly EndedRow[],
  at: Date,
): Promise<void> {
  const taking = opened.filter(({ request }) => request.idempotency !== null);
  if (taking.length > 0) {
    const taken = await tx.count(
      `INSERT INTO idempotency_keys (token_id, key, body_mac, event_id, taken_at)
       SELECT k.token_id, k.key, decode(k.mac, 'hex'), k.event_id, $5::timestamptz
       FROM unnest($1::text::uuid[], $2::text::text[], $3::text::text[], $4::text::uuid[]) AS k(token_id, key, mac, event_id)
       ON CONFLICT (token_id, key) DO UPDATE
         SET body_mac = EXCLUDED.body_mac, event_id = EXCLUDED.event_id, taken_at = EXCLUDED.taken_at, ended_at = NULL
         WHERE idempotency_keys.ended_at <= $6::timestamptz`,
      arrayText(taking.map(({ request }) => request.tokenId)),
      arrayText(taking.map(({ request }) => request.idempotency?.key ?? '')),
      arrayText(taking.map(({ request }) => request.idempotency?.bodyMac.toString('hex') ?? '')),
      arrayText(taking.map(({ request }) => request.id)),
      at.toISOString(),
      new Date(at.getTime() - IDEMPOTENCY_KEPT_MS).toISOString(),
    );
    if (taken !== taking.length) throw new StaleBatchError('an idempotency key was taken before');
  }
  const keyed = ended.filter(({ settlement }) => settlement.event.idempotencyKey !== null);
  const idsOf = (isGivenBack: boolean): string =>
    arrayText(
      keyed
        .filter(({ settlement }) => settlement.ending.givesKeyBack === isGivenBack)
        .map(({ settlement }) => settlement.event.id),
    );
  if (keyed.length > 0) {
    const keys = [
      arrayText(keyed.map(({ settlement }) => settlement.event.tokenId)),
      arrayText(keyed.map(({ settlement }) => settlement.event.idempotencyKey)),
    ];
    const mine = `(token_id, key) IN (SELECT * FROM unnest($1::text::uuid[], $2::text::text[]))`;
    await tx.count(
      `UPDATE idempotency_keys SET ended_at = $4::timestamptz WHERE ${mine} AND event_id = ANY($3::text::uuid[])`,
      ...keys,
      idsOf(false),
      at.toISOString(),
    );
    await tx.count(
      `DELETE FROM idempotency_keys WHERE ${mine} AND event_id = ANY($3::text::uuid[])`,
      ...keys,
      idsOf(true),
    );
  }
}

function budgetOf(record: BudgetRecord): BudgetRow {
  return {
    subjectId: record.subject_id,
    scope: record.scope,
    limitPicoUsd: record.limit_pico_usd === null ? null : BigInt(record.limit_pico_usd),
    isPayAsYouGo: record.is_pay_as_you_go,
    isClosed: record.is_closed,
    period: record.period,
    usedPicoUsd: BigInt(record.used),
    previousUsedPicoUsd: BigInt(record.previous_used),
    heldPicoUsd: record.held === null ? null : BigInt(record.held),
    credit: record.credit === null ? NO_CREDIT : parseCredit(record.credit),
    closedThrough: record.closed_through,
  };
}
