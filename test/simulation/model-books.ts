import { least, type ModelAccount, type ModelInvoice, type ModelMonth } from './model-account.js';
import type { Model, ModelEvent } from './model.js';
import { feesOf } from './model-plans.js';
import { endOfMonthMs, monthAfter, monthBefore } from './months.js';

/** Closing months, and what comes after: late facts, credit notes, voids, payments. */
const PICO_PER_CENT = 10_000_000_000n;

/** The sums of an invoice by the kind of its lines. */
export interface ModelLines {
  readonly plan: bigint;
  readonly usage: bigint;
  readonly credit: bigint;
  readonly corrections: bigint;
  readonly carry: bigint;
  /** Lines of usage: one per provider x model x set of prices is not told here, only that there are. */
  readonly hasUsage: boolean;
  readonly requests: number;
}

export function linesOf(model: Model, account: ModelAccount, month: string): ModelLines {
  const facts = account.month(month);
  const settled = chargedEvents(model, account, month);
  return {
    plan: feesOf(account.changes, month).reduce((sum, fee) => sum + fee, 0n),
    usage: settled.reduce((sum, { cost }) => sum + cost, 0n),
    credit: -account.creditUsed(month),
    corrections: facts.corrected + facts.landed + facts.voided,
    carry: carryIn(account, month),
    hasUsage: settled.length > 0,
    requests: settled.length,
  };
}

/** Settled requests of a month that the account is charged for: neither withheld nor decided later. */
export function chargedEvents(
  model: Model,
  account: ModelAccount,
  month: string,
): readonly ModelEvent[] {
  return model
    .eventsOf(account)
    .filter(
      (event) =>
        event.month === month &&
        event.state === 'settled' &&
        !event.isLateDecision &&
        !(event.cost === 0n && event.absorbed > 0n),
    );
}

export function sumOf({ plan, usage, credit, corrections, carry }: ModelLines): bigint {
  return plan + usage + credit + corrections + carry;
}

/** Floored to whole cents once; nothing when negative or under the minimum. */
export function totalCentsOf(sum: bigint, minimum: bigint): bigint {
  if (sum < 0n || sum < minimum) return 0n;
  const cents = sum / PICO_PER_CENT;
  return cents * PICO_PER_CENT < minimum ? 0n : cents;
}

export function carryIn(account: ModelAccount, month: string): bigint {
  return account.month(monthBefore(month)).carried;
}

/** Whether requests of the month are still under way. */
export function isBlocked(model: Model, account: ModelAccount, month: string): boolean {
  return model.eventsOf(account).some((event) => event.month === month && event.state === 'open');
}

/** Closes a month of an account: the invoice, the carry, the credit that nobody can use any more. */
export function closeMonth(
  model: Model,
  account: ModelAccount,
  month: string,
  minimum: bigint,
): ModelInvoice | null {
  const facts = account.month(month);
  const lines = linesOf(model, account, month);
  const sum = sumOf(lines);
  const planUnused = account.planLeft(month);
  const hasInvoice =
    lines.hasUsage || lines.plan !== 0n || lines.credit !== 0n || facts.hasCorrection;
  const totalCents = hasInvoice ? totalCentsOf(sum, minimum) : 0n;
  facts.carried = sum - totalCents * PICO_PER_CENT;
  facts.promoUnused += planUnused;
  account.house.promo_cost -= planUnused;
  account.house.subscription_revenue -= lines.plan;
  facts.isClosed = true;
  account.closedThrough = month;
  for (const grant of account.grants) {
    if (grant.expiresMs === null || grant.expiresMs > endOfMonthMs(month)) continue;
    account.house[grant.kind === 'prepaid' ? 'breakage' : 'promo_cost'] -= grant.left;
    grant.left = 0n;
  }
  for (const event of model.eventsOf(account)) {
    if (event.month === month && event.state === 'unpriced') event.held = 0n;
  }
  model.forgetTaken(account, 1n);
  if (!hasInvoice) return null;
  const state = totalCents === 0n ? 'paid' : 'finalized';
  facts.invoice = {
    month,
    sum,
    totalCents,
    carried: facts.carried,
    state,
    creditedCents: 0n,
    paidCents: 0n,
  };
  account.receivable += totalCents * PICO_PER_CENT;
  return facts.invoice;
}

/** What a correction does: where it is a line, with which amount, and what is ours of it. */
export interface ModelCorrection {
  readonly landsIn: string;
  readonly line: bigint;
  readonly absorbed: bigint;
  /** Promotional cost: unused plan credit of the month, or what cannot be given back otherwise. */
  readonly promoCost: bigint;
}

export function correct(
  model: Model,
  account: ModelAccount,
  month: string,
  amount: bigint,
): ModelCorrection {
  const done = booked(model, account, month, amount);
  account.correctionsAbsorbed += done.absorbed;
  return done;
}

function booked(
  model: Model,
  account: ModelAccount,
  month: string,
  amount: bigint,
): ModelCorrection {
  const held = model.heldOf(account.id);
  const before = creditLeft(account);
  const isClosed = account.isClosed(month);
  const done =
    amount > 0n
      ? isClosed
        ? chargeClosed(account, month, amount, held)
        : chargeOpen(account, month, amount, held)
      : isClosed
        ? giveBackClosed(account, month, -amount)
        : giveBackOpen(account, month, -amount);
  account.house.promo_cost += amount > 0n ? done.promoCost : -done.promoCost;
  account.month(done.landsIn).hasCorrection = true;
  const taken = before - creditLeft(account);
  const isCountedOn = account.isPayAsYouGo && !account.isUnlimited && held > 0n;
  if (taken < 0n) account.takenFromHolds -= least(account.takenFromHolds, -taken);
  else if (isCountedOn) account.takenFromHolds += taken;
  account.coverWhatIsOwed();
  return done;
}

/** All credit of the account, of every month, that is left. */
function creditLeft(account: ModelAccount): bigint {
  return account.grants.reduce(
    (sum, { left }) => sum + left,
    account.allMonths().reduce((sum, { month }) => sum + account.planLeft(month), 0n),
  );
}

/** An account without pay-as-you-go must still pay for what is under way: the rest is free. */
function freeCredit(account: ModelAccount, month: string, held: bigint): bigint | null {
  if (account.isPayAsYouGo) return null;
  const free = account.usable(month) - held;
  return free > 0n ? free : 0n;
}

function chargeOpen(
  account: ModelAccount,
  month: string,
  amount: bigint,
  held: bigint,
): ModelCorrection {
  const facts = account.month(month);
  const payable = least(amount, freeCredit(account, month, held) ?? amount);
  const rest = account.use(month, payable) + amount - payable;
  const owed = account.isPayAsYouGo ? rest : 0n;
  facts.correctionsOwed += owed;
  facts.corrected += amount - rest + owed;
  return { landsIn: month, line: amount - rest + owed, absorbed: rest - owed, promoCost: 0n };
}

function chargeClosed(
  account: ModelAccount,
  month: string,
  amount: bigint,
  held: bigint,
): ModelCorrection {
  const facts = account.month(month);
  const landsIn = account.openMonth();
  const promoCost = least(amount, facts.promoUnused);
  facts.promoUnused -= promoCost;
  let rest = amount - promoCost;
  let free = freeCredit(account, landsIn, held) ?? rest;
  for (const grant of account.inOrder()) {
    if (!account.isUsable(grant, landsIn)) continue;
    const part = least(least(rest, free), grant.left);
    account.take(grant, month, part);
    rest -= part;
    free -= part;
  }
  const owed = account.isPayAsYouGo ? rest : 0n;
  facts.lateOwed += owed;
  account.month(landsIn).landed += owed;
  return { landsIn, line: owed, absorbed: rest - owed, promoCost };
}

function giveBackOpen(account: ModelAccount, month: string, amount: bigint): ModelCorrection {
  const facts = account.month(month);
  // Corrections count towards no limit, either way: what they left owed goes back first.
  const fromCorrections = least(amount, facts.correctionsOwed);
  facts.correctionsOwed -= fromCorrections;
  const fromRequests = least(amount - fromCorrections, facts.requestsOwed);
  facts.requestsOwed -= fromRequests;
  const promoCost = account.giveBack(month, amount - fromRequests - fromCorrections);
  facts.corrected -= amount - promoCost;
  facts.promoUnused += promoCost;
  return { landsIn: month, line: -(amount - promoCost), absorbed: 0n, promoCost };
}

function giveBackClosed(account: ModelAccount, month: string, amount: bigint): ModelCorrection {
  const facts = account.month(month);
  const landsIn = account.openMonth();
  const given = least(amount, owedInAll(facts));
  facts.lateOwed -= given;
  account.month(landsIn).landed -= given;
  let rest = amount - given;
  // Prepaid credit was paid for: it comes back first.
  for (const grant of [...account.grants].sort((one, other) =>
    one.kind === other.kind ? 0 : one.kind === 'prepaid' ? -1 : 1,
  )) {
    if (!account.isUsable(grant, landsIn)) continue;
    const part = least(rest, grant.usedFor.get(month) ?? 0n);
    account.take(grant, month, -part);
    rest -= part;
  }
  facts.promoUnused += rest;
  return { landsIn, line: -given, absorbed: 0n, promoCost: rest };
}

/** Pay-as-you-go of a closed month with what corrections made of it since. */
function owedInAll(facts: ModelMonth): bigint {
  return facts.requestsOwed + facts.correctionsOwed + facts.lateOwed;
}

/** A request that waited when its month closed, charged because a person says so. */
export function decideLate(model: Model, event: ModelEvent, amount: bigint): ModelCorrection {
  const done = booked(model, event.account, event.month, amount);
  event.state = 'settled';
  event.isLateDecision = true;
  event.cost = amount - done.absorbed;
  event.absorbed = done.absorbed;
  event.credit = event.cost - done.line;
  return done;
}

/** Its lines return, with a carry that takes off what it carried: they sum to its total. */
export function voidInvoice(account: ModelAccount, invoice: ModelInvoice): void {
  const open = account.month(account.openMonth());
  invoice.state = 'void';
  open.voided += invoice.totalCents * PICO_PER_CENT;
  open.hasCorrection = true;
  account.receivable -= invoice.totalCents * PICO_PER_CENT;
}

/** Pays out whole cents that corrections of the open month owe the account; the rest is goodwill. */
export function creditNote(
  account: ModelAccount,
  invoice: ModelInvoice,
  cents: bigint,
): { readonly goodwillCents: bigint } {
  const open = account.month(account.openMonth());
  const owedBack = -(open.corrected + open.landed);
  const paidOut = owedBack <= 0n ? 0n : least(cents, owedBack / PICO_PER_CENT);
  if (paidOut > 0n) {
    open.landed += paidOut * PICO_PER_CENT;
    open.hasCorrection = true;
  }
  account.house.promo_cost += (cents - paidOut) * PICO_PER_CENT;
  invoice.creditedCents += cents;
  account.receivable -= cents * PICO_PER_CENT;
  const due = invoice.totalCents - invoice.creditedCents - invoice.paidCents;
  if (invoice.state === 'finalized' && due <= 0n) invoice.state = 'paid';
  return { goodwillCents: cents - paidOut };
}

/** Ends an invoice of which something is due: paid by hand, or given up. */
export function endInvoice(
  account: ModelAccount,
  invoice: ModelInvoice,
  state: 'paid' | 'uncollectible',
): bigint {
  const due = invoice.totalCents - invoice.creditedCents - invoice.paidCents;
  if (state === 'paid') invoice.paidCents += due;
  invoice.state = state;
  account.house[state === 'paid' ? 'cash' : 'write_off'] += due * PICO_PER_CENT;
  account.receivable -= due * PICO_PER_CENT;
  return due;
}

/** Every month that a close reaches, in order, until one that is blocked. */
export function monthsToClose(account: ModelAccount, through: string): readonly string[] {
  const months: string[] = [];
  for (let month = account.openMonth(); month <= through; month = monthAfter(month))
    months.push(month);
  return months;
}
