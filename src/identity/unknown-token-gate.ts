import { isIPv6 } from 'node:net';
import { refusal, TollgateError } from '../domain/errors.js';

const UNKNOWN_BURST = 100;
const UNKNOWN_PER_S = 10;
const LOOK_UPS_AT_ONCE = 8;
const WAITING_MAX = 2_000;
const ADDRESSES_MAX = 20_000;

interface AddressState {
  /** Unknown tokens it may still ask about. */
  allowance: number;
  refilledAt: number;
  running: number;
  readonly waiting: (() => void)[];
}

/**
 * Look-ups of tokens that are not in memory, per address: few at once, and only so many that find
 * nobody. Someone who tries secrets is refused (429) before the database is asked; someone whose
 * many good tokens are all cold only waits for his turn.
 */
export class UnknownTokenGate {
  private readonly addresses = new Map<string, AddressState>();

  /** @param now milliseconds of a clock that does not jump. */
  constructor(private readonly now: () => number) {}

  /**
   * Runs a look-up when its address may have one.
   *
   * @throws TollgateError rate_limit_exceeded when too many before it found nobody.
   */
  async run<Found>(address: string, lookUp: () => Promise<Found | null>): Promise<Found | null> {
    const state = this.stateOf(networkOf(address));
    if (state.running >= LOOK_UPS_AT_ONCE) {
      if (state.waiting.length >= WAITING_MAX) throw tooMany();
      await new Promise<void>((takeOver) => state.waiting.push(takeOver));
    } else {
      state.running += 1;
    }
    try {
      this.refill(state);
      if (state.allowance < 1) throw tooMany();
      const found = await lookUp();
      if (found === null) state.allowance -= 1;
      return found;
    } finally {
      const next = state.waiting.shift();
      if (next === undefined) state.running -= 1;
      else next();
    }
  }

  private refill(state: AddressState): void {
    const now = this.now();
    const gained = ((now - state.refilledAt) / 1000) * UNKNOWN_PER_S;
    state.allowance = Math.min(UNKNOWN_BURST, state.allowance + gained);
    state.refilledAt = now;
  }

  private stateOf(network: string): AddressState {
    const state = this.addresses.get(network) ?? {
      allowance: UNKNOWN_BURST,
      refilledAt: this.now(),
      running: 0,
      waiting: [],
    };
    this.addresses.delete(network);
    this.addresses.set(network, state);
    for (const [oldest, { running }] of this.addresses) {
      if (this.addresses.size <= ADDRESSES_MAX) break;
      if (running === 0) this.addresses.delete(oldest);
    }
    return state;
  }
}

function tooMany(): TollgateError {
  return new TollgateError(
    refusal(
      'rate_limit_exceeded',
      'Too many unknown tokens came from this address. Check the token and try again.',
      {
        retryAfterS: Math.ceil(1 / UNKNOWN_PER_S),
      },
    ),
  );
}

/** One subscriber commonly holds a whole /64 of IPv6: it counts as one address. */
function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  if (address.toLowerCase().startsWith('::ffff:')) return address;
  const [head = '', tail] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  if (tail === undefined) return groups.slice(0, 4).join(':');
  const last = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: Math.max(0, 8 - groups.length - last.length) }, () => '0');
  return [...groups, ...zeros, ...last].slice(0, 4).join(':');
}
