import { describe, expect, it } from 'vitest';
import { UnknownTokenGate } from './unknown-token-gate.js';

const REFUSED = { refusal: { code: 'rate_limit_exceeded' } };

describe('look-ups of tokens that are not in memory', () => {
  it('are refused once too many of an address found nobody, and allowed again with time', async () => {
    let now = 0;
    let lookUps = 0;
    const gate = new UnknownTokenGate(() => now);
    const ask = (address = '192.0.2.1'): Promise<unknown> =>
      gate.run(address, () => {
        lookUps += 1;
        return Promise.resolve(null);
      });
    for (let index = 0; index < 100; index += 1) expect(await ask()).toBeNull();
    await expect(ask()).rejects.toMatchObject(REFUSED);
    expect(lookUps).toBe(100);
    await ask('192.0.2.2');
    now += 1000;
    for (let index = 0; index < 10; index += 1) expect(await ask()).toBeNull();
    await expect(ask()).rejects.toMatchObject(REFUSED);
  });

  it('that find someone are never refused, however many there are at once', async () => {
    const gate = new UnknownTokenGate(() => 0);
    let running = 0;
    let most = 0;
    const asks = Array.from({ length: 1000 }, (_, index) =>
      gate.run('192.0.2.1', async () => {
        running += 1;
        most = Math.max(most, running);
        await Promise.resolve();
        running -= 1;
        return index;
      }),
    );
    expect(await Promise.all(asks)).toEqual(Array.from({ length: 1000 }, (_, index) => index));
    expect(most).toBe(8);
  });

  it('give their turn on when they fail', async () => {
    const gate = new UnknownTokenGate(() => 0);
    const asks = Array.from({ length: 50 }, () =>
      gate.run('192.0.2.1', () => Promise.reject(new Error('away'))),
    );
    for (const outcome of await Promise.allSettled(asks)) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { message: 'away' } });
    }
    expect(await gate.run('192.0.2.1', () => Promise.resolve('found'))).toBe('found');
  });

  it('count for the whole /64 of an IPv6 address, and for one IPv4 address', async () => {
    const gate = new UnknownTokenGate(() => 0);
    const nobody = (): Promise<null> => Promise.resolve(null);
    for (let index = 0; index < 100; index += 1) {
      await gate.run(`2001:db8:0:7::${index.toString(16)}`, nobody);
    }
    await expect(gate.run('2001:db8::7:ffff:0:0:1', nobody)).rejects.toMatchObject(REFUSED);
    expect(await gate.run('2001:db8:0:8::1', nobody)).toBeNull();
    expect(await gate.run('::ffff:192.0.2.1', nobody)).toBeNull();
  });
});
