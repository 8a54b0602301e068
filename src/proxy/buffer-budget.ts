/** All body bytes that this process holds; a request that does not fit is refused, not queued. */
export class BufferBudget {
  private usedBytes = 0;

  constructor(private readonly maxBytes: number) {}

  /** Takes bytes off the budget; false when they do not fit (nothing is taken). */
  take(bytes: number): boolean {
    if (this.usedBytes + bytes > this.maxBytes) return false;
    this.usedBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.usedBytes -= bytes;
  }
}
