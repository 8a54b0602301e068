/** For how long a model of the serverless tier is not loaded: so many calls, or so many milliseconds. */
export interface ColdSpell {
  readonly calls?: number;
  readonly ms?: number;
  /** What the 503 promises. Default 20. */
  readonly estimatedS?: number;
}

interface Spell {
  callsLeft: number;
  readonly until: number;
  readonly estimatedS: number;
}

/** The longest that a call waits for a model. */
const LONGEST_WAIT_MS = 60_000;
/** How long loading takes a waiting call where the spell is counted in calls. */
const LOAD_MS = 20;
const DEFAULT_ESTIMATE_S = 20;

/** Which models of the serverless tier are not loaded. Every model is, until told otherwise. */
export class ColdStarts {
  private readonly spells = new Map<string, Spell>();

  constructor(private readonly now: () => Date) {}

  /** Unloads a model. Without a length it stays so until `warm`. */
  makeCold(model: string, { calls, ms, estimatedS = DEFAULT_ESTIMATE_S }: ColdSpell = {}): void {
    this.spells.set(model, {
      callsLeft: calls ?? Number.POSITIVE_INFINITY,
      until: ms === undefined ? Number.POSITIVE_INFINITY : this.now().getTime() + ms,
      estimatedS,
    });
  }

  /** Loads a model. */
  warm(model: string): void {
    this.spells.delete(model);
  }

  /** Loads every model. */
  reset(): void {
    this.spells.clear();
  }

  /** The models not loaded, with the calls that are still to be refused (null: not counted). */
  list(): { model: string; callsLeft: number | null; estimatedS: number }[] {
    return [...this.spells].map(([model, { callsLeft, estimatedS }]) => ({
      model,
      callsLeft: Number.isFinite(callsLeft) ? callsLeft : null,
      estimatedS,
    }));
  }

  /** A call that does not wait: null when the model is loaded, else what the 503 promises. */
  refuse(model: string): { estimatedS: number } | null {
    const spell = this.current(model);
    if (spell === null) return null;
    spell.callsLeft -= 1;
    if (spell.callsLeft <= 0) this.warm(model);
    return { estimatedS: spell.estimatedS };
  }

  /** How long a call that waits has to: afterwards it calls `warm`. 0 when the model is loaded. */
  waitMs(model: string): number {
    const spell = this.current(model);
    if (spell === null) return 0;
    if (!Number.isFinite(spell.until)) return LOAD_MS;
    return Math.min(LONGEST_WAIT_MS, Math.max(1, spell.until - this.now().getTime()));
  }

  private current(model: string): Spell | null {
    const spell = this.spells.get(model);
    if (spell === undefined) return null;
    if (spell.until > this.now().getTime()) return spell;
    this.warm(model);
    return null;
  }
}
