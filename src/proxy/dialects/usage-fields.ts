import { type Quantities, type ReportedUsage } from '../../domain/usage.js';
import { type Unit } from '../../domain/units.js';

/** Which wire format an answer is in; decides only what its field names leave open. */
export type AnswerFamily =
  /** OpenAI style: chat completions, completions, and everything that reports usage like them. */
  | 'chat'
  /** Anthropic style: cache reads and writes are counted beside `input_tokens`. */
  | 'messages'
  /** The Responses API: cached tokens are counted inside `input_tokens`. */
  | 'responses'
  /** As chat; a lone `total_tokens` is the input, since an embedding has no output. */
  | 'embeddings';

/** A usage object's text that is kept for a person to look at is cut to this. */
export const RAW_USAGE_MAX_BYTES = 2048;

const INPUT_DETAILS = [
  'cached_tokens',
  'audio_tokens',
  // Cache writes, as OpenAI and OpenRouter, LiteLLM, and Alibaba spell them.
  'cache_write_tokens',
  'cache_creation_tokens',
  'cache_creation_input_tokens',
] as const;
const OUTPUT_DETAILS = ['reasoning_tokens', 'audio_tokens'] as const;

/**
 * The raw fields that become quantities, by the object they stand in (`''` is the usage object).
 * Each keeps its own maximum over the stream; only the maxima are separated into disjoint classes.
 */
const GROUPS: readonly { readonly container: string; readonly names: readonly string[] }[] = [
  {
    container: '',
    names: [
      'prompt_tokens',
      'completion_tokens',
      'total_tokens',
      'input_tokens',
      'output_tokens',
      'cache_read_input_tokens',
      'cache_creation_input_tokens',
      'prompt_cache_hit_tokens', // DeepSeek
      'cached_tokens', // Moonshot and others
      'num_cached_tokens', // Mistral
      'reasoning_tokens', // Perplexity and others
    ],
  },
  { container: 'prompt_tokens_details', names: INPUT_DETAILS },
  { container: 'prompt_token_details', names: INPUT_DETAILS }, // Mistral writes it both ways
  { container: 'input_tokens_details', names: INPUT_DETAILS },
  { container: 'input_token_details', names: INPUT_DETAILS }, // OpenAI's transcriptions
  { container: 'completion_tokens_details', names: OUTPUT_DETAILS },
  { container: 'output_tokens_details', names: OUTPUT_DETAILS },
  { container: 'output_token_details', names: OUTPUT_DETAILS },
  {
    container: 'cache_creation',
    names: ['ephemeral_5m_input_tokens', 'ephemeral_1h_input_tokens'],
  },
];

const FIELD_NAMES: readonly string[] = GROUPS.flatMap(({ container, names }) =>
  names.map((name) => (container === '' ? name : `${container}.${name}`)),
);
const SLOTS: ReadonlyMap<string, number> = new Map(FIELD_NAMES.map((name, slot) => [name, slot]));
const NESTED_GROUPS = GROUPS.slice(1).map(({ container, names }) => ({
  container,
  names,
  firstSlot: slotOf(`${container}.${names[0] ?? ''}`),
}));
const TOP_NAMES = GROUPS[0]?.names ?? [];

function slotOf(field: string): number {
  const slot = SLOTS.get(field);
  if (slot === undefined) throw new Error(`no such usage field: ${field}`);
  return slot;
}

const SLOT = {
  prompt: slotOf('prompt_tokens'),
  completion: slotOf('completion_tokens'),
  total: slotOf('total_tokens'),
  input: slotOf('input_tokens'),
  output: slotOf('output_tokens'),
  cacheRead: slotOf('cache_read_input_tokens'),
  cacheCreation: slotOf('cache_creation_input_tokens'),
  write5m: slotOf('cache_creation.ephemeral_5m_input_tokens'),
  write1h: slotOf('cache_creation.ephemeral_1h_input_tokens'),
} as const;

/** The same details under every name that some provider gives them. */
const INPUT_CONTAINERS = [
  'prompt_tokens_details',
  'prompt_token_details',
  'input_tokens_details',
  'input_token_details',
] as const;
const OUTPUT_CONTAINERS = [
  'completion_tokens_details',
  'output_tokens_details',
  'output_token_details',
] as const;

/** The same figure under every name that some provider gives it; at most one is expected. */
const CACHED_SLOTS = [
  ...INPUT_CONTAINERS.map((details) => `${details}.cached_tokens`),
  'cache_read_input_tokens',
  'prompt_cache_hit_tokens',
  'cached_tokens',
  'num_cached_tokens',
].map(slotOf);
const CACHE_WRITE_SLOTS = [
  'cache_creation_input_tokens',
  ...INPUT_CONTAINERS.flatMap((details) =>
    ['cache_write_tokens', 'cache_creation_tokens', 'cache_creation_input_tokens'].map(
      (name) => `${details}.${name}`,
    ),
  ),
].map(slotOf);
const AUDIO_INPUT_SLOTS = INPUT_CONTAINERS.map((details) => slotOf(`${details}.audio_tokens`));
const AUDIO_OUTPUT_SLOTS = OUTPUT_CONTAINERS.map((details) => slotOf(`${details}.audio_tokens`));
const REASONING_SLOTS = [
  ...OUTPUT_CONTAINERS.map((details) => `${details}.reasoning_tokens`),
  'reasoning_tokens',
].map(slotOf);
const INPUT_DETAIL_SLOTS = ['input_tokens_details', 'input_token_details'].flatMap((details) =>
  INPUT_DETAILS.map((name) => slotOf(`${details}.${name}`)),
);

/** Not reported. No real quantity is negative. */
const NONE = -1;

/** Whether a field of a usage object (with its container) is one that becomes a quantity. */
export function isUsageField(field: string): boolean {
  return SLOTS.has(field);
}

export function isDetailsContainer(name: string): boolean {
  return NESTED_GROUPS.some(({ container }) => container === name);
}

/** The disjoint classes of one set of maxima, or why they cannot be told apart. */
type Separation =
  | {
      readonly problem: null;
      readonly quantities: ReadonlyMap<Unit, number>;
      readonly reasoning: number;
    }
  | { readonly problem: string };

/**
 * The maximum of every usage field over one answer. Absent and null are not 0: they leave no
 * trace. A value that is no whole number from 0 to 2^53-1 makes the answer malformed for good.
 */
export class UsageMaxima {
  readonly #maxima: number[] = new Array<number>(FIELD_NAMES.length).fill(NONE);
  #problem: string | null = null;
  #raw = '';
  #hasAny = false;
  #hasDecreased = false;

  constructor(private readonly family: AnswerFamily) {}

  get hasDecreased(): boolean {
    return this.#hasDecreased;
  }

  /**
   * Takes one usage object, as JSON.parse built it. `rawText` gives its text and is asked for
   * only where something is wrong with it.
   */
  note(usage: Readonly<Record<string, unknown>>, rawText: () => string): void {
    if (this.#problem !== null) return;
    let problem: string | null = null;
    for (let slot = 0; slot < TOP_NAMES.length; slot += 1) {
      problem ??= this.#noteValue(slot, usage[TOP_NAMES[slot] ?? '']);
    }
    for (const { container, names, firstSlot } of NESTED_GROUPS) {
      const details = usage[container];
      if (details === undefined || details === null) continue;
      if (typeof details !== 'object') {
        problem ??= `${container} is not an object`;
        continue;
      }
      const fields = details as Readonly<Record<string, unknown>>;
      for (let index = 0; index < names.length; index += 1) {
        problem ??= this.#noteValue(firstSlot + index, fields[names[index] ?? '']);
      }
    }
    if (problem !== null) this.noteProblem(problem, rawText());
    else if (this.#hasAny && this.#separate().problem !== null) this.#raw = rawText();
  }

  /** Makes the answer malformed; the first problem is the one that is told. */
  noteProblem(problem: string, rawText: string): void {
    if (this.#problem !== null) return;
    this.#problem = problem;
    this.#raw = rawText;
  }

  /** The answer's usage by the maxima so far. */
  reported(statedCostUsd: string | null, serviceTier: string | null): ReportedUsage {
    if (this.#problem !== null) {
      return { kind: 'malformed', problem: this.#problem, raw: this.#raw };
    }
    if (!this.#hasAny && statedCostUsd === null) return { kind: 'none' };
    const separation = this.#separate();
    if (separation.problem !== null) {
      return { kind: 'malformed', problem: separation.problem, raw: this.#raw };
    }
    const quantities: Partial<Record<Unit, bigint>> = {};
    for (const [unit, quantity] of separation.quantities) quantities[unit] = BigInt(quantity);
    if (separation.quantities.size === 0 && statedCostUsd === null) return { kind: 'none' };
    return {
      kind: 'reported',
      quantities: quantities satisfies Quantities,
      reasoningTokens: separation.reasoning === NONE ? null : BigInt(separation.reasoning),
      hasDecreased: this.#hasDecreased,
      statedCostUsd,
      serviceTier,
    };
  }

  #noteValue(slot: number, value: unknown): string | null {
    if (value === undefined || value === null) return null;
    if (typeof value !== 'number') return `${FIELD_NAMES[slot] ?? ''} is not a number`;
    if (value < 0) return `${FIELD_NAMES[slot] ?? ''} is negative`;
    if (!Number.isSafeInteger(value)) {
      const isFraction = Number.isFinite(value) && !Number.isInteger(value);
      return `${FIELD_NAMES[slot] ?? ''} is ${isFraction ? 'fractional' : 'too large'}`;
    }
    const before = this.#maxima[slot] ?? NONE;
    if (value > before) this.#maxima[slot] = value;
    else if (value < before) this.#hasDecreased = true;
    this.#hasAny = true;
    return null;
  }

  #separate(): Separation {
    const input = this.#inputStyle();
    const problem = input.problem ?? null;
    if (problem !== null) return { problem };
    const quantities = input.quantities;
    const output = this.#outputTotal();
    const reasoning = this.#largest(REASONING_SLOTS);
    const audio = this.#largest(AUDIO_OUTPUT_SLOTS);
    if (output === NONE) {
      if (Math.max(reasoning, audio) > 0) return { problem: 'output details without a total' };
      return { problem: null, quantities, reasoning };
    }
    const inclusive = this.#isReasoningBeside(output, reasoning) ? output + reasoning : output;
    if (reasoning > inclusive) return { problem: 'reasoning_tokens exceed the output tokens' };
    if (audio > inclusive) return { problem: 'audio_tokens exceed the output tokens' };
    quantities.set('output', inclusive - Math.max(audio, 0));
    if (audio !== NONE) quantities.set('audio_output', audio);
    return { problem: null, quantities, reasoning };
  }

  #inputStyle(): { problem?: string; quantities: Map<Unit, number> } {
    const [prompt, input] = [this.#at(SLOT.prompt), this.#at(SLOT.input)];
    const prefersInput = this.family === 'messages' && input !== NONE;
    if (prefersInput || (prompt === NONE && input !== NONE && this.#isCacheBeside())) {
      return this.#separateInput(input);
    }
    let total = prompt === NONE ? input : prompt;
    if (total === NONE && this.family === 'embeddings') total = this.#at(SLOT.total);
    return this.#inclusiveInput(total);
  }

  /** Anthropic's names and no Responses details: the caches are beside the input. */
  #isCacheBeside(): boolean {
    if (this.family === 'messages') return true;
    if (this.#largest(INPUT_DETAIL_SLOTS) !== NONE) return false;
    const names = [SLOT.cacheRead, SLOT.cacheCreation, SLOT.write5m, SLOT.write1h];
    return this.#largest(names) !== NONE;
  }

  #separateInput(input: number): { problem?: string; quantities: Map<Unit, number> } {
    const quantities = new Map<Unit, number>([['input', input]]);
    const cached = this.#largest(CACHED_SLOTS);
    if (cached !== NONE) quantities.set('cached_input', cached);
    return this.#withCacheWrites(quantities, this.#largest(CACHE_WRITE_SLOTS));
  }

  #inclusiveInput(total: number): { problem?: string; quantities: Map<Unit, number> } {
    const quantities = new Map<Unit, number>();
    const cached = this.#largest(CACHED_SLOTS);
    const audio = this.#largest(AUDIO_INPUT_SLOTS);
    const written = this.#largest([...CACHE_WRITE_SLOTS, SLOT.write5m, SLOT.write1h]);
    if (total === NONE) {
      if (Math.max(cached, audio, written) <= 0) return { quantities };
      return { problem: 'input details without a total', quantities };
    }
    if (cached > total) return { problem: 'cached_tokens exceed the input tokens', quantities };
    if (audio > total) return { problem: 'audio_tokens exceed the input tokens', quantities };
    const { problem } = this.#withCacheWrites(quantities, this.#largest(CACHE_WRITE_SLOTS));
    if (problem !== undefined) return { problem, quantities };
    if (cached !== NONE) quantities.set('cached_input', cached);
    if (audio !== NONE) quantities.set('audio_input', audio);
    let rest = total;
    for (const subset of quantities.values()) rest -= subset;
    if (rest < 0) return { problem: 'subsets exceed the input tokens', quantities };
    quantities.set('input', rest);
    return { quantities };
  }

  /** The parts by lifetime where they are told; what is left of the total is a 5 minute write. */
  #withCacheWrites(
    quantities: Map<Unit, number>,
    total: number,
  ): { problem?: string; quantities: Map<Unit, number> } {
    const [write5m, write1h] = [this.#at(SLOT.write5m), this.#at(SLOT.write1h)];
    const parts = Math.max(write5m, 0) + Math.max(write1h, 0);
    if (total !== NONE && parts > total) {
      return { problem: 'cache_creation exceeds cache_creation_input_tokens', quantities };
    }
    if (total !== NONE || write5m !== NONE) {
      const undifferentiated = total === NONE ? 0 : total - parts;
      quantities.set('cache_write_5m', Math.max(write5m, 0) + undifferentiated);
    }
    if (write1h !== NONE) quantities.set('cache_write_1h', write1h);
    return { quantities };
  }

  #outputTotal(): number {
    const [completion, output] = [this.#at(SLOT.completion), this.#at(SLOT.output)];
    if (this.family === 'messages') return output === NONE ? completion : output;
    return completion === NONE ? output : completion;
  }

  /**
   * xAI counts reasoning beside `completion_tokens`; its own total is the proof. Without that
   * proof reasoning is inside, as everywhere else.
   */
  #isReasoningBeside(output: number, reasoning: number): boolean {
    const [prompt, total] = [this.#at(SLOT.prompt), this.#at(SLOT.total)];
    if (prompt === NONE || total === NONE || reasoning <= 0) return false;
    return total === prompt + output + reasoning;
  }

  #at(slot: number): number {
    return this.#maxima[slot] ?? NONE;
  }

  #largest(slots: readonly number[]): number {
    let largest = NONE;
    for (const slot of slots) largest = Math.max(largest, this.#at(slot));
    return largest;
  }
}
