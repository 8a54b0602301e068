import type { Clock } from '../config/clock.js';
import type { Hub } from './hub.js';
import type { HubNames } from './hub-names.js';

/** What one round of look-ups came to. */
export interface HubFindings {
  /** By model, also from earlier rounds. */
  readonly said: ReadonlyMap<string, HubNames>;
  readonly asked: number;
  readonly failed: number;
  /** Why one of them failed; null: none did. */
  readonly problem: string | null;
  /** Not come to in time: the next round's. */
  readonly left: number;
}

interface Remembered {
  /** null: it could not be looked up. */
  readonly names: HubNames | null;
  readonly untilMs: number;
}

const AT_ONCE_MAX = 4;
const ROUND_MAX_MS = 20_000;
const REMEMBERED_MS = 24 * 3_600_000;
const FAILURE_REMEMBERED_MS = 10 * 60_000;
/** How ids are written at the Hub: others are not there, and none leads to another path. */
const HUB_ID = /^[A-Za-z0-9_-][\w.-]*(\/[A-Za-z0-9_-][\w.-]*)?$/;

/** Asks the Hub about models: few at once, not for long, and not again for what is known. */
export class HubLookups {
  private readonly remembered = new Map<string, Remembered>();

  constructor(
    private readonly hub: Hub,
    private readonly clock: Clock,
  ) {}

  /** One round; others of the same object must not run meanwhile. Never rejects. */
  async round(models: readonly string[], stop: AbortSignal): Promise<HubFindings> {
    const listed = new Set(models.filter((model) => HUB_ID.test(model)));
    for (const model of this.remembered.keys()) {
      if (!listed.has(model)) this.remembered.delete(model);
    }
    const nowMs = this.clock.now().getTime();
    const due = [...listed]
      .map((model) => ({ model, untilMs: this.remembered.get(model)?.untilMs ?? -Infinity }))
      .filter(({ untilMs }) => untilMs <= nowMs)
      // Those that were never come to are first: slow ones at the front would keep them out for good.
      .sort((a, b) => (a.untilMs === b.untilMs ? 0 : a.untilMs - b.untilMs))
      .map(({ model }) => model);
    const { asked, failed, problem } = await this.askAll(due, stop);
    const said = [...listed].flatMap((model) => {
      const names = this.remembered.get(model)?.names ?? null;
      return names === null ? [] : [[model, names] as const];
    });
    return { said: new Map(said), asked, failed, problem, left: due.length - asked };
  }

  private async askAll(
    due: readonly string[],
    stop: AbortSignal,
  ): Promise<Pick<HubFindings, 'asked' | 'failed' | 'problem'>> {
    const overtime = new AbortController();
    const timer = setTimeout(() => {
      overtime.abort();
    }, ROUND_MAX_MS);
    const signal = AbortSignal.any([stop, overtime.signal]);
    const isOver = (): boolean => signal.aborted;
    const queue = due.values();
    let asked = 0;
    let failed = 0;
    let problem: string | null = null;
    const work = async (): Promise<void> => {
      while (!isOver()) {
        const { value: model, done } = queue.next();
        if (done === true) return;
        const answer = await this.hub.namesOf(model, signal);
        const isNamed = answer.kind === 'named';
        // What the end of the round cut off says nothing of the model.
        if (!isNamed && isOver()) return;
        asked += 1;
        if (!isNamed) {
          failed += 1;
          problem = answer.problem;
        }
        this.remembered.set(model, {
          names: isNamed ? answer.names : null,
          untilMs: this.clock.now().getTime() + (isNamed ? REMEMBERED_MS : FAILURE_REMEMBERED_MS),
        });
      }
    };
    try {
      await Promise.all(Array.from({ length: AT_ONCE_MAX }, work));
    } finally {
      clearTimeout(timer);
    }
    return { asked, failed, problem };
  }
}
