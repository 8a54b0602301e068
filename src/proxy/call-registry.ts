import type { Call } from './call.js';

/** Calls in flight: bounded, counted by token, and waited for at the end. */
export class CallRegistry {
  private readonly calls = new Set<Call>();
  private readonly streams = new Map<string, number>();
  private drains = 0;
  private emptied: (() => void)[] = [];

  get size(): number {
    return this.calls.size;
  }

  get drainCount(): number {
    return this.drains;
  }

  add(call: Call): void {
    this.calls.add(call);
  }

  remove(call: Call): void {
    this.calls.delete(call);
    if (this.calls.size > 0) return;
    for (const wake of this.emptied.splice(0)) wake();
  }

  /** Counts a stream of a token; false when it has as many as it may. */
  openStream(tokenId: string, max: number): boolean {
    const open = this.streams.get(tokenId) ?? 0;
    if (open >= max) return false;
    this.streams.set(tokenId, open + 1);
    return true;
  }

  closeStream(tokenId: string): void {
    const open = (this.streams.get(tokenId) ?? 1) - 1;
    if (open > 0) this.streams.set(tokenId, open);
    else this.streams.delete(tokenId);
  }

  drainStarted(): void {
    this.drains += 1;
  }

  drainEnded(): void {
    this.drains -= 1;
  }

  /** Resolves true when no call is left, false when that takes longer than `timeoutMs`. */
  async empty(timeoutMs: number): Promise<boolean> {
    if (this.calls.size === 0) return true;
    let timer: NodeJS.Timeout | undefined;
    const emptied = new Promise<boolean>((resolve) => {
      this.emptied.push(() => {
        resolve(true);
      });
      timer = setTimeout(() => {
        resolve(false);
      }, timeoutMs);
    });
    const isEmpty = await emptied;
    clearTimeout(timer);
    return isEmpty;
  }

  /** Ends what is left: its content is charged as far as it passed, its hold released. */
  cutAll(): void {
    for (const call of this.calls) {
      call.isCut = true;
      call.exchange?.abort();
    }
  }
}
