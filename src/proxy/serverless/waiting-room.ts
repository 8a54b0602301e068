/** How a wait ended. */
export type Woken =
  /** It is this one's turn to ask again; it holds a slot until it waits again or leaves. */
  | 'retry'
  /** It has waited as long as it may. */
  | 'timed_out'
  /** Its seat was needed for one that goes first. */
  | 'displaced'
  /** The client has left. */
  | 'gone'
  /** Nobody waits here any longer: the process is stopping. */
  | 'closed';

export interface WaitingRoomSize {
  /** Waiting calls of all models. */
  readonly seats: number;
  /** Calls that ask again at the same time, for each model: the others wait for their turn. */
  readonly slotsPerModel: number;
  /** The longest that one call may wait. */
  readonly waitMaxMs: number;
}

/** A provider's estimate is a guess: a model may be ready sooner, and is asked for in between. */
const SLEEP_MIN_MS = 100;
const SLEEP_MAX_MS = 5000;

interface Seat {
  readonly model: string;
  readonly isFirstClass: boolean;
  readonly leavesAtMs: number;
  state: 'waiting' | 'queued' | 'asking' | 'left';
  wake: ((woken: Woken) => void) | null;
  timer: NodeJS.Timeout | null;
}

/** A call's place in the waiting room. */
export interface WaitingPlace {
  /**
   * Waits for about `afterMs`, and then for a turn to ask again. Gives back the slot of the turn
   * before.
   */
  wait(afterMs: number, left: AbortSignal): Promise<Woken>;
  /** `isLoaded`: its last turn found the model loaded, so everybody else may ask at once. */
  leave(isLoaded: boolean): void;
}

/**
 * Where calls wait in this process until their model is loaded. Bounded: when all seats are taken, a
 * call that goes first gets the seat of the last to arrive of those that do not. Turns to ask again
 * go to those that go first, then to the earliest.
 */
export class WaitingRoom {
  /** In the order of arrival. */
  private readonly seats = new Set<Seat>();
  private readonly asking = new Map<string, number>();
  private isClosed = false;

  constructor(private size: WaitingRoomSize) {}

  get waiting(): number {
    return this.seats.size;
  }

  /** A seat; null when there is none. */
  enter(model: string, isFirstClass: boolean): WaitingPlace | null {
    if (this.isClosed) return null;
    if (this.seats.size >= this.size.seats) {
      const last = isFirstClass ? this.lastToDisplace() : undefined;
      if (last === undefined) return null;
      this.end(last, 'displaced');
    }
    const seat: Seat = {
      model,
      isFirstClass,
      leavesAtMs: performance.now() + this.size.waitMaxMs,
      state: 'waiting',
      wake: null,
      timer: null,
    };
    this.seats.add(seat);
    return {
      wait: (afterMs, left) => this.wait(seat, afterMs, left),
      leave: (isLoaded) => {
        this.leave(seat, isLoaded);
      },
    };
  }

  /** Ends every wait; nobody enters any more. */
  close(): void {
    this.isClosed = true;
    for (const seat of this.seats) if (seat.state !== 'asking') this.end(seat, 'closed');
  }

  private async wait(seat: Seat, afterMs: number, left: AbortSignal): Promise<Woken> {
    this.giveSlotBack(seat);
    this.giveTurns(seat.model);
    if (left.aborted || this.isClosed) {
      this.leave(seat, false);
      return left.aborted ? 'gone' : 'closed';
    }
    const onLeft = (): void => {
      this.end(seat, 'gone');
    };
    left.addEventListener('abort', onLeft, { once: true });
    try {
      return await new Promise<Woken>((wake) => {
        seat.state = 'waiting';
        seat.wake = wake;
        this.sleep(seat, afterMs);
      });
    } finally {
      left.removeEventListener('abort', onLeft);
    }
  }

  private sleep(seat: Seat, afterMs: number): void {
    const leftMs = seat.leavesAtMs - performance.now();
    const sleepMs = Math.min(Math.max(afterMs, SLEEP_MIN_MS), SLEEP_MAX_MS);
    seat.timer = setTimeout(
      () => {
        if (leftMs <= sleepMs) this.end(seat, 'timed_out');
        else this.queue(seat);
      },
      Math.max(0, Math.min(sleepMs, leftMs)),
    );
  }

  /** Its sleep is over; in the queue it still leaves when its time is up. */
  private queue(seat: Seat): void {
    seat.state = 'queued';
    seat.timer = setTimeout(
      () => {
        this.end(seat, 'timed_out');
      },
      Math.max(0, seat.leavesAtMs - performance.now()),
    );
    this.giveTurns(seat.model);
  }

  private giveTurns(model: string): void {
    while ((this.asking.get(model) ?? 0) < this.size.slotsPerModel) {
      const next = this.nextOf(model, ({ state }) => state === 'queued');
      if (next === undefined) return;
      this.giveTurn(next);
    }
  }

  private giveTurn(seat: Seat): void {
    this.asking.set(seat.model, (this.asking.get(seat.model) ?? 0) + 1);
    seat.state = 'asking';
    wake(seat, 'retry');
  }

  private giveSlotBack(seat: Seat): void {
    if (seat.state !== 'asking') return;
    seat.state = 'waiting';
    const others = (this.asking.get(seat.model) ?? 1) - 1;
    if (others > 0) this.asking.set(seat.model, others);
    else this.asking.delete(seat.model);
  }

  private leave(seat: Seat, isLoaded: boolean): void {
    if (seat.state === 'left') return;
    this.giveSlotBack(seat);
    this.end(seat, 'closed');
    if (!isLoaded) {
      this.giveTurns(seat.model);
      return;
    }
    // No slots now: a loaded model takes calls as it would have taken them without us.
    for (;;) {
      const next = this.nextOf(seat.model, ({ state }) => state !== 'asking');
      if (next === undefined) return;
      this.giveTurn(next);
    }
  }

  /** The one whose turn is next: of those that go first, then of the others, the earliest. */
  private nextOf(model: string, isMeant: (seat: Seat) => boolean): Seat | undefined {
    let next: Seat | undefined;
    for (const seat of this.seats) {
      if (seat.model !== model || seat.wake === null || !isMeant(seat)) continue;
      if (next === undefined || (seat.isFirstClass && !next.isFirstClass)) next = seat;
    }
    return next;
  }

  private lastToDisplace(): Seat | undefined {
    return [...this.seats].findLast(
      ({ isFirstClass, state }) => !isFirstClass && state !== 'asking',
    );
  }

  private end(seat: Seat, woken: Woken): void {
    if (seat.state === 'left') return;
    seat.state = 'left';
    this.seats.delete(seat);
    wake(seat, woken);
  }
}

function wake(seat: Seat, woken: Woken): void {
  if (seat.timer !== null) clearTimeout(seat.timer);
  seat.timer = null;
  const resolve = seat.wake;
  seat.wake = null;
  resolve?.(woken);
}

/** Of one process. Waiting calls hold their bodies and their places among those in flight. */
const SEATS = 256;
const SLOTS_PER_MODEL = 4;
const WAIT_MAX_MS = 300_000;

/** @param headersTimeoutMs no call waits longer for a model than it would for an answer's head. */
export function waitingRoomFor(headersTimeoutMs: number): WaitingRoom {
  return new WaitingRoom({
    seats: SEATS,
    slotsPerModel: SLOTS_PER_MODEL,
    waitMaxMs: Math.min(WAIT_MAX_MS, headersTimeoutMs),
  });
}
