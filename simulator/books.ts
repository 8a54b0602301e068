import type { PicoUsd } from './money.js';
import type { Task } from './tasks.js';

/** How a request ended as the provider saw it. */
export type Outcome = 'complete' | 'client_aborted' | 'faulted';

/** One line of what the providers billed. Never changed once written. */
export interface BookEntry {
  /** 1, 2, 3 ... in the order of writing. */
  readonly seq: number;
  readonly requestId: string;
  /** False when the answer carried no id (or never left): the client cannot know it. */
  readonly requestIdSent: boolean;
  readonly inferenceId: string | null;
  /** When the entry was written. */
  readonly time: Date;
  readonly task: Task;
  readonly provider: string;
  /** The model's public id, without suffix. */
  readonly model: string;
  readonly providerModelId: string;
  readonly stream: boolean;
  /** Includes `cachedTokens` and `cacheWriteTokens`. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Prompt tokens put into the provider's cache; includes `cacheWrite1hTokens`. */
  readonly cacheWriteTokens: number;
  readonly cacheWrite1hTokens: number;
  /** Includes `reasoningTokens`. */
  readonly completionTokens: number;
  readonly reasoningTokens: number;
  /**
   * Quantities beyond these tokens, by unit (`image`, `pixel`, `audio_ms`, `character` ...): everything
   * that was measured, whether this offer has a price for it or not. Empty when not billed.
   */
  readonly units: Readonly<Record<string, bigint>>;
  /** 0 when not billed. */
  readonly costPicoUsd: PicoUsd;
  /** The status sent; 0 when the connection died before one. */
  readonly status: number;
  readonly outcome: Outcome;
  readonly billed: boolean;
  /** What the tester wrote as `[[sim tag=...]]`. */
  readonly tag: string | null;
}

/** The simulator's own append-only books: the truth that a recording proxy is compared with. */
export class Books {
  private lines: BookEntry[] = [];
  private lastSeq = 0;

  /** `keep` false: entries are counted but not stored (long benchmarks). */
  constructor(private readonly keep = true) {}

  /** Appends one line and gives it the next number. */
  append(entry: Omit<BookEntry, 'seq'>): void {
    this.lastSeq += 1;
    if (this.keep) this.lines.push({ ...entry, seq: this.lastSeq });
  }

  /** The lines numbered above `seq`, in order. */
  since(seq = 0): readonly BookEntry[] {
    const first = this.lines[0];
    if (first === undefined || seq < first.seq) return [...this.lines];
    return this.lines.slice(seq - first.seq + 1);
  }

  /** The lines written for `[[sim tag=...]]`. */
  tagged(tag: string): readonly BookEntry[] {
    return this.lines.filter((line) => line.tag === tag);
  }

  /** The number of the newest line, 0 before the first. */
  get seq(): number {
    return this.lastSeq;
  }

  /** Sum of the billed lines, in pico-USD. */
  totalPicoUsd(): PicoUsd {
    return this.lines.reduce((sum, line) => sum + line.costPicoUsd, 0n);
  }

  /** Forgets every line; numbers go on rising, so a `since` kept by a reader stays valid. */
  reset(): void {
    this.lines = [];
  }
}

/** A line as JSON: bigints as decimal strings, times as ISO 8601. */
export function bookEntryJson(entry: BookEntry): Record<string, unknown> {
  const units = Object.entries(entry.units).map(([unit, quantity]) => [unit, quantity.toString()]);
  return {
    ...entry,
    time: entry.time.toISOString(),
    units: Object.fromEntries(units) as unknown,
    costPicoUsd: entry.costPicoUsd.toString(),
  };
}
