import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { JOB_SHAPES, NOVITA_ASYNC, WAVESPEED_PREDICTION, ZAI_ASYNC } from './job-shapes.js';
import { jobFactsJson, jobFactsOf } from './job-facts.js';
import { reportOf } from './job-report.js';

const orNull = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> =>
  fc.option(arbitrary, { nil: null });

describe('the facts of a job', () => {
  it('come back as they were kept', () => {
    const quantity = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(
        fc.record({
          request: fc.record({
            n: orNull(fc.nat()),
            pixels: orNull(quantity),
            characters: orNull(fc.nat()),
            videoMs: orNull(quantity),
            audioBytes: fc.nat(),
            audioMs: orNull(quantity),
            isAudioElsewhere: fc.boolean(),
          }),
          inputTextBytes: fc.nat(),
        }),
        (facts) => {
          expect(jobFactsOf(jobFactsJson(facts))).toEqual(facts);
        },
      ),
    );
  });
});

describe('the result of a job', () => {
  const answer = (
    body: unknown,
    headers: Record<string, string> = {},
  ): Parameters<typeof reportOf>[0] => ({
    status: 200,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(body)),
  });

  it('tells how much was made where its provider tells it', () => {
    const novita = answer({ task: {}, videos: [{ duration: 5.04 }, { duration: '2' }] });
    expect(reportOf(novita, NOVITA_ASYNC, 'video').quantities).toMatchObject({ video_ms: 7_040n });
    const wavespeed = answer({ data: { outputs: ['a', 'b', 'c'] } });
    expect(reportOf(wavespeed, WAVESPEED_PREDICTION, 'image').quantities).toMatchObject({
      image: 3n,
    });
    const zai = answer({ image_result: [{ url: 'x' }] });
    expect(reportOf(zai, ZAI_ASYNC, 'image').quantities).toMatchObject({ image: 1n });
  });

  it('with a figure that cannot be one says so, and states nothing else of it', () => {
    const report = reportOf(answer({ videos: [{ duration: -1 }] }), NOVITA_ASYNC, 'video');
    expect(report.problem).not.toBeNull();
    expect(report.quantities.video_ms).toBeUndefined();
  });

  it('is read without a crash, whatever it is', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...JOB_SHAPES.values()),
        fc.constantFrom('image' as const, 'video' as const, 'speech' as const),
        fc.jsonValue(),
        (shape, task, value) => {
          const { quantities } = reportOf(answer(value), shape, task);
          for (const quantity of Object.values(quantities)) expect(quantity >= 0n).toBe(true);
        },
      ),
    );
  });
});
