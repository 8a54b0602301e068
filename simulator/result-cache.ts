import type { PipelineOutput } from './pipelines.js';

const MOST_CACHED = 1_000;

/** Results by what was asked: the same again is answered from here, in no time and for nothing. */
export class ResultCache {
  private results = new Map<string, PipelineOutput>();

  get(key: string): PipelineOutput | null {
    return this.results.get(key) ?? null;
  }

  /** Keeps a result; the oldest goes when there are too many. */
  put(key: string, output: PipelineOutput): void {
    this.results.set(key, output);
    const [oldest] = this.results.keys();
    if (this.results.size > MOST_CACHED && oldest !== undefined) this.results.delete(oldest);
  }

  reset(): void {
    this.results = new Map();
  }
}
