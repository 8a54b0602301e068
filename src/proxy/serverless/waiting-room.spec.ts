import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { WaitingRoom, type WaitingPlace, type Woken } from './waiting-room.js';

const SIZE = { seats: 3, slotsPerModel: 1, waitMaxMs: 30_000 };
const MODEL = 'org/cold';

/** A call that asks again and again; what it was told, in order. */
interface Waiter {
  readonly name: string;
  readonly place: WaitingPlace;
  readonly client: AbortController;
  woken: Woken | null;
}

let turns: string[];

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
  turns = [];
});
afterEach(() => {
  vi.useRealTimers();
});

function arrive(
  room: WaitingRoom,
  name: string,
  { isPaid = false, model = MODEL, afterMs = 1000 } = {},
): Waiter {
  const place = room.enter(model, isPaid);
  if (place === null) throw new Error(`${name} found no seat`);
  const waiter: Waiter = { name, place, client: new AbortController(), woken: null };
  waitOn(waiter, afterMs);
  return waiter;
}

function waitOn(waiter: Waiter, afterMs = 1000): void {
  waiter.woken = null;
  void waiter.place.wait(afterMs, waiter.client.signal).then((woken) => {
    waiter.woken = woken;
    if (woken === 'retry') turns.push(waiter.name);
  });
}

const pass = (ms: number): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

describe('the waiting room', () => {
  it('lets a call ask again after the estimate, and never later than five seconds', async () => {
    const room = new WaitingRoom(SIZE);
    const short = arrive(room, 'short', { afterMs: 1000 });
    const long = arrive(room, 'long', { afterMs: 20_000, model: 'org/other' });
    await pass(999);
    expect(short.woken).toBeNull();
    await pass(1);
    expect(short.woken).toBe('retry');
    await pass(4000);
    expect(long.woken).toBe('retry');
  });

  it('lets one ask at a time, the paid first, then the earliest', async () => {
    const room = new WaitingRoom({ ...SIZE, seats: 9 });
    const first = arrive(room, 'first', { afterMs: 500 });
    arrive(room, 'free-1');
    arrive(room, 'free-2');
    arrive(room, 'pro-1', { isPaid: true });
    arrive(room, 'pro-2', { isPaid: true });
    await pass(2000);
    expect(turns).toEqual(['first']);
    waitOn(first, 5000);
    await pass(0);
    expect(turns).toEqual(['first', 'pro-1']);
  });

  it('gives the turns of one model to nobody of another', async () => {
    const room = new WaitingRoom(SIZE);
    arrive(room, 'a', { model: 'org/a' });
    arrive(room, 'b', { model: 'org/b' });
    await pass(1000);
    expect(turns).toEqual(['a', 'b']);
  });

  it('wakes everybody of a model that was found loaded, the paid first', async () => {
    const room = new WaitingRoom({ ...SIZE, seats: 9 });
    const first = arrive(room, 'first', { afterMs: 500 });
    arrive(room, 'free', { afterMs: 900 });
    arrive(room, 'pro', { isPaid: true, afterMs: 5000 });
    const other = arrive(room, 'other', { model: 'org/other', afterMs: 5000 });
    await pass(1000);
    expect(turns).toEqual(['first']);
    first.place.leave(true);
    await pass(0);
    expect(turns).toEqual(['first', 'pro', 'free']);
    expect(other.woken).toBeNull();
    expect(room.waiting).toBe(3);
  });

  it('goes on as before when the model was not loaded after all', async () => {
    const room = new WaitingRoom({ ...SIZE, seats: 9 });
    const first = arrive(room, 'first', { afterMs: 500 });
    const a = arrive(room, 'a');
    const b = arrive(room, 'b');
    await pass(500);
    first.place.leave(true);
    await pass(0);
    expect(turns).toEqual(['first', 'a', 'b']);
    waitOn(a);
    waitOn(b);
    await pass(1000);
    expect(turns).toEqual(['first', 'a', 'b', 'a']);
    a.place.leave(false);
    await pass(0);
    expect(turns).toEqual(['first', 'a', 'b', 'a', 'b']);
  });

  it('is full when all seats are taken, except for the paid: the last free one makes room', async () => {
    const room = new WaitingRoom(SIZE);
    const waiters = ['a', 'b', 'c'].map((name) => arrive(room, name));
    expect(room.enter(MODEL, false)).toBeNull();
    arrive(room, 'pro-1', { isPaid: true });
    await pass(0);
    expect(waiters.map(({ woken }) => woken)).toEqual([null, null, 'displaced']);
    arrive(room, 'pro-2', { isPaid: true });
    arrive(room, 'pro-3', { isPaid: true });
    expect(room.enter(MODEL, true)).toBeNull();
    expect(room.waiting).toBe(3);
  });

  it('takes no seat from a call that is asking', async () => {
    const room = new WaitingRoom({ ...SIZE, seats: 1 });
    arrive(room, 'a');
    await pass(1000);
    expect(turns).toEqual(['a']);
    expect(room.enter(MODEL, true)).toBeNull();
  });

  it('ends a wait at its bound, also while it stands in the queue', async () => {
    const room = new WaitingRoom(SIZE);
    const asking = arrive(room, 'asking');
    const queued = arrive(room, 'queued');
    await pass(29_999);
    expect(queued.woken).toBeNull();
    await pass(1);
    expect(queued.woken).toBe('timed_out');
    waitOn(asking);
    await pass(0);
    expect(asking.woken).toBe('timed_out');
    expect(room.waiting).toBe(0);
  });

  it('is bounded in time however often a call asks again', async () => {
    const room = new WaitingRoom(SIZE);
    const waiter = arrive(room, 'a', { afterMs: 4000 });
    let asked = 0;
    for (;;) {
      await pass(4000);
      if (waiter.woken !== 'retry') break;
      asked += 1;
      waitOn(waiter, 4000);
    }
    expect(waiter.woken).toBe('timed_out');
    expect(asked).toBe(7);
  });

  it('forgets a client that has left, waiting or queued, and gives its turn to the next', async () => {
    const room = new WaitingRoom(SIZE);
    const a = arrive(room, 'a');
    const b = arrive(room, 'b');
    await pass(1000);
    b.client.abort();
    await pass(0);
    expect(b.woken).toBe('gone');
    const c = arrive(room, 'c');
    await pass(1000);
    a.client.abort();
    waitOn(a);
    await pass(0);
    expect(a.woken).toBe('gone');
    expect(c.woken).toBe('retry');
    expect(room.waiting).toBe(1);
  });

  it('lets nobody wait any longer once it is closed', async () => {
    const room = new WaitingRoom(SIZE);
    const asking = arrive(room, 'asking');
    const waiting = arrive(room, 'waiting', { afterMs: 3000 });
    await pass(1000);
    room.close();
    await pass(0);
    expect(waiting.woken).toBe('closed');
    waitOn(asking);
    await pass(0);
    expect(asking.woken).toBe('closed');
    expect(room.enter(MODEL, true)).toBeNull();
    expect(room.waiting).toBe(0);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('leaves no timer and no turn behind when a call leaves twice', async () => {
    const room = new WaitingRoom(SIZE);
    const a = arrive(room, 'a');
    await pass(1000);
    a.place.leave(false);
    a.place.leave(true);
    const b = arrive(room, 'b');
    await pass(1000);
    expect(b.woken).toBe('retry');
    expect(vi.getTimerCount()).toBe(0);
  });
});
