import type { OutgoingHttpHeaders } from 'node:http';
import type { Delay, Directives } from './directives.js';
import { type ErrorAnswer, statusFaultAnswer } from './error-answers.js';
import type { Exchange } from './exchange.js';
import { isStatusFault } from './faults.js';
import type { SeededRandom } from './random.js';

/**
 * What happened before the first byte of an answer.
 * - `none`: go on
 * - `client_gone`: the client left while it waited (for the delay, or on a hang)
 * - `reset`: we broke the connection
 * - `answered`: an error was sent with this status
 */
export type Interruption =
  | { readonly kind: 'none' }
  | { readonly kind: 'client_gone' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'answered'; readonly status: number };

/** Milliseconds of one wait, drawn from the request's own generator where a range was given. */
export function drawMs(delay: Delay | null, random: SeededRandom): number {
  if (delay === null) return 0;
  return delay.minMs === delay.maxMs ? delay.minMs : random.between(delay.minMs, delay.maxMs);
}

/** Carries out the delay and whichever fault strikes before the headers. `headers` go on errors too. */
export async function interrupt(
  exchange: Exchange,
  asked: Directives,
  random: SeededRandom,
  model: string,
  headers: OutgoingHttpHeaders,
): Promise<Interruption> {
  if (asked.delay !== null) await exchange.sleep(drawMs(asked.delay, random));
  if (exchange.isGone) return { kind: 'client_gone' };
  for (const fault of asked.faults) {
    if (fault === 'reset-before-headers') {
      exchange.reset();
      return { kind: 'reset' };
    }
    if (fault === 'hang-before-headers') {
      await exchange.untilGone();
      return { kind: 'client_gone' };
    }
    if (isStatusFault(fault)) {
      const answer = statusFaultAnswer(fault, model, asked);
      sendError(exchange, answer, headers);
      return { kind: 'answered', status: answer.status };
    }
  }
  return { kind: 'none' };
}

/** Sends an error answer with the headers every answer carries. */
export function sendError(
  exchange: Exchange,
  answer: ErrorAnswer,
  headers: OutgoingHttpHeaders,
): void {
  exchange.answer(answer.status, { ...headers, ...answer.headers }, answer.body);
}
