import { Injectable } from '@nestjs/common';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import type { AccountControl, MovedSum, PeriodControl } from '../domain/daily-control.js';
import type { TransferKind } from '../domain/ledger.js';
import { nextPeriod, periodBounds } from '../domain/periods.js';
import { BUDGET_FIELDS, budgetRowOf, type BudgetRecord } from './budget-record.js';
import type { Transaction } from './transactions.repository.js';

/** A run as it is kept. */
export interface RecordedControl {
  readonly at: Date;
  readonly accounts: number;
  readonly differencePicoUsd: bigint;
  /** The first of them. */
  readonly differences: readonly RecordedDifference[];
}

export interface RecordedDifference {
  readonly check: string;
  readonly accountId: string | null;
  readonly of: string;
  readonly keptUsd: string;
  readonly ledgerUsd: string;
}

const TIMEOUT_MS = 300_000;

const ACCOUNTS = `SELECT ${BUDGET_FIELDS} FROM budgets b
WHERE b.scope = 'account' AND ($1::text IS NULL OR b.subject_id > $1::text::uuid) ORDER BY b.subject_id LIMIT $2::int`;

const EVENTS = `
SELECT e.account_id::text AS account, e.period::text AS period, sum(e.cost_pico_usd)::text AS cost, sum(e.absorbed_pico_usd)::text AS absorbed
FROM unnest($1::text::uuid[], $2::text::timestamptz[]) AS o(id, since)
JOIN usage_events e ON e.account_id = o.id AND e.admitted_at >= o.since AND e.state = 'settled'
GROUP BY e.account_id, e.period`;

const MOVED = `
SELECT t.account_id::text AS account, t.period::text AS period, t.kind, split_part(t.debit, ':', 1) AS debit_kind,
  split_part(t.credit, ':', 1) AS credit_kind, sum(t.amount_pico_usd)::text AS amount
FROM unnest($1::text::uuid[], $2::text::text[]) AS o(id, from_period)
JOIN ledger_transfers t ON t.account_id = o.id AND t.period >= o.from_period::bpchar
WHERE t.kind IN ('settlement', 'absorbed', 'taken_back', 'covered', 'correction')
GROUP BY t.account_id, t.period, t.kind, 4, 5`;

const PAYERS_OWN = `('plan_credit', 'promo_credit', 'prepaid_credit', 'unbilled', 'receivable')`;

/** Balances as they are stored beside what all transfers say, also of an account that is in one only. */
const BALANCES = `
WITH sides AS (
  SELECT debit AS account, sum(amount_pico_usd) AS amount FROM ledger_transfers WHERE account_id = ANY($1::text::uuid[]) GROUP BY debit
  UNION ALL
  SELECT credit, -sum(amount_pico_usd) FROM ledger_transfers WHERE account_id = ANY($1::text::uuid[]) GROUP BY credit
),
folded AS (SELECT account, sum(amount) AS amount FROM sides WHERE split_part(account, ':', 1) IN ${PAYERS_OWN} GROUP BY account),
stored AS (SELECT ledger_account, balance_pico_usd FROM ledger_balances WHERE account_id = ANY($1::text::uuid[]))
SELECT coalesce(f.account, s.ledger_account) AS account, coalesce(s.balance_pico_usd, 0)::text AS stored, coalesce(f.amount, 0)::text AS folded
FROM folded f FULL JOIN stored s ON s.ledger_account = f.account ORDER BY 1`;

const GRANTS = `
SELECT account_id::text AS account, grant_id::text AS "grantId",
  sum(CASE WHEN split_part(credit, ':', 1) IN ('plan_credit', 'promo_credit', 'prepaid_credit') THEN amount_pico_usd
           WHEN split_part(debit, ':', 1) IN ('plan_credit', 'promo_credit', 'prepaid_credit') THEN -amount_pico_usd ELSE 0 END)::text AS folded
FROM ledger_transfers WHERE account_id = ANY($1::text::uuid[]) AND grant_id IS NOT NULL GROUP BY account_id, grant_id ORDER BY 2`;

@Injectable()
export class DailyControlRepository {
  constructor(private readonly database: DatabaseService) {}

  /** A page of accounts with all that is to be compared of each, in one snapshot. */
  async accountsAfter(accountId: string | null, limit: number): Promise<readonly AccountControl[]> {
    return this.database.prisma.$transaction(
      async (tx) => {
        const records = await tx.$queryRawUnsafe<BudgetRecord[]>(ACCOUNTS, accountId, limit);
        return records.length === 0 ? [] : readControls(tx, records);
      },
      { isolationLevel: 'RepeatableRead', maxWait: 10_000, timeout: TIMEOUT_MS },
    );
  }

  async record(run: RecordedControl): Promise<void> {
    const { at, accounts, differencePicoUsd, differences } = run;
    const found = {
      accounts,
      differences: differences.map((difference) => ({ ...difference })),
      differencePicoUsd: differencePicoUsd.toString(),
    };
    await this.database.prisma.dailyControl.upsert({
      where: { at },
      create: { at, ...found },
      update: found,
    });
  }

  /** Latest first. */
  async list(limit: number, before: Date | null): Promise<readonly RecordedControl[]> {
    const rows = await this.database.prisma.dailyControl.findMany({
      ...(before === null ? {} : { where: { at: { lt: before } } }),
      orderBy: { at: 'desc' },
      take: limit,
    });
    return rows.map(({ at, accounts, differences, differencePicoUsd }) => ({
      at,
      accounts,
      differences: differences as unknown as readonly RecordedDifference[],
      differencePicoUsd: BigInt(differencePicoUsd.toFixed(0)),
    }));
  }
}

async function readControls(
  tx: Transaction,
  records: readonly BudgetRecord[],
): Promise<readonly AccountControl[]> {
  const ids = arrayText(records.map((record) => record.subject_id));
  const openFrom = records.map(({ closed_through: through }) =>
    through === null ? null : nextPeriod(through),
  );
  const periods = await readPeriods(tx, ids, openFrom);
  const balances = await tx.$queryRawUnsafe<{ account: string; stored: string; folded: string }[]>(
    BALANCES,
    ids,
  );
  const grants = await tx.$queryRawUnsafe<{ account: string; grantId: string; folded: string }[]>(
    GRANTS,
    ids,
  );
  const balancesOf = grouped(balances, ({ account }) => account.split(':')[1] ?? '');
  const grantsOf = grouped(grants, ({ account }) => account);
  return records.map((record) => ({
    row: budgetRowOf(record),
    periods: periods.get(record.subject_id) ?? [],
    balances: (balancesOf.get(record.subject_id) ?? []).map(({ account, stored, folded }) => ({
      account,
      storedPicoUsd: BigInt(stored),
      foldedPicoUsd: BigInt(folded),
    })),
    grants: (grantsOf.get(record.subject_id) ?? []).map(({ grantId, folded }) => ({
      grantId,
      foldedPicoUsd: BigInt(folded),
    })),
  }));
}

interface MovedRecord {
  readonly account: string;
  readonly period: string;
  readonly kind: TransferKind;
  readonly debit_kind: string;
  readonly credit_kind: string;
  readonly amount: string;
}

/** The open periods by account, as events and as transfers tell them. */
async function readPeriods(
  tx: Transaction,
  ids: string,
  openFrom: readonly (string | null)[],
): Promise<ReadonlyMap<string, readonly PeriodControl[]>> {
  const events = await tx.$queryRawUnsafe<
    { account: string; period: string; cost: string; absorbed: string | null }[]
  >(
    EVENTS,
    ids,
    arrayText(
      openFrom.map((period) =>
        period === null ? '-infinity' : periodBounds(period).start.toISOString(),
      ),
    ),
  );
  const moved = await tx.$queryRawUnsafe<MovedRecord[]>(
    MOVED,
    ids,
    arrayText(openFrom.map((period) => period ?? '0000-00')),
  );
  const costs = new Map(events.map((event) => [`${event.account} ${event.period}`, event]));
  const sums = grouped(moved, ({ account, period }) => `${account} ${period}`);
  const periods = new Map<string, PeriodControl[]>();
  for (const key of new Set([...costs.keys(), ...sums.keys()])) {
    const [account = '', period = ''] = key.split(' ');
    const cost = costs.get(key);
    const ofAccount = periods.get(account) ?? [];
    ofAccount.push({
      period,
      costPicoUsd: BigInt(cost?.cost ?? '0'),
      absorbedPicoUsd: BigInt(cost?.absorbed ?? '0'),
      moved: (sums.get(key) ?? []).map(movedOf),
    });
    periods.set(account, ofAccount);
  }
  return periods;
}

function movedOf(record: MovedRecord): MovedSum {
  return {
    kind: record.kind,
    debitKind: record.debit_kind,
    creditKind: record.credit_kind,
    amountPicoUsd: BigInt(record.amount),
  };
}

function grouped<Item>(
  items: readonly Item[],
  keyOf: (item: Item) => string,
): ReadonlyMap<string, readonly Item[]> {
  const groups = new Map<string, Item[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group === undefined) groups.set(keyOf(item), [item]);
    else group.push(item);
  }
  return groups;
}
