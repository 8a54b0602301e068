import { live, type Life, type LifeOptions } from './life.js';
import { shrink, type InFreshWorld, type Reproduction } from './shrink.js';
import { createStore } from './stores.js';
import { World } from './world.js';

/** Seeds that one worker lives, one after the other on a store of their own. */
export interface Task {
  readonly adminUrl: string;
  /** A database of that server with the schema and nothing in it. */
  readonly template: string;
  readonly seeds: readonly number[];
  readonly steps: number;
  readonly keep: readonly number[] | null;
  readonly without: readonly string[];
  readonly shrinks: boolean;
}

/** What a worker tells of one seed. */
export interface Report {
  readonly seed: number;
  readonly violations: Life['violations'];
  readonly counts: readonly (readonly [string, number])[];
  readonly log: readonly string[];
  readonly keep: readonly number[] | null;
  readonly durationMs: number;
}

let stores = 0;

/** Lives a task's seeds and tells of each; answers when all are done. */
export async function work(task: Task, tell: (report: Report) => void): Promise<void> {
  const options: LifeOptions = {
    steps: task.steps,
    keep: task.keep === null ? null : new Set(task.keep),
    without: new Set(task.without),
  };
  const inFreshWorld: InFreshWorld = async (inWorld) => {
    stores += 1;
    const store = await createStore(
      task.adminUrl,
      `simulation_${process.pid}_${stores}`,
      task.template,
    );
    const world = await World.open(store.url);
    try {
      return await inWorld(world);
    } finally {
      await world.close();
      await store.drop();
    }
  };
  await inFreshWorld(async (world) => {
    for (const seed of task.seeds) {
      const startedAt = performance.now();
      const life = await live(world, seed, options);
      let reproduction: Reproduction | null = null;
      if (life.violations.length > 0 && task.shrinks) {
        reproduction = await shrink(inFreshWorld, options, life);
      }
      tell({
        seed,
        violations: life.violations,
        counts: [...life.counts],
        log: reproduction?.life.log ?? life.log,
        keep: reproduction?.keep ?? null,
        durationMs: performance.now() - startedAt,
      });
    }
  });
}
