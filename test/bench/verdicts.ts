import { medianOf, type Sample } from './measure.js';
import {
  CONCURRENCIES,
  ESCAPED_SCENARIO,
  type MemoryResult,
  plainName,
  PROMPT_SCENARIO,
  RATE_SCENARIO,
  requestsPerSecondOf,
  type Row,
  STREAM_SCENARIO,
} from './scenarios.js';

/** One budget and what was measured against it. */
export interface Verdict {
  readonly budget: string;
  readonly measured: string;
  /** Null: it could not be measured here. */
  readonly isMet: boolean | null;
}

/** From this much growth of resident memory on, it is not called flat. */
const FLAT_WITHIN = 1.1;

type Figure = (sample: Sample) => number | null;

/** Median of a figure over the rounds; null where it was not measured. */
export function figureOf(row: Row | undefined, figure: Figure): number | null {
  const values = (row?.samples ?? []).map(figure).filter((value) => value !== null);
  return values.length === 0 ? null : medianOf(values);
}

export function verdictsOf(rows: readonly Row[], memory: MemoryResult | null): Verdict[] {
  const find = (scenario: string, target: string): Row | undefined =>
    rows.find((row) => row.scenario === scenario && row.target === target);
  const verdicts: Verdict[] = [];
  // One request at a time is a commit of its own each: the budgets are for a busy process.
  for (const concurrency of CONCURRENCIES.filter((one) => one > 1)) {
    const own = find(plainName(concurrency), 'tollgate');
    if (own === undefined) continue;
    verdicts.push(...plainVerdicts(own, find(plainName(concurrency), 'portkey')));
  }
  const rate = find(RATE_SCENARIO, 'tollgate');
  if (rate !== undefined) verdicts.push(...rateVerdicts(rate, find(RATE_SCENARIO, 'direct')));
  const stream = find(STREAM_SCENARIO, 'tollgate');
  if (stream !== undefined) {
    const own = figureOf(stream, cpu);
    const peer = figureOf(find(STREAM_SCENARIO, 'node relay'), cpu);
    const ratio = divide(own, peer);
    verdicts.push(
      atMost('streamed: CPU <= 1.5x a raw Node relay', ratio, 1.5, (value) => {
        return `${value.toFixed(2)}x (${micros(own)} / ${micros(peer)} per stream)`;
      }),
    );
  }
  for (const [scenario, budgetMs] of [
    [PROMPT_SCENARIO, 1.5],
    [ESCAPED_SCENARIO, 3],
  ] as const) {
    const own = find(scenario, 'tollgate');
    if (own === undefined) continue;
    const over = minus(figureOf(own, cpu), figureOf(find(scenario, 'node relay'), cpu));
    verdicts.push(
      atMost(`${scenario}: CPU over a raw Node relay <= ${budgetMs} ms`, over, budgetMs * 1000, ms),
    );
  }
  if (memory !== null) verdicts.push(...memoryVerdicts(memory));
  return verdicts;
}

function plainVerdicts(own: Row, portkey: Row | undefined): Verdict[] {
  const peer = portkey === undefined ? null : requestsPerSecondOf(portkey);
  return [
    atMost(`${own.scenario}: CPU <= 100 us a request`, figureOf(own, cpu), 100, micros),
    atLeast(
      `${own.scenario}: >= 2.5x Portkey's requests/s`,
      divide(requestsPerSecondOf(own), peer),
      2.5,
    ),
    ...postgresVerdicts(own),
  ];
}

function postgresVerdicts(own: Row): Verdict[] {
  const { scenario } = own;
  const postgres = figureOf(own, (sample) => sample.postgresCpuMicros);
  const wal = figureOf(own, (sample) => sample.walBytes);
  return [
    atMost(`${scenario}: PostgreSQL CPU <= 150 us a request`, postgres, 150, micros),
    atMost(`${scenario}: WAL <= 2 KB a request`, wal, 2048, (value) => `${value.toFixed(0)} B`),
  ];
}

function rateVerdicts(own: Row, direct: Row | undefined): Verdict[] {
  const added = (figure: Figure): number | null =>
    minus(figureOf(own, figure), figureOf(direct, figure));
  const show = (value: number): string => `${value.toFixed(2)} ms`;
  return [
    atMost('half of maximum: added p50 <= 3 ms', added(p50), 3, show),
    atMost('half of maximum: added p99 <= 15 ms', added(p99), 15, show),
    ...postgresVerdicts(own),
  ];
}

function memoryVerdicts(memory: MemoryResult): Verdict[] {
  const { streams, mostMib, earlyMib, lateMib } = memory;
  const growth = `${earlyMib.toFixed(0)} -> ${lateMib.toFixed(0)} MiB`;
  return [
    atMost(`${streams} open streams: resident <= 250 MB`, mostMib * 1.048576, 250, (value) => {
      return `${value.toFixed(0)} MB at most`;
    }),
    {
      budget: `${streams} open streams: flat over time`,
      measured: growth,
      isMet: lateMib <= earlyMib * FLAT_WITHIN,
    },
  ];
}

export const cpu: Figure = (sample) => sample.cpuMicros;
export const p50: Figure = (sample) => sample.load.latencyMs.p50;
export const p99: Figure = (sample) => sample.load.latencyMs.p99;

function micros(value: number | null): string {
  return value === null ? '?' : `${value.toFixed(0)} us`;
}

function ms(value: number): string {
  return `${(value / 1000).toFixed(2)} ms`;
}

function divide(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one / other;
}

function minus(one: number | null, other: number | null): number | null {
  return one === null || other === null ? null : one - other;
}

function atMost(
  budget: string,
  value: number | null,
  limit: number,
  show: (value: number) => string,
): Verdict {
  if (value === null) return { budget, measured: 'not measured', isMet: null };
  return { budget, measured: show(value), isMet: value <= limit };
}

function atLeast(budget: string, value: number | null, limit: number): Verdict {
  if (value === null) return { budget, measured: 'not measured', isMet: null };
  return { budget, measured: `${value.toFixed(2)}x`, isMet: value >= limit };
}
