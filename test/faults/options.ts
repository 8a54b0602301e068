import { parseArgs } from 'node:util';

export interface FaultOptions {
  /** SIGKILLs of a serving process. */
  readonly kills: number;
  /** Times the database is taken away and given back while the services live. */
  readonly postgresRestarts: number;
  /** Services on one database. */
  readonly processes: number;
  /** The service runs its own PostgreSQL, which sometimes dies with it. */
  readonly isEmbedded: boolean;
  /** Decides load, faults and moments; what meets what still depends on the machine. */
  readonly seed: number;
  /** Clients that each send one request after the other. */
  readonly clients: number;
  /** Keeps the services' log there; null: removed in the end. */
  readonly logPath: string | null;
  readonly progress: (line: string) => void;
}

export const QUIET_RUN: FaultOptions = {
  kills: 0,
  postgresRestarts: 0,
  processes: 1,
  isEmbedded: false,
  seed: 1,
  clients: 32,
  logPath: null,
  progress: () => undefined,
};

/** Throws with a message for the terminal on anything that is not understood. */
export function readFaultOptions(args: readonly string[]): FaultOptions {
  const { values } = parseArgs({
    args: [...args],
    options: {
      kills: { type: 'string' },
      'postgres-restarts': { type: 'string' },
      processes: { type: 'string', default: '1' },
      embedded: { type: 'boolean', default: false },
      seed: { type: 'string' },
      clients: { type: 'string', default: '32' },
      log: { type: 'string' },
    },
  });
  const postgresRestarts = countOf('postgres-restarts', values['postgres-restarts'] ?? '0');
  const options: FaultOptions = {
    // With neither given, the figure that is promised.
    kills: countOf('kills', values.kills ?? (postgresRestarts > 0 ? '0' : '200')),
    postgresRestarts,
    processes: countOf('processes', values.processes),
    isEmbedded: values.embedded,
    seed: countOf('seed', values.seed ?? String(Date.now() % 1_000_000)),
    clients: countOf('clients', values.clients),
    logPath: values.log ?? null,
    progress: (line) => {
      process.stderr.write(`${line}\n`);
    },
  };
  if (options.isEmbedded && (options.processes > 1 || postgresRestarts > 0)) {
    throw new Error('--embedded goes with one process and without --postgres-restarts');
  }
  if (options.processes < 1) throw new Error('--processes is at least 1');
  return options;
}

function countOf(name: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new Error(`--${name} is a whole number`);
  return Number(text);
}
