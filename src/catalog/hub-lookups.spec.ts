import { afterEach, describe, expect, it, vi } from 'vitest';
import { Hub, type HubAnswer } from './hub.js';
import { HubLookups } from './hub-lookups.js';

const HOUR_MS = 3_600_000;
const never = new AbortController().signal;

/** Answers when the test says so. */
class SlowHub extends Hub {
  readonly asked: string[] = [];
  readonly isAway = new Set<string>();
  readonly isHung = new Set<string>();
  open = 0;
  mostOpen = 0;

  override async namesOf(model: string, signal: AbortSignal): Promise<HubAnswer> {
    this.asked.push(model);
    this.open += 1;
    this.mostOpen = Math.max(this.mostOpen, this.open);
    await new Promise<void>((wake) => {
      const done = (): void => {
        signal.removeEventListener('abort', done);
        wake();
      };
      if (!this.isHung.has(model)) setImmediate(done);
      signal.addEventListener('abort', done);
    });
    this.open -= 1;
    return this.isAway.has(model) || signal.aborted
      ? { kind: 'failed', problem: 'away' }
      : { kind: 'named', names: new Map([['groq', `own-${model}`]]) };
  }
}

class Bench {
  nowMs = Date.UTC(2026, 10, 21);
  readonly hub = new SlowHub();
  readonly lookups = new HubLookups(this.hub, { now: () => new Date(this.nowMs) });

  /** What a round asked. */
  async round(models: readonly string[]): Promise<readonly string[]> {
    const before = this.hub.asked.length;
    await this.lookups.round(models, never);
    return this.hub.asked.slice(before);
  }
}

afterEach(() => {
  vi.useRealTimers();
});

describe('look-ups at the Hub', () => {
  it('are four at once at most, and each model once', async () => {
    const { hub, lookups } = new Bench();
    const models = Array.from({ length: 30 }, (_, index) => `org/m${index}`);
    const { said, ...counts } = await lookups.round([...models, 'org/m0'], never);
    expect(counts).toEqual({ asked: 30, failed: 0, problem: null, left: 0 });
    expect(said.get('org/m7')).toEqual(new Map([['groq', 'own-org/m7']]));
    expect(hub.asked).toEqual(models);
    expect(hub.mostOpen).toBe(4);
  });

  it('are remembered for a day', async () => {
    const bench = new Bench();
    expect(await bench.round(['org/a'])).toEqual(['org/a']);
    bench.nowMs += 24 * HOUR_MS - 1;
    expect(await bench.round(['org/a', 'org/b'])).toEqual(['org/b']);
    const { said } = await bench.lookups.round(['org/a', 'org/b'], never);
    expect([...said.keys()]).toEqual(['org/a', 'org/b']);
    bench.nowMs += 1;
    expect(await bench.round(['org/a', 'org/b'])).toEqual(['org/a']);
  });

  it('are tried again after ten minutes where they failed, and say nothing until then', async () => {
    const bench = new Bench();
    bench.hub.isAway.add('org/a');
    const found = await bench.lookups.round(['org/a', 'org/b'], never);
    expect(found).toMatchObject({ asked: 2, failed: 1, problem: 'away', left: 0 });
    expect([...found.said.keys()]).toEqual(['org/b']);
    bench.hub.isAway.clear();
    bench.nowMs += 10 * 60_000 - 1;
    expect(await bench.round(['org/a', 'org/b'])).toEqual([]);
    bench.nowMs += 1;
    expect(await bench.round(['org/a', 'org/b'])).toEqual(['org/a']);
  });

  it('end after twenty seconds; who was not come to is first the next time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const bench = new Bench();
    const models = ['org/a', 'org/b', 'org/c', 'org/d', 'org/e', 'org/f'];
    for (const model of models.slice(1, 5)) bench.hub.isHung.add(model);
    const round = bench.lookups.round(models, never);
    while (bench.hub.open < 4 || bench.hub.asked.length < 5) {
      await new Promise((wake) => setImmediate(wake));
    }
    await vi.advanceTimersByTimeAsync(19_999);
    expect(bench.hub.open).toBe(4);
    await vi.advanceTimersByTimeAsync(1);
    const found = await round;
    expect(found).toMatchObject({ asked: 1, failed: 0, left: 5 });
    expect([...found.said.keys()]).toEqual(['org/a']);
    expect(bench.hub.open).toBe(0);
    bench.hub.isHung.clear();
    bench.hub.isAway.add('org/b');
    expect(await bench.round(models)).toEqual(models.slice(1));
    // A failed one waits behind those that were never asked for.
    bench.nowMs += HOUR_MS;
    expect(await bench.round([...models, 'org/new'])).toEqual(['org/new', 'org/b']);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stop with the service', async () => {
    const { hub, lookups } = new Bench();
    hub.isHung.add('org/a');
    const stop = new AbortController();
    const round = lookups.round(['org/a'], stop.signal);
    stop.abort();
    expect(await round).toMatchObject({ asked: 0, failed: 0, left: 1 });
  });

  it('are made of ids that can be at the Hub, and lead to no other path', async () => {
    const ids = [
      'gpt2',
      '../x',
      'a/..',
      'a/../b',
      '.',
      'a?b',
      'a#b',
      'a/b/c',
      'a%2fb',
      '/a',
      'é/x',
    ];
    expect(await new Bench().round(ids)).toEqual(['gpt2']);
  });

  it('forget a model that is listed no more', async () => {
    const bench = new Bench();
    await bench.round(['org/a', 'org/b']);
    await bench.round(['org/b']);
    expect(await bench.round(['org/a', 'org/b'])).toEqual(['org/a']);
  });
});
