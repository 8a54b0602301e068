import { resolve } from 'node:path';
import { parseArgs } from 'node:util';

export const SCENARIOS = ['plain', 'rate', 'stream', 'prompt', 'memory'] as const;
export type Scenario = (typeof SCENARIOS)[number];

export interface BenchOptions {
  /** The whole thing in under a minute, for a first look: one short round. */
  readonly isQuick: boolean;
  readonly only: ReadonlySet<Scenario>;
  /** Of one measured run. */
  readonly durationMs: number;
  /** Interleaved: every target once, then all again. */
  readonly rounds: number;
  /** Another checkout, built, to measure this one beside; null: none. */
  readonly against: string | null;
}

/** Throws with a message for the terminal on anything that is not understood. */
export function readBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      duration: { type: 'string' },
      rounds: { type: 'string' },
      against: { type: 'string' },
    },
  });
  const isQuick = values.quick;
  const seconds = Number(values.duration ?? (isQuick ? '1' : '5'));
  const rounds = Number(values.rounds ?? (isQuick ? '1' : '3'));
  if (!(seconds > 0)) throw new Error('--duration is a number of seconds');
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds is a whole number');
  return {
    isQuick,
    only: new Set((values.only ?? SCENARIOS.join(',')).split(',').map(scenarioOf)),
    durationMs: seconds * 1000,
    rounds,
    against: values.against === undefined ? null : resolve(values.against),
  };
}

function scenarioOf(name: string): Scenario {
  const scenario = SCENARIOS.find((one) => one === name);
  if (scenario === undefined) throw new Error(`--only knows: ${SCENARIOS.join(', ')}`);
  return scenario;
}
