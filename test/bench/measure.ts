import type { LoadGenerator } from './load-generator.js';
import type { LoadJob, LoadResult } from './load-job.js';
import { cpuOfTree, residentBytes } from './meters.js';
import type { Store, Tollgate } from './tollgate.js';

/** Something that requests are sent through. */
export interface Target {
  readonly name: string;
  readonly port: number;
  /** Whose processor time counts; null: nobody's (straight to the upstream). */
  readonly pid: number | null;
  readonly headers: Readonly<Record<string, string>>;
  /** Set for Tollgate: its records are checked and its database measured. */
  readonly tollgate: Tollgate | null;
}

/** One measured run. Times in microseconds unless named otherwise; null: not measured here. */
export interface Sample {
  readonly load: LoadResult;
  readonly requestsPerSecond: number;
  readonly cpuMicros: number | null;
  readonly postgresCpuMicros: number | null;
  readonly walBytes: number | null;
  readonly residentMib: number | null;
  /** Why the run does not count; null: it does. */
  readonly void: string | null;
}

const MIB = 1024 * 1024;

/**
 * Runs one job through one target and reads the meters around it. A run of Tollgate whose settled
 * events are not exactly its answers is void: a benchmark that loses records measures nothing.
 */
export async function measure(
  generator: LoadGenerator,
  store: Store,
  target: Target,
  job: Omit<LoadJob, 'port' | 'headers'>,
): Promise<Sample> {
  const { pid, port, headers, tollgate } = target;
  const settledBefore = tollgate === null ? 0 : await tollgate.settledEvents();
  const walBefore = await store.walBytes();
  const postgresBefore = cpuOfTree(store.pid);
  const cpuBefore = pid === null ? 0 : cpuOfTree(pid);
  const load = await generator.run({ ...job, port, headers });
  const cpuAfter = pid === null ? 0 : cpuOfTree(pid);
  const postgresAfter = cpuOfTree(store.pid);
  const walAfter = await store.walBytes();
  const settled = tollgate === null ? null : (await tollgate.settledEvents()) - settledBefore;
  const per = (amount: number): number => amount / Math.max(1, load.answers);
  return {
    load,
    requestsPerSecond: (load.answers * 1000) / load.elapsedMs,
    cpuMicros: pid === null ? null : per(cpuAfter - cpuBefore),
    postgresCpuMicros: tollgate === null ? null : per(postgresAfter - postgresBefore),
    walBytes: tollgate === null ? null : per(walAfter - walBefore),
    residentMib: pid === null ? null : residentBytes(pid) / MIB,
    void: voidReason(load, settled),
  };
}

function voidReason(load: LoadResult, settled: number | null): string | null {
  if (load.errors > 0) return `${load.errors} errors, first: ${load.firstError ?? ''}`;
  if (load.answers === 0) return 'no answers';
  if (settled !== null && settled !== load.answers) {
    return `${load.answers} answers and ${settled} settled events`;
  }
  return null;
}

export function medianOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}
