import { describe, expect, it } from 'vitest';
import { IdentityMemory } from './identity-memory.js';
import type { Identity } from './identity.js';

function identity(tokenId: string, accountId = 'account', expiresAt: Date | null = null): Identity {
  return {
    tokenId,
    accountId,
    userId: null,
    slug: accountId,
    memberId: null,
    scopes: new Set(),
    plan: 'pro',
    requestsPerMinute: null,
    accountRates: { requestsPerMinute: null, requestsPerDay: null },
    routing: null,
    expiresAt,
    memberships: new Map(),
  };
}

describe('the memory of tokens', () => {
  it('tells remembered, nobody and unknown apart', () => {
    const memory = new IdentityMemory();
    memory.remember('a', identity('1'), 0);
    memory.remember('b', null, 0);
    expect(memory.get('a', 0)).toMatchObject({ tokenId: '1' });
    expect(memory.get('b', 0)).toBeNull();
    expect(memory.get('c', 0)).toBeUndefined();
  });

  it('believes for a minute, and that there is nobody for five seconds', () => {
    const memory = new IdentityMemory();
    memory.remember('a', identity('1'), 0);
    memory.remember('b', null, 0);
    expect(memory.get('b', 4_999)).toBeNull();
    expect(memory.get('b', 5_000)).toBeUndefined();
    expect(memory.get('a', 59_999)).toBeTruthy();
    expect(memory.get('a', 60_000)).toBeUndefined();
  });

  it('stands for nobody from the instant of expiry', () => {
    const memory = new IdentityMemory();
    memory.remember('a', identity('1', 'account', new Date(1000)), 0);
    expect(memory.get('a', 999)).toBeTruthy();
    expect(memory.get('a', 1000)).toBeNull();
  });

  it('forgets one token, or all of an account, and whoever stood for nobody', () => {
    const memory = new IdentityMemory();
    memory.remember('a', identity('1', 'x'), 0);
    memory.remember('b', identity('2', 'x'), 0);
    memory.remember('c', identity('3', 'y'), 0);
    memory.remember('d', null, 0);
    memory.forget('1');
    expect(memory.get('a', 0)).toBeUndefined();
    expect(memory.get('b', 0)).toBeTruthy();
    expect(memory.get('d', 0)).toBeUndefined();
    memory.forget('x');
    expect(memory.get('b', 0)).toBeUndefined();
    expect(memory.get('c', 0)).toBeTruthy();
    memory.forgetAll();
    expect(memory.get('c', 0)).toBeUndefined();
  });

  it('forgets with an account also the tokens of users who belong to it', () => {
    const memory = new IdentityMemory();
    const payer = { ...identity('1', 'employer'), slug: 'employer' };
    const own = { ...identity('2', 'own'), memberships: new Map([['employer', payer]]) };
    memory.remember('a', own, 0);
    memory.remember('b', identity('3', 'stranger'), 0);
    memory.forget('employer');
    expect(memory.get('a', 0)).toBeUndefined();
    expect(memory.get('b', 0)).toBeTruthy();
    memory.remember('a', own, 0);
    memory.forget('own');
    expect(memory.get('a', 0)).toBeUndefined();
  });

  it('is bounded: what was unused for longest goes first', () => {
    const memory = new IdentityMemory();
    for (let index = 0; index < 50_000; index += 1) {
      memory.remember(`key-${index}`, identity(`token-${index}`), 0);
    }
    expect(memory.get('key-0', 0)).toBeTruthy();
    memory.remember('one-more', identity('one-more'), 0);
    expect(memory.get('key-0', 0)).toBeTruthy();
    expect(memory.get('key-1', 0)).toBeUndefined();
    for (let index = 0; index < 10_001; index += 1) memory.remember(`nobody-${index}`, null, 0);
    expect(memory.get('nobody-0', 0)).toBeUndefined();
    expect(memory.get('nobody-1', 0)).toBeNull();
  });
});
