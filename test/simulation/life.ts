import type { Violation } from './checks.js';
import { Context } from './context.js';
import { checkInTheEnd, checkTransfersKept } from './final-checks.js';
import { endOfMonthMs, monthOf } from './months.js';
import { answer, settleOne } from './requests.js';
import { DAY_MS, Run } from './run.js';
import { publishPrices } from './steps-accounts.js';
import { close } from './steps-closing.js';
import { perform, planOf } from './steps.js';
import type { World } from './world.js';

export interface LifeOptions {
  readonly steps: number;
  /** Places of the plan that are lived; null: all. */
  readonly keep: ReadonlySet<number> | null;
  readonly without: ReadonlySet<string>;
  /** What somebody does to the store behind everybody's back, before the last look at it. */
  readonly tamper?: (run: Run) => Promise<unknown>;
}

export interface Life {
  readonly seed: number;
  readonly violations: readonly Violation[];
  /** Place of the step after which the first check failed; null: at the end, or nowhere. */
  readonly failedAt: number | null;
  readonly log: readonly string[];
  readonly counts: ReadonlyMap<string, number>;
}

const ACCOUNTS_AT_START = { min: 3, max: 9 };
const TRANSFERS_CHECKED_EVERY = 40;

/** Lives one seed on a store: every step in the real code and in the model, compared after each. */
export async function live(world: World, seed: number, options: LifeOptions): Promise<Life> {
  const run = new Run(world, seed, options.without);
  const counts = new Map<string, number>();
  const result = (failedAt: number | null): Life => ({
    seed,
    violations: run.violations,
    failedAt,
    log: run.log,
    counts,
  });
  await begin(run);
  for (const [index, kind] of planOf(seed, options.steps).entries()) {
    if (options.without.has(kind)) continue;
    if (options.keep !== null && !options.keep.has(index)) continue;
    const said = run.log.length;
    const context = new Context(run, run.dice(index), index, kind);
    try {
      await perform(context);
    } catch (error) {
      run.violations.push({
        check: 'nothing fails',
        what: `step ${index} (${kind}): ${wordsOf(error)}`,
      });
    }
    if (run.log.length > said) counts.set(kind, (counts.get(kind) ?? 0) + 1);
    run.violations.push(...context.findings.violations);
    await run.check([...context.touched]);
    if (index % TRANSFERS_CHECKED_EVERY === 0) {
      run.violations.push(...(await checkTransfersKept(run)));
    }
    if (run.violations.length > 0) return result(index);
  }
  await end(run, options.tamper ?? (() => Promise.resolve()));
  return result(null);
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

async function begin(run: Run): Promise<void> {
  const dice = run.dice('begin');
  for (const process of run.processes) {
    process.lagMs = 0;
    process.billing.disarm();
    process.writing.disarm();
    run.world.restart(process);
  }
  run.processes[1].lagMs = dice.chance(50) ? dice.between(1, 20_000) : 0;
  await publishPrices(new Context(run, dice, -1, 'prices'));
  const accounts = dice.between(ACCOUNTS_AT_START.min, ACCOUNTS_AT_START.max);
  for (let index = 0; index < accounts; index += 1) await run.openAccount(dice);
}

/** Everything under way ends, everything that is over is closed, and all of it is looked at. */
async function end(run: Run, tamper: (run: Run) => Promise<unknown>): Promise<void> {
  const context = new Context(run, run.dice('end'), -1, 'end');
  try {
    for (const event of [...run.model.events.values()]) {
      if (event.state === 'open') {
        await settleOne(context, run.processes[0], event, answer(context, event));
      }
    }
    run.processes[1].lagMs = 0;
    run.world.nowMs = endOfMonthMs(monthOf(run.nowMs)) + DAY_MS;
    await close(context);
  } catch (error) {
    run.violations.push({ check: 'nothing fails', what: `the end: ${wordsOf(error)}` });
  }
  run.violations.push(...context.findings.violations);
  await tamper(run);
  await run.check(run.accounts);
  run.violations.push(...(await checkInTheEnd(run)));
}
