import { TollgateError } from '../../src/domain/errors.js';
import { SYSTEM_ACTOR } from '../../src/http/actor.js';
import { closeBudgets, lockBudget, writeLimit } from '../../src/identity/budgets.repository.js';
import type { Context } from './context.js';
import type { ModelAccount, ModelGrant } from './model-account.js';
import { changed, MODEL_PLANS } from './model-plans.js';
import type { Process } from './world.js';
import { DAY_MS, HOUR_MS, limitOf, MODELS, PROVIDERS, text, USD, type GrantOnce } from './run.js';

/** Steps in which what an account may spend changes: plans, limits, credit, prices. */

const ACCOUNTS_MAX = 16;

export async function openAccount(context: Context): Promise<void> {
  const { run, dice } = context;
  if (run.accounts.length >= ACCOUNTS_MAX) return;
  context.touch(await run.openAccount(dice));
}

export async function changePlan(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const plan = dice.pick(MODEL_PLANS);
  const seats = plan.isPerSeat ? dice.between(1, 6) : 1;
  const [process] = run.processes;
  // A change in the very instant of the one before would mean that that one never was.
  run.world.nowMs += 1;
  const isBroken = breakBilling(context, process);
  const subscription = await again(process, isBroken, () =>
    process.subscriptions.change(
      account.id,
      { plan: plan.slug, seats },
      SYSTEM_ACTOR,
      process.now(),
    ),
  );
  account.changes = changed(account.changes, { plan, seats }, run.nowMs);
  account.coverWhatIsOwed();
  context.touch(account);
  const { scheduled } = subscription;
  const effectiveMs = (scheduled ?? subscription.inForce).effectiveAt.getTime();
  context.say(
    `${account.name}: ${plan.slug} x${seats} from ${new Date(effectiveMs).toISOString()}${isBroken ? ', interrupted' : ''}`,
  );
  context.findings.equal(
    'invariant 8: plan credit is what the plan entitles to',
    'when the change takes effect',
    effectiveMs,
    account.changes.at(-1)?.effectiveMs,
  );
}

/** The job that lets rows tell the plan in force; no money hangs on it. */
export async function takeScheduled({ run }: Context): Promise<void> {
  await run.processes[0].subscriptions.takeScheduled(run.processes[0].now());
}

export async function changeAccountLimits(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const isPayAsYouGo = dice.chance(65);
  const limit = limitOf(dice);
  const [process] = run.processes;
  await process.accounts.changeLimits(
    account.id,
    (current) => ({
      kind: 'changed',
      limits: { ...current, monthlySpendLimitPicoUsd: limit, isPayAsYouGo },
    }),
    SYSTEM_ACTOR,
    process.now(),
  );
  account.isPayAsYouGo = isPayAsYouGo;
  account.limit = limit;
  account.areLimitsChanged = true;
  context.touch(account);
  context.say(
    `${account.name}: ${isPayAsYouGo ? `pay-as-you-go up to ${text(limit)}` : 'no pay-as-you-go'}`,
  );
}

export async function changeLimit(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const subject = dice.pick([...account.members, ...account.tokens]);
  const limit = limitOf(dice);
  await run.processes[1].database.prisma.$transaction(async (tx) => {
    const { isPayAsYouGo } = await lockBudget(tx, subject.id);
    await writeLimit(tx, subject.id, { limitPicoUsd: limit, isPayAsYouGo });
  });
  subject.limit = limit;
  context.touch(account);
  context.say(`${account.name}'s ${subject.id.slice(0, 8)}: limit ${text(limit)}`);
}

export async function revokeToken(context: Context): Promise<void> {
  const account = context.anyAccount();
  const token = context.dice.pick(account.tokens);
  if (account.tokens.filter(({ isRevoked }) => !isRevoked).length < 2) return;
  await context.run.processes[0].database.prisma.$transaction((tx) => closeBudgets(tx, [token.id]));
  token.isRevoked = true;
  context.touch(account);
  context.say(`${account.name}'s ${token.id.slice(0, 8)}`);
}

/** A promotional or prepaid grant; at times the store breaks in the middle, and it is asked again. */
export async function grant(context: Context): Promise<void> {
  const account = context.anyAccount();
  const process = context.processFor(account);
  const atMs = process.now().getTime();
  const request = newGrant(context, account, atMs);
  const isBroken = breakBilling(context, process);
  const { id } = await again(process, isBroken, () =>
    process.credits.grant(account.id, orderOf(request), SYSTEM_ACTOR, process.now()),
  );
  recordGrant(context, { ...request, id }, atMs);
  context.say(
    `${account.name}: ${request.kind} ${text(request.amount)}${request.expiresMs === null ? '' : ` until ${new Date(request.expiresMs).toISOString()}`}${isBroken ? ', interrupted' : ''}`,
  );
}

export function newGrant(
  context: Context,
  account: ModelAccount,
  atMs: number,
): Omit<GrantOnce, 'id'> {
  const { dice } = context;
  return {
    account,
    key: context.key(),
    kind: dice.chance(50) ? 'promotional' : 'prepaid',
    amount: dice.amount(3n * USD) + 1n,
    expiresMs: expiry(context, atMs),
  };
}

function expiry({ dice, run }: Context, atMs: number): number | null {
  const endOfToday = Math.ceil((atMs + 1) / DAY_MS) * DAY_MS;
  return dice.weighted([
    [null, 3],
    [endOfToday + dice.between(0, 60) * DAY_MS, 3],
    [atMs + dice.between(1, 40 * 24) * HOUR_MS, 3],
    // The first instant of a month: usable in the one before, in no later one.
    [Date.parse(`${new Date(run.nowMs + 45 * DAY_MS).toISOString().slice(0, 7)}-01T00:00:00Z`), 2],
  ]);
}

/** One in six transactions of billing breaks at a statement of its own. */
export function breakBilling({ dice, run }: Context, process: Process): boolean {
  const isBroken = run.isEnabled('interruptions') && dice.chance(16);
  const how = dice.weighted([
    ['statement_fails' as const, 3],
    ['connection_dies' as const, 1],
    ['answer_lost' as const, 2],
  ]);
  const after = how === 'answer_lost' ? 1 : dice.between(1, 12);
  if (isBroken) process.billing.arm(how, after, false);
  return isBroken;
}

/** Runs something that is safe to ask again, until it is answered. */
export async function again<Result>(
  process: Process,
  isBroken: boolean,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isBroken) throw error;
  } finally {
    process.billing.disarm();
  }
  return work();
}

export function orderOf({ kind, amount, expiresMs, key }: Omit<GrantOnce, 'id'>): {
  kind: 'promotional' | 'prepaid';
  amountPicoUsd: bigint;
  expiresAt: Date | null;
  reason: string;
  idempotencyKey: string;
} {
  return {
    kind,
    amountPicoUsd: amount,
    expiresAt: expiresMs === null ? null : new Date(expiresMs),
    reason: 'simulated',
    idempotencyKey: key,
  };
}

export function recordGrant({ run, touched }: Context, made: GrantOnce, atMs: number): void {
  const { account, kind, amount, expiresMs, id } = made;
  const granted: ModelGrant = {
    id,
    kind,
    amount,
    grantedMs: atMs,
    expiresMs,
    left: amount,
    usedFor: new Map(),
  };
  run.grantRequests.push(made);
  run.model.grant(account, granted);
  touched.add(account);
}

/** The same key again: the same content is the same grant, other content is an error. */
export async function replayGrant(context: Context): Promise<void> {
  const { run, dice } = context;
  const made = dice.pickOrNull(run.grantRequests);
  if (made === null) return;
  const process = context.processFor(made.account);
  const isOther = dice.chance(40);
  const order = orderOf(isOther ? { ...made, amount: made.amount + 1n } : made);
  let outcome: string;
  try {
    outcome = (await process.credits.grant(made.account.id, order, SYSTEM_ACTOR, process.now())).id;
  } catch (error) {
    if (!(error instanceof TollgateError)) throw error;
    outcome = error.refusal.code;
  }
  context.touch(made.account);
  context.say(`${made.account.name}: ${text(made.amount)}${isOther ? ' and a pico more' : ''}`);
  context.findings.equal(
    'invariant 4: one idempotency id, one effect',
    'a second grant with the key of another',
    outcome,
    isOther ? 'idempotency_key_reused' : made.id,
  );
}

/** A balance read, or the job: whoever asks first makes the plan's grant of the month. */
export async function readBalance(context: Context): Promise<void> {
  const { run, dice } = context;
  const account = context.anyAccount();
  const process = context.processFor(account);
  if (dice.chance(20)) await process.credits.grantDue(process.now());
  else await process.credits.budgetAt(account.id, process.now());
  for (const one of dice.chance(20) ? run.accounts : [account]) context.touch(one);
}

/** A new price: the old row ends where it begins, two seconds ahead. */
export async function changePrice(context: Context): Promise<void> {
  const { run, dice } = context;
  const provider = dice.pick(PROVIDERS);
  const model = dice.pick(MODELS);
  const unit = dice.pick(['input', 'output', 'compute_ms'] as const);
  const before = run.model.prices.find(
    (row) =>
      row.provider === provider && row.model === model && row.unit === unit && row.toMs === null,
  );
  if (before === undefined || before.fromMs >= run.nowMs) return;
  const fromMs = run.nowMs + 2_000;
  await run.endPrice(before.id, fromMs);
  const pico = before.pico + BigInt(dice.between(-100_000, 100_000));
  await run.addPrices([
    { provider, model, unit, pico: pico > 0n ? pico : 0n, per: before.per, fromMs },
  ]);
  context.say(`${unit} of ${model} on ${provider}: ${before.pico} -> ${pico} in two seconds`);
}

/** The prices that a life begins with. */
export async function publishPrices({ run, dice }: Context): Promise<void> {
  const prices = PROVIDERS.flatMap((provider) =>
    MODELS.flatMap((model) => {
      const common = { provider, model, fromMs: run.pricesFromMs, per: 1n };
      const input = BigInt(dice.between(20_000, 3_000_000));
      return [
        { ...common, unit: 'input', pico: input },
        { ...common, unit: 'output', pico: 4n * input + 1n },
        { ...common, unit: 'character', pico: 1n },
        { ...common, unit: 'compute_ms', pico: 111_000_000_000n, per: 3_600_000n },
      ];
    }),
  );
  await run.addPrices(prices);
}
