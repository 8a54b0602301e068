import { estimateUsage } from './estimate.js';
import { type PicoUsd } from './money.js';
import { priceUsage, type RowsByUnit } from './pricing.js';
import { inputTokensOf, outputTokensOf, type Quantities, type ReportedUsage } from './usage.js';

/** What an answer said and what passed of it. */
export interface AnswerFacts {
  readonly usage: ReportedUsage;
  /** Anything of use to the caller passed: text, tool calls, media. */
  readonly hasContent: boolean;
  /** UTF-8 bytes of content, reasoning and tool calls that passed. */
  readonly contentBytes: number;
  /** UTF-8 bytes of the request's text. */
  readonly inputTextBytes: number;
  readonly holdPicoUsd: PicoUsd;
  /** The rows in force at admission for the provider that answered; empty where there are none. */
  readonly rows: RowsByUnit;
}

/** How an answer is booked. */
export type Rating =
  | {
      readonly state: 'settled';
      readonly usageSource: 'provider' | 'estimated';
      readonly quantities: Quantities;
      readonly reasoningTokens: bigint | null;
      readonly costPicoUsd: PicoUsd;
      readonly priceRowIds: readonly bigint[];
      readonly isPriceAssumed: boolean;
    }
  /** Used, but a unit has no price: shown and alarmed, never $0; the hold stays. */
  | {
      readonly state: 'unpriced';
      readonly usageSource: 'provider' | 'estimated';
      readonly quantities: Quantities;
      readonly reasoningTokens: bigint | null;
    }
  /** A person has to decide; nothing is charged until then. */
  | { readonly state: 'quarantined'; readonly problem: string; readonly raw: string | null }
  /** Nothing was used. */
  | { readonly state: 'released' };

/**
 * Books one answer to a text generation: usage that the provider reported is charged as reported,
 * content without usage is estimated from its bytes (at most the hold), neither is nothing. A figure
 * that cannot be one, or a report without an input or an output total, is quarantined.
 */
export function rateAnswer(facts: AnswerFacts): Rating {
  const { usage } = facts;
  if (usage.kind === 'malformed') {
    return { state: 'quarantined', problem: usage.problem, raw: usage.raw };
  }
  if (usage.kind === 'none') return facts.hasContent ? rateEstimate(facts) : { state: 'released' };
  const { quantities, reasoningTokens } = usage;
  if (inputTokensOf(quantities) === null || outputTokensOf(quantities) === null) {
    const missing = inputTokensOf(quantities) === null ? 'input' : 'output';
    return { state: 'quarantined', problem: `the usage states no ${missing} tokens`, raw: null };
  }
  return priced(quantities, reasoningTokens, 'provider', facts.rows);
}

function rateEstimate(facts: AnswerFacts): Rating {
  const { input, output } = estimateUsage({
    inputTextBytes: facts.inputTextBytes,
    outputTextBytes: facts.contentBytes,
    holdPicoUsd: facts.holdPicoUsd,
    rows: facts.rows,
  });
  return priced({ input, output }, null, 'estimated', facts.rows);
}

function priced(
  quantities: Quantities,
  reasoningTokens: bigint | null,
  usageSource: 'provider' | 'estimated',
  rows: RowsByUnit,
): Rating {
  const usage = priceUsage(quantities, rows);
  switch (usage.kind) {
    case 'priced':
      return {
        state: 'settled',
        usageSource,
        quantities,
        reasoningTokens,
        costPicoUsd: usage.costPicoUsd,
        priceRowIds: usage.rowIds,
        isPriceAssumed: usage.isPriceAssumed,
      };
    case 'unpriced':
      return { state: 'unpriced', usageSource, quantities, reasoningTokens };
    case 'overflow':
      return {
        state: 'quarantined',
        problem: 'a quantity or the cost is too large to be one',
        raw: null,
      };
  }
}
