import { describe, expect, it } from 'vitest';
import {
  ERROR_STATUS,
  errorBody,
  errorStatus,
  errorType,
  isErrorCode,
  refusal,
  TollgateError,
} from './errors.js';

describe('errors', () => {
  it('name the type that clients know for 400 and 401, else the code', () => {
    expect(errorType('invalid_json')).toBe('invalid_request_error');
    expect(errorType('invalid_token')).toBe('authentication_error');
    expect(errorType('credit_exhausted')).toBe('credit_exhausted');
    expect(errorStatus('credit_exhausted')).toBe(402);
  });

  it('have a status that is an error, each code once', () => {
    for (const status of Object.values(ERROR_STATUS)) {
      expect(status >= 400 && status < 600).toBe(true);
    }
    expect(isErrorCode('invalid_json')).toBe(true);
    expect(isErrorCode('toString')).toBe(false);
  });

  it('tell clients not to retry what is final', () => {
    expect(refusal('upstream_timeout', 'late').shouldRetry).toBe(false);
    expect(refusal('idempotency_key_reused', 'other body').shouldRetry).toBe(false);
    const wait = (retryAfterS: number) => refusal('rate_limit_exceeded', 'slow', { retryAfterS });
    expect(wait(60).shouldRetry).toBeNull();
    expect(wait(61).shouldRetry).toBe(false);
    expect(refusal('insufficient_funds', 'held', { shouldRetry: true }).shouldRetry).toBe(true);
  });

  it('carry the estimated time of a model that loads beside the error, and nothing else there', () => {
    const loading = refusal('model_loading', 'soon', { estimatedTimeS: 20.5, retryAfterS: 21 });
    expect(errorBody(loading)).toMatchObject({ estimated_time: 20.5, error: { details: null } });
    expect(Object.keys(errorBody(refusal('overloaded', 'full')))).toEqual(['error']);
  });

  it('are one shape in every body', () => {
    const error = new TollgateError(refusal('invalid_request', 'no', { param: 'n' }));
    expect(errorBody(error.refusal)).toEqual({
      error: {
        message: 'no',
        type: 'invalid_request_error',
        param: 'n',
        code: 'invalid_request',
        details: null,
      },
    });
  });
});
