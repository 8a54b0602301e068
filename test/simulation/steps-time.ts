import { RELEASED_UNSENT } from '../../src/metering/group-commit.js';
import type { Context } from './context.js';
import type { ModelEnding, ModelEvent } from './model.js';
import { endOfMonthMs, monthOf } from './months.js';
import {
  answer,
  compareReceipt,
  describe,
  described,
  isOld,
  refFor,
  settleOne,
} from './requests.js';
import { DAY_MS, HOUR_MS } from './run.js';

/** Steps in which time passes. */

export const RELEASED: ModelEnding = {
  state: 'released',
  provider: null,
  providerRequestId: null,
  quantities: null,
  rated: null,
};

export async function hours(context: Context): Promise<void> {
  const { run, dice } = context;
  await moveTo(context, run.nowMs + dice.between(1, 24 * 3600) * 1000);
}

export async function days(context: Context): Promise<void> {
  const { run, dice } = context;
  await moveTo(context, run.nowMs + dice.between(1, 9) * DAY_MS + dice.between(0, 24) * HOUR_MS);
}

/** To the edge of the month: a second before it ends, its end to the millisecond, or just after. */
export async function monthEnd(context: Context): Promise<void> {
  const { run, dice } = context;
  const endMs = endOfMonthMs(monthOf(run.nowMs));
  const offsetMs = dice.weighted([
    [-dice.between(1, 20_000), 3],
    [-1, 1],
    [0, 2],
    [dice.between(1, 20_000), 4],
    [dice.between(1, 36) * HOUR_MS, 2],
  ]);
  await moveTo(context, Math.max(run.nowMs, endMs + offsetMs));
}

/** A little later: requests stay under way across it. */
export async function seconds(context: Context): Promise<void> {
  await moveTo(context, context.run.nowMs + context.dice.between(1, 15) * 1000);
}

/** How far the second process's clock is behind from now on. */
export function lag({ run, dice }: Context): Promise<void> {
  const [, second] = run.processes;
  second.lagMs = dice.weighted([
    [0, 2],
    [dice.between(1, 2_000), 2],
    [dice.between(1_000, 30_000), 3],
  ]);
  return Promise.resolve();
}

/** Requests that would have run for more than a day end before the clock moves there. */
async function moveTo(context: Context, atMs: number): Promise<void> {
  const { run, dice } = context;
  const fromMs = run.nowMs;
  const toMs = dice.chance(50) ? Math.min(atMs, fromMs + 20 * HOUR_MS) : fromMs;
  const isFar = atMs - fromMs > 20 * HOUR_MS;
  if (isFar) {
    run.world.nowMs = toMs;
    const old = [...run.model.events.values()].filter(({ state }) => state === 'open');
    for (const event of dice.shuffled(old)) {
      if (dice.chance(25)) await releaseAll(context, [event]);
      else
        await settleOne(context, context.processFor(event.account), event, answer(context, event));
    }
  }
  run.world.nowMs = atMs;
  context.say(new Date(atMs).toISOString());
  if (isFar) return;
  for (const event of [...run.model.events.values()]) {
    if (event.state === 'open' && isOld(run, event)) await releaseAll(context, [event]);
  }
}

/** No provider answered: nothing was used. */
export async function releaseAll(context: Context, events: readonly ModelEvent[]): Promise<void> {
  const { run } = context;
  for (const event of events) {
    const process = context.processFor(event.account);
    const receipt = await process.journal.settle(refFor(run, event), RELEASED_UNSENT).receipt;
    run.freedKeys.add(event.id);
    context.touch(event.account);
    context.say(`${describe(event)}: ${described(receipt)}`);
    compareReceipt(context, event, receipt, run.model.settle(event, RELEASED, false));
  }
}
