import { escapedPrompt, longPrompt, SMALL_BODY, streamBody } from './bodies.js';
import type { LoadGenerator } from './load-generator.js';
import type { LoadJob } from './load-job.js';
import { measure, medianOf, type Sample, type Target } from './measure.js';
import { residentBytes } from './meters.js';
import type { BenchOptions } from './options.js';
import type { Stage } from './stage.js';
import type { Store } from './tollgate.js';

/** All runs of one target in one scenario. */
export interface Row {
  readonly scenario: string;
  readonly target: string;
  readonly samples: readonly Sample[];
}

export interface MemoryResult {
  readonly streams: number;
  readonly beforeMib: number;
  readonly mostMib: number;
  /** Means of the first and the last third while all streams are open. */
  readonly earlyMib: number;
  readonly lateMib: number;
  readonly void: string | null;
}

export interface Bench {
  readonly options: BenchOptions;
  readonly generator: LoadGenerator;
  readonly store: Store;
  readonly progress: (line: string) => void;
}

export type Job = Omit<LoadJob, 'port' | 'headers' | 'durationMs'>;

export const CONCURRENCIES = [1, 32, 256] as const;
const STREAM_CHUNKS = 64;
/** Slow enough that every event arrives alone, at every target. */
const STREAM_TICK_MS = 2;
const STREAM_END = 'data: [DONE]';
const OPEN_STREAMS = 1000;
const OPEN_TICK_MS = 250;

/** Node compiles what is hot only after a while: nobody is measured cold. */
export async function warmUp(bench: Bench, stage: Stage, isStreaming: boolean): Promise<void> {
  const { generator, store, options } = bench;
  const durationMs = options.isQuick ? 1500 : 4000;
  const plain = { ...closed(SMALL_BODY, 32), durationMs };
  const streamed = { ...streamJob(), durationMs };
  for (const target of stage.targets) {
    bench.progress(`warming up ${target.name}`);
    await measure(generator, store, target, isStreaming ? streamed : plain);
  }
}

export async function runPlain(bench: Bench, stage: Stage): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, job] of plainJobs()) {
    rows.push(...(await interleave(bench, name, stage.targets, job)));
  }
  return rows;
}

export function plainJobs(): readonly (readonly [name: string, job: Job])[] {
  return CONCURRENCIES.map((concurrency) => [
    plainName(concurrency),
    closed(SMALL_BODY, concurrency),
  ]);
}

export function plainName(concurrency: number): string {
  return `plain 0.3 KB, c=${concurrency}`;
}

export const RATE_SCENARIO = 'plain 0.3 KB, half of maximum';

/** At half of what Tollgate can do at most, offered on a clock, beside the same straight upstream. */
export async function runRate(
  bench: Bench,
  stage: Stage,
  plain: readonly Row[],
): Promise<{ rows: Row[]; offeredPerSecond: number }> {
  const known = plain.filter((row) => row.target === 'tollgate').map(requestsPerSecondOf);
  const most = known.length > 0 ? Math.max(...known) : await measureMost(bench, stage);
  const offeredPerSecond = Math.max(1, Math.floor(most / 2));
  const pace = { kind: 'constant', perSecond: offeredPerSecond } as const;
  const job: Job = { body: SMALL_BODY, pace, endsWith: '}' };
  const targets = [stage.upstream, stage.tollgate];
  return { rows: await interleave(bench, RATE_SCENARIO, targets, job), offeredPerSecond };
}

async function measureMost({ generator, store }: Bench, stage: Stage): Promise<number> {
  const job = { ...closed(SMALL_BODY, 256), durationMs: 1500 };
  await measure(generator, store, stage.tollgate, job);
  return (await measure(generator, store, stage.tollgate, job)).requestsPerSecond;
}

export const STREAM_SCENARIO = `streamed, ${STREAM_CHUNKS} chunks, c=32`;

export async function runStream(bench: Bench, stage: Stage): Promise<Row[]> {
  return await interleave(bench, STREAM_SCENARIO, stage.targets, streamJob());
}

export function streamJob(): Job {
  return { ...closed(streamBody(STREAM_CHUNKS, STREAM_TICK_MS), 32), endsWith: STREAM_END };
}

export const PROMPT_SCENARIO = 'plain 400 KB, c=8';
export const ESCAPED_SCENARIO = 'plain 400 KB escaped, c=8';

export async function runPrompt(bench: Bench, stage: Stage): Promise<Row[]> {
  const rows: Row[] = [];
  for (const [name, job] of promptJobs()) {
    rows.push(...(await interleave(bench, name, stage.targets, job)));
  }
  return rows;
}

export function promptJobs(): readonly (readonly [name: string, job: Job])[] {
  return [
    [PROMPT_SCENARIO, closed(longPrompt(), 8)],
    [ESCAPED_SCENARIO, closed(escapedPrompt(), 8)],
  ];
}

/** Memory of Tollgate while a thousand streams are open and each gets an event now and then. */
export async function runMemory(bench: Bench, stage: Stage): Promise<MemoryResult> {
  const { generator, store, options } = bench;
  const { pid } = stage.tollgate.tollgate;
  const seconds = options.isQuick ? 5 : 20;
  const body = streamBody((seconds * 1000) / OPEN_TICK_MS, OPEN_TICK_MS);
  const job = { ...closed(body, OPEN_STREAMS), endsWith: STREAM_END, durationMs: 1 };
  const beforeMib = residentBytes(pid) / 1024 / 1024;
  const seen: number[] = [];
  const timer = setInterval(() => seen.push(residentBytes(pid) / 1024 / 1024), 200);
  bench.progress(`${OPEN_STREAMS} open streams`);
  const sample = await measure(generator, store, stage.tollgate, job);
  clearInterval(timer);
  // The first and the last second belong to opening and settling.
  const open = seen.slice(5, -5);
  const third = Math.max(1, Math.floor(open.length / 3));
  const mean = (values: readonly number[]): number =>
    values.reduce((sum, value) => sum + value, 0) / values.length;
  return {
    streams: OPEN_STREAMS,
    beforeMib,
    mostMib: Math.max(...seen),
    earlyMib: mean(open.slice(0, third)),
    lateMib: mean(open.slice(-third)),
    void: sample.void,
  };
}

export function requestsPerSecondOf(row: Row): number {
  return medianOf(row.samples.map((sample) => sample.requestsPerSecond));
}

/** A B C A B C: what the machine does meanwhile hits all of them. */
async function interleave(
  { options, generator, store, progress }: Bench,
  scenario: string,
  targets: readonly Target[],
  job: Job,
): Promise<Row[]> {
  const { durationMs, rounds } = options;
  for (const target of targets) {
    await measure(generator, store, target, { ...job, durationMs: Math.min(1000, durationMs / 2) });
  }
  await store.checkpoint();
  const samples = new Map<string, Sample[]>(targets.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const target of targets) {
      progress(`${scenario}: ${target.name} (${round}/${rounds})`);
      const sample = await measure(generator, store, target, { ...job, durationMs });
      samples.get(target.name)?.push(sample);
    }
  }
  return targets.map(({ name }) => ({ scenario, target: name, samples: samples.get(name) ?? [] }));
}

function closed(body: string, concurrency: number): Job {
  return { body, pace: { kind: 'closed', concurrency }, endsWith: '}' };
}
