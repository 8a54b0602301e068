import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allowanceAt, allowanceOf, isPaidPlan, loadOf, smoothed } from './allowance.js';

const loads = fc.double({ min: 0, max: 1, noNaN: true });
const plans = fc.constantFrom('free', 'pro', 'team');

describe('the allowance of calls a day', () => {
  it('is 1,000 at low load and 300 at high load, 20 times that on Pro and Team', () => {
    for (const load of [0, 0.25, 0.5]) expect(allowanceOf('free', load)).toBe(1000);
    for (const load of [0.9, 0.95, 1]) expect(allowanceOf('free', load)).toBe(300);
    expect(allowanceOf('free', 0.7)).toBe(650);
    for (const plan of ['pro', 'team']) {
      expect(allowanceOf(plan, 0)).toBe(20_000);
      expect(allowanceOf(plan, 1)).toBe(6000);
    }
  });

  it('of a plan that is not known is that of a free one', () => {
    expect(allowanceOf('toString', 0)).toBe(1000);
    expect(isPaidPlan('free')).toBe(false);
  });

  it('never rises with load, never leaves its bounds, and moves in whole steps', () => {
    fc.assert(
      fc.property(loads, loads, plans, (a, b, plan) => {
        const [low, high] = a <= b ? [a, b] : [b, a];
        const factor = isPaidPlan(plan) ? 20 : 1;
        const limit = allowanceOf(plan, low);
        expect(limit).toBeGreaterThanOrEqual(allowanceOf(plan, high));
        expect(limit).toBeGreaterThanOrEqual(300 * factor);
        expect(limit).toBeLessThanOrEqual(1000 * factor);
        expect(limit % (10 * factor)).toBe(0);
      }),
    );
  });

  it('has no jumps: a hundredth of load is never worth more than 30 calls', () => {
    fc.assert(
      fc.property(loads, (load) => {
        expect(allowanceOf('free', load) - allowanceOf('free', load + 0.01)).toBeLessThanOrEqual(
          30,
        );
      }),
    );
  });

  it('of a paid plan is exactly 20 times that of a free one at any load', () => {
    fc.assert(
      fc.property(loads, (load) => {
        expect(allowanceOf('pro', load)).toBe(20 * allowanceOf('free', load));
        expect(allowanceOf('team', load)).toBe(allowanceOf('pro', load));
      }),
    );
  });

  it('is the lowest for a load that is no number, and bounded for one outside [0, 1]', () => {
    expect(allowanceOf('free', Number.NaN)).toBe(300);
    expect(allowanceOf('free', Number.POSITIVE_INFINITY)).toBe(300);
    expect(allowanceOf('free', -1)).toBe(1000);
    expect(allowanceOf('free', Number.NEGATIVE_INFINITY)).toBe(1000);
  });
});

describe('where an account stands', () => {
  it('is what is left of the limit of now, never below 0', () => {
    const at = new Date('2026-03-14T12:00:00Z');
    expect(allowanceAt(1000, 400, at).remaining).toBe(600);
    expect(allowanceAt(300, 400, at)).toEqual({
      limit: 300,
      used: 400,
      remaining: 0,
      resetsAt: new Date('2026-03-15T00:00:00Z'),
    });
    fc.assert(
      fc.property(fc.nat(20_000), fc.nat(20_000), (limit, used) => {
        const { remaining } = allowanceAt(limit, used, at);
        expect(remaining).toBe(used >= limit ? 0 : limit - used);
      }),
    );
  });

  it('begins anew at the next UTC midnight, whatever the time zone', () => {
    const instants = fc.date({
      min: new Date('1970-01-01T00:00:00Z'),
      max: new Date('9000-01-01T00:00:00Z'),
      noInvalidDate: true,
    });
    fc.assert(
      fc.property(instants, (at) => {
        const { resetsAt } = allowanceAt(1000, 0, at);
        const waitMs = resetsAt.getTime() - at.getTime();
        expect(waitMs).toBeGreaterThan(0);
        expect(waitMs).toBeLessThanOrEqual(86_400_000);
        expect(resetsAt.toISOString()).toMatch(/T00:00:00\.000Z$/);
      }),
    );
  });
});

describe('load', () => {
  const processes = fc.array(
    fc.record({ inFlight: fc.nat(5000), capacity: fc.integer({ min: 1, max: 4000 }) }),
    { minLength: 1, maxLength: 8 },
  );

  it('is how full the processes are together, from 0 to 1', () => {
    expect(loadOf([{ inFlight: 1000, capacity: 4000 }])).toBe(0.25);
    expect(
      loadOf([
        { inFlight: 4000, capacity: 4000 },
        { inFlight: 0, capacity: 4000 },
      ]),
    ).toBe(0.5);
    expect(loadOf([])).toBe(1);
    fc.assert(
      fc.property(processes, (all) => {
        const load = loadOf(all);
        expect(load).toBeGreaterThanOrEqual(0);
        expect(load).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('does not depend on the order of processes, and never falls with more in flight', () => {
    fc.assert(
      fc.property(processes, fc.nat(1000), (all, more) => {
        expect(loadOf([...all].reverse())).toBe(loadOf(all));
        const [first, ...others] = all;
        if (first === undefined) return;
        const busier = [{ ...first, inFlight: first.inFlight + more }, ...others];
        expect(loadOf(busier)).toBeGreaterThanOrEqual(loadOf(all));
      }),
    );
  });

  it('is believed by halves: between what was and what is, and soon what is', () => {
    fc.assert(
      fc.property(loads, loads, (before, measured) => {
        const next = smoothed(before, measured);
        expect(next).toBeGreaterThanOrEqual(Math.min(before, measured));
        expect(next).toBeLessThanOrEqual(Math.max(before, measured));
        let believed = before;
        for (let i = 0; i < 10; i += 1) believed = smoothed(believed, measured);
        expect(Math.abs(believed - measured)).toBeLessThan(0.001);
      }),
    );
  });
});
