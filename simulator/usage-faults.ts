import type { Fault } from './faults.js';
import type { JsonObject } from './json.js';

/** What a route calls the counts in its usage. */
export interface UsageFields {
  readonly input: string;
  readonly output: string;
}

/** The names of chat, completions and embeddings. */
export const OPENAI_USAGE: UsageFields = { input: 'prompt_tokens', output: 'completion_tokens' };

/** The names of the responses and messages routes. */
export const INPUT_OUTPUT_USAGE: UsageFields = { input: 'input_tokens', output: 'output_tokens' };

/**
 * How the faults on usage change every usage object of an answer; null when none was asked. The
 * alteration returns null where the usage is to be left out.
 */
export function usageAlteration(
  faults: readonly Fault[],
  { input, output }: UsageFields,
): ((usage: JsonObject) => JsonObject | null) | null {
  for (const fault of faults) {
    switch (fault) {
      case 'missing-usage':
        return () => null;
      case 'usage-negative':
        return (usage) => ({ ...usage, [input]: -5 });
      case 'usage-fractional':
        return (usage) => ({ ...usage, [output]: 12.5 });
      case 'usage-string':
        return (usage) => ({ ...usage, [output]: 'twelve' });
      case 'usage-huge':
        return (usage) => ({ ...usage, [input]: 1e21 });
      default:
    }
  }
  return null;
}
