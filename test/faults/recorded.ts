import pg from 'pg';

/** A usage event as Tollgate recorded it. Amounts are pico-USD. */
export interface RecordedEvent {
  readonly id: string;
  readonly clientRequestId: string | null;
  readonly state: string;
  readonly outcome: string;
  readonly provider: string | null;
  readonly providerRequestId: string | null;
  readonly usageSource: string;
  readonly inputTokens: bigint | null;
  readonly outputTokens: bigint | null;
  readonly costPicoUsd: bigint | null;
  readonly absorbedPicoUsd: bigint | null;
  readonly holdPicoUsd: bigint;
}

/** A budget row beside what the events and the open events say it should be. */
export interface RecordedBudget {
  readonly subjectId: string;
  readonly scope: string;
  /** Null where the budget keeps no sum of holds. */
  readonly heldPicoUsd: bigint | null;
  readonly usedPicoUsd: bigint;
  readonly settledPicoUsd: bigint;
  /** What the ledger says an account was charged; null for members and tokens. */
  readonly bookedPicoUsd: bigint | null;
}

/** The third book. */
export interface Recorded {
  readonly events: readonly RecordedEvent[];
  readonly budgets: readonly RecordedBudget[];
  readonly openEvents: number;
  /** Provider requests that were charged to more than one settled event. */
  readonly chargedTwice: readonly string[];
}

const EVENTS_SQL = `
SELECT id, client_request_id, state, outcome, provider, provider_request_id, usage_source,
  input_tokens, output_tokens, cost_pico_usd, absorbed_pico_usd, hold_pico_usd
FROM usage_events`;

const BUDGETS_SQL = `
SELECT b.subject_id, b.scope, b.held_pico_usd,
  b.used_pico_usd + coalesce((
    SELECT sum((g->'burnedPicoUsd'->>(b.period::text))::numeric) FROM jsonb_array_elements(b.credit->'grants') g
  ), 0) AS used,
  CASE WHEN b.scope = 'account' THEN (
    SELECT coalesce(sum(t.amount_pico_usd), 0) FROM ledger_transfers t
    WHERE t.account_id = b.account_id AND t.period = b.period AND t.kind = 'settlement'
  ) END AS booked,
  coalesce((
    SELECT sum(e.cost_pico_usd) FROM usage_events e
    WHERE e.state = 'settled' AND e.period = b.period AND b.subject_id = CASE b.scope
      WHEN 'account' THEN e.account_id WHEN 'member' THEN e.member_id ELSE e.token_id END
  ), 0) AS settled
FROM budgets b`;

const CHARGED_TWICE_SQL = `
SELECT concat_ws(' ', upstream, provider, provider_request_id) AS request FROM usage_events
WHERE state = 'settled' AND provider_request_id IS NOT NULL
GROUP BY upstream, provider, provider_request_id HAVING count(*) > 1`;

type Row = Record<string, string | null>;

/** Reads Tollgate's book in one snapshot. */
export async function readRecorded(url: string): Promise<Recorded> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    const events = await client.query<Row>(EVENTS_SQL);
    const budgets = await client.query<Row>(BUDGETS_SQL);
    const twice = await client.query<{ request: string }>(CHARGED_TWICE_SQL);
    const open = await client.query<{ open: string }>('SELECT count(*) AS open FROM open_events');
    await client.query('COMMIT');
    return {
      events: events.rows.map(eventOf),
      budgets: budgets.rows.map(budgetOf),
      openEvents: Number(open.rows[0]?.open),
      chargedTwice: twice.rows.map(({ request }) => request),
    };
  } finally {
    await client.end();
  }
}

/** Waits until nothing is open. Returns how many events still were when the time was up. */
export async function untilNothingIsOpen(url: string, timeoutMs: number): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const { rows } = await client.query<{ open: string }>(
        'SELECT count(*) AS open FROM open_events',
      );
      const open = Number(rows[0]?.open);
      if (open === 0 || Date.now() > deadline) return open;
      await new Promise((wake) => setTimeout(wake, 100));
    }
  } finally {
    await client.end();
  }
}

function eventOf(row: Row): RecordedEvent {
  return {
    id: text(row, 'id'),
    clientRequestId: row['client_request_id'] ?? null,
    state: text(row, 'state'),
    outcome: text(row, 'outcome'),
    provider: row['provider'] ?? null,
    providerRequestId: row['provider_request_id'] ?? null,
    usageSource: text(row, 'usage_source'),
    inputTokens: amount(row, 'input_tokens'),
    outputTokens: amount(row, 'output_tokens'),
    costPicoUsd: amount(row, 'cost_pico_usd'),
    absorbedPicoUsd: amount(row, 'absorbed_pico_usd'),
    holdPicoUsd: amount(row, 'hold_pico_usd') ?? 0n,
  };
}

function budgetOf(row: Row): RecordedBudget {
  return {
    subjectId: text(row, 'subject_id'),
    scope: text(row, 'scope'),
    heldPicoUsd: amount(row, 'held_pico_usd'),
    usedPicoUsd: amount(row, 'used') ?? 0n,
    bookedPicoUsd: amount(row, 'booked'),
    settledPicoUsd: amount(row, 'settled') ?? 0n,
  };
}

function text(row: Row, column: string): string {
  const value = row[column];
  if (typeof value !== 'string') throw new Error(`column ${column} is not text`);
  return value;
}

function amount(row: Row, column: string): bigint | null {
  const value = row[column] ?? null;
  return value === null ? null : BigInt(value);
}
