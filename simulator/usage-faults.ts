import type { Fault } from './faults.js';
import type { JsonObject } from './json.js';

/**
 * How the faults on usage change every usage object of an answer; null when none was asked. The
 * alteration returns null where the usage is to be left out.
 */
export function usageAlteration(
  faults: readonly Fault[],
): ((usage: JsonObject) => JsonObject | null) | null {
  for (const fault of faults) {
    switch (fault) {
      case 'missing-usage':
        return () => null;
      case 'usage-negative':
        return (usage) => ({ ...usage, prompt_tokens: -5 });
      case 'usage-fractional':
        return (usage) => ({ ...usage, completion_tokens: 12.5 });
      case 'usage-string':
        return (usage) => ({ ...usage, completion_tokens: 'twelve' });
      case 'usage-huge':
        return (usage) => ({ ...usage, prompt_tokens: 1e21 });
      default:
    }
  }
  return null;
}
