import { tableOf } from '../faults/report.js';
import type { MemoryResult, Row } from './scenarios.js';
import { requestsPerSecondOf } from './scenarios.js';
import { cpu, figureOf, p50, p99, type Verdict } from './verdicts.js';

/** The figures of every scenario and target, medians over the rounds, as one markdown table. */
export function figuresTable(rows: readonly Row[]): string {
  const head = [
    ...['scenario', 'target', 'requests/s', 'p50 ms', 'p99 ms', 'added p50', 'added p99'],
    ...['CPU us/request', 'resident MiB', 'PostgreSQL us/request', 'WAL B/request'],
  ];
  return tableOf(
    head,
    rows.map((row) => {
      const direct = rows.find(
        (other) => other.scenario === row.scenario && other.target === 'direct',
      );
      const added = (figure: typeof p50): string => {
        const own = figureOf(row, figure);
        const base = figureOf(direct, figure);
        return own === null || base === null || row === direct ? '' : (own - base).toFixed(2);
      };
      return [
        row.scenario,
        row.target,
        requestsPerSecondOf(row).toFixed(0),
        show(figureOf(row, p50), 2),
        show(figureOf(row, p99), 2),
        added(p50),
        added(p99),
        show(figureOf(row, cpu), 0),
        show(
          figureOf(row, (sample) => sample.residentMib),
          0,
        ),
        show(
          figureOf(row, (sample) => sample.postgresCpuMicros),
          0,
        ),
        show(
          figureOf(row, (sample) => sample.walBytes),
          0,
        ),
      ];
    }),
  );
}

export function memoryLine(memory: MemoryResult): string {
  const { streams, beforeMib, mostMib, earlyMib, lateMib } = memory;
  return (
    `tollgate, resident MiB with ${streams} open streams: ${beforeMib.toFixed(0)} before, ` +
    `${earlyMib.toFixed(0)} early, ${lateMib.toFixed(0)} late, ${mostMib.toFixed(0)} at most`
  );
}

export function verdictLines(verdicts: readonly Verdict[]): string {
  return verdicts
    .map(({ budget, measured, isMet }) => {
      const word = isMet === null ? 'SKIPPED' : isMet ? 'MET    ' : 'MISSED ';
      return `${word} ${budget}: ${measured}`;
    })
    .join('\n');
}

/** Runs that do not count, and why. */
export function voidLines(rows: readonly Row[], memory: MemoryResult | null): string[] {
  const lines = rows.flatMap(({ scenario, target, samples }) =>
    samples.flatMap((sample) =>
      sample.void === null ? [] : [`VOID ${scenario}, ${target}: ${sample.void}`],
    ),
  );
  if (memory !== null && memory.void !== null) lines.push(`VOID open streams: ${memory.void}`);
  return lines;
}

function show(value: number | null, digits: number): string {
  return value === null ? '' : value.toFixed(digits);
}
