import { isClosedIn, owedIn, type BudgetRow } from './budget-rows.js';
import { burnedIn } from './credits.js';
import { type LedgerAccount, payerOf, type TransferKind } from './ledger.js';
import { type PicoUsd } from './money.js';
import { nextPeriod } from './periods.js';

/** Transfers of one account, period and kind, summed by the kinds of account between which they moved. */
export interface MovedSum {
  readonly kind: TransferKind;
  /** `unbilled`, `provider_payable`: what stands before the first colon of an account's code. */
  readonly debitKind: string;
  readonly creditKind: string;
  readonly amountPicoUsd: PicoUsd;
}

/** An open period of an account, as its events tell it and as the ledger does. */
export interface PeriodControl {
  readonly period: string;
  /** Of the settled events: what the account is charged, and what we bear. */
  readonly costPicoUsd: PicoUsd;
  readonly absorbedPicoUsd: PicoUsd;
  readonly moved: readonly MovedSum[];
}

/** All that is kept of one account, and what the ledger says of the same. */
export interface AccountControl {
  readonly row: BudgetRow;
  /** The open ones in which anything was settled or booked. */
  readonly periods: readonly PeriodControl[];
  /** Of the ledger's accounts of this payer. */
  readonly balances: readonly {
    readonly account: LedgerAccount;
    readonly storedPicoUsd: PicoUsd;
    /** Debits minus credits of all its transfers. */
    readonly foldedPicoUsd: PicoUsd;
  }[];
  /** What the transfers of each grant leave of it. */
  readonly grants: readonly { readonly grantId: string; readonly foldedPicoUsd: PicoUsd }[];
}

export type ControlCheck =
  /** The cost of events = what settlements charged. */
  | 'charged'
  /** What events say that we bear = what was booked so. */
  | 'absorbed'
  /** The credit that a period used, as the budget keeps it = as it was booked. */
  | 'credit'
  | 'pay_as_you_go'
  /** A stored balance = the fold of its transfers. */
  | 'balance'
  /** What is left of a grant = the fold of its transfers. */
  | 'grant'
  /** `unbilled` and `plan_credit` of a closed period = 0. */
  | 'closed_period'
  /** All debits = all credits. */
  | 'trial_balance'
  /** A checkpoint = the fold of all transfers up to it. */
  | 'checkpoint';

export interface ControlDifference {
  readonly check: ControlCheck;
  /** Null: of the whole ledger. */
  readonly accountId: string | null;
  /** The period, grant or account of the ledger. */
  readonly of: string;
  readonly keptPicoUsd: PicoUsd;
  readonly ledgerPicoUsd: PicoUsd;
}

/** Where an account's events, budget and balances tell anything else than its transfers. */
export function differencesOf(control: AccountControl): readonly ControlDifference[] {
  const { row, periods, balances, grants } = control;
  const accountId = row.subjectId;
  const found: ControlDifference[] = [];
  const compare = (
    check: ControlCheck,
    of: string,
    keptPicoUsd: PicoUsd,
    ledgerPicoUsd: PicoUsd,
  ): void => {
    if (keptPicoUsd === ledgerPicoUsd) return;
    found.push({ check, accountId, of, keptPicoUsd, ledgerPicoUsd });
  };
  for (const { period, costPicoUsd, absorbedPicoUsd, moved } of periods) {
    compare('charged', period, costPicoUsd, chargedIn(moved));
    compare('absorbed', period, absorbedPicoUsd, sumOf(moved, ['absorbed'], isAny, isAny));
    compare('credit', period, burnedIn(row.credit, period), creditUsedIn(moved));
    if (isRemembered(row, period)) {
      compare('pay_as_you_go', period, owedIn(row, period), payAsYouGoIn(moved));
    }
  }
  for (const { account, storedPicoUsd, foldedPicoUsd } of balances) {
    compare('balance', account, storedPicoUsd, foldedPicoUsd);
    if (isOfClosedPeriod(row, account)) compare('closed_period', account, 0n, foldedPicoUsd);
  }
  const left = new Map(row.credit.grants.map(({ id, remainingPicoUsd }) => [id, remainingPicoUsd]));
  const folded = new Map(grants.map(({ grantId, foldedPicoUsd }) => [grantId, foldedPicoUsd]));
  for (const grantId of new Set([...left.keys(), ...folded.keys()])) {
    // A grant that is used up or expired is forgotten: nothing is left of it.
    compare('grant', grantId, left.get(grantId) ?? 0n, folded.get(grantId) ?? 0n);
  }
  return found;
}

/** What all differences come to, whichever way they point. */
export function totalDifference(differences: readonly ControlDifference[]): PicoUsd {
  return differences.reduce((sum, { keptPicoUsd, ledgerPicoUsd }) => {
    const difference = keptPicoUsd - ledgerPicoUsd;
    return sum + (difference < 0n ? -difference : difference);
  }, 0n);
}

function chargedIn(moved: readonly MovedSum[]): PicoUsd {
  return sumOf(moved, ['settlement'], isAny, isAny) - sumOf(moved, ['taken_back'], isAny, isAny);
}

/** What moves the credit that a period used: settlements, covers, and corrections while it is open. */
const OF_PERIOD: readonly TransferKind[] = ['settlement', 'covered', 'taken_back', 'correction'];

function creditUsedIn(moved: readonly MovedSum[]): PicoUsd {
  return sumOf(moved, OF_PERIOD, isCredit, isAny) - sumOf(moved, OF_PERIOD, isAny, isCredit);
}

/** What settlements and corrections left owed, less what was covered, taken back or given back. */
function payAsYouGoIn(moved: readonly MovedSum[]): PicoUsd {
  return (
    sumOf(moved, ['settlement', 'correction'], isUnbilled, isAny) -
    sumOf(moved, OF_PERIOD, isAny, isUnbilled)
  );
}

function sumOf(
  moved: readonly MovedSum[],
  kinds: readonly TransferKind[],
  isDebit: (kind: string) => boolean,
  isCredited: (kind: string) => boolean,
): PicoUsd {
  return moved
    .filter(({ kind }) => kinds.includes(kind))
    .filter(({ debitKind, creditKind }) => isDebit(debitKind) && isCredited(creditKind))
    .reduce((sum, { amountPicoUsd }) => sum + amountPicoUsd, 0n);
}

function isAny(): boolean {
  return true;
}

function isCredit(kind: string): boolean {
  return kind === 'plan_credit' || kind === 'promo_credit' || kind === 'prepaid_credit';
}

function isUnbilled(kind: string): boolean {
  return kind === 'unbilled';
}

/** A budget remembers what two periods used; of an older one that is still open only the ledger does. */
function isRemembered(row: BudgetRow, period: string): boolean {
  return row.period <= period || nextPeriod(period) === row.period;
}

function isOfClosedPeriod(row: BudgetRow, account: LedgerAccount): boolean {
  const kind = payerOf(account)?.kind;
  const [, , period = ''] = account.split(':');
  return (kind === 'unbilled' || kind === 'plan_credit') && isClosedIn(row, period);
}
