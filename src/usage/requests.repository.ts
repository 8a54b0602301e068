import { Injectable } from '@nestjs/common';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import {
  type EventListQuery,
  type EventRecord,
  type EventStateQuery,
  type EventState,
  type AttemptRecord,
  type Outcome,
  type PriceRowRecord,
  UNDECIDED_STATES,
} from './requests-query.js';

/** A column of a request: its name, its SQL over an ended event `e`, and over an open one (`o`). */
type EventColumn = readonly [name: string, ended: string, open: string];

const both = (name: string, cast = ''): EventColumn => [
  name,
  `e.${name}${cast}`,
  `o.${name}${cast}`,
];
const endedOnly = (name: string, type: string): EventColumn => [name, `e.${name}`, `NULL::${type}`];
/** Times leave as milliseconds: the driver would read them in the session's time zone. */
const timeOf = (row: string, name: string): string =>
  `(extract(epoch FROM ${row}.${name}) * 1000)::bigint`;

const COLUMNS: readonly EventColumn[] = [
  both('id'),
  both('account_id'),
  both('member_id'),
  both('token_id'),
  both('admitted_at'),
  ['created_at_ms', timeOf('e', 'created_at'), timeOf('o', 'created_at')],
  ['admitted_at_ms', timeOf('e', 'admitted_at'), timeOf('o', 'admitted_at')],
  ['served_at_ms', timeOf('e', 'served_at'), 'NULL::bigint'],
  ['settled_at_ms', timeOf('e', 'settled_at'), 'NULL::bigint'],
  both('period', '::text'),
  ['state', 'e.state', `'open'`],
  endedOnly('outcome', 'text'),
  both('upstream'),
  endedOnly('provider', 'text'),
  both('model'),
  endedOnly('provider_model_id', 'text'),
  endedOnly('provider_request_id', 'text'),
  both('task'),
  both('is_stream'),
  ['status', 'e.status::integer', 'NULL::integer'],
  both('tags'),
  both('session_id'),
  both('client_request_id'),
  endedOnly('input_tokens', 'bigint'),
  endedOnly('cached_input_tokens', 'bigint'),
  endedOnly('output_tokens', 'bigint'),
  endedOnly('reasoning_tokens', 'bigint'),
  endedOnly('units', 'jsonb'),
  endedOnly('usage_source', 'text'),
  endedOnly('is_price_assumed', 'boolean'),
  endedOnly('is_external', 'boolean'),
  both('hold_pico_usd'),
  endedOnly('cost_pico_usd', 'bigint'),
  endedOnly('credit_pico_usd', 'bigint'),
  endedOnly('pay_as_you_go_pico_usd', 'bigint'),
  endedOnly('rated_cost_pico_usd', 'bigint'),
  endedOnly('absorbed_pico_usd', 'bigint'),
  endedOnly('provider_reported_pico_usd', 'bigint'),
  endedOnly('first_byte_ms', 'integer'),
  endedOnly('duration_ms', 'integer'),
  endedOnly('price_row_ids', 'bigint[]'),
  endedOnly('attempts', 'jsonb'),
];

const ENDED = COLUMNS.map(([name, ended]) => `${ended} AS ${name}`).join(', ');
const OPEN = COLUMNS.map(([name, , open]) => `${open} AS ${name}`).join(', ');
/** What only places a row or leads to its price rows is not shown. */
const SHOWN = COLUMNS.map(([name]) => name)
  .filter((name) => name !== 'admitted_at' && name !== 'price_row_ids')
  .map((name) =>
    /^(id|account_id|member_id|token_id)$/.test(name) ? `r.${name}::text` : `r.${name}`,
  )
  .join(', ');

/**
 * A page of requests `r` with what they name: their organization, token and price rows. Nothing that
 * is named can take a request off its page.
 */
function shownSql(rows: string, order: string): string {
  return `
SELECT ${SHOWN}, CASE WHEN a.kind = 'organization' THEN a.slug END AS organization, a.user_id::text,
  t.name AS token_name, (
    SELECT jsonb_agg(jsonb_build_object(
      'id', p.id::text, 'upstream', p.upstream, 'provider', p.provider, 'model', p.model, 'unit', p.unit,
      'condition', p.condition, 'picoUsd', p.pico_usd::text, 'perUnits', p.per_units::text,
      'effectiveFromMs', ${timeOf('p', 'effective_from')}, 'effectiveToMs', ${timeOf('p', 'effective_to')},
      'source', p.source) ORDER BY p.id)
    FROM prices p WHERE p.id = ANY(r.price_row_ids)
  ) AS price_rows
FROM (${rows}) r
LEFT JOIN accounts a ON a.id = r.account_id
LEFT JOIN tokens t ON t.id = r.token_id
ORDER BY ${order}`;
}

const NEWEST_FIRST = 'r.admitted_at DESC, r.id DESC';

/**
 * Open and ended requests of one account in one statement, so one snapshot: a request that ends
 * meanwhile is in exactly one of the two tables. Bounds that are not given are infinite instead of
 * null, so that a plan made for any values still starts in the index.
 */
function listSql(hasClientRequestId: boolean): string {
  const where = (row: 'e' | 'o'): string => `
    WHERE ${row}.account_id = $1::uuid
      AND ${row}.admitted_at >= $2::timestamptz AND ${row}.admitted_at < $3::timestamptz
      AND (${row}.admitted_at, ${row}.id) < ($4::timestamptz, $5::uuid)
      AND ($6::text IS NULL OR ${row}.model = $6::text)
      AND ($7::uuid IS NULL OR ${row}.member_id = $7::uuid)
      AND ($8::uuid IS NULL OR ${row}.token_id = $8::uuid)
      AND ($9::text IS NULL OR ${row}.task = $9::text)
      AND ($10::jsonb IS NULL OR ${row}.tags @> $10::jsonb)
      AND ($11::text IS NULL OR ${row}.session_id = $11::text)
      AND ${hasClientRequestId ? `${row}.client_request_id = $12::text` : '$12::text IS NULL'}`;
  return shownSql(
    `
  SELECT * FROM (
    (SELECT ${ENDED} FROM usage_events e ${where('e')}
      AND ($13::text IS NULL OR e.provider = $13::text)
      AND ($14::text IS NULL OR e.state = $14::text)
      AND ($15::text IS NULL OR e.outcome = $15::text)
    ORDER BY e.admitted_at DESC, e.id DESC LIMIT $16::bigint)
    UNION ALL
    (SELECT ${OPEN} FROM open_events o ${where('o')}
      AND $13::text IS NULL AND coalesce($14::text, 'open') = 'open' AND $15::text IS NULL
    ORDER BY o.admitted_at DESC, o.id DESC LIMIT $16::bigint)
  ) both_kinds ORDER BY admitted_at DESC, id DESC LIMIT $16::bigint`,
    NEWEST_FIRST,
  );
}

const LIST_SQL = listSql(false);
/** A text of its own: only then does the index on client request ids serve. */
const LIST_BY_CLIENT_REQUEST_ID_SQL = listSql(true);

const FIND_SQL = shownSql(
  `
  SELECT ${ENDED} FROM usage_events e WHERE e.id = $1::uuid AND ($2::uuid IS NULL OR e.account_id = $2::uuid)
  UNION ALL
  SELECT ${OPEN} FROM open_events o WHERE o.id = $1::uuid AND ($2::uuid IS NULL OR o.account_id = $2::uuid)`,
  NEWEST_FIRST,
);

/** Some requests of one account, in the order of the list of ids. */
const FIND_MANY_SQL = shownSql(
  `SELECT ${ENDED} FROM usage_events e WHERE e.id = ANY($1::text::uuid[]) AND e.account_id = $2::uuid`,
  'array_position($1::text::uuid[], r.id)',
);

const BY_ID = 'r.id DESC';
const OPEN_BY_ID = `(SELECT ${OPEN} FROM open_events o WHERE o.id < $1::uuid ORDER BY o.id DESC LIMIT $2::bigint)`;
const undecided = UNDECIDED_STATES.map((state) => `'${state}'`).join(', ');

/** By state, over all accounts: each text walks an index in the order of ids. */
const STATE_SQL = {
  open: shownSql(OPEN_BY_ID, BY_ID),
  undecided: shownSql(
    `SELECT ${ENDED} FROM usage_events e
     WHERE e.state IN (${undecided}) AND e.state = $3::text AND e.id < $1::uuid ORDER BY e.id DESC LIMIT $2::bigint`,
    BY_ID,
  ),
  decided: shownSql(
    `SELECT ${ENDED} FROM usage_events e
     WHERE e.state = $3::text AND e.id < $1::uuid ORDER BY e.id DESC LIMIT $2::bigint`,
    BY_ID,
  ),
  any: shownSql(
    `SELECT * FROM (
       (SELECT ${ENDED} FROM usage_events e WHERE e.id < $1::uuid ORDER BY e.id DESC LIMIT $2::bigint)
       UNION ALL ${OPEN_BY_ID}
     ) both_kinds ORDER BY id DESC LIMIT $2::bigint`,
    BY_ID,
  ),
};

const PAST_EVERY_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

interface EventRow {
  readonly id: string;
  readonly account_id: string;
  readonly organization: string | null;
  readonly user_id: string | null;
  readonly member_id: string | null;
  readonly token_id: string;
  readonly token_name: string | null;
  readonly created_at_ms: bigint;
  readonly admitted_at_ms: bigint;
  readonly served_at_ms: bigint | null;
  readonly settled_at_ms: bigint | null;
  readonly period: string;
  readonly state: EventState;
  readonly outcome: Outcome | null;
  readonly upstream: string;
  readonly provider: string | null;
  readonly model: string;
  readonly provider_model_id: string | null;
  readonly provider_request_id: string | null;
  readonly task: string;
  readonly is_stream: boolean;
  readonly status: number | null;
  readonly tags: Readonly<Record<string, string>> | null;
  readonly session_id: string | null;
  readonly client_request_id: string | null;
  readonly input_tokens: bigint | null;
  readonly cached_input_tokens: bigint | null;
  readonly output_tokens: bigint | null;
  readonly reasoning_tokens: bigint | null;
  readonly units: Readonly<Record<string, string>> | null;
  readonly usage_source: string | null;
  readonly is_price_assumed: boolean | null;
  readonly is_external: boolean | null;
  readonly hold_pico_usd: bigint;
  readonly cost_pico_usd: bigint | null;
  readonly credit_pico_usd: bigint | null;
  readonly pay_as_you_go_pico_usd: bigint | null;
  readonly rated_cost_pico_usd: bigint | null;
  readonly absorbed_pico_usd: bigint | null;
  readonly provider_reported_pico_usd: bigint | null;
  readonly first_byte_ms: number | null;
  readonly duration_ms: number | null;
  readonly attempts: readonly AttemptRecord[] | null;
  readonly price_rows: readonly PriceRowJson[] | null;
}

interface PriceRowJson {
  readonly id: string;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly unit: string;
  readonly condition: string;
  readonly picoUsd: string;
  readonly perUnits: string;
  readonly effectiveFromMs: number;
  readonly effectiveToMs: number | null;
  readonly source: PriceRowRecord['source'];
}

/** Requests, open and ended, with the rows they name; each call is one statement. */
@Injectable()
export class RequestsRepository {
  constructor(private readonly database: DatabaseService) {}

  async list(query: EventListQuery): Promise<readonly EventRecord[]> {
    const { filters } = query;
    const rows = await this.database.prisma.$queryRawUnsafe<EventRow[]>(
      query.clientRequestId === null ? LIST_SQL : LIST_BY_CLIENT_REQUEST_ID_SQL,
      query.accountId,
      query.start?.toISOString() ?? '-infinity',
      query.end?.toISOString() ?? 'infinity',
      query.after?.admittedAt.toISOString() ?? 'infinity',
      query.after?.id ?? PAST_EVERY_ID,
      filters.model,
      filters.memberId,
      filters.tokenId,
      filters.task,
      Object.keys(filters.tags).length === 0 ? null : JSON.stringify(filters.tags),
      query.sessionId,
      query.clientRequestId,
      filters.provider,
      query.state,
      query.outcome,
      query.limit,
    );
    return rows.map(recordOf);
  }

  /** @param accountId null: whoever's it is. */
  async find(id: string, accountId: string | null): Promise<EventRecord | null> {
    const [row] = await this.database.prisma.$queryRawUnsafe<EventRow[]>(FIND_SQL, id, accountId);
    return row === undefined ? null : recordOf(row);
  }

  /** Ended requests of an account by their ids, in that order; what is not its is left out. */
  async findMany(ids: readonly string[], accountId: string): Promise<readonly EventRecord[]> {
    const { prisma } = this.database;
    const rows = await prisma.$queryRawUnsafe<EventRow[]>(FIND_MANY_SQL, arrayText(ids), accountId);
    return rows.map(recordOf);
  }

  async listByState({ state, afterId, limit }: EventStateQuery): Promise<readonly EventRecord[]> {
    const before = afterId ?? PAST_EVERY_ID;
    const { prisma } = this.database;
    if (state === null || state === 'open') {
      const sql = state === null ? STATE_SQL.any : STATE_SQL.open;
      return (await prisma.$queryRawUnsafe<EventRow[]>(sql, before, limit)).map(recordOf);
    }
    const sql = UNDECIDED_STATES.includes(state) ? STATE_SQL.undecided : STATE_SQL.decided;
    return (await prisma.$queryRawUnsafe<EventRow[]>(sql, before, limit, state)).map(recordOf);
  }
}

function recordOf(row: EventRow): EventRecord {
  return {
    id: row.id,
    accountId: row.account_id,
    organization: row.organization,
    userId: row.user_id,
    memberId: row.member_id,
    tokenId: row.token_id,
    tokenName: row.token_name,
    createdAt: dateOf(row.created_at_ms),
    admittedAt: dateOf(row.admitted_at_ms),
    servedAt: row.served_at_ms === null ? null : dateOf(row.served_at_ms),
    settledAt: row.settled_at_ms === null ? null : dateOf(row.settled_at_ms),
    period: row.period,
    state: row.state,
    outcome: row.outcome,
    upstream: row.upstream,
    provider: row.provider,
    model: row.model,
    providerModelId: row.provider_model_id,
    providerRequestId: row.provider_request_id,
    task: row.task,
    isStream: row.is_stream,
    status: row.status,
    tags: row.tags,
    sessionId: row.session_id,
    clientRequestId: row.client_request_id,
    inputTokens: row.input_tokens,
    cachedInputTokens: row.cached_input_tokens,
    outputTokens: row.output_tokens,
    reasoningTokens: row.reasoning_tokens,
    units: row.units,
    usageSource: row.usage_source,
    isPriceAssumed: row.is_price_assumed,
    isExternal: row.is_external,
    holdPicoUsd: row.hold_pico_usd,
    costPicoUsd: row.cost_pico_usd,
    creditPicoUsd: row.credit_pico_usd,
    payAsYouGoPicoUsd: row.pay_as_you_go_pico_usd,
    ratedCostPicoUsd: row.rated_cost_pico_usd,
    absorbedPicoUsd: row.absorbed_pico_usd,
    providerReportedPicoUsd: row.provider_reported_pico_usd,
    firstByteMs: row.first_byte_ms,
    durationMs: row.duration_ms,
    priceRows: (row.price_rows ?? []).map(priceRowOf),
    attempts: row.attempts,
  };
}

function priceRowOf(row: PriceRowJson): PriceRowRecord {
  const { effectiveFromMs, effectiveToMs, ...rest } = row;
  return {
    ...rest,
    id: BigInt(row.id),
    picoUsd: BigInt(row.picoUsd),
    perUnits: BigInt(row.perUnits),
    effectiveFrom: new Date(effectiveFromMs),
    effectiveTo: effectiveToMs === null ? null : new Date(effectiveToMs),
  };
}

function dateOf(milliseconds: bigint): Date {
  return new Date(Number(milliseconds));
}
