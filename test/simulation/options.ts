import { parseArgs } from 'node:util';
import { DETAILS, STEP_KINDS } from './steps.js';

export interface SimulationOptions {
  /** How many seeds, from `seed` on. */
  readonly seeds: number;
  readonly seed: number;
  readonly steps: number;
  readonly keep: readonly number[] | null;
  readonly without: readonly string[];
  readonly workers: number;
  readonly shrinks: boolean;
}

/** Throws with a message for the terminal on anything that is not understood. */
export function readSimulationOptions(args: readonly string[]): SimulationOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seeds: { type: 'string' },
      seed: { type: 'string' },
      steps: { type: 'string', default: '90' },
      keep: { type: 'string' },
      without: { type: 'string', default: '' },
      workers: { type: 'string', default: '2' },
      'no-shrink': { type: 'boolean', default: false },
    },
  });
  const without = values.without.split(',').filter((name) => name !== '');
  for (const name of without) {
    if (STEP_KINDS.includes(name) || (DETAILS as readonly string[]).includes(name)) continue;
    throw new Error(`--without ${name}: there are ${[...STEP_KINDS, ...DETAILS].join(', ')}`);
  }
  return {
    // One seed that is named is one life; else the figure that is promised.
    seeds: countOf('seeds', values.seeds ?? (values.seed === undefined ? '100' : '1')),
    seed: countOf('seed', values.seed ?? '1'),
    steps: countOf('steps', values.steps),
    keep:
      values.keep === undefined
        ? null
        : values.keep.split(',').map((text) => countOf('keep', text)),
    without,
    workers: Math.max(1, countOf('workers', values.workers)),
    shrinks: !values['no-shrink'],
  };
}

function countOf(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} is a whole number`);
  return Number(text);
}
