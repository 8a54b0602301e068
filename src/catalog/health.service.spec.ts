import pino from 'pino';
import { describe, expect, it } from 'vitest';
import type { Clock } from '../config/clock.js';
import { HEALTH_RULES, type CallResult } from '../domain/health.js';
import { MetricsService } from '../http/metrics.service.js';
import { HealthMetrics } from './health-metrics.js';
import { HealthService } from './health.service.js';
import { UpstreamProbe, type CalledRoute } from './health.js';

const T = Date.UTC(2026, 10, 21);
const MODEL = 'org/name';
const { coolDownMs, failuresInRow } = HEALTH_RULES;
const failed: CallResult = { kind: 'failed', retryAfterMs: null };
const ok: CallResult = { kind: 'ok', firstByteMs: 100, outputTokens: 100, durationMs: 1_100 };

class SetProbe extends UpstreamProbe {
  isUp = true;
  readonly asked: string[] = [];

  override isAnswering(upstream: string): Promise<boolean> {
    this.asked.push(upstream);
    return Promise.resolve(this.isUp);
  }
}

class Bench {
  nowMs = T;
  readonly probe = new SetProbe();
  readonly metrics = new HealthMetrics(new MetricsService());
  readonly health: HealthService;

  constructor() {
    const clock: Clock = { now: () => this.now() };
    this.health = new HealthService(this.probe, this.metrics, clock, pino({ enabled: false }));
  }

  now(): Date {
    return new Date(this.nowMs);
  }

  note(times: number, result: CallResult, called: Partial<CalledRoute> = {}): void {
    for (let call = 0; call < times; call += 1) {
      this.health.note(
        { upstream: 'default', provider: 'groq', model: MODEL, ...called },
        result,
        this.now(),
      );
    }
  }

  of(provider = 'groq', model = MODEL): string {
    return this.health.healthOf('default', provider, model, this.now());
  }

  async open(): Promise<number> {
    const { values } = await this.metrics.circuitsOpen.get();
    return values.reduce((sum, { value }) => sum + value, 0);
  }
}

describe('HealthService', () => {
  it('puts a failing model last, alone: neither its provider nor the model elsewhere', async () => {
    const bench = new Bench();
    const before = bench.health.version;
    bench.note(failuresInRow, failed);
    expect(bench.of()).toBe('unhealthy');
    expect(bench.of('groq', 'org/other')).toBe('healthy');
    expect(bench.of('novita')).toBe('healthy');
    expect(bench.health.version).not.toBe(before);
    expect(await bench.open()).toBe(1);
  });

  it('puts a provider last whose models fail, for every model', () => {
    const bench = new Bench();
    for (let call = 0; call < failuresInRow; call += 1) {
      bench.note(1, failed, { model: `org/model-${call}` });
    }
    expect(bench.of('groq', 'org/never-called')).toBe('unhealthy');
  });

  it('says nothing to others of what failed under a key of an organization', () => {
    const bench = new Bench();
    bench.note(100, failed, { isExternal: true });
    expect(bench.of()).toBe('healthy');
  });

  it('changes its version when the time of an open circuit is over, once', () => {
    const bench = new Bench();
    bench.note(failuresInRow, failed);
    const open = bench.health.versionAt(bench.now());
    bench.nowMs += coolDownMs - 1;
    expect(bench.health.versionAt(bench.now())).toBe(open);
    expect(bench.of()).toBe('unhealthy');
    bench.nowMs += 1;
    const trial = bench.health.versionAt(bench.now());
    expect(trial).not.toBe(open);
    expect(bench.of()).toBe('trial');
    expect(bench.health.versionAt(bench.now())).toBe(trial);
  });

  it('closes on the next success, and counts what is open', async () => {
    const bench = new Bench();
    bench.note(failuresInRow, failed);
    bench.nowMs += coolDownMs;
    bench.note(1, failed);
    expect(bench.of()).toBe('unhealthy');
    expect(await bench.open()).toBe(1);
    bench.nowMs += 2 * coolDownMs;
    bench.note(1, ok);
    expect(bench.of()).toBe('healthy');
    expect(await bench.open()).toBe(0);
  });

  it('looks at the upstream before a request has to, and waits on where nobody answers', async () => {
    const bench = new Bench();
    await bench.health.probeOpen(bench.now());
    bench.note(failuresInRow, failed);
    await bench.health.probeOpen(bench.now());
    expect(bench.probe.asked).toEqual([]);
    bench.probe.isUp = false;
    bench.nowMs += coolDownMs - 1_000;
    await bench.health.probeOpen(bench.now());
    expect(bench.probe.asked).toEqual(['default']);
    bench.nowMs += 1_000;
    expect(bench.of()).toBe('unhealthy');
    bench.probe.isUp = true;
    bench.nowMs += 2 * coolDownMs - 2_000;
    await bench.health.probeOpen(bench.now());
    bench.nowMs += 1_000;
    expect(bench.probe.asked).toEqual(['default', 'default']);
    expect(bench.health.versionAt(bench.now())).toBe(bench.health.version);
    expect(bench.of()).toBe('trial');
  });

  it('tells what it measured for as long as that is fresh', () => {
    const bench = new Bench();
    expect(bench.health.measured('default', 'groq', MODEL)).toEqual({
      firstByteMs: null,
      throughput: null,
    });
    bench.note(4, ok);
    expect(bench.health.measured('default', 'groq', MODEL)).toEqual({
      firstByteMs: 100,
      throughput: 100,
    });
    bench.nowMs += 3_600_000;
    expect(bench.health.measured('default', 'groq', MODEL).throughput).toBeNull();
  });

  it('remembers names up to a bound', async () => {
    const bench = new Bench();
    bench.note(failuresInRow, failed);
    for (let index = 0; index < 6_000; index += 1)
      bench.note(1, ok, { model: `org/model-${index}` });
    expect(bench.of()).toBe('healthy');
    expect(await bench.open()).toBe(0);
    bench.note(failuresInRow, failed);
    expect(bench.of()).toBe('unhealthy');
  });
});
