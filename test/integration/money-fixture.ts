import { pino } from 'pino';
import { uuidv7 } from 'uuidv7';
import { CorrectionsRepository } from '../../src/billing/corrections.repository.js';
import { CorrectionsService } from '../../src/billing/corrections.service.js';
import { CreditNotesRepository } from '../../src/billing/credit-notes.repository.js';
import { CreditNotesService } from '../../src/billing/credit-notes.service.js';
import { CreditsRepository } from '../../src/billing/credits.repository.js';
import { CreditsService } from '../../src/billing/credits.service.js';
import { InvoicesRepository, type RecordedInvoice } from '../../src/billing/invoices.repository.js';
import { PeriodCloseRepository } from '../../src/billing/period-close.repository.js';
import { PeriodCloseService } from '../../src/billing/period-close.service.js';
import { PlansRepository } from '../../src/billing/plans.repository.js';
import { SubscriptionsRepository } from '../../src/billing/subscriptions.repository.js';
import { SubscriptionsService } from '../../src/billing/subscriptions.service.js';
import { loadConfig, type Config } from '../../src/config/config.js';
import { DatabaseService } from '../../src/database/database.service.js';
import type { Actor } from '../../src/http/actor.js';
import { MetricsService } from '../../src/http/metrics.service.js';
import { OrganizationsRepository } from '../../src/identity/organizations.repository.js';
import type { Plan } from '../../src/identity/organization.js';
import { GroupCommitJournal } from '../../src/metering/group-commit.js';
import { JournalRepository } from '../../src/metering/journal.repository.js';
import type {
  AdmissionRequest,
  AdmittedEvent,
  Ending,
  Receipt,
} from '../../src/metering/journal.js';
import { refOf } from '../../src/metering/journal.js';
import type { TestDatabase } from '../support/database.js';
import { admittedOf, requestOf, settledAt, type TestAccount } from '../support/journal.js';

export const ACTOR: Actor = { name: 'operator', address: null };
export const USD = 10n ** 12n;
export const CENT = USD / 100n;

/** One process of the service without its HTTP: journal, close, credits, plans, corrections. */
export interface MoneyProcess {
  readonly database: DatabaseService;
  readonly journal: GroupCommitJournal;
  readonly anomalies: string[];
  readonly closes: PeriodCloseService;
  readonly invoices: InvoicesRepository;
  readonly credits: CreditsService;
  readonly subscriptions: SubscriptionsService;
  readonly corrections: CorrectionsService;
  readonly notes: CreditNotesService;
  /** Its clock. */
  now: Date;
  readonly close: () => Promise<void>;
}

export interface TestOrganization extends TestAccount {
  readonly slug: string;
  readonly createdAt: Date;
}

export function configOf(url: string, environment: Readonly<Record<string, string>> = {}): Config {
  const loaded = loadConfig({
    DATABASE_URL: url,
    ADMIN_TOKEN: 'x'.repeat(32),
    ENCRYPTION_KEY: '00'.repeat(32),
    UPSTREAM_API_KEY: 'key',
    DATABASE_POOL_MAX: '6',
    ...environment,
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ problem }) => problem).join('; '));
  return loaded.config;
}

export async function openMoney(
  url: string,
  now: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<MoneyProcess> {
  const config = configOf(url, environment);
  const database = await DatabaseService.open(config);
  const anomalies: string[] = [];
  const process: { now: Date } = { now: new Date(now) };
  const journal = new GroupCommitJournal(
    new JournalRepository(database),
    { ownerId: uuidv7(), admitWaitMaxMs: 30_000 },
    { now: () => process.now },
    {
      batch: () => undefined,
      spent: () => undefined,
      retry: () => undefined,
      anomaly: (kind) => anomalies.push(kind),
      failure: (message) => anomalies.push(`failure: ${message}`),
    },
  );
  return Object.assign(process, {
    database,
    journal,
    anomalies,
    closes: closesOn(database, config),
    invoices: new InvoicesRepository(database),
    credits: new CreditsService(new CreditsRepository(database)),
    subscriptions: new SubscriptionsService(
      new PlansRepository(database),
      new SubscriptionsRepository(database),
    ),
    corrections: new CorrectionsService(new CorrectionsRepository(database)),
    notes: new CreditNotesService(new CreditNotesRepository(database)),
    close: () => database.onApplicationShutdown(),
  });
}

/** The close on a database of one's own, for example one that dies. */
export function closesOn(database: DatabaseService, config: Config): PeriodCloseService {
  return new PeriodCloseService(
    new PeriodCloseRepository(database),
    new InvoicesRepository(database),
    new MetricsService(),
    config,
    pino({ level: 'silent' }),
  );
}

/** An organization as the operator's API makes it, and the budget of one token. */
export async function newOrganization(
  money: MoneyProcess,
  facts: {
    readonly plan: Plan;
    readonly seats?: number;
    readonly createdAt: string;
    /** Undefined: none. */
    readonly limitPicoUsd?: bigint;
    readonly isPayAsYouGo?: boolean;
  },
): Promise<TestOrganization> {
  const accountId = uuidv7();
  const tokenId = uuidv7();
  const slug = `org-${accountId.slice(-12)}`;
  const createdAt = new Date(facts.createdAt);
  const seats = facts.seats ?? 1;
  const start = await money.subscriptions.start(facts.plan, seats, createdAt);
  const created = await new OrganizationsRepository(money.database).create(
    {
      kind: 'organization',
      id: accountId,
      slug,
      name: `Organization ${slug}`,
      plan: facts.plan,
      seats,
      createdAt,
      scheduled: null,
      limits: {
        monthlySpendLimitPicoUsd: facts.limitPicoUsd ?? null,
        isPayAsYouGo: facts.isPayAsYouGo ?? facts.plan !== 'free',
        maxSpendLimitPicoUsd: null,
        requestsPerMinute: null,
        requestsPerDay: null,
      },
    },
    start,
    ACTOR,
  );
  if (created !== 'created') throw new Error(created);
  await money.database.prisma.$executeRawUnsafe(
    `INSERT INTO budgets (subject_id, scope, account_id, is_pay_as_you_go, period) VALUES ($1::text::uuid, 'token', $2::text::uuid, FALSE, $3::text)`,
    tokenId,
    accountId,
    createdAt.toISOString().slice(0, 7),
  );
  return { accountId, tokenId, slug, createdAt };
}

/** Admits and settles one request at the process's time. */
export async function spendOne(
  money: MoneyProcess,
  account: TestAccount,
  costPicoUsd: bigint,
  ending: Partial<Ending> = {},
): Promise<Receipt> {
  const event = await openOne(money, account, costPicoUsd);
  return settleOne(money, event, costPicoUsd, ending);
}

export async function openOne(
  money: MoneyProcess,
  account: TestAccount,
  holdPicoUsd: bigint,
  overrides: Partial<AdmissionRequest> = {},
): Promise<AdmittedEvent> {
  return admittedOf(await money.journal.admit(requestOf(account, holdPicoUsd, overrides)));
}

export async function settleOne(
  money: MoneyProcess,
  event: AdmittedEvent,
  costPicoUsd: bigint,
  ending: Partial<Ending> = {},
): Promise<Receipt> {
  return money.journal.settle(refOf(event), settledAt(costPicoUsd, ending)).receipt;
}

/** What the sweeper does to an event whose process died. */
export async function sweep(money: MoneyProcess, event: AdmittedEvent): Promise<void> {
  const swept = settledAt(0n, {
    state: 'released',
    outcome: 'aborted',
    ratedCostPicoUsd: null,
    quantities: null,
    usageSource: 'none',
    provider: null,
    providerRequestId: null,
    priceRowIds: [],
  });
  await money.journal.settle(refOf(event), swept).receipt;
}

/** The invoice of an account's period; null: it has none. */
export async function invoiceOf(
  money: MoneyProcess,
  { accountId }: TestAccount,
  period: string,
): Promise<RecordedInvoice | null> {
  const invoices = await money.invoices.list(accountId, 100, null);
  return invoices.find((invoice) => invoice.period === period) ?? null;
}

/** A stored balance, debits minus credits. */
export async function balanceOf(database: TestDatabase, account: string): Promise<bigint> {
  const [row] = await database.query<{ balance: string }>(
    'SELECT balance_pico_usd::text AS balance FROM ledger_balances WHERE ledger_account = $1',
    [account],
  );
  return BigInt(row?.balance ?? '0');
}

/** Everything that must hold in the books at every commit; answers with what does not. */
export async function bookProblems(database: TestDatabase): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const [what, sql] of Object.entries(BOOK_CHECKS)) {
    const rows = await database.query(sql);
    if (rows.length > 0) problems.push(`${what}: ${JSON.stringify(rows.slice(0, 3))}`);
  }
  return [...problems, ...(await eventsAgainstTransfers(database))];
}

const SIDES = `SELECT debit AS account, amount_pico_usd AS amount FROM ledger_transfers
  UNION ALL SELECT credit, -amount_pico_usd FROM ledger_transfers`;
const PAYERS = `('plan_credit', 'promo_credit', 'prepaid_credit', 'unbilled', 'receivable')`;

const BOOK_CHECKS: Readonly<Record<string, string>> = {
  'transfers do not sum to zero': `SELECT sum(amount)::text FROM (${SIDES}) s HAVING sum(amount) <> 0`,
  'a stored balance is not the fold of its transfers': `
    WITH folded AS (SELECT account, sum(amount) AS balance FROM (${SIDES}) s
      WHERE split_part(account, ':', 1) IN ${PAYERS} GROUP BY account)
    SELECT coalesce(f.account, b.ledger_account) AS account, f.balance::text AS folded, b.balance_pico_usd::text AS stored
    FROM folded f FULL JOIN ledger_balances b ON b.ledger_account = f.account
    WHERE coalesce(f.balance, 0) <> coalesce(b.balance_pico_usd, 0)`,
  'credit is negative': `SELECT ledger_account FROM ledger_balances WHERE kind LIKE '%_credit' AND balance_pico_usd > 0`,
  'what is left of grants is not the balance of credit': `
    WITH left_over AS (SELECT b.account_id, CASE g->>'kind' WHEN 'plan' THEN 'plan_credit' WHEN 'promotional' THEN 'promo_credit' ELSE 'prepaid_credit' END AS kind,
        sum((g->>'remainingPicoUsd')::numeric) AS amount
      FROM budgets b, jsonb_array_elements(b.credit->'grants') g GROUP BY 1, 2),
    stored AS (SELECT account_id, kind, -sum(balance_pico_usd) AS amount FROM ledger_balances WHERE kind LIKE '%_credit' GROUP BY 1, 2)
    SELECT account_id, kind, l.amount::text AS of_grants, s.amount::text AS stored FROM left_over l FULL JOIN stored s USING (account_id, kind)
    WHERE coalesce(l.amount, 0) <> coalesce(s.amount, 0)`,
  'a grant is not as it was booked': `
    WITH booked AS (SELECT grant_id, sum(amount_pico_usd) AS amount FROM ledger_transfers
      WHERE kind IN ('plan_grant', 'promotional_grant', 'top_up') GROUP BY 1)
    SELECT g.id, g.amount_pico_usd::text AS granted, b.grant_id, b.amount::text AS booked
    FROM credit_grants g FULL JOIN booked b ON b.grant_id = g.id WHERE g.amount_pico_usd IS DISTINCT FROM b.amount`,
  'a held sum is not its holds': `
    SELECT b.subject_id, b.held_pico_usd::text AS held, h.amount::text AS holds FROM budgets b CROSS JOIN LATERAL (
      SELECT coalesce(sum(hold_pico_usd), 0) AS amount FROM (
        SELECT hold_pico_usd, account_id, member_id, token_id FROM open_events
        UNION ALL SELECT hold_pico_usd, account_id, member_id, token_id FROM usage_events WHERE state = 'unpriced') e
      WHERE b.subject_id IN (e.account_id, e.member_id, e.token_id)) h
    WHERE b.held_pico_usd IS NOT NULL AND b.held_pico_usd <> h.amount`,
  'a provider is owed something else than was charged and borne': `
    WITH owed AS (SELECT -coalesce(sum(amount), 0) AS amount FROM (${SIDES}) s WHERE account LIKE 'provider_payable:%'),
    events AS (SELECT coalesce(sum(cost_pico_usd + absorbed_pico_usd), 0) AS amount FROM usage_events WHERE state = 'settled'),
    late AS (SELECT coalesce(sum(amount_pico_usd), 0) AS amount FROM corrections WHERE kind = 'correction' AND coalesce(idempotency_key, '') NOT LIKE 'decision:%')
    SELECT owed.amount::text AS owed, events.amount::text AS events, late.amount::text AS late FROM owed, events, late WHERE owed.amount <> events.amount + late.amount`,
  'something of a closed period is left': `
    SELECT ledger_account, balance_pico_usd::text AS balance FROM ledger_balances l JOIN budgets b ON b.subject_id = l.account_id
    WHERE kind IN ('unbilled', 'plan_credit') AND split_part(ledger_account, ':', 3) <= b.closed_through AND balance_pico_usd <> 0`,
  'invoice numbers have a gap': `
    SELECT count(*)::int AS invoices, max(number) AS last FROM invoices HAVING count(*) <> coalesce(max(number), 0)
    UNION ALL SELECT last_number, -1 FROM document_numbers WHERE series = 'INV' AND last_number <> (SELECT count(*) FROM invoices)`,
};

/**
 * Every event names transfers that exist, every settlement is named, and over each set of events and
 * transfers that name one another what was charged and borne is what was booked.
 */
async function eventsAgainstTransfers(database: TestDatabase): Promise<readonly string[]> {
  const events = await database.query<{ id: string; amount: string; ids: string[] | null }>(
    `SELECT id, (cost_pico_usd + absorbed_pico_usd)::text AS amount, transfer_ids::text[] AS ids FROM usage_events WHERE state = 'settled'`,
  );
  const transfers = await database.query<{ id: string; kind: string; amount: string }>(
    `SELECT id, kind, amount_pico_usd::text AS amount FROM ledger_transfers`,
  );
  const problems: string[] = [];
  const byId = new Map(transfers.map((transfer) => [transfer.id, transfer]));
  const parents = new Map<string, string>();
  const rootOf = (id: string): string => {
    let root = id;
    for (let next = parents.get(root); next !== undefined; next = parents.get(root)) root = next;
    return root;
  };
  const named = new Set<string>();
  for (const { id, ids } of events) {
    for (const transferId of ids ?? []) {
      named.add(transferId);
      if (!byId.has(transferId)) problems.push(`event ${id} names a transfer that is missing`);
      const [one, other] = [rootOf(`e${id}`), rootOf(transferId)];
      if (one !== other) parents.set(one, other);
    }
  }
  const sums = new Map<string, bigint>();
  const add = (key: string, amount: bigint): void => {
    sums.set(rootOf(key), (sums.get(rootOf(key)) ?? 0n) + amount);
  };
  for (const { id, amount } of events) add(`e${id}`, BigInt(amount));
  for (const { id, kind, amount } of transfers) {
    if (named.has(id)) add(id, kind === 'taken_back' ? BigInt(amount) : -BigInt(amount));
    else if (['settlement', 'taken_back', 'absorbed'].includes(kind)) {
      problems.push(`the ${kind} ${id} is named by no event`);
    }
  }
  for (const [root, difference] of sums) {
    if (difference !== 0n) problems.push(`the events around ${root} differ by ${difference}`);
  }
  return problems;
}

/** A statement of a transaction, before it runs; the last one of each is COMMIT. */
export interface Statement {
  readonly index: number;
  readonly sql: string;
  readonly pid: () => Promise<number>;
}

/**
 * The same database, with something done before every statement of its transactions, and after their
 * COMMIT.
 */
export function intercepted(
  database: DatabaseService,
  before: (statement: Statement) => Promise<void>,
  afterCommit: () => void = () => undefined,
): DatabaseService {
  type Transaction = Parameters<Parameters<typeof database.prisma.$transaction>[0]>[0];
  type Raw = (sql: string, ...values: unknown[]) => Promise<unknown>;
  let index = 0;
  const announce = async (tx: Transaction, sql: string): Promise<void> => {
    index += 1;
    const pid = async (): Promise<number> => {
      const [row] = await tx.$queryRawUnsafe<{ pid: number }[]>(
        'SELECT pg_backend_pid()::int AS pid',
      );
      return row?.pid ?? 0;
    };
    await before({ index, sql, pid });
  };
  const watched = (tx: Transaction): Transaction =>
    new Proxy(tx, {
      get: (target, key) => {
        const value: unknown = Reflect.get(target, key);
        if (key !== '$queryRawUnsafe' && key !== '$executeRawUnsafe') return value;
        return async (sql: string, ...values: unknown[]) => {
          await announce(target, sql);
          return (value as Raw).call(target, sql, ...values);
        };
      },
    });
  const { prisma } = database;
  const transaction = async (
    work: (tx: Transaction) => Promise<unknown>,
    options: object,
  ): Promise<unknown> => {
    const result = await prisma.$transaction(async (tx) => {
      const done = await work(watched(tx));
      await announce(tx, 'COMMIT');
      return done;
    }, options);
    afterCommit();
    return result;
  };
  const watchedPrisma = new Proxy(prisma, {
    get: (target, key) =>
      key === '$transaction' ? transaction : (Reflect.get(target, key) as unknown),
  });
  return Object.create(database, { prisma: { value: watchedPrisma } }) as DatabaseService;
}
