import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { Attempt } from '../../metering/journal.js';
import type { Call } from '../call.js';
import { ColdStartWait, MODEL_LOADING } from './cold-start-wait.js';
import { WaitingRoom } from './waiting-room.js';

const COLD = { estimatedTimeS: 0.001 };

function attempt(error: string | null, upstream = 'default'): Attempt {
  return {
    upstream,
    provider: 'hf-inference',
    providerRequestId: null,
    status: error === null ? 200 : 503,
    error,
    durationMs: 1,
  };
}

function waitOf(seats: number, header?: string): { wait: ColdStartWait; response: EventEmitter } {
  const room = new WaitingRoom({ seats, slotsPerModel: 1, waitMaxMs: 10_000 });
  const response = new EventEmitter();
  const call = {
    request: { headers: header === undefined ? {} : { 'x-wait-for-model': header } },
    response,
    hasLostClient: () => false,
  } as unknown as Call;
  return { wait: new ColdStartWait(room, call, false), response };
}

describe('a wait for a model', () => {
  it('is only for those who ask for it, and where there is a seat', async () => {
    expect(await waitOf(1).wait.next('m', COLD)).toBe('unwanted');
    expect(await waitOf(1, 'false').wait.next('m', COLD)).toBe('unwanted');
    expect(await waitOf(0, 'true').wait.next('m', COLD)).toBe('given_up');
    const { wait, response } = waitOf(1, 'true');
    expect(await wait.next('m', COLD)).toBe('ask_again');
    expect(await wait.next('m', COLD)).toBe('ask_again');
    wait.end(true);
    expect(response.listenerCount('close')).toBe(0);
  });

  it('ends when the client leaves', async () => {
    const { wait, response } = waitOf(1, 'true');
    const next = wait.next('m', { estimatedTimeS: 5 });
    response.emit('close');
    expect(await next).toBe('gone');
  });

  it('is one attempt, as long as all of it, and leaves the attempts elsewhere alone', () => {
    const { wait } = waitOf(1, 'true');
    const startedAtMs = performance.now() - 5000;
    const attempts = [attempt('status 500', 'other'), attempt(MODEL_LOADING)];
    wait.fold(attempts, startedAtMs);
    expect(attempts).toHaveLength(2);
    for (let asked = 0; asked < 3; asked += 1) {
      attempts.push(attempt(MODEL_LOADING));
      wait.fold(attempts, performance.now());
    }
    expect(attempts.map(({ error }) => error)).toEqual(['status 500', MODEL_LOADING]);
    expect(attempts[1]?.durationMs).toBeGreaterThanOrEqual(5000);
    attempts.push(attempt(null));
    wait.fold(attempts, performance.now());
    expect(attempts).toHaveLength(3);
  });
});
