import { expect } from 'vitest';
import {
  addGrant,
  type BudgetRow,
  coverTransfers,
  isClosedIn,
  type NewGrant,
  owedIn,
  topUp,
} from '../../src/domain/budget-rows.js';
import {
  type ClosedPeriodBooks,
  type CorrectionPlan,
  planDownward,
  planUpward,
} from '../../src/domain/corrections.js';
import { type CreditState, type GrantKind, NO_CREDIT, usableIn } from '../../src/domain/credits.js';
import { foldTransfers, type Transfer } from '../../src/domain/ledger.js';
import {
  type BatchDecision,
  decideBatch,
  type Settlement,
} from '../../src/metering/batch-decision.js';
import { RELEASED_UNSENT } from '../../src/metering/group-commit.js';
import type { AdmissionRequest, Ending } from '../../src/metering/journal.js';

export const ACCOUNT = 'account';
export const TOKEN = 'token';
export const OCTOBER = '2026-10';
export const NOVEMBER = '2026-11';
export const AT = new Date('2026-11-10T12:00:00Z');

export type Rows = ReadonlyMap<string, BudgetRow>;

export function account(parts: Partial<BudgetRow> = {}): BudgetRow {
  return {
    subjectId: ACCOUNT,
    scope: 'account',
    limitPicoUsd: null,
    isPayAsYouGo: true,
    isClosed: false,
    period: NOVEMBER,
    usedPicoUsd: 0n,
    previousUsedPicoUsd: 0n,
    heldPicoUsd: null,
    credit: NO_CREDIT,
    closedThrough: null,
    ...parts,
  };
}

export function token(parts: Partial<BudgetRow> = {}): BudgetRow {
  return { ...account(), subjectId: TOKEN, scope: 'token', isPayAsYouGo: false, ...parts };
}

export function rowsOf(...rows: readonly BudgetRow[]): Rows {
  return new Map(rows.map((row) => [row.subjectId, row]));
}

export function entitled(amountPicoUsd: bigint): CreditState {
  return { ...NO_CREDIT, entitlements: [{ from: '2026-09', amountPicoUsd }] };
}

export function settled(costPicoUsd: bigint, provider = 'novita'): Ending {
  return {
    ...RELEASED_UNSENT,
    state: 'settled',
    outcome: 'complete',
    provider,
    ratedCostPicoUsd: costPicoUsd,
    usageSource: 'provider',
    givesKeyBack: false,
  };
}

export function settlement(
  id: string,
  ending: Ending,
  parts: Partial<Settlement['event']> & Partial<Omit<Settlement, 'event' | 'ending'>> = {},
): Settlement {
  const { from = 'open', isWithheld = false, chargedBeforePicoUsd = 0n, ...event } = parts;
  return {
    event: {
      id,
      accountId: ACCOUNT,
      memberId: null,
      tokenId: TOKEN,
      upstream: 'default',
      period: NOVEMBER,
      holdPicoUsd: 0n,
      idempotencyKey: null,
      ...event,
    },
    ending,
    from,
    isWithheld,
    chargedBeforePicoUsd,
  };
}

export function request(id: string, holdPicoUsd: bigint): AdmissionRequest {
  return {
    id,
    createdAt: AT,
    accountId: ACCOUNT,
    memberId: null,
    tokenId: TOKEN,
    upstream: 'default',
    model: 'org/model',
    task: 'chat',
    isStream: false,
    tags: null,
    sessionId: null,
    clientRequestId: null,
    hold: { kind: 'fixed', holdPicoUsd },
    idempotency: null,
  };
}

/** Decides batches one after the other, as commits do. */
export class BatchBooks {
  rows: Rows;
  readonly transfers: Transfer[] = [];
  private last = 0;
  /** What corrections of closed periods left owed in November: no cost of its own. */
  private landedPicoUsd = 0n;
  readonly newId = (): string => `id${String((this.last += 1)).padStart(5, '0')}`;

  constructor(...rows: readonly BudgetRow[]) {
    this.rows = rowsOf(...rows);
  }

  get account(): BudgetRow {
    return this.rows.get(ACCOUNT)!;
  }

  commit(
    settlements: readonly Settlement[],
    admissions: readonly AdmissionRequest[] = [],
    at = AT,
  ): BatchDecision {
    const decision = decideBatch(settlements, admissions, this.rows, { at, newId: this.newId });
    const changed = decision.budgets.map(({ isCreditChanged, ...row }): BudgetRow => {
      const before = this.rows.get(row.subjectId)!;
      // What is not marked is not written.
      return { ...row, credit: isCreditChanged ? row.credit : before.credit };
    });
    this.rows = rowsOf(...this.rows.values(), ...changed);
    this.transfers.push(...decision.transfers);
    return decision;
  }

  grant(amountPicoUsd: bigint, kind: Exclude<GrantKind, 'plan'>, id: string, grantedAt = AT): void {
    const grant: NewGrant = {
      id,
      accountId: ACCOUNT,
      kind,
      amountPicoUsd,
      period: null,
      entitlementPicoUsd: null,
      grantedAt,
      expiresAt: null,
    };
    const made = addGrant(this.account, grant, NOVEMBER, this.newId);
    this.rows = rowsOf(...this.rows.values(), made.row);
    this.transfers.push(...made.transfers);
  }

  entitle(amountPicoUsd: bigint): void {
    const entitlements = [{ from: '2026-09', amountPicoUsd }];
    const row = { ...this.account, credit: { ...this.account.credit, entitlements } };
    const made = topUp(row, NOVEMBER, AT, this.newId);
    this.rows = rowsOf(...this.rows.values(), made.row);
    this.transfers.push(...made.transfers);
  }

  /** Books a correction of a period: up above 0, down below. */
  correct(amountPicoUsd: bigint, period: string, books: ClosedPeriodBooks): CorrectionPlan {
    const isUp = amountPicoUsd > 0n;
    const decide = isUp ? planUpward : planDownward;
    const size = isUp ? amountPicoUsd : -amountPicoUsd;
    const plan = decide(size, period, this.account, { period: NOVEMBER, books });
    this.rows = rowsOf(...this.rows.values(), plan.row);
    const payable = 'provider_payable:default:novita';
    const parts = plan.parts.map((part): Transfer => {
      const [debit, credit] = isUp ? [part.account, payable] : [payable, part.account];
      return {
        id: this.newId(),
        createdAt: AT,
        period,
        kind: 'correction',
        debit,
        credit,
        amountPicoUsd: part.amountPicoUsd,
        accountId: ACCOUNT,
        grantId: part.grantId,
        idempotencyId: null,
      };
    });
    const by = { at: AT, newId: this.newId, cause: 'correction' };
    if (plan.landsIn !== period) this.landedPicoUsd += plan.linePicoUsd;
    this.transfers.push(...parts, ...coverTransfers(ACCOUNT, plan.covers, by));
    return plan;
  }

  /** Stored balances are the fold of the transfers, and the rows say the same. */
  check(): void {
    const fold = foldTransfers(this.transfers);
    for (const period of [OCTOBER, NOVEMBER]) {
      expect(fold.get(`unbilled:${ACCOUNT}:${period}`) ?? 0n).toBe(
        owedIn(this.account, period) + (period === NOVEMBER ? this.landedPicoUsd : 0n),
      );
      const isOwing =
        owedIn(this.account, period) > 0n && usableIn(this.account.credit, period) > 0n;
      expect(isOwing && !isClosedIn(this.account, period)).toBe(false);
    }
    const credits = [...fold].filter(([code]) => code.includes('_credit:'));
    const { grants } = this.account.credit;
    expect(credits.reduce((sum, [, balance]) => sum - balance, 0n)).toBe(
      grants.reduce((sum, one) => sum + one.remainingPicoUsd, 0n),
    );
    for (const one of grants) expect(one.remainingPicoUsd >= 0n).toBe(true);
    for (const { amountPicoUsd } of this.transfers) expect(amountPicoUsd > 0n).toBe(true);
  }
}
