import type { Fault } from '../../simulator/faults.js';
import { providerOf, providers } from '../../simulator/providers.js';
import { SeededRandom } from '../../simulator/random.js';
import { EVERY_DIALECT } from '../../simulator/special-models.js';

/** One request of the load, and how its client will behave. */
export interface Ask {
  /** Unique: the client's request id and the simulator's tag. */
  readonly id: string;
  readonly provider: string;
  /** Whether the provider ends its streams in `[DONE]`. */
  readonly sendsDone: boolean;
  readonly isStream: boolean;
  readonly faults: readonly Fault[];
  /** The client closes the connection this long after sending; null: it stays to the end. */
  readonly hangUpAfterMs: number | null;
  /** Which of the caller's tokens it uses. */
  readonly tokenIndex: number;
  readonly body: string;
}

/** Faults of the provider that a mixed load meets; the connection ones hold nobody up for long. */
const FAULTS: readonly Fault[] = [
  '429',
  '500',
  '503',
  '529',
  'reset-before-headers',
  'reset-mid-stream',
  'end-mid-stream',
  'error-first-event',
  'error-mid-stream',
  'missing-usage',
  'gzip',
  'crlf',
  'multi-line-data',
];

const PROVIDERS = [...providers.keys()];

/** A seeded, endless, mixed load: every dialect, streamed and not, slow and fast, clients that leave. */
export class Asks {
  private readonly random: SeededRandom;
  private count = 0;

  constructor(
    seed: number,
    /** Start of every id, so that several loads share one set of books. */
    private readonly prefix: string,
    private readonly tokenCount: number,
  ) {
    this.random = new SeededRandom(seed);
  }

  next(): Ask {
    this.count += 1;
    const id = `${this.prefix}-${String(this.count).padStart(6, '0')}`;
    const provider = PROVIDERS[this.random.between(0, PROVIDERS.length - 1)]!;
    const isStream = this.chance(55);
    const fault = this.chance(12) ? FAULTS[this.random.between(0, FAULTS.length - 1)]! : null;
    const faults = fault === null ? [] : [fault];
    const sim = this.directives(id, isStream, fault);
    const padding = 'x'.repeat(this.random.between(0, 400));
    const body = {
      model: `${EVERY_DIALECT}:${provider}`,
      ...(isStream && { stream: true }),
      ...(this.chance(70) && { max_tokens: this.random.between(16, 300) }),
      messages: [
        { role: 'system', content: 'You are a load test.' },
        { role: 'user', content: `${padding} [[sim ${sim}]]` },
      ],
    };
    return {
      id,
      provider,
      sendsDone: providerOf(provider).dialect.sendsDone,
      isStream,
      faults,
      hangUpAfterMs: this.chance(12) ? this.random.between(1, 120) : null,
      tokenIndex: this.random.between(0, this.tokenCount - 1),
      body: JSON.stringify(body),
    };
  }

  /** A plain request that nothing happens to: it shows that the service serves. */
  plain(): Ask {
    this.count += 1;
    const id = `${this.prefix}-${String(this.count).padStart(6, '0')}`;
    const content = `[[sim tag=${id} output=5]]`;
    const body = { model: `${EVERY_DIALECT}:together`, messages: [{ role: 'user', content }] };
    return {
      id,
      provider: 'together',
      sendsDone: true,
      isStream: false,
      faults: [],
      hangUpAfterMs: null,
      tokenIndex: 0,
      body: JSON.stringify(body),
    };
  }

  private directives(id: string, isStream: boolean, fault: Fault | null): string {
    const words = [`tag=${id}`, `output=${this.random.between(1, 160)}`];
    if (isStream) words.push(`chunks=${this.random.between(1, 24)}`);
    if (isStream && this.chance(40)) words.push(`chunk_delay=0-${this.random.between(1, 20)}`);
    if (this.chance(40)) words.push(`delay=0-${this.random.between(5, 150)}`);
    if (this.chance(15)) words.push('split=random');
    if (this.chance(10)) words.push('burst');
    if (fault !== null) words.push(`fault=${fault}`, `after=${this.random.between(1, 8)}`);
    return words.join(' ');
  }

  private chance(percent: number): boolean {
    return this.random.between(1, 100) <= percent;
  }
}
