import { SYSTEM_ACTOR } from '../../src/http/actor.js';
import type { Context } from './context.js';
import type { ModelEnding, ModelEvent } from './model.js';
import type { ModelAccount } from './model-account.js';
import { changed, MODEL_PLANS } from './model-plans.js';
import { monthOf } from './months.js';
import {
  admitted,
  answer,
  ask,
  compareReceipt,
  describe,
  described,
  ENDED,
  opened,
  pickOpen,
  refFor,
  settleOne,
} from './requests.js';
import { HOUR_MS, PROVIDERS, text, UNPRICED_UNITS, USD, type Run } from './run.js';
import { newGrant, orderOf, recordGrant } from './steps-accounts.js';
import { releaseAll } from './steps-time.js';
import type { Process } from './world.js';

/** Steps in which requests come and end. */

export async function admitOne(context: Context): Promise<void> {
  const account = context.anyAccount();
  const process = context.processFor(account);
  const asked = ask(context, account, process);
  admitted(context, process, asked, await process.journal.admit(asked.real));
}

/** Many at once, of several accounts: one batch, settlements before admissions. */
export async function burst(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const process = context.processFor(account);
  const open = dice
    .shuffled([...run.model.events.values()].filter(({ state }) => state === 'open'))
    .slice(0, dice.between(0, 5));
  const answers = open.map((event) => ({ event, answer: answer(context, event) }));
  const asked = Array.from({ length: dice.between(2, 8) }, () => {
    const other = dice.chance(60) ? account : context.anyAccount();
    return ask(context, context.processFor(other) === process ? other : account, process);
  });
  const receipts = answers.map(
    ({ event, answer: { real } }) => process.journal.settle(refFor(run, event), real).receipt,
  );
  const results = asked.map(({ real }) => process.journal.admit(real));
  for (const [index, { event, answer: given }] of answers.entries()) {
    const receipt = await receipts[index]!;
    context.say(
      `${describe(event)} at ${process.name}, cost ${text(given.model.rated)} of a hold of ${text(event.held)}: ${described(receipt)}`,
    );
    context.touch(event.account);
    compareReceipt(context, event, receipt, run.model.settle(event, given.model, false), BATCH);
  }
  for (const [index, one] of asked.entries()) {
    admitted(context, process, one, await results[index]!, BATCH);
  }
}

const BATCH = 'invariant 9: a batch is its requests one by one';
const KEY_KEPT_MS = 24 * HOUR_MS;

/** An `Idempotency-Key` again: taken for a day after its request ended, unless that gave it back. */
export async function replayRequest(context: Context): Promise<void> {
  const { run, dice } = context;
  const claim = dice.pickOrNull([...run.claims.values()]);
  if (claim === null) return;
  const event = run.model.events.get(claim.eventId)!;
  const endedAgoMs = event.endedMs === null ? 0 : run.nowMs - event.endedMs;
  if (Math.abs(endedAgoMs - KEY_KEPT_MS) < HOUR_MS) return;
  const process = context.processFor(event.account);
  const body = dice.chance(70) ? claim.body : 'another';
  const asked = ask(context, event.account, process, { ...claim, body });
  const result = await process.journal.admit(asked.real);
  if (run.freedKeys.has(event.id) || endedAgoMs > KEY_KEPT_MS) {
    admitted(context, process, asked, result);
    return;
  }
  const is = event.state === 'open' ? 'in_progress' : 'processed';
  context.touch(event.account);
  context.say(`${describe(event)}, which is ${event.state}: ${result.kind}`);
  context.findings.equal(
    'invariant 4: one idempotency id, one effect',
    'a second request with the key of another',
    result.kind === 'replayed' ? `${result.is} ${result.of}` : result.kind,
    `${body === claim.body ? is : 'other_body'} ${event.id}`,
  );
}

export async function settleSome(context: Context): Promise<void> {
  for (let left = context.dice.between(1, 4); left > 0; left -= 1) {
    const event = pickOpen(context);
    if (event === null) return;
    await settleOne(context, context.processFor(event.account), event, answer(context, event));
  }
}

/** The same ending again, or another one: it has ended, and nothing moves. */
export async function replaySettlement(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = dice.pickOrNull(
    [...run.model.events.values()].filter(({ state }) => state !== 'open' && state !== 'released'),
  );
  if (event === null) return;
  const process = context.processFor(event.account);
  const { real } = answer(context, event);
  const receipt = await process.journal.settle(refFor(run, event), real).receipt;
  context.touch(event.account);
  context.say(`${describe(event)}, which is ${event.state}: ${described(receipt)}`);
  context.findings.equal(
    'invariant 7: a replay changes nothing',
    'a second ending',
    receipt.kind,
    'already_ended',
  );
}

/** The answer never reached the caller: told before the commit, or after it. */
export async function withhold(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = pickOpen(context);
  if (event === null) return;
  const process = context.processFor(event.account);
  const isUnpriced = context.run.isEnabled('withheld_unpriced') && dice.chance(15);
  const unit = isUnpriced ? dice.pick(UNPRICED_UNITS) : undefined;
  const given = answer(context, event, unit === undefined ? {} : { unit });
  const isBefore = dice.chance(50);
  const ticket = process.journal.settle(refFor(run, event), given.real);
  if (isBefore) ticket.withhold();
  const receipt = await ticket.receipt;
  compareReceipt(context, event, receipt, run.model.settle(event, given.model, isBefore));
  if (!isBefore) {
    ticket.withhold();
    await process.journal.idle();
    // The charge is taken back in a batch of its own, which starts after this turn.
    await new Promise((wake) => setImmediate(wake));
    await process.journal.idle();
    run.model.takeBack(event);
    event.isWithheld = true;
  }
  context.touch(event.account);
  context.say(
    `${describe(event)} at ${process.name}, cost ${text(given.model.rated)}, withheld ${isBefore ? 'before' : 'after'} its commit: ${described(receipt)}`,
  );
}

export async function release(context: Context): Promise<void> {
  const event = pickOpen(context);
  if (event === null) return;
  await releaseAll(context, [event]);
}

/** A unit without a price was used: the hold stays until a price arrives. */
export async function unpriced(context: Context): Promise<void> {
  const event = pickOpen(context);
  if (event === null) return;
  const { dice } = context;
  const wish = dice.chance(15) ? seenRequest(context) : {};
  await settleOne(
    context,
    context.processFor(event.account),
    event,
    answer(context, event, { ...wish, unit: dice.pick(UNPRICED_UNITS) }),
  );
}

/** A price starts where none was in force: it rates what waited for it. */
export async function priceArrives(context: Context): Promise<void> {
  const { run, dice } = context;
  const waiting = [...run.model.events.values()].filter(({ state }) => state === 'unpriced');
  const one = dice.pickOrNull(waiting);
  if (one?.provider == null || one.quantities === null) return;
  const { provider, model } = one;
  const unit = Object.keys(one.quantities).find(
    (name) => run.model.priceOf(provider, model, name, one.admittedMs) === null,
  );
  if (unit === undefined) return;
  const pico = dice.amount(USD / 4_000_000n) + 1n;
  await run.addPrices([{ provider, model, unit, pico, per: 1n, fromMs: run.pricesFromMs }]);
  // In the order of their ids, as the service takes them.
  const rated = waiting
    .filter((event) => event.provider === provider)
    .sort((left, right) => (left.id < right.id ? -1 : 1));
  await run.world.rateUnpriced(run.processes[0], run.upstream, provider);
  context.say(`${unit} of ${model} on ${provider} costs ${pico} pico-USD`);
  for (const event of rated) {
    const cost = run.model.cost(provider, event.model, event.quantities!, event.admittedMs);
    if (cost === null) continue;
    const ending: ModelEnding = {
      state: 'settled',
      provider,
      providerRequestId: event.providerRequestId,
      quantities: event.quantities,
      rated: cost,
    };
    const held = event.held;
    const expected = run.model.settleWaiting(event, ending, 'unpriced', false);
    context.touch(event.account);
    context.say(`  ${describe(event)} held ${text(held)}, costs ${text(cost)}: ${expected.kind}`);
  }
}

/** The provider's figures cannot be: nothing is charged until a person decides. */
export async function quarantine(context: Context): Promise<void> {
  const event = pickOpen(context);
  if (event === null) return;
  const { run, dice } = context;
  const provider = dice.pick(PROVIDERS);
  const requestId = context.key();
  run.seenRequests.push({ provider, id: requestId });
  const model: ModelEnding = {
    state: 'quarantined',
    provider,
    providerRequestId: requestId,
    quantities: null,
    rated: null,
  };
  const isPoisoned = dice.chance(40);
  // A figure that slipped through: the store itself refuses it, and the event is put aside.
  const real = isPoisoned
    ? {
        ...answer(context, event, { provider, requestId }).real,
        quantities: dice.pick([{ input: -5n, output: 1n }, { output: 2n ** 64n }]),
        ratedCostPicoUsd: dice.pick([-5n, 2n ** 63n, 7n]),
      }
    : { ...ENDED, state: 'quarantined' as const, provider, providerRequestId: requestId };
  const process = context.processFor(event.account);
  const receipt = await process.journal.settle(refFor(run, event), real).receipt;
  context.touch(event.account);
  context.say(`${describe(event)}${isPoisoned ? ' (poisoned)' : ''}: ${receipt.kind}`);
  context.findings.equal(
    'invariant 18: a figure that cannot be is never a charge',
    `what became of ${describe(event)}`,
    receipt.kind,
    'quarantined',
  );
  run.model.settle(event, model, false);
}

/** A person decides on an event that was put aside while its month is open. */
export async function decide(context: Context): Promise<void> {
  const { run, dice } = context;
  const event = dice.pickOrNull(
    [...run.model.events.values()].filter(({ state }) => state === 'quarantined'),
  );
  if (event === null) return;
  const { provider, providerRequestId } = event;
  const rated = dice.amount(USD);
  const isAbsorbed = dice.chance(30);
  const state = dice.chance(80) ? ('settled' as const) : ('released' as const);
  const process = context.processFor(event.account);
  const receipt = await process.journal.settleWaiting(
    { ...refFor(run, event), idempotencyKey: null },
    {
      ...ENDED,
      state,
      provider,
      providerRequestId,
      ratedCostPicoUsd: state === 'settled' ? rated : null,
    },
    'quarantined',
    isAbsorbed,
  );
  context.touch(event.account);
  context.say(
    `${describe(event)}: ${state} at ${text(rated)}${isAbsorbed ? ', ours' : ''}: ${described(receipt)}`,
  );
  const ending: ModelEnding = { state, provider, providerRequestId, quantities: null, rated };
  const isClosed = event.account.isClosed(event.month);
  const expected = run.model.settleWaiting(event, ending, 'quarantined', isAbsorbed);
  compareReceipt(context, event, receipt, expected);
  // Released by a person is final: no late settlement follows.
  if (!isClosed && event.state === 'released') event.isWithheld = true;
}

/** A provider request that was seen before: charged at most once. */
export async function duplicateRequest(context: Context): Promise<void> {
  const event = pickOpen(context);
  if (event === null) return;
  const given = answer(context, event, seenRequest(context));
  await settleOne(context, context.processFor(event.account), event, given);
}

function seenRequest({ run, dice }: Context): { provider: string; requestId: string } | object {
  const seen = dice.pickOrNull(run.seenRequests);
  return seen === null ? {} : { provider: seen.provider, requestId: seen.id };
}

/** Both processes at once for one account: no order changes a sum. */
export async function race(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const [, second] = run.processes;
  const { lagMs } = second;
  // Of one clock: what is the same in any order must be of one month.
  second.lagMs = 0;
  try {
    await (dice.chance(50) ? contend(context, account) : mingle(context, account));
  } finally {
    second.lagMs = lagMs;
  }
}

/** The same request many times over: how many are admitted does not depend on who comes first. */
async function contend(context: Context, account: ModelAccount): Promise<void> {
  const { run, dice } = context;
  const first = ask(context, account, run.processes[0]);
  const rivals = Array.from({ length: dice.between(3, 9) }, () => ({
    process: dice.pick(run.processes),
    asked: { ...first, real: { ...first.real, id: dice.uuid(), idempotency: null } },
  }));
  const results = await Promise.all(
    rivals.map(({ process, asked }) => process.journal.admit(asked.real)),
  );
  const events = rivals.flatMap(({ process, asked }, index) => {
    const result = results[index]!;
    return result.kind === 'admitted' ? [opened(context, process, asked, result)] : [];
  });
  context.touch(account);
  context.say(`${account.name}: ${events.length} of ${rivals.length} admitted at both processes`);
  const cost = dice.amount(
    events.reduce((least, { hold }) => (hold < least ? hold : least), 3n * USD),
  );
  const provider = dice.pick(PROVIDERS);
  for (const event of events) {
    const given = answer(context, event, { cost, provider, requestId: null, isExact: true });
    const { receipt } = run.processes[0].journal.settle(refFor(run, event), given.real);
    compareReceipt(context, event, await receipt, run.model.settle(event, given.model, false));
  }
}

/** Requests end and come, credit arrives, balances are read, all at the same time. */
async function mingle(context: Context, account: ModelAccount): Promise<void> {
  const { run, dice } = context;
  const [, second] = run.processes;
  const mine = [...run.model.events.values()].filter(
    (event) => event.account === account && event.state === 'open',
  );
  const settling = mine.map((event) => {
    const cost = dice.amount(event.hold);
    return { event, process: dice.pick(run.processes), given: answer(context, event, { cost }) };
  });
  const fitting = Array.from({ length: dice.between(0, 6) }, () => ({
    process: dice.pick(run.processes),
    asked: ask(context, account, second, null, (room) => ({
      lines: [{ fixed: room / 8n, outputs: 0n, pico: 0n, per: 1n }],
      tokens: null,
    })),
  }));
  const receipts = settling.map(
    ({ event, process, given }) => process.journal.settle(refFor(run, event), given.real).receipt,
  );
  const results = fitting.map(({ process, asked }) => process.journal.admit(asked.real));
  const reads = dice.chance(50) ? [second.credits.budgetAt(account.id, second.now())] : [];
  const events = settling.map(({ event }) => event);
  const booking = isSameInAnyOrder(run, account, events)
    ? dice.pick([startGrant, startUpgrade])(context, account, second)
    : null;
  context.touch(account);
  for (const [index, { event, given }] of settling.entries()) {
    const receipt = await receipts[index]!;
    compareReceipt(context, event, receipt, run.model.settle(event, given.model, false));
    event.credit = null;
  }
  await Promise.all(reads);
  await booking?.then((record) => {
    record();
  });
  context.say(`${account.name}: ${settling.length} settled while ${fitting.length} came`);
  for (const [index, { process, asked }] of fitting.entries()) {
    admitted(context, process, asked, await results[index]!);
  }
}

/**
 * Whether credit that arrives now pays for the same whenever it arrives: nothing else than the plan's
 * credit is there, and only this month owes anything.
 */
function isSameInAnyOrder(
  run: Run,
  account: ModelAccount,
  settling: readonly ModelEvent[],
): boolean {
  const month = monthOf(run.nowMs);
  const isHere = settling.every((event) => event.month === month);
  const isSameClock = monthOf(run.processes[1].now().getTime()) === month;
  const owesElsewhere = account
    .allMonths()
    .some(
      (facts) =>
        facts.month !== month && !facts.isClosed && facts.requestsOwed + facts.correctionsOwed > 0n,
    );
  return isHere && isSameClock && !owesElsewhere && account.grants.every(({ left }) => left === 0n);
}

/** Starts it, and answers with what tells the model of it. */
async function startGrant(
  context: Context,
  account: ModelAccount,
  process: Process,
): Promise<() => void> {
  const order = newGrant(context, account, process.now().getTime());
  const { id } = await process.credits.grant(
    account.id,
    orderOf(order),
    SYSTEM_ACTOR,
    process.now(),
  );
  return () => {
    recordGrant(context, { ...order, id }, process.now().getTime());
    context.say(`${account.name}: granted ${text(order.amount)} meanwhile`);
  };
}

async function startUpgrade(
  context: Context,
  account: ModelAccount,
  process: Process,
): Promise<() => void> {
  const { run } = context;
  // An upgrade in the very instant of the plan before would mean that that one never was.
  run.world.nowMs += 1;
  const plan = MODEL_PLANS[2]!;
  const seats = 7;
  await process.subscriptions.change(
    account.id,
    { plan: plan.slug, seats },
    SYSTEM_ACTOR,
    new Date(run.nowMs),
  );
  const atMs = run.nowMs;
  return () => {
    account.changes = changed(account.changes, { plan, seats }, atMs);
    account.coverWhatIsOwed();
    context.say(`${account.name}: team x7 meanwhile`);
  };
}

/** Released requests whose process may still be alive somewhere and come back with a figure. */
export function lateCandidates({ run }: Context): readonly ModelEvent[] {
  return [...run.model.events.values()].filter(
    (event) => event.state === 'released' && !event.isWithheld && run.sweptIds.has(event.id),
  );
}
