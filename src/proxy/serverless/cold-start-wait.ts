import type { Attempt } from '../../metering/journal.js';
import type { Call } from '../call.js';
import { wantsToWait, type ColdStart } from './cold-start.js';
import type { WaitingPlace, WaitingRoom, Woken } from './waiting-room.js';

/** How an attempt is recorded that found the model not loaded. */
export const MODEL_LOADING = 'model loading';

export type WaitEnd =
  /** The model may be there: the same route is to be asked again. */
  | 'ask_again'
  /** The client has left. */
  | 'gone'
  /** The caller did not ask to wait. */
  | 'unwanted'
  /** There is no seat, or no longer one. */
  | 'given_up';

const ENDS: Readonly<Record<Woken, WaitEnd>> = {
  retry: 'ask_again',
  gone: 'gone',
  timed_out: 'given_up',
  displaced: 'given_up',
  closed: 'given_up',
};

/** One call's wait for its model, from the first answer that says it is loading to the last. */
export class ColdStartWait {
  private place: WaitingPlace | null = null;
  private firstAskedAtMs: number | null = null;
  private readonly left = new AbortController();
  private readonly onClose = (): void => {
    this.left.abort();
  };

  constructor(
    private readonly room: WaitingRoom,
    private readonly call: Call,
    private readonly isFirstClass: boolean,
  ) {}

  /** Waits until it is this call's turn, where the caller wants that and there is room. */
  async next(model: string, { estimatedTimeS }: ColdStart): Promise<WaitEnd> {
    const { call } = this;
    if (call.hasLostClient()) return 'gone';
    if (!wantsToWait(call.request.headers['x-wait-for-model'])) return 'unwanted';
    if (this.place === null) {
      this.place = this.room.enter(model, this.isFirstClass);
      if (this.place === null) return 'given_up';
      call.response.once('close', this.onClose);
    }
    return ENDS[await this.place.wait(estimatedTimeS * 1000, this.left.signal)];
  }

  /** After the last answer. @param isLoaded it was given by the model: others may ask at once. */
  end(isLoaded: boolean): void {
    if (this.place === null) return;
    this.call.response.off('close', this.onClose);
    this.place.leave(isLoaded);
    this.place = null;
  }

  /**
   * A wait is one attempt, however often it asked: folds the attempt recorded last into the one
   * before.
   *
   * @param askedAtMs when the attempt recorded last began.
   */
  fold(attempts: Attempt[], askedAtMs: number): void {
    this.firstAskedAtMs ??= askedAtMs;
    const last = attempts.at(-1);
    const before = attempts.at(-2);
    if (last?.error !== MODEL_LOADING) return;
    if (before?.error !== MODEL_LOADING || before.upstream !== last.upstream) return;
    const durationMs = Math.round(performance.now() - this.firstAskedAtMs);
    attempts.splice(-2, 2, { ...last, durationMs });
  }
}
