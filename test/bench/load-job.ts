/** What the load generator is asked to do. */
export interface LoadJob {
  readonly port: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  readonly pace:
    /** Each of so many clients sends its next request when the last one is answered. */
    | { readonly kind: 'closed'; readonly concurrency: number }
    /** Requests leave on a clock whatever the answers do; latency counts from the intended time. */
    | { readonly kind: 'constant'; readonly perSecond: number };
  /** New requests start for so long; those under way are waited for. */
  readonly durationMs: number;
  /** What a good answer ends with. */
  readonly endsWith: string;
}

/** Milliseconds. */
export interface Percentiles {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
}

export interface LoadResult {
  readonly answers: number;
  readonly errors: number;
  readonly firstError: string | null;
  readonly elapsedMs: number;
  readonly latencyMs: Percentiles;
  readonly firstByteMs: Percentiles;
}

export function percentilesOf(values: readonly number[]): Percentiles {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}
