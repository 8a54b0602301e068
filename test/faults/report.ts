import type { Comparison, Violation } from './compare.js';
import type { FaultOptions } from './options.js';

/** Of each rule. */
const VIOLATIONS_SHOWN = 3;

export interface FaultRun {
  readonly options: FaultOptions;
  readonly comparison: Comparison;
  /** Violations of the comparison and of the run itself. */
  readonly violations: readonly Violation[];
  readonly kills: number;
  readonly killsDuringStart: number;
  readonly postgresStops: number;
  readonly postgresCuts: number;
  /** Longest time from a database's return to the first delivered answer; null: no such fault. */
  readonly slowestReturnMs: number | null;
  readonly recoveryMs: number;
  readonly durationMs: number;
}

/** What happened, as a table for the terminal, ending in the verdict. */
export function reportOf(run: FaultRun): string {
  const { options, comparison } = run;
  const recorded = [...new Set(comparison.outcomes.flatMap((row) => Object.keys(row.recorded)))];
  const head = ['client saw', 'requests', ...recorded];
  const rows = comparison.outcomes.map((row) => [
    row.client,
    String(row.requests),
    ...recorded.map((key) => String(row.recorded[key] ?? 0)),
  ]);
  const facts: [string, string][] = [
    ['seed', String(options.seed)],
    ['processes', `${options.processes}${options.isEmbedded ? ', database embedded' : ''}`],
    ['SIGKILLs of a serving process', String(run.kills)],
    ['SIGKILLs during a start', String(run.killsDuringStart)],
    ['database stops', `${run.postgresStops} (connections cut ${run.postgresCuts} times)`],
    ['requests that reached a provider', String(comparison.providerRequests)],
    ['delivered answers, recorded once and exactly', String(comparison.deliveredExact)],
    ['charged / billed by providers, pico-USD', billedLine(run)],
    ['last hold ended after', `${(run.recoveryMs / 1000).toFixed(1)} s`],
    ['duration', `${(run.durationMs / 1000).toFixed(0)} s`],
  ];
  if (run.slowestReturnMs !== null) {
    facts.push(['slowest return after a database start', `${run.slowestReturnMs} ms`]);
  }
  return [
    ...facts.map(([name, value]) => `${name}: ${value}`),
    '',
    tableOf(head, rows),
    '',
    verdictOf(run),
    '',
  ].join('\n');
}

function billedLine({ comparison }: FaultRun): string {
  return `${comparison.settledPicoUsd} / ${comparison.billedPicoUsd}`;
}

function verdictOf({ violations, options }: FaultRun): string {
  if (violations.length === 0) return 'PASSED: the three books agree';
  const rules = [...new Set(violations.map(({ rule }) => rule))];
  return [
    `FAILED (seed ${options.seed}): ${violations.length} violations`,
    ...rules.flatMap((rule) => {
      const broken = violations.filter((violation) => violation.rule === rule);
      const shown = broken.slice(0, VIOLATIONS_SHOWN).map(({ what }) => `    ${what}`);
      return [`- ${rule}: ${broken.length}`, ...shown];
    }),
  ].join('\n');
}

/** A markdown table. */
export function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}
