import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readRecorded } from '../faults/recorded.js';
import { JobCrash, type Submitted } from '../support/job-crash.js';
import { eventually } from '../support/simulated.js';

// A process is killed with SIGKILL at one moment in the life of three jobs, one for each way in which
// providers tell of them. What it had begun in the database goes on there without it, or does not.

let crash: JobCrash;

beforeAll(async () => {
  crash = await JobCrash.start();
});

afterAll(async () => {
  await crash.close();
});

afterEach(async () => {
  await crash.recover();
});

describe('a process that is killed', () => {
  it('while the provider thinks about the submit: the successor gives the holds back, and nobody pays', async () => {
    const unborn = crash.submit('fal', 'delay=60000');
    // These the provider has taken on, and its answers are under way.
    const answers = crash.wire.hold('/together/v2/videos', '/novita/v3/async/wan-t2v');
    const accepted = [crash.submit('together'), crash.submit('novita')];
    const all = [unborn, ...accepted];
    await eventually('two answers', () => (answers.count === 2 ? true : null));
    await Promise.all(all.map((one) => crash.eventIdOf(one)));

    // As long as it lives its holds are its own, however old its heartbeat is.
    crash.standStill();
    await crash.makeStale();
    await crash.startSuccessor();
    expect(await openEvents()).toBe(3);

    await crash.kill();
    crash.turnToSuccessor();
    await crash.makeStale();
    expect(await answered(all)).toEqual([false, false, false]);
    await crash.untilAllEnded();
    for (const one of accepted) crash.finish(one);
    expect(crash.jobOf(unborn)).toBeNull();
    await expectFree(...all);
  });

  it('while it hands jobs over: each is its own before or after, and never both', async () => {
    const answers = crash.wire.hold(...SUBMIT_PATHS);
    const [undone, landed, raced] = crash.submitEach() as [Submitted, Submitted, Submitted];
    const all = [undone, landed, raced];
    await eventually('three answers', () => (answers.count === 3 ? true : null));
    const locks = await Promise.all(all.map((one) => crash.lock('open_events', one)));
    const [undoing, landing, racing] = locks as [Lock, Lock, Lock];
    answers.letGo();
    await Promise.all(locks.map((lock) => lock.untilWaited()));

    await crash.kill();
    expect(await answered(all)).toEqual([false, false, false]);
    // What it had sent to the database is lost, arrives after its death, and arrives while the next
    // life already takes its holds away.
    await undoing.endWaiters();
    await undoing.release();
    await landing.release();
    await eventually('the job that landed', () => crash.jobState(landed));
    await crash.beginRestart();
    await racing.untilWaited(2);
    await racing.release();
    await crash.untilRestarted();

    for (const one of all) crash.finish(one);
    await crash.untilAllEnded();
    await expectFree(undone);
    await expectExact(landed, raced);
    await fetchAgain(landed, raced);
  });

  it('in a crowd of submits: whoever saw the answer pays once and exactly, the others at most that', async () => {
    const crowd = Array.from({ length: 8 }, () => crash.submitEach()).flat();
    const seen = await firstAnswered(crowd, 8);
    await crash.kill();
    await Promise.all(crowd.map(({ answered: answer }) => answer));
    await crash.restart();

    const known = crowd.filter((one) => seen.has(one));
    expect(known.length).toBeGreaterThanOrEqual(8);
    for (const one of crowd) if (crash.jobOf(one) !== null) crash.finish(one);
    // Every other one is fetched by its caller, the rest by nobody.
    for (const one of known.filter((_, index) => index % 2 === 0)) {
      expect([one.tag, await crash.fetchResult(one)]).toEqual([one.tag, 200]);
    }
    await crash.untilAllEnded();
    await expectExact(...known);
    for (const one of crowd.filter((other) => !seen.has(other))) await expectAtMostBilled(one);
    await fetchAgain(...known);
  });

  it('while it settles the result that the caller fetches: the next fetch settles it, once', async () => {
    const [undone, queued, unmarked] = crash.submitEach() as [Submitted, Submitted, Submitted];
    const all = [undone, queued, unmarked];
    expect(await answered(all)).toEqual([true, true, true]);
    await Promise.all(all.map((one) => crash.keepPollerAway(one)));
    for (const one of all) crash.finish(one);

    const marking = await crash.lock('media_jobs', unmarked);
    const settling = await crash.lock('open_events', undone);
    const fetches = [crash.fetchResult(unmarked)];
    // Its charge is committed, the job still says that it runs.
    await marking.untilWaited();
    fetches.push(crash.fetchResult(undone));
    await settling.untilWaited();
    fetches.push(crash.fetchResult(queued));

    await crash.kill();
    expect(await Promise.all(fetches)).toEqual([null, null, null]);
    await marking.endWaiters();
    // The write of the other goes on without its process; its COMMIT never comes.
    await Promise.all([marking.release(), settling.release()]);
    expect(await openEvents()).toBe(2);
    await expectExact(unmarked);
    await crash.restart();

    expect(await crash.jobState(unmarked)).toBe('running');
    for (const one of all) expect([one.tag, await crash.fetchResult(one)]).toEqual([one.tag, 200]);
    await crash.untilAllEnded();
    await expectExact(...all);
    await fetchAgain(...all);
  });

  it('while its poller settles: the jobs are polled again when their leases are over, and settled once', async () => {
    const [undone, asked, unmarked] = crash.submitEach() as [Submitted, Submitted, Submitted];
    const all = [undone, asked, unmarked];
    expect(await answered(all)).toEqual([true, true, true]);
    await Promise.all(all.map((one) => crash.keepPollerAway(one)));
    for (const one of all) crash.finish(one);
    const paths = all.map((one) => crash.resultPathOf(one));
    const answers = crash.wire.hold(...paths);
    await crash.makeDue();
    await eventually('three results on their way', () => (answers.count === 3 ? true : null));

    const marking = await crash.lock('media_jobs', unmarked);
    answers.letGo(paths[2]);
    await marking.untilWaited();
    const settling = await crash.lock('open_events', undone);
    answers.letGo(paths[0]);
    await settling.untilWaited();

    await crash.kill();
    await marking.endWaiters();
    await settling.endWaiters();
    await Promise.all([marking.release(), settling.release()]);
    crash.wire.clear();
    await crash.restart();
    expect(await openEvents()).toBe(2);
    expect(await longestLeaseMs()).toBeLessThanOrEqual(90_000);

    await crash.makeDue();
    await crash.untilAllEnded();
    await expectExact(...all);
    await fetchAgain(...all);
  });
});

type Lock = Awaited<ReturnType<JobCrash['lock']>>;

const SUBMIT_PATHS = ['/fal-ai/fal-ai/flux/dev', '/together/v2/videos', '/novita/v3/async/wan-t2v'];

function answered(submits: readonly Submitted[]): Promise<boolean[]> {
  return Promise.all(submits.map((one) => one.answered));
}

/** The first so many whose callers got an answer; more are added as they get theirs. */
async function firstAnswered(
  submits: readonly Submitted[],
  count: number,
): Promise<ReadonlySet<Submitted>> {
  const seen = new Set<Submitted>();
  await new Promise<void>((enough) => {
    for (const one of submits) {
      void one.answered.then((isAnswered) => {
        if (isAnswered) seen.add(one);
        if (seen.size === count) enough();
      });
    }
  });
  return seen;
}

async function openEvents(): Promise<number> {
  return (await readRecorded(crash.database.url)).openEvents;
}

async function longestLeaseMs(): Promise<number> {
  const [row] = await crash.database.query<{ ms: number }>(
    `SELECT max(extract(epoch FROM next_poll_at - clock_timestamp()) * 1000)::float8 AS ms
     FROM media_jobs WHERE state = 'running'`,
  );
  return row?.ms ?? Number.POSITIVE_INFINITY;
}

/** Given back: the caller knows nothing of it, and does not come to it by its name either. */
async function expectFree(...submits: readonly Submitted[]): Promise<void> {
  for (const one of submits) {
    const { tag } = one;
    const { state, outcome, costPicoUsd } = await crash.eventOf(one);
    expect([tag, state, outcome, costPicoUsd]).toEqual([tag, 'released', 'aborted', null]);
    expect([tag, await crash.jobState(one)]).toEqual([tag, null]);
    expect([tag, await crash.fetchResult(one)]).toEqual([tag, 404]);
  }
}

/** One event, at what the provider billed. */
async function expectExact(...submits: readonly Submitted[]): Promise<void> {
  for (const one of submits) {
    const event = await crash.eventOf(one);
    const line = crash.finish(one);
    expect([one.tag, event]).toEqual([
      one.tag,
      expect.objectContaining({
        state: 'settled',
        outcome: 'complete',
        usageSource: 'provider',
        providerRequestId: line.requestId,
        costPicoUsd: line.costPicoUsd,
        absorbedPicoUsd: 0n,
      }),
    ]);
    expect(line.costPicoUsd).toBeGreaterThan(0n);
  }
}

async function expectAtMostBilled(one: Submitted): Promise<void> {
  if (crash.jobOf(one) === null) {
    // It may not even have come to us.
    const { events } = await readRecorded(crash.database.url);
    const its = events.filter(({ clientRequestId }) => clientRequestId === one.tag);
    expect(its.map(({ costPicoUsd }) => costPicoUsd ?? 0n)).toEqual(its.map(() => 0n));
    return;
  }
  const { state } = await crash.eventOf(one);
  await (state === 'settled' ? expectExact(one) : expectFree(one));
}

/** The caller fetches every result twice more: it is there, and nothing moves in the books. */
async function fetchAgain(...submits: readonly Submitted[]): Promise<void> {
  const before = await readRecorded(crash.database.url);
  for (const one of [...submits, ...submits]) {
    expect([one.tag, await crash.fetchResult(one)]).toEqual([one.tag, 200]);
  }
  expect(await crash.untilAllEnded()).toEqual(before);
}
