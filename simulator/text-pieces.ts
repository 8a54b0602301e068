import type { AnswerPlan } from './answer-plan.js';
import { textOf } from './answer-text.js';

/** One piece of an answer's text. `tokens` = output tokens generated once it was sent. */
export interface TextPiece {
  readonly text: string;
  readonly tokens: number;
}

/** The text by which an answer reasons; '' where it does not. */
export function reasoningText(plan: AnswerPlan): string {
  return textOf(plan.textOffset, plan.reasoningPerChoice);
}

/** The text of an answer without its reasoning. */
export function answerText(plan: AnswerPlan): string {
  const { reasoningPerChoice: reasoning, tokensPerChoice } = plan;
  return textOf(plan.textOffset + reasoning, tokensPerChoice - reasoning);
}

/** The same text in as many pieces as the plan has chunks; none at all where it has none. */
export function textPieces(plan: AnswerPlan): TextPiece[] {
  const { reasoningPerChoice: reasoning, tokensPerChoice, chunks, textOffset } = plan;
  const tokens = tokensPerChoice - reasoning;
  return Array.from({ length: chunks }, (_, index) => {
    const from = reasoning + Math.floor((tokens * index) / chunks);
    const to = reasoning + Math.floor((tokens * (index + 1)) / chunks);
    return { text: textOf(textOffset + from, to - from), tokens: to };
  });
}
