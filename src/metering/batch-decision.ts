import { admitBatch, type Refused } from '../domain/admission.js';
import {
  coverOwed,
  isClosedIn,
  owedIn,
  rolledTo,
  settleOwed,
  spend,
  topUp,
  viewOf,
  type BudgetRow,
  type NewGrant,
} from '../domain/budget-rows.js';
import { settlementCharge } from '../domain/budgets.js';
import { burnDown, creditAccountOf, unburn, type GrantPart } from '../domain/credits.js';
import { providerPayable, unbilled, type Transfer, type TransferKind } from '../domain/ledger.js';
import { type PicoUsd } from '../domain/money.js';
import { nextPeriod, periodBounds, periodOf } from '../domain/periods.js';
import { upstreamOf, type AdmissionRequest, type Ending, type OpenEventRef } from './journal.js';

/** A settlement as the writer takes it; `from` is the state its event must be in. */
export interface Settlement {
  readonly event: OpenEventRef;
  readonly ending: Ending;
  readonly from: 'open' | 'released' | 'unpriced' | 'quarantined' | 'settled';
  /** The caller never got the answer, or a person decided so: the account pays nothing. */
  readonly isWithheld: boolean;
  /** What a charge that is taken back had been; 0 unless `from` is settled. */
  readonly chargedBeforePicoUsd: PicoUsd;
}

export interface EndedEvent {
  readonly settlement: Settlement;
  /** What the account is charged: credit + pay-as-you-go. */
  readonly costPicoUsd: PicoUsd | null;
  readonly creditPicoUsd: PicoUsd | null;
  readonly absorbedPicoUsd: PicoUsd | null;
  readonly isOverrun: boolean;
  /** The transfers that book it, which it shares with others of the batch. */
  readonly transferIds: readonly string[];
}

export type AdmissionDecision =
  | {
      readonly kind: 'admitted';
      readonly holdPicoUsd: PicoUsd;
      readonly maxOutputTokensWritten: number | null;
    }
  | { readonly kind: 'refused'; readonly refused: Refused; readonly resetsAt: Date }
  | { readonly kind: 'token_closed' | 'member_closed' }
  /** The period of this clock is closed already. */
  | { readonly kind: 'period_closed' };

export interface BatchDecision {
  readonly at: Date;
  readonly period: string;
  readonly ended: readonly EndedEvent[];
  /** One per admission, in their order. */
  readonly admissions: readonly AdmissionDecision[];
  /** The rows that changed, as they are to be written. */
  readonly budgets: readonly ChangedBudget[];
  readonly transfers: readonly Transfer[];
  /** Plan grants that a first admission or settlement of a period made. */
  readonly grants: readonly NewGrant[];
}

export interface ChangedBudget extends BudgetRow {
  readonly isCreditChanged: boolean;
}

/** What a batch depends on beside its work and its rows. */
export interface DecisionTime {
  /** The one instant of this commit. */
  readonly at: Date;
  readonly newId: () => string;
}

/** The budgets in scope of a request, payer first. */
export function subjectsOf(scope: {
  readonly accountId: string;
  readonly memberId: string | null;
  readonly tokenId: string;
}): readonly string[] {
  return scope.memberId === null
    ? [scope.accountId, scope.tokenId]
    : [scope.accountId, scope.memberId, scope.tokenId];
}

/**
 * What one batch does: settlements first, in their order, then admissions against the budgets as
 * those left them. Pure: all of `rows` is held under lock by the caller. Every subject of the batch
 * must be in `rows`.
 */
export function decideBatch(
  settlements: readonly Settlement[],
  admissions: readonly AdmissionRequest[],
  rows: ReadonlyMap<string, BudgetRow>,
  { at, newId }: DecisionTime,
): BatchDecision {
  const period = periodOf(at);
  const book = new BatchBook(rows, at, newId);
  const ended = settlements.map((settlement) => endOne(settlement, book));
  const decisions = admitAll(admissions, book, period);
  return { at, period, ended, admissions: decisions, ...book.writes() };
}

/** The rows of a batch as they change, and the transfers that it books. */
class BatchBook {
  private readonly rows: Map<string, BudgetRow>;
  private readonly changed = new Set<string>();
  private readonly creditChanged = new Set<string>();
  private readonly transfers = new Map<string, Transfer>();
  private readonly grants: NewGrant[] = [];

  constructor(
    rows: ReadonlyMap<string, BudgetRow>,
    readonly at: Date,
    private readonly newId: () => string,
  ) {
    this.rows = new Map(rows);
  }

  row(subjectId: string): BudgetRow {
    const row = this.rows.get(subjectId);
    if (row === undefined) throw new Error(`journal: budget ${subjectId} is not locked`);
    return row;
  }

  set(row: BudgetRow): void {
    if (this.rows.get(row.subjectId)?.credit !== row.credit) this.creditChanged.add(row.subjectId);
    this.rows.set(row.subjectId, row);
    this.changed.add(row.subjectId);
  }

  /** The account's row with the plan grant of a period, made if it was not there yet. */
  toppedUp(accountId: string, period: string): BudgetRow {
    const before = this.row(accountId);
    const { row, grants, transfers } = topUp(before, period, this.at, this.newId);
    if (grants.length === 0) return before;
    this.set(row);
    this.grants.push(...grants);
    for (const transfer of transfers) this.transfers.set(transfer.id, transfer);
    return row;
  }

  /** Lets credit that was given back cover what other open periods owe. */
  coverOwed(accountId: string): void {
    const { row, covers } = coverOwed(this.row(accountId));
    if (covers.length === 0) return;
    this.set(row);
    for (const { period, part } of covers) {
      const credit = creditAccountOf(accountId, part);
      const owed = unbilled(accountId, period);
      this.post('covered', accountId, period, credit, owed, part.amountPicoUsd, part.grantId);
    }
  }

  /** Adds to the batch's one transfer of this kind between these accounts; answers with its id. */
  post(
    kind: TransferKind,
    accountId: string,
    period: string,
    debit: string,
    credit: string,
    amountPicoUsd: PicoUsd,
    grantId: string | null,
  ): string {
    const key = `${kind} ${accountId} ${period} ${debit} ${credit} ${grantId ?? ''}`;
    const before = this.transfers.get(key);
    const transfer: Transfer =
      before === undefined
        ? {
            id: this.newId(),
            createdAt: this.at,
            period,
            kind,
            debit,
            credit,
            amountPicoUsd,
            accountId,
            grantId,
            idempotencyId: null,
          }
        : { ...before, amountPicoUsd: before.amountPicoUsd + amountPicoUsd };
    this.transfers.set(key, transfer);
    return transfer.id;
  }

  writes(): Pick<BatchDecision, 'budgets' | 'transfers' | 'grants'> {
    return {
      budgets: [...this.changed].map((id) => ({
        ...this.row(id),
        isCreditChanged: this.creditChanged.has(id),
      })),
      transfers: [...this.transfers.values()],
      grants: this.grants,
    };
  }
}

/** What the account pays for one event, and what that does to the budgets in its scope. */
function endOne(settlement: Settlement, book: BatchBook): EndedEvent {
  const { event, ending, from } = settlement;
  // An unpriced event keeps its hold as provisional cost; the others of these states have none left.
  const releasesHold = (from === 'open' || from === 'unpriced') && ending.state !== 'unpriced';
  const holdPicoUsd = releasesHold ? event.holdPicoUsd : 0n;
  if (ending.state !== 'settled' || ending.isExternal === true) {
    if (holdPicoUsd !== 0n) spendInScope(book, event, holdPicoUsd, 0n, 0n);
    const costPicoUsd = ending.state === 'settled' ? 0n : null;
    return {
      settlement,
      costPicoUsd,
      creditPicoUsd: costPicoUsd,
      absorbedPicoUsd: costPicoUsd,
      isOverrun: false,
      transferIds: [],
    };
  }
  if (from === 'settled') return takeBack(settlement, book);
  return charge(settlement, holdPicoUsd, book);
}

function charge(settlement: Settlement, holdPicoUsd: PicoUsd, book: BatchBook): EndedEvent {
  const { event, ending, isWithheld } = settlement;
  const { accountId, period } = event;
  const rated = ratedOf(settlement);
  const row = book.toppedUp(accountId, period);
  const account = viewOf(row, period);
  if (account.scope !== 'account') throw new Error(`journal: ${accountId} is no account`);
  // A closed period takes no more charges: what arrives that late is ours.
  const { chargedPicoUsd, absorbedPicoUsd, isOverrun } =
    isWithheld || isClosedIn(row, period)
      ? { chargedPicoUsd: 0n, absorbedPicoUsd: rated, isOverrun: false }
      : settlementCharge(rated, holdPicoUsd, account);
  const { grants, burns, restPicoUsd } = burnDown(chargedPicoUsd, row.credit.grants, period);
  if (burns.length > 0) book.set({ ...row, credit: { ...row.credit, grants } });
  spendInScope(book, event, holdPicoUsd, restPicoUsd, chargedPicoUsd);
  const payable = providerPayable(upstreamOf(event, ending), ending.provider);
  const post = (debit: string, amount: PicoUsd, grantId: string | null): string[] =>
    amount === 0n
      ? []
      : [book.post('settlement', accountId, period, debit, payable, amount, grantId)];
  const transferIds = [
    ...burns.flatMap((part) =>
      post(creditAccountOf(accountId, part), part.amountPicoUsd, part.grantId),
    ),
    ...post(unbilled(accountId, period), restPicoUsd, null),
    ...postAbsorbed(book, event, payable, absorbedPicoUsd),
  ];
  return {
    settlement,
    costPicoUsd: chargedPicoUsd,
    creditPicoUsd: chargedPicoUsd - restPicoUsd,
    absorbedPicoUsd,
    isOverrun,
    transferIds,
  };
}

/**
 * Takes back a charge that had committed before the caller was told 503: pay-as-you-go first, then
 * the credit burned last, so that the credit used is again min(usable, cost). What a correction gave
 * back meanwhile is not given back once more: that much stays the cost of the event.
 */
function takeBack(settlement: Settlement, book: BatchBook): EndedEvent {
  const { event, ending, chargedBeforePicoUsd } = settlement;
  const { accountId, period } = event;
  const row = book.row(accountId);
  const owed = owedIn(row, period);
  const fromOwed = owed < chargedBeforePicoUsd ? owed : chargedBeforePicoUsd;
  const { grants, burns, restPicoUsd } = unburn(
    chargedBeforePicoUsd - fromOwed,
    row.credit.grants,
    period,
  );
  const takenPicoUsd = chargedBeforePicoUsd - restPicoUsd;
  if (burns.length > 0) book.set({ ...row, credit: { ...row.credit, grants } });
  spendInScope(book, event, 0n, -fromOwed, -takenPicoUsd);
  if (burns.length > 0) book.coverOwed(accountId);
  const payable = providerPayable(upstreamOf(event, ending), ending.provider);
  const back = (credit: string, amount: PicoUsd, part: GrantPart | null): string[] =>
    amount === 0n
      ? []
      : [
          book.post(
            'taken_back',
            accountId,
            period,
            payable,
            credit,
            amount,
            part?.grantId ?? null,
          ),
        ];
  return {
    settlement,
    costPicoUsd: restPicoUsd,
    creditPicoUsd: restPicoUsd,
    absorbedPicoUsd: ratedOf(settlement) - restPicoUsd,
    isOverrun: false,
    transferIds: [
      ...back(unbilled(accountId, period), fromOwed, null),
      ...burns.flatMap((part) => back(creditAccountOf(accountId, part), part.amountPicoUsd, part)),
      ...postAbsorbed(book, event, payable, takenPicoUsd),
    ],
  };
}

function postAbsorbed(
  book: BatchBook,
  { accountId, period }: OpenEventRef,
  payable: string,
  amountPicoUsd: PicoUsd,
): readonly string[] {
  if (amountPicoUsd === 0n) return [];
  return [book.post('absorbed', accountId, period, 'absorbed_cost', payable, amountPicoUsd, null)];
}

function ratedOf({ event, ending }: Settlement): PicoUsd {
  if (ending.ratedCostPicoUsd === null) {
    throw new Error(`journal: event ${event.id} settles without a cost`);
  }
  return ending.ratedCostPicoUsd;
}

/** Of an account counts what credit did not pay; of member and token the whole charge. */
function spendInScope(
  book: BatchBook,
  event: OpenEventRef,
  releasedPicoUsd: PicoUsd,
  owedPicoUsd: PicoUsd,
  chargedPicoUsd: PicoUsd,
): void {
  if (releasedPicoUsd === 0n && chargedPicoUsd === 0n) return;
  for (const subjectId of subjectsOf(event)) {
    const row = book.row(subjectId);
    book.set(
      subjectId === event.accountId
        ? settleOwed(row, event.period, releasedPicoUsd, owedPicoUsd)
        : spend(row, event.period, releasedPicoUsd, chargedPicoUsd),
    );
  }
}

function admitAll(
  admissions: readonly AdmissionRequest[],
  book: BatchBook,
  period: string,
): readonly AdmissionDecision[] {
  const obstacles = admissions.map((request): AdmissionDecision | null => {
    if (book.row(request.tokenId).isClosed) return { kind: 'token_closed' };
    if (request.memberId !== null && book.row(request.memberId).isClosed) {
      return { kind: 'member_closed' };
    }
    if (isClosedIn(book.row(request.accountId), period)) return { kind: 'period_closed' };
    return null;
  });
  const open = admissions.filter((_request, index) => obstacles[index] === null);
  for (const accountId of new Set(open.map((request) => request.accountId))) {
    // An unlimited account is not locked for writing here: its first settlement makes the grant.
    if (book.row(accountId).heldPicoUsd !== null) book.toppedUp(accountId, period);
  }
  const subjects = new Set(open.flatMap(subjectsOf));
  const budgets = new Map([...subjects].map((id) => [id, viewOf(book.row(id), period)] as const));
  const result = admitBatch(
    open.map((request) => ({ budgetKeys: subjectsOf(request), hold: request.hold })),
    budgets,
  );
  for (const [subjectId, budget] of result.budgets) {
    const row = book.row(subjectId);
    // An unlimited budget keeps no sum of holds, so that its admissions need not lock it.
    if (row.heldPicoUsd === null || row.heldPicoUsd === budget.heldPicoUsd) continue;
    book.set({ ...rolledTo(row, period), heldPicoUsd: budget.heldPicoUsd });
  }
  const resetsAt = periodBounds(nextPeriod(period)).start;
  let admitted = 0;
  return obstacles.map((obstacle): AdmissionDecision => {
    if (obstacle !== null) return obstacle;
    const admission = result.admissions[admitted];
    admitted += 1;
    if (admission === undefined) throw new Error('journal: an admission was not decided');
    return admission.kind === 'admitted'
      ? admission
      : { kind: 'refused', refused: admission, resetsAt };
  });
}
