import type { Identity } from '../identity/identity.js';
import type { Call } from './call.js';

/** A second 503 to the same token so soon is sent late: some clients repeat without a pause. */
const AGAIN_MS = 5000;
const DELAY_MS = 1000;
const REMEMBERED_TOKENS_MAX = 10_000;

/** Slows down who is told 503 again and again. */
export class UnavailablePause {
  private readonly last = new Map<string, number>();

  /** To be awaited before a 503 is sent: the second to a token within five seconds waits a second. */
  async before(call: Call, { tokenId }: Identity): Promise<void> {
    const now = performance.now();
    const last = this.last.get(tokenId);
    if (this.last.size >= REMEMBERED_TOKENS_MAX) this.last.clear();
    this.last.set(tokenId, now);
    if (last === undefined || now - last > AGAIN_MS || call.isClientGone) return;
    await new Promise((wake) => setTimeout(wake, DELAY_MS));
  }
}
