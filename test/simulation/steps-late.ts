import { TollgateError } from '../../src/domain/errors.js';
import type { RecordedInvoice } from '../../src/billing/invoices.repository.js';
import { SYSTEM_ACTOR } from '../../src/http/actor.js';
import type { Context } from './context.js';
import type { ModelAccount, ModelInvoice } from './model-account.js';
import {
  correct,
  creditNote,
  decideLate,
  endInvoice,
  voidInvoice,
  type ModelCorrection,
} from './model-books.js';
import { monthAfter, monthOf } from './months.js';
import { describe } from './requests.js';
import { PROVIDERS, text, USD } from './run.js';
import { again, breakBilling } from './steps-accounts.js';

/** Steps after the fact: corrections, credit notes, voids, payments. */

/** Up or down, of a closed month or an open one; at times asked twice, or interrupted. */
export async function correction(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const process = context.processFor(account);
  const at = process.now();
  const months: string[] = [];
  let month = monthOf(account.createdMs);
  for (; month <= monthOf(at.getTime()); month = monthAfter(month)) months.push(month);
  const isOpenAllowed = run.isEnabled('corrections_of_open_months');
  const picked = dice.pickOrNull(months.filter((one) => isOpenAllowed || account.isClosed(one)));
  if (picked === null) return;
  month = picked;
  const amount = dice.amount(USD) + 1n;
  const isUp = dice.chance(50);
  const facts = account.month(month);
  // Down to what the month cost, and now and then beyond it.
  const charged = facts.cost + facts.corrected;
  const down = dice.chance(70) && charged > 0n ? dice.amount(charged) + 1n : amount;
  const order = {
    amountPicoUsd: isUp ? amount : -down,
    period: month,
    reason: 'simulated',
    requestId: null,
    upstream: run.upstream,
    provider: dice.pick(PROVIDERS),
    idempotencyKey: context.key(),
  };
  const identity = { id: account.id, createdAt: new Date(account.createdMs) };
  const isBroken = breakBilling(context, process);
  const book = (): ReturnType<typeof process.corrections.correct> =>
    process.corrections.correct(identity, order, SYSTEM_ACTOR, at);
  const booked = await again(process, isBroken, book);
  if (dice.chance(20)) {
    const twice = await book();
    context.findings.equal(
      'invariant 4: one idempotency id, one effect',
      'the same correction again',
      twice.id,
      booked.id,
    );
  }
  compareCorrection(
    context,
    account,
    booked,
    correct(run.model, account, month, order.amountPicoUsd),
  );
  context.say(
    `${account.name}: ${text(order.amountPicoUsd)} of ${month}${isBroken ? ', interrupted' : ''}, a line of ${text(booked.linePicoUsd)} in ${booked.landsIn}`,
  );
}

function compareCorrection(
  context: Context,
  account: ModelAccount,
  actual: { readonly landsIn: string; readonly linePicoUsd: bigint },
  expected: ModelCorrection,
): void {
  context.touch(account);
  const check = 'invariant 8: a correction is split as its month would have split it';
  context.findings.equal(check, 'where it lands', actual.landsIn, expected.landsIn);
  context.findings.equal(check, 'its line', actual.linePicoUsd, expected.line);
}

/** A person charges a request that still waited when its month closed. */
export async function chargeLate(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = dice.pickOrNull(
    [...run.model.events.values()].filter(
      ({ state, account, month }) =>
        (state === 'unpriced' || state === 'quarantined') && account.isClosed(month),
    ),
  );
  if (event === null || event.state === 'settled') return;
  const { account, month, provider, providerRequestId } = event;
  const isTaken =
    provider !== null &&
    providerRequestId !== null &&
    run.model.chargedTo.has(`${provider} ${providerRequestId}`);
  const process = context.processFor(account);
  const amount = dice.amount(USD) + 1n;
  const state = event.state as 'unpriced' | 'quarantined';
  const booked = await process.corrections.chargeLate(
    account.id,
    { id: event.id, state },
    {
      amountPicoUsd: amount,
      period: month,
      description: 'decided late',
      upstream: run.upstream,
      provider,
    },
    SYSTEM_ACTOR,
    process.now(),
  );
  context.say(
    `${describe(event)}, ${state}: ${text(amount)}, ${booked === null ? 'refused' : 'booked'}`,
  );
  context.touch(account);
  context.findings.equal(
    'invariant 7: a provider request is charged once',
    `whether ${describe(event)} is charged late`,
    booked !== null,
    !isTaken,
  );
  if (booked === null || isTaken) return;
  compareCorrection(context, account, booked, decideLate(run.model, event, amount));
  if (provider !== null && providerRequestId !== null) {
    run.model.chargedTo.set(`${provider} ${providerRequestId}`, event.id);
  }
}

interface Picked {
  readonly account: ModelAccount;
  readonly invoice: ModelInvoice;
  readonly real: RecordedInvoice;
}

async function pickInvoice(
  context: Context,
  matches: (invoice: ModelInvoice) => boolean,
): Promise<Picked | null> {
  const { run, dice } = context;
  const found = dice.pickOrNull(
    run.accounts.flatMap((account) =>
      account
        .allMonths()
        .flatMap(({ invoice }) => (invoice === null || !matches(invoice) ? [] : [invoice]))
        .map((invoice) => ({ account, invoice })),
    ),
  );
  if (found === null) return null;
  const listed = await run.processes[0].invoices.list(found.account.id, 100, null);
  const real = listed.find(({ period }) => period === found.invoice.month);
  if (real === undefined) {
    context.findings.ensure(
      'invariant 16: a month makes one invoice',
      false,
      `${found.account.name} has no invoice of ${found.invoice.month}`,
    );
    return null;
  }
  return { ...found, real };
}

export async function writeCreditNote(context: Context): Promise<void> {
  const { dice } = context;
  const picked = await pickInvoice(context, ({ totalCents }) => totalCents > 0n);
  if (picked === null) return;
  const { account, invoice, real } = picked;
  const process = context.processFor(account);
  const at = process.now();
  const left = invoice.totalCents - invoice.creditedCents;
  const cents = dice.chance(10) ? left + 1n : dice.amount(left) + 1n;
  const request = { amountCents: cents, reason: 'simulated', idempotencyKey: context.key() };
  const isBroken = breakBilling(context, process);
  const write = (): ReturnType<typeof process.creditNotes.credit> =>
    process.creditNotes.credit(real, request, SYSTEM_ACTOR, at);
  const isPossible = cents <= left && (invoice.state === 'paid' || invoice.state === 'finalized');
  let goodwill: bigint | string;
  try {
    goodwill = (await again(process, isBroken, write)).goodwillCents;
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    goodwill = error.refusal.code;
  }
  context.touch(account);
  context.say(
    `${account.name}, invoice of ${invoice.month}: ${cents} of ${left} cents${isBroken ? ', interrupted' : ''}: goodwill ${String(goodwill)}`,
  );
  const refused = cents > left ? 'invalid_request' : 'conflict';
  const check = 'invariant 8: a credit note pays out corrections, the rest is goodwill';
  if (!isPossible) {
    const isState = invoice.state === 'paid' || invoice.state === 'finalized';
    context.findings.equal(
      check,
      'a note that cannot be',
      goodwill,
      isState ? refused : 'conflict',
    );
    return;
  }
  context.findings.equal(
    check,
    'goodwill',
    goodwill,
    creditNote(account, invoice, cents).goodwillCents,
  );
  if (!dice.chance(20)) return;
  const twice = await process.creditNotes.credit(real, request, SYSTEM_ACTOR, at);
  context.findings.equal(
    'invariant 4: one idempotency id, one effect',
    'the same credit note again',
    twice.goodwillCents,
    goodwill,
  );
}

export async function voidOne(context: Context): Promise<void> {
  const picked = await pickInvoice(context, () => true);
  if (picked === null) return;
  const { account, invoice, real } = picked;
  const process = context.processFor(account);
  const isPossible = invoice.state === 'finalized' && invoice.creditedCents === 0n;
  const isBroken = breakBilling(context, process);
  let outcome: string;
  try {
    const voided = await again(process, isBroken, () =>
      process.creditNotes.voidInvoice(real, 'simulated', SYSTEM_ACTOR, process.now()),
    );
    outcome = voided.state;
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    outcome = error.refusal.code;
  }
  // When only the answer was lost, it is void by the time it is asked for again.
  if (isBroken && isPossible && outcome === 'conflict') outcome = 'void';
  context.touch(account);
  context.say(
    `${account.name}, invoice of ${invoice.month} over ${invoice.totalCents} cents, ${invoice.state}: ${outcome}`,
  );
  context.findings.equal(
    'invariant 16: only an unpaid invoice is voided',
    'the void',
    outcome,
    isPossible ? 'void' : 'conflict',
  );
  if (isPossible) voidInvoice(account, invoice);
}

/** Paid by hand, or given up; at times asked twice. */
export async function endOne(context: Context): Promise<void> {
  const { dice } = context;
  const picked = await pickInvoice(context, ({ state }) => state === 'finalized');
  if (picked === null) return;
  const { account, invoice, real } = picked;
  const process = context.processFor(account);
  const at = process.now();
  const state = dice.chance(75) ? ('paid' as const) : ('uncollectible' as const);
  for (let times = dice.between(1, 2); times > 0; times -= 1) {
    await process.invoices.end(
      real,
      (current) =>
        current.state === 'finalized'
          ? {
              state,
              amountCents: current.totalCents - current.paidCents - current.creditedCents,
              payment: state === 'paid' ? { method: 'transfer', reference: '1', paidAt: at } : null,
            }
          : null,
      SYSTEM_ACTOR,
      at,
    );
  }
  const due = endInvoice(account, invoice, state);
  context.touch(account);
  context.say(`${account.name}, invoice of ${invoice.month}: ${state}, ${due} cents`);
}
