import type { LandedCorrection } from '../domain/closing.js';
import { usageLine, type InvoiceLine, type UsageGroup } from '../domain/invoices.js';
import { periodBounds, previousPeriod } from '../domain/periods.js';
import { isUnit, type Unit } from '../domain/units.js';
import type { DocumentCustomer } from './invoice-document.js';
import type { Transaction } from './transactions.repository.js';

/**
 * The settled events of a period that the account is charged for. An answer that never reached the
 * caller is ours, and a call with the account's own provider key is nobody's charge.
 */
const CHARGED = `
SELECT e.upstream, coalesce(e.provider, 'unknown') AS provider, e.model, e.price_row_ids, e.units, e.cost_pico_usd
FROM usage_events e
WHERE e.account_id = $1::text::uuid AND e.admitted_at >= $2::text::timestamptz AND e.admitted_at < $3::text::timestamptz
  AND e.state = 'settled' AND NOT e.is_external AND NOT (e.cost_pico_usd = 0 AND e.absorbed_pico_usd > 0)`;

const GROUPS = `
WITH charged AS MATERIALIZED (${CHARGED}),
groups AS (
  SELECT upstream, provider, model, price_row_ids, count(*)::int AS requests, sum(cost_pico_usd)::text AS cost
  FROM charged GROUP BY upstream, provider, model, price_row_ids
),
quantities AS (
  SELECT upstream, provider, model, price_row_ids, jsonb_object_agg(unit, quantity::text) AS quantities
  FROM (SELECT c.upstream, c.provider, c.model, c.price_row_ids, u.key AS unit, sum(u.value::numeric) AS quantity
        FROM charged c, jsonb_each_text(c.units) u GROUP BY 1, 2, 3, 4, 5) summed
  GROUP BY upstream, provider, model, price_row_ids
)
SELECT g.upstream, g.provider, g.model, g.requests, g.cost, q.quantities,
  (SELECT jsonb_agg(jsonb_build_object('id', p.id::text, 'unit', p.unit, 'pico', p.pico_usd::text, 'per', p.per_units::text) ORDER BY p.id)
   FROM prices p WHERE p.id = ANY(g.price_row_ids)) AS rows
FROM groups g LEFT JOIN quantities q USING (upstream, provider, model, price_row_ids)
ORDER BY g.provider, g.model, g.upstream, g.price_row_ids`;

interface GroupRecord {
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly requests: number;
  readonly cost: string;
  readonly quantities: Readonly<Record<string, string>> | null;
  readonly rows:
    | readonly {
        readonly id: string;
        readonly unit: string;
        readonly pico: string;
        readonly per: string;
      }[]
    | null;
}

/** The usage lines of an account's period. */
export async function readUsageLines(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<readonly InvoiceLine[]> {
  const { start, end } = periodBounds(period);
  const records = await tx.$queryRawUnsafe<GroupRecord[]>(
    GROUPS,
    accountId,
    start.toISOString(),
    end.toISOString(),
  );
  return records.map((record) => usageLine(groupOf(record)));
}

function groupOf(record: GroupRecord): UsageGroup {
  return {
    upstream: record.upstream,
    provider: record.provider,
    model: record.model,
    requests: record.requests,
    costPicoUsd: BigInt(record.cost),
    quantities: new Map(
      Object.entries(record.quantities ?? {}).map(([unit, text]) => [unitOf(unit), BigInt(text)]),
    ),
    priceRows: (record.rows ?? []).map((row) => ({
      id: BigInt(row.id),
      unit: unitOf(row.unit),
      picoUsd: BigInt(row.pico),
      perUnits: BigInt(row.per),
    })),
    isCostStated: false,
  };
}

function unitOf(text: string): Unit {
  if (!isUnit(text)) throw new Error(`billing: an event names the unknown unit ${text}`);
  return text;
}

/** What still keeps a period open, and what is left for a person in it. */
export interface PeriodState {
  readonly open: number;
  readonly pending: number;
  readonly unpriced: number;
  readonly quarantined: number;
}

export async function readPeriodState(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<PeriodState> {
  // The list of states names the index of the few that wait.
  const [record] = await tx.$queryRawUnsafe<PeriodState[]>(
    `SELECT (SELECT count(*) FROM open_events WHERE account_id = $1::text::uuid AND period = $2::text::bpchar)::int AS open,
       count(*) FILTER (WHERE state = 'pending')::int AS pending,
       count(*) FILTER (WHERE state = 'unpriced')::int AS unpriced,
       count(*) FILTER (WHERE state = 'quarantined')::int AS quarantined
     FROM usage_events WHERE state IN ('pending', 'unpriced', 'quarantined') AND account_id = $1::text::uuid AND period = $2::text::bpchar`,
    accountId,
    period,
  );
  return record ?? { open: 0, pending: 0, unpriced: 0, quarantined: 0 };
}

/** Late facts that land in a period, oldest first. */
export async function readLandedCorrections(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<readonly LandedCorrection[]> {
  const records = await tx.$queryRawUnsafe<
    { kind: LandedCorrection['kind']; description: string; line: string }[]
  >(
    `SELECT kind, description, line_pico_usd::text AS line FROM corrections
     WHERE account_id = $1::text::uuid AND lands_in = $2::text::bpchar ORDER BY id`,
    accountId,
    period,
  );
  return records.map(({ kind, description, line }) => ({
    kind,
    description,
    linePicoUsd: BigInt(line),
  }));
}

/** What the close of the period before carried into this one. */
export async function readCarryIn(
  tx: Transaction,
  accountId: string,
  period: string,
): Promise<bigint> {
  const [record] = await tx.$queryRawUnsafe<{ carried: string }[]>(
    `SELECT carried_pico_usd::text AS carried FROM period_closes WHERE account_id = $1::text::uuid AND period = $2::text::bpchar`,
    accountId,
    previousPeriod(period),
  );
  return record === undefined ? 0n : BigInt(record.carried);
}

/** Whom a document is addressed to, as of now. */
export async function readCustomer(tx: Transaction, accountId: string): Promise<DocumentCustomer> {
  const [record] = await tx.$queryRawUnsafe<DocumentCustomer[]>(
    `SELECT a.slug, coalesce(b.name, a.name) AS name, b.address, b.email, b.tax_id AS "taxId", b.reference
     FROM accounts a LEFT JOIN billing_details b ON b.account_id = a.id WHERE a.id = $1::text::uuid`,
    accountId,
  );
  if (record === undefined) throw new Error(`billing: there is no account ${accountId}`);
  return record;
}
