import type { Account } from '../../src/identity/account.js';
import type { PriceRow } from '../../src/domain/pricing.js';
import type { OpenEventRef } from '../../src/metering/journal.js';
import type { GroupCommitJournal } from '../../src/metering/group-commit.js';
import { isUnit } from '../../src/domain/units.js';
import { insertAccount } from '../../src/identity/accounts.repository.js';
import { insertBudget } from '../../src/identity/budgets.repository.js';
import { readBooks } from './books.js';
import { checkBooks, type Violation } from './checks.js';
import { Dice } from './dice.js';
import { Model, type ModelPrice } from './model.js';
import { ModelAccount } from './model-account.js';
import type { ModelLines } from './model-books.js';
import { MODEL_PLANS, type ModelPlan } from './model-plans.js';
import { monthOf } from './months.js';
import type { Process, World } from './world.js';

export const HOUR_MS = 3_600_000;
export const DAY_MS = 24 * HOUR_MS;
export const USD = 1_000_000_000_000n;

export const PROVIDERS = ['alpha', 'beta', 'gamma'] as const;
export const MODELS = ['org/small', 'org/large'] as const;
/** Units without a price at first: a request that uses one waits for it. */
export const UNPRICED_UNITS = ['gpu_ms', 'video_ms', 'image', 'pixel', 'audio_ms'] as const;

/** One seed's life on a database: its accounts, the model of them, and what happened so far. */
export class Run {
  readonly model = new Model(() => this.world.nowMs);
  readonly upstream: string;
  readonly accounts: ModelAccount[] = [];
  /** The price book as a process has it in memory. */
  readonly rows: PriceRow[] = [];
  readonly refs = new Map<string, OpenEventRef>();
  readonly ownerOf = new Map<string, string>();
  /** Journals of dead processes, whose settlements may still arrive. */
  readonly lateJournals: GroupCommitJournal[] = [];
  /** Provider requests that were charged or may be. */
  readonly seenRequests: { readonly provider: string; readonly id: string }[] = [];
  readonly grantRequests: GrantOnce[] = [];
  readonly invoiceTexts = new Map<string, string>();
  readonly transferTexts = new Map<string, string>();
  readonly violations: Violation[] = [];
  readonly log: string[] = [];

  /** Idempotency keys by token and key, with the request that took them last. */
  readonly claims = new Map<string, Claim>();
  /** Requests that gave their key back. */
  readonly freedKeys = new Set<string>();
  /** Requests that were released because their process was taken for dead. */
  readonly sweptIds = new Set<string>();
  readonly linesAtClose = new Map<string, ModelLines>();
  readonly startMs: number;
  /** Before any clock of the run began. */
  readonly pricesFromMs: number;

  constructor(
    readonly world: World,
    readonly seed: number,
    /** Kinds of steps, and finer things, that are left out. */
    private readonly without: ReadonlySet<string>,
  ) {
    this.upstream = `sim-${seed}`;
    this.startMs = startOf(seed);
    this.pricesFromMs = this.startMs - DAY_MS;
    world.nowMs = this.startMs;
  }

  get invoiceMinimum(): bigint {
    return this.world.config.billing.invoiceMinimumPicoUsd;
  }

  isEnabled(what: string): boolean {
    return !this.without.has(what);
  }

  slugOf(account: ModelAccount): string {
    return `s${this.seed}-${account.name.replace(' ', '-')}`;
  }

  get processes(): readonly [Process, Process] {
    return this.world.processes;
  }

  get nowMs(): number {
    return this.world.nowMs;
  }

  dice(step: number | string): Dice {
    return new Dice(`${this.seed}/${step}`);
  }

  /** One real account with members and tokens, and the model's. */
  async openAccount(dice: Dice): Promise<ModelAccount> {
    const plan = dice.weighted([
      [MODEL_PLANS[0]!, 3],
      [MODEL_PLANS[1]!, 4],
      [MODEL_PLANS[2]!, 3],
    ]);
    const seats = plan.isPerSeat ? dice.between(1, 5) : 1;
    const isPayAsYouGo = dice.chance(plan.slug === 'free' ? 25 : 80);
    const limit = limitOf(dice);
    const name = `account ${this.accounts.length + 1}`;
    const id = dice.uuid();
    const change = { plan, seats, effectiveMs: this.nowMs };
    const account = new ModelAccount(id, name, this.nowMs, [change], isPayAsYouGo, limit);
    const members = dice.between(0, 2);
    for (let index = 0; index < members; index += 1) {
      account.members.push({ id: dice.uuid(), limit: dice.chance(50) ? null : limitOf(dice) });
    }
    const tokens = dice.between(1, 3);
    for (let index = 0; index < tokens; index += 1) {
      account.tokens.push({
        id: dice.uuid(),
        limit: dice.chance(60) ? null : limitOf(dice),
        memberId: dice.chance(50) ? (dice.pickOrNull(account.members)?.id ?? null) : null,
        isRevoked: false,
      });
    }
    await this.insert(account, plan, seats);
    this.model.accounts.set(id, account);
    this.accounts.push(account);
    this.log.push(
      `  ${name}: ${plan.slug} x${seats}, ${isPayAsYouGo ? `pay-as-you-go up to ${text(limit)}` : 'no pay-as-you-go'}, ` +
        `members ${account.members.map((one) => text(one.limit)).join(' ') || '-'}, ` +
        `tokens ${account.tokens.map((one) => text(one.limit)).join(' ')}`,
    );
    return account;
  }

  private async insert(account: ModelAccount, plan: ModelPlan, seats: number): Promise<void> {
    const createdAt = new Date(account.createdMs);
    const real: Account = {
      kind: 'organization',
      id: account.id,
      slug: this.slugOf(account),
      name: account.name,
      plan: plan.slug,
      seats,
      createdAt,
      scheduled: null,
      limits: {
        monthlySpendLimitPicoUsd: account.limit,
        isPayAsYouGo: account.isPayAsYouGo,
        maxSpendLimitPicoUsd: null,
        requestsPerMinute: null,
        requestsPerDay: null,
      },
    };
    const inForce = await this.processes[0].subscriptions.plan(plan.slug);
    const subjects = [
      ...account.members.map(({ id, limit }) => ({ id, limit, scope: 'member' as const })),
      ...account.tokens.map(({ id, limit }) => ({ id, limit, scope: 'token' as const })),
    ];
    await this.processes[0].database.prisma.$transaction(async (tx) => {
      await insertAccount(tx, real, { plan: inForce, seats, effectiveAt: createdAt });
      for (const { id, limit, scope } of subjects) {
        await insertBudget(tx, {
          subjectId: id,
          scope,
          accountId: account.id,
          limitPicoUsd: limit,
          isPayAsYouGo: false,
          period: monthOf(this.nowMs),
        });
      }
    });
  }

  /** Rows of the price book, in the store and in everybody's memory. */
  async addPrices(prices: readonly NewPrice[]): Promise<void> {
    const rows = await this.world.rows<{ id: string }>(
      `INSERT INTO prices (upstream, provider, model, unit, pico_usd, per_units, effective_from, source, imported_at)
       SELECT $1, p.provider, p.model, p.unit, p.pico, p.per, p.since, 'manual', $8
       FROM unnest($2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::timestamptz[])
         AS p(provider, model, unit, pico, per, since) RETURNING id::text`,
      [
        this.upstream,
        prices.map(({ provider }) => provider),
        prices.map(({ model }) => model),
        prices.map(({ unit }) => unit),
        prices.map(({ pico }) => pico.toString()),
        prices.map(({ per }) => per.toString()),
        prices.map(({ fromMs }) => new Date(fromMs)),
        new Date(this.nowMs),
      ],
    );
    for (const [index, { id: text }] of rows.entries()) {
      const price = prices[index]!;
      const { provider, model, unit, pico, per, fromMs } = price;
      const id = BigInt(text);
      if (!isUnit(unit)) throw new Error(`simulation: ${unit} is no unit`);
      this.rows.push({
        id,
        upstream: this.upstream,
        provider,
        model,
        unit,
        condition: null,
        picoUsd: pico,
        perUnits: per,
        effectiveFrom: new Date(fromMs),
        effectiveTo: null,
        source: 'manual',
      });
      this.model.prices.push({ id, ...price, toMs: null });
    }
  }

  /** Ends a row, once. */
  async endPrice(id: bigint, toMs: number): Promise<void> {
    await this.world.rows('UPDATE prices SET effective_to = $2 WHERE id = $1', [
      id.toString(),
      new Date(toMs),
    ]);
    const index = this.rows.findIndex((row) => row.id === id);
    this.rows[index] = { ...this.rows[index]!, effectiveTo: new Date(toMs) };
    this.model.prices.find((row) => row.id === id)!.toMs = toMs;
  }

  async check(accounts: readonly ModelAccount[]): Promise<void> {
    if (accounts.length === 0) return;
    const books = await readBooks(
      this.world,
      accounts.map(({ id }) => id),
    );
    this.violations.push(...checkBooks(this.model, books, accounts));
  }
}

export type NewPrice = Omit<ModelPrice, 'id' | 'toMs'>;

export interface Claim {
  readonly tokenId: string;
  readonly key: string;
  readonly body: string;
  readonly eventId: string;
}

export interface GrantOnce {
  readonly account: ModelAccount;
  readonly key: string;
  readonly kind: 'promotional' | 'prepaid';
  readonly amount: bigint;
  readonly expiresMs: number | null;
  readonly id: string;
}

/** A limit that a life of months can reach, or none. */
export function limitOf(dice: Dice): bigint | null {
  return dice.weighted([
    [null, 2],
    [dice.amount(USD / 10n), 2],
    [dice.amount(5n * USD), 4],
    [100n * USD, 2],
    [0n, 1],
  ]);
}

/** Dollars as people read them, exactly. */
export function text(amount: bigint | null): string {
  if (amount === null) return 'any';
  const digits = (amount < 0n ? -amount : amount).toString().padStart(13, '0');
  const fraction = digits.slice(-12).replace(/0+$/, '');
  return `${amount < 0n ? '-' : ''}$${digits.slice(0, -12)}${fraction === '' ? '' : `.${fraction}`}`;
}

/**
 * Seeds of one store live one after the other backwards in time, two years apart: a close reaches
 * every account that began before its month, and so only those of its own seed.
 */
const FIRST_YEAR = 2026;
export const SEEDS_A_STORE = 50;

function startOf(seed: number): number {
  const year = FIRST_YEAR + 2 * (SEEDS_A_STORE - 1 - (seed % SEEDS_A_STORE));
  const dice = new Dice(`${seed}/start`);
  const day = dice.weighted([
    [1, 1],
    [28, 1],
    [dice.between(1, 28), 2],
  ]);
  const month = dice.between(0, 11);
  return Date.UTC(year, month, day, dice.between(0, 23), dice.between(0, 59), 0);
}
