import { describe, expect, it } from 'vitest';
import { refusal } from '../domain/errors.js';
import { idHeaders, unroutedErrorBody } from './unrouted-error.js';

describe('an error before any route', () => {
  it.each(['/v1/nothing', '/nothing', '/apis', '/v1/messages', '/together/v1/files'])(
    'names the request in every way at %s',
    (url) => {
      expect(idHeaders(url, 'id')).toEqual({
        'x-request-id': 'id',
        'request-id': 'id',
        'inference-id': 'id',
      });
    },
  );

  it.each(['/api/nothing', '/api', '/api?x=1'])('names it in one way at %s', (url) => {
    expect(idHeaders(url, 'id')).toEqual({ 'x-request-id': 'id' });
  });

  it('is told in the form of its path', () => {
    const refused = refusal('unknown_route', 'There is none.');
    const plain = unroutedErrorBody('/v1/messagesx', refused, 'id');
    expect(plain).toMatchObject({ error: { code: 'unknown_route' } });
    expect(plain).not.toHaveProperty('type');
    for (const url of ['/v1/messages', '/v1/messages?beta=true', '/v1/messages/batches']) {
      const body = unroutedErrorBody(url, refused, 'id');
      expect(body).toEqual({ type: 'error', ...plain, request_id: 'id' });
    }
  });
});
