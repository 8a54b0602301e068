import { live, type Life, type LifeOptions } from './life.js';
import { planOf } from './steps.js';
import type { World } from './world.js';

/** Opens a fresh store for one trial: the ids of a seed are the same every time. */
export type InFreshWorld = <Result>(work: (world: World) => Promise<Result>) => Promise<Result>;

export interface Reproduction {
  readonly keep: readonly number[];
  readonly life: Life;
  readonly trials: number;
}

const TRIALS_MAX = 150;

/** Leaves out steps, halves first, as long as the same check fails. */
export async function shrink(
  inFreshWorld: InFreshWorld,
  options: LifeOptions,
  failed: Life,
): Promise<Reproduction> {
  const check = failed.violations[0]?.check ?? '';
  const last = failed.failedAt ?? options.steps - 1;
  let keep = planOf(failed.seed, options.steps)
    .map((_kind, index) => index)
    .filter((index) => index <= last && (options.keep === null || options.keep.has(index)));
  let life = failed;
  let trials = 0;
  for (let size = Math.ceil(keep.length / 2); size >= 1 && trials < TRIALS_MAX;) {
    let hasShrunk = false;
    for (let start = 0; start < keep.length && trials < TRIALS_MAX;) {
      const fewer = keep.filter((_index, place) => place < start || place >= start + size);
      trials += 1;
      const trial = await inFreshWorld((world) =>
        live(world, failed.seed, { ...options, keep: new Set(fewer) }),
      );
      if (trial.violations.some((violation) => violation.check === check)) {
        keep = fewer;
        life = trial;
        hasShrunk = true;
      } else start += size;
    }
    if (size === 1 && !hasShrunk) break;
    size = size === 1 ? 1 : Math.ceil(size / 2);
  }
  return { keep, life, trials };
}
