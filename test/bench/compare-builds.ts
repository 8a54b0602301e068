import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/database/package-root.js';
import { tableOf } from '../faults/report.js';
import { SMALL_BODY } from './bodies.js';
import { LoadGenerator } from './load-generator.js';
import { measure, medianOf, type Sample, type Target } from './measure.js';
import { nginxVersion } from './nginx.js';
import type { BenchOptions } from './options.js';
import { CONCURRENCIES } from './scenarios.js';
import { startCannedUpstream } from './stage.js';
import { Store, Tollgate } from './tollgate.js';

const WARM_UP_MS = 4000;
const FIGURES = {
  'requests/s': (sample: Sample) => sample.requestsPerSecond,
  'CPU us/request': (sample: Sample) => sample.cpuMicros,
  'PostgreSQL us/request': (sample: Sample) => sample.postgresCpuMicros,
  'WAL B/request': (sample: Sample) => sample.walBytes,
} as const;

/** One build under measurement, with a database of its own. */
interface Build {
  readonly store: Store;
  readonly target: Target & { readonly tollgate: Tollgate };
}

/**
 * Measures plain requests through this build and through that of another checkout, both running, in
 * turn: a machine that is slow for a while is slow for both. What counts is the ratio of neighbours.
 *
 * @returns a table: medians of both, and the median of (this / other) over all pairs.
 * @throws when a run of either is void.
 */
export async function compareBuilds(
  { durationMs, rounds }: BenchOptions,
  otherRoot: string,
  folder: string,
): Promise<string> {
  const generator = new LoadGenerator();
  mkdirSync(folder, { recursive: true });
  const upstream = await startCannedUpstream(folder, nginxVersion() !== null);
  const builds: Build[] = [];
  try {
    builds.push(await startBuild(folder, 'this', upstream.port, packageRoot()));
    builds.push(await startBuild(folder, 'other', upstream.port, otherRoot));
    const run = async (build: Build, concurrency: number, ms: number): Promise<Sample> => {
      const job = { body: SMALL_BODY, endsWith: '}', durationMs: ms };
      const pace = { kind: 'closed', concurrency } as const;
      const sample = await measure(generator, build.store, build.target, { ...job, pace });
      if (sample.void !== null) throw new Error(`${build.target.name}: ${sample.void}`);
      return sample;
    };
    const rows: string[][] = [];
    for (const concurrency of CONCURRENCIES) {
      for (const build of builds) await run(build, concurrency, WARM_UP_MS);
      const pairs: [Sample, Sample][] = [];
      for (let round = 0; round < 2 * rounds; round += 1) {
        // Either goes first as often as the other.
        const order = round % 2 === 0 ? builds : builds.toReversed();
        const samples = new Map<Build, Sample>();
        for (const build of order) samples.set(build, await run(build, concurrency, durationMs));
        const [mine, others] = builds.map((build) => samples.get(build));
        if (mine !== undefined && others !== undefined) pairs.push([mine, others]);
      }
      rows.push(...rowsOf(concurrency, pairs));
    }
    return tableOf(['at once', 'figure', 'this', 'other', 'this / other'], rows);
  } finally {
    generator.close();
    for (const { target, store } of builds) {
      await target.tollgate.stop();
      await store.stop();
    }
    await upstream.stop();
  }
}

async function startBuild(
  folder: string,
  name: string,
  upstreamPort: number,
  root: string,
): Promise<Build> {
  const own = join(folder, `build-${name}`);
  mkdirSync(own, { recursive: true });
  const store = await Store.start(own);
  const tollgate = await Tollgate.start(own, store, upstreamPort, `bench-${name}`, root);
  const { port, pid } = tollgate;
  const headers = { authorization: `Bearer ${tollgate.token}` };
  return { store, target: { name, port, pid, headers, tollgate } };
}

function rowsOf(concurrency: number, pairs: readonly [Sample, Sample][]): string[][] {
  return Object.entries(FIGURES).map(([name, figure]) => {
    const known = pairs.map(([mine, others]) => [figure(mine) ?? 0, figure(others) ?? 0] as const);
    return [
      String(concurrency),
      name,
      medianOf(known.map(([mine]) => mine)).toFixed(0),
      medianOf(known.map(([, others]) => others)).toFixed(0),
      medianOf(known.map(([mine, others]) => mine / others)).toFixed(2),
    ];
  });
}
