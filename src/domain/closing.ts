import { isClosedIn, owedIn, release, rolledTo, type BudgetRow } from './budget-rows.js';
import {
  burnedIn,
  closeCredit,
  creditAccountOf,
  type ClosedCredit,
  type GrantKind,
  type GrantPart,
} from './credits.js';
import {
  PICO_USD_PER_CENT,
  totalOf,
  type InvoiceLine,
  type InvoiceLineKind,
  type InvoiceTotal,
} from './invoices.js';
import { receivable, unbilled, type Transfer, type TransferKind } from './ledger.js';
import { type PicoUsd } from './money.js';
import { nextPeriod, previousPeriod } from './periods.js';
import { type PlanFee } from './plans.js';

/** A line that a late fact leaves on the invoice of the period in which it lands. */
export interface LandedCorrection {
  readonly kind: 'correction' | 'void' | 'void_carry' | 'credit_note';
  readonly description: string;
  /** The part that goes through `unbilled`, of either sign; 0 leaves no line. */
  readonly linePicoUsd: PicoUsd;
}

/** All that one account's period consists of. */
export interface PeriodFacts {
  readonly accountId: string;
  readonly period: string;
  readonly fees: readonly PlanFee[];
  /** One line per provider x model x set of price rows. */
  readonly usage: readonly InvoiceLine[];
  readonly corrections: readonly LandedCorrection[];
  /** What the close before carried, and the period it is from. */
  readonly carryInPicoUsd: PicoUsd;
}

export interface ClosedPeriod {
  readonly lines: readonly InvoiceLine[];
  readonly total: InvoiceTotal;
  /** False: nothing but a carry, which is carried on without an invoice. */
  readonly hasInvoice: boolean;
  readonly credit: ClosedCredit;
}

/** Why a period may not be closed: the books and the events tell different sums. */
export interface BooksDiffer {
  readonly unbilledPicoUsd: PicoUsd;
  readonly linesPicoUsd: PicoUsd;
}

/** The lines of a period, in the order in which an invoice shows them, and its total. */
export function closePeriod(
  facts: PeriodFacts,
  row: BudgetRow,
  invoiceMinimumPicoUsd: PicoUsd,
): ClosedPeriod {
  const { period } = facts;
  const credit = closeCredit(row.credit, period, nextPeriod(period));
  const lines: InvoiceLine[] = [
    ...facts.fees.map(({ description, amountPicoUsd }) =>
      plainLine('plan', description, amountPicoUsd),
    ),
    ...facts.usage,
    ...creditLines(credit.burned),
    ...facts.corrections
      .filter(({ linePicoUsd }) => linePicoUsd !== 0n)
      .map(({ kind, description, linePicoUsd }) =>
        plainLine(LANDED_AS[kind], description, linePicoUsd),
      ),
  ];
  const hasInvoice = lines.length > 0 || facts.corrections.length > 0;
  if (facts.carryInPicoUsd !== 0n) {
    const from = `Carried from ${previousPeriod(period)}`;
    lines.push(plainLine('carry', from, facts.carryInPicoUsd));
  }
  if (hasInvoice) {
    return { lines, total: totalOf(lines, invoiceMinimumPicoUsd), hasInvoice, credit };
  }
  const carriedPicoUsd = facts.carryInPicoUsd;
  const total = { exactSumPicoUsd: carriedPicoUsd, totalCents: 0n, carriedPicoUsd };
  return { lines, total, hasInvoice, credit };
}

/** Null when the books agree with the lines. `unbilledPicoUsd` is before the fees are booked. */
export function differenceOf(
  { lines }: ClosedPeriod,
  facts: PeriodFacts,
  unbilledPicoUsd: PicoUsd,
): BooksDiffer | null {
  const fees = facts.fees.reduce((sum, { amountPicoUsd }) => sum + amountPicoUsd, 0n);
  const linesPicoUsd = lines.reduce((sum, { exactPicoUsd }) => sum + exactPicoUsd, 0n) - fees;
  return linesPicoUsd === unbilledPicoUsd ? null : { unbilledPicoUsd, linesPicoUsd };
}

/** A voided invoice returns as corrections, and as a carry that takes off what it had carried. */
const LANDED_AS: Readonly<Record<LandedCorrection['kind'], InvoiceLineKind>> = {
  correction: 'correction',
  void: 'correction',
  void_carry: 'carry',
  credit_note: 'credit_note',
};

const CREDIT_WORDS: Readonly<Record<GrantKind, string>> = {
  plan: 'Monthly credit of the plan',
  promotional: 'Promotional credit',
  prepaid: 'Prepaid credit',
};

function creditLines(burned: readonly GrantPart[]): readonly InvoiceLine[] {
  return (Object.keys(CREDIT_WORDS) as GrantKind[]).flatMap((kind) => {
    const used = burned
      .filter((part) => part.kind === kind)
      .reduce((sum, { amountPicoUsd }) => sum + amountPicoUsd, 0n);
    return used === 0n ? [] : [plainLine('credit', CREDIT_WORDS[kind], -used)];
  });
}

function plainLine(kind: InvoiceLineKind, description: string, exactPicoUsd: PicoUsd): InvoiceLine {
  return {
    kind,
    description,
    provider: null,
    upstream: null,
    model: null,
    requests: null,
    priceRowIds: [],
    parts: null,
    exactPicoUsd,
  };
}

/** What the close of a period books: the fees, the invoice, the carry, and credit that expires. */
export function closingTransfers(
  facts: PeriodFacts,
  { total, credit }: ClosedPeriod,
  close: { readonly at: Date; readonly invoiceId: string; readonly newId: () => string },
): readonly Transfer[] {
  const { accountId, period } = facts;
  const next = nextPeriod(period);
  const owed = unbilled(accountId, period);
  const transfer = (
    kind: TransferKind,
    debit: string,
    credited: string,
    amountPicoUsd: PicoUsd,
    idempotencyId: string,
    grantId: string | null = null,
  ): readonly Transfer[] =>
    amountPicoUsd === 0n
      ? []
      : [
          {
            id: close.newId(),
            createdAt: close.at,
            period,
            kind,
            debit,
            credit: credited,
            amountPicoUsd,
            accountId,
            grantId,
            idempotencyId,
          },
        ];
  const { carriedPicoUsd } = total;
  const carryId = `carry:${accountId}:${period}`;
  return [
    ...facts.fees.flatMap(({ amountPicoUsd }, index) =>
      transfer(
        'plan_fee',
        owed,
        'subscription_revenue',
        amountPicoUsd,
        `fee:${accountId}:${period}:${index}`,
      ),
    ),
    ...transfer(
      'invoice',
      receivable(accountId),
      owed,
      total.totalCents * PICO_USD_PER_CENT,
      `invoice:${close.invoiceId}`,
    ),
    ...(carriedPicoUsd > 0n
      ? transfer('carry', unbilled(accountId, next), owed, carriedPicoUsd, carryId)
      : transfer('carry', owed, unbilled(accountId, next), -carriedPicoUsd, carryId)),
    ...credit.expired.flatMap((part) =>
      transfer(
        'expiry',
        creditAccountOf(accountId, part),
        part.kind === 'prepaid' ? 'breakage' : 'promo_cost',
        part.amountPicoUsd,
        `expiry:${part.grantId}`,
        part.grantId,
      ),
    ),
  ];
}

/**
 * The budget after the close, of the row as it is under the lock: the next period may have burned and
 * been granted credit while the close was computed. Holds of events that wait for a price are
 * released; a row of the period itself moves on to the next.
 */
export function closedRow(row: BudgetRow, period: string, releasedPicoUsd: PicoUsd): BudgetRow {
  const next = nextPeriod(period);
  const credit = closeCredit(row.credit, period, next).state;
  return {
    ...release({ ...rolledTo(row, next), credit }, releasedPicoUsd),
    closedThrough: period,
  };
}

/** What must be as it was for a close that was computed without a lock to stand. */
export function isSamePeriod(before: BudgetRow, now: BudgetRow, period: string): boolean {
  return (
    before.closedThrough === now.closedThrough &&
    !isClosedIn(now, period) &&
    owedIn(before, period) === owedIn(now, period) &&
    burnedIn(before.credit, period) === burnedIn(now.credit, period)
  );
}
