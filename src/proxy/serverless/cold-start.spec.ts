import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { errorBody } from '../../domain/errors.js';
import { coldStartOf, loadingRefusal, retryAfterOf, wantsToWait } from './cold-start.js';

describe('a cold start', () => {
  it.each([
    ['{"error":"Model x/y is currently loading","estimated_time":20.0}', 20],
    ['{"error":"Model x/y is currently loading"}', 20],
    ['{"error":{"message":"Model is currently loading"},"estimated_time":0.4}', 0.4],
    ['{"error":"Model x/y is currently loading","estimated_time":null}', 20],
    ['{"error":"Model x/y is currently loading","estimated_time":"20"}', 20],
    ['{"error":"Model x/y is currently loading","estimated_time":-1}', 20],
    ['{"error":"starting","estimated_time":0}', 0],
    ['{"error":"loading","estimated_time":1e99}', 3600],
  ])('is what %s says', (text, estimatedTimeS) => {
    expect(coldStartOf(503, text)).toEqual({ estimatedTimeS });
  });

  it.each([
    [500, '{"error":"Model x/y is currently loading","estimated_time":20.0}'],
    [503, '{"error":"Service unavailable"}'],
    [503, '{"error":"Overloading"}'],
    [503, '<html>loading</html>'],
    [503, '["loading"]'],
    [503, 'null'],
    [503, ''],
    [200, '{"estimated_time":20.0}'],
  ])('is not %i %s', (status, text) => {
    expect(coldStartOf(status, text)).toBeNull();
  });

  it('never makes of any text what a client could not wait for', () => {
    const texts = fc.oneof(
      fc.json(),
      fc
        .record({ error: fc.constant('loading'), estimated_time: fc.double() })
        .map((body) => JSON.stringify(body)),
    );
    fc.assert(
      fc.property(texts, (text) => {
        const coldStart = coldStartOf(503, text);
        if (coldStart === null) return;
        const waitS = retryAfterOf(coldStart);
        expect(Number.isInteger(waitS)).toBe(true);
        expect(waitS).toBeGreaterThanOrEqual(1);
        expect(waitS).toBeLessThanOrEqual(3600);
        expect(waitS).toBeGreaterThanOrEqual(coldStart.estimatedTimeS);
      }),
    );
  });

  it('is told with the estimate beside the error, and rounded up in Retry-After', () => {
    const refused = loadingRefusal('x/y', { estimatedTimeS: 19.2 }, false);
    expect(refused).toMatchObject({ code: 'model_loading', retryAfterS: 20, shouldRetry: null });
    expect(refused.message).toContain('x-wait-for-model');
    expect(errorBody(refused).estimated_time).toBe(19.2);
    expect(loadingRefusal('x/y', { estimatedTimeS: 1 }, true).message).not.toContain('x-wait');
  });

  it('is waited for when the caller says true', () => {
    for (const value of ['true', 'True', ' 1 ']) expect(wantsToWait(value)).toBe(true);
    for (const value of ['false', '0', '', 'yes', undefined, ['true']])
      expect(wantsToWait(value)).toBe(false);
  });
});
