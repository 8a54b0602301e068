import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { jobIdIn, jobPathsOf, jobProgressIn, jsonOf } from './job-reading.js';
import { FAL_QUEUE, JOB_SHAPES, NOVITA_ASYNC, REPLICATE_PREDICTION } from './job-shapes.js';
import { matchPassThrough } from './match.js';

const FAL_JOB = { provider: 'fal-ai', id: 'abc-1', model: 'fal-ai/flux/dev' };

describe('a job in the answer to its submit', () => {
  it('has the id that the provider gives it, if it can stand in a path', () => {
    expect(jobIdIn({ request_id: 'abc-1' }, FAL_QUEUE)).toBe('abc-1');
    expect(jobIdIn({ task_id: 17 }, NOVITA_ASYNC)).toBe('17');
    for (const bad of ['', '../x', 'a/b', 'a b', '?', '..', 'a%2fb', null, {}, true, 1.5]) {
      expect(jobIdIn({ request_id: bad }, FAL_QUEUE)).toBeNull();
    }
    expect(jobIdIn(null, FAL_QUEUE)).toBeNull();
  });

  it.each([
    ['https://queue.fal.run/fal-ai/flux/requests/abc-1', '/fal-ai/flux/requests/abc-1'],
    ['https://router.example/fal-ai/fal-ai/flux/requests/abc-1', '/fal-ai/flux/requests/abc-1'],
    // Not this job, no job at all, no URL: the documented path.
    ['https://queue.fal.run/fal-ai/flux/requests/other', '/fal-ai/flux/requests/abc-1'],
    ['https://queue.fal.run/storage/upload', '/fal-ai/flux/requests/abc-1'],
    ['https://queue.fal.run/fal-ai/flux/requests/abc-1/../../x', '/fal-ai/flux/requests/abc-1'],
    ['nonsense', '/fal-ai/flux/requests/abc-1'],
  ])('is asked for under the path of %s', (url, path) => {
    expect(jobPathsOf(FAL_QUEUE, FAL_JOB, { response_url: url })).toEqual({
      poll: `${path}/status?_subdomain=queue`,
      result: `${path}?_subdomain=queue`,
      cancel: `${path}/cancel?_subdomain=queue`,
    });
  });

  it('has an owner of its own beside the slug of its provider', () => {
    const job = { ...FAL_JOB, model: 'wan/v2.6/text-to-video' };
    const url = 'https://router.example/fal-ai/wan/v2.6/requests/abc-1';
    expect(jobPathsOf(FAL_QUEUE, job, { response_url: url }).result).toBe(
      '/wan/v2.6/requests/abc-1?_subdomain=queue',
    );
  });

  it('is asked for at paths of its provider’s table, whatever the answer says', () => {
    const anything = fc.record({
      response_url: fc.oneof(fc.webUrl(), fc.string(), fc.webPath()),
    });
    fc.assert(
      fc.property(fc.constantFrom(...JOB_SHAPES.values()), anything, (shape, answer) => {
        const provider = {
          fal: 'fal-ai',
          zai: 'zai-org',
          'novita-minimax': 'novita',
        }[shape.name];
        const job = { ...FAL_JOB, provider: provider ?? shape.name };
        const paths = jobPathsOf(shape, job, answer);
        for (const path of [paths.poll, paths.result]) {
          const match = matchPassThrough('GET', `/${job.provider}${path}`);
          expect(match).toMatchObject({ kind: 'matched', jobId: 'abc-1', route: { job: shape } });
        }
        if (paths.cancel === null || shape.cancel === null) return;
        expect(
          matchPassThrough(shape.cancel.method, `/${job.provider}${paths.cancel}`),
        ).toMatchObject({ kind: 'matched', jobId: 'abc-1', route: { role: 'cancel' } });
      }),
    );
  });
});

describe('the progress of a job', () => {
  it('is read in the words of its provider', () => {
    expect(jobProgressIn({ status: 'IN_QUEUE' }, FAL_QUEUE)).toBe('running');
    expect(jobProgressIn({ status: 'COMPLETED' }, FAL_QUEUE)).toBe('done');
    expect(jobProgressIn({ status: 'canceled' }, REPLICATE_PREDICTION)).toBe('failed');
    expect(jobProgressIn({ task: { status: 'TASK_STATUS_SUCCEED' } }, NOVITA_ASYNC)).toBe('done');
    expect(jobProgressIn({ task: { status: 'TASK_STATUS_QUEUED' } }, NOVITA_ASYNC)).toBe('running');
  });

  it('is unclear where nothing tells it', () => {
    for (const answer of [null, [], 'COMPLETED', {}, { status: 1 }, { task: null }]) {
      expect(jobProgressIn(answer, FAL_QUEUE)).toBe('unclear');
      expect(jobProgressIn(answer, NOVITA_ASYNC)).toBe('unclear');
    }
    expect(jsonOf(Buffer.from('<html>'))).toBeNull();
  });
});
