import { uuidv7 } from 'uuidv7';
import { loadConfig } from '../../src/config/config.js';
import { DatabaseService } from '../../src/database/database.service.js';
import { GroupCommitJournal } from '../../src/metering/group-commit.js';
import { JournalRepository } from '../../src/metering/journal.repository.js';
import {
  refOf,
  type AdmissionRequest,
  type AdmissionResult,
  type AdmittedEvent,
  type Ending,
  type SettlementTicket,
} from '../../src/metering/journal.js';
import type { TestDatabase } from './database.js';

/** The journal alone, on a real database, with what it told its observer. */
export interface TestJournal {
  readonly journal: GroupCommitJournal;
  readonly anomalies: string[];
  readonly retries: string[];
  readonly failures: string[];
  readonly close: () => Promise<void>;
}

export interface TestAccount {
  readonly accountId: string;
  readonly tokenId: string;
}

export async function openJournal(
  url: string,
  options: { admitWaitMaxMs?: number; now?: () => Date } = {},
): Promise<TestJournal> {
  const loaded = loadConfig({
    DATABASE_URL: url,
    ADMIN_TOKEN: 'x'.repeat(32),
    ENCRYPTION_KEY: '00'.repeat(32),
    UPSTREAM_API_KEY: 'key',
    DATABASE_POOL_MAX: '3',
  });
  if (!loaded.ok) throw new Error(loaded.problems.map(({ problem }) => problem).join('; '));
  const database = await DatabaseService.open(loaded.config);
  const anomalies: string[] = [];
  const retries: string[] = [];
  const failures: string[] = [];
  const journal = new GroupCommitJournal(
    new JournalRepository(database),
    { ownerId: uuidv7(), admitWaitMaxMs: options.admitWaitMaxMs ?? 10_000 },
    { now: options.now ?? (() => new Date()) },
    {
      batch: () => undefined,
      spent: () => undefined,
      retry: (reason) => retries.push(reason),
      anomaly: (kind) => anomalies.push(kind),
      failure: (message) => failures.push(message),
    },
  );
  return { journal, anomalies, retries, failures, close: () => database.onApplicationShutdown() };
}

/** An account with pay-as-you-go and its token, as the operator API makes them. */
export async function addAccount(
  database: TestDatabase,
  limitPicoUsd: bigint | null,
  period = new Date().toISOString().slice(0, 7),
): Promise<TestAccount> {
  const accountId = uuidv7();
  const tokenId = uuidv7();
  await database.query(
    `INSERT INTO budgets (subject_id, scope, account_id, limit_pico_usd, is_pay_as_you_go, period, held_pico_usd)
     VALUES ($1, 'account', $1, $3, true, $4, CASE WHEN $3::numeric IS NULL THEN NULL ELSE 0 END),
            ($2, 'token', $1, NULL, false, $4, NULL)`,
    [accountId, tokenId, limitPicoUsd?.toString() ?? null, period],
  );
  return { accountId, tokenId };
}

export function requestOf(
  { accountId, tokenId }: TestAccount,
  holdPicoUsd: bigint,
  overrides: Partial<AdmissionRequest> = {},
): AdmissionRequest {
  return {
    id: uuidv7(),
    createdAt: new Date(),
    accountId,
    memberId: null,
    tokenId,
    upstream: 'default',
    model: 'org/model',
    task: 'chat',
    isStream: false,
    tags: null,
    sessionId: null,
    clientRequestId: null,
    hold: { kind: 'fixed', holdPicoUsd },
    idempotency: null,
    ...overrides,
  };
}

export function settledAt(costPicoUsd: bigint, overrides: Partial<Ending> = {}): Ending {
  return {
    state: 'settled',
    outcome: 'complete',
    servedAt: new Date(),
    provider: 'together',
    providerModelId: 'provider/model',
    providerRequestId: uuidv7(),
    status: 200,
    quantities: { input: 10n, output: 5n },
    reasoningTokens: null,
    usageSource: 'provider',
    isPriceAssumed: false,
    ratedCostPicoUsd: costPicoUsd,
    priceRowIds: [1n, 2n],
    providerReportedPicoUsd: null,
    firstByteMs: 5,
    durationMs: 9,
    attempts: [],
    rawUsage: null,
    givesKeyBack: false,
    ...overrides,
  };
}

/** The event of an admission that must have succeeded. */
export function admittedOf(result: AdmissionResult): AdmittedEvent {
  if (result.kind !== 'admitted') throw new Error(`expected an admission, got ${result.kind}`);
  return result.event;
}

export function settle(
  journal: GroupCommitJournal,
  event: AdmittedEvent,
  ending: Ending,
): SettlementTicket {
  return journal.settle(refOf(event), ending);
}

export interface BudgetFigures {
  readonly used: bigint;
  readonly previousUsed: bigint;
  readonly held: bigint | null;
}

export async function budgetOf(database: TestDatabase, subjectId: string): Promise<BudgetFigures> {
  const [row] = await database.query<{ used: string; previous: string; held: string | null }>(
    `SELECT used_pico_usd::text AS used, previous_used_pico_usd::text AS previous, held_pico_usd::text AS held
     FROM budgets WHERE subject_id = $1`,
    [subjectId],
  );
  if (row === undefined) throw new Error('no such budget');
  return {
    used: BigInt(row.used),
    previousUsed: BigInt(row.previous),
    held: row.held === null ? null : BigInt(row.held),
  };
}
