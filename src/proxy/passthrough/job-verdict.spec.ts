import { describe, expect, it } from 'vitest';
import type { JobAnswer } from './job-client.js';
import { FAL_QUEUE, REPLICATE_PREDICTION } from './job-shapes.js';
import { verdictOfPoll, verdictOfResult } from './job-verdict.js';

const answer = (status: number, body: unknown): JobAnswer => ({
  status,
  headers: {},
  body: Buffer.from(JSON.stringify(body)),
});

describe('an answer about a job', () => {
  it.each([
    [200, { status: 'COMPLETED' }, 'succeeded'],
    [202, { status: 'IN_PROGRESS' }, 'running'],
    [200, { status: 'CANCELLED' }, 'failed'],
    [200, {}, 'running'],
    [404, {}, 'unknown'],
    [410, {}, 'unknown'],
    [401, { status: 'COMPLETED' }, 'running'],
    [429, {}, 'running'],
    [500, { status: 'FAILED' }, 'running'],
  ])('with status %i and %j is %s at a queue with a result apart', (status, body, verdict) => {
    expect(verdictOfPoll(answer(status, body), FAL_QUEUE)).toBe(verdict);
  });

  it.each([
    [200, { status: 'succeeded' }, 'result'],
    [200, { status: 'processing' }, 'running'],
    [200, { status: 'canceled' }, 'failed'],
    [404, {}, 'unknown'],
  ])('with status %i and %j is %s where one answer tells all', (status, body, verdict) => {
    expect(verdictOfPoll(answer(status, body), REPLICATE_PREDICTION)).toBe(verdict);
    expect(verdictOfResult(answer(status, body), REPLICATE_PREDICTION, false)).toBe(verdict);
  });

  it('that refuses the result is a failure only of a job that is at its end', () => {
    const refused = answer(422, { detail: 'x' });
    expect(verdictOfResult(refused, FAL_QUEUE, true)).toBe('failed');
    expect(verdictOfResult(answer(400, { detail: 'still in progress' }), FAL_QUEUE, false)).toBe(
      'running',
    );
    for (const status of [401, 402, 403, 408, 429, 500, 503]) {
      expect(verdictOfResult(answer(status, {}), FAL_QUEUE, true)).toBe('running');
    }
    expect(verdictOfResult(answer(200, {}), FAL_QUEUE, false)).toBe('result');
  });
});
