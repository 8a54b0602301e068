import { constants, createGunzip } from 'node:zlib';
import { Agent, type Dispatcher, request } from 'undici';
import type { Ask } from './asks.js';

/**
 * What the client knows of one request.
 * - `delivered`: the whole answer, its end included
 * - `interrupted`: a 200 whose body broke off or ended in an error
 * - `hung_up`: the client left before the end
 * - `refused`: an error of the service's own, before any provider was called
 * - `failed`: any other error answer
 * - `no_answer`: the connection died before an answer
 * - `not_sent`: nobody listened
 */
export type ReceiptKind =
  'delivered' | 'interrupted' | 'hung_up' | 'refused' | 'failed' | 'no_answer' | 'not_sent';

/** Exactly what came back. */
export interface Receipt {
  readonly ask: Ask;
  readonly kind: ReceiptKind;
  readonly status: number | null;
  /** `error.code` of an error of the service's own. */
  readonly code: string | null;
  /** `x-request-id`: the id of the event. */
  readonly eventId: string | null;
  readonly retryAfter: string | null;
  readonly shouldRetry: string | null;
  /** Why it broke off. */
  readonly problem: string | null;
}

/** Codes with which a request is turned away before it is an event. */
const REFUSALS: ReadonlySet<string> = new Set([
  'invalid_json',
  'invalid_request',
  'model_not_supported',
  'invalid_token',
  'credit_exhausted',
  'spend_limit_reached',
  'insufficient_funds',
  'insufficient_scope',
  'not_a_member',
  'provider_disabled',
  'unknown_route',
  'request_timeout',
  'request_in_progress',
  'request_already_processed',
  'request_too_large',
  'unsupported_media_type',
  'idempotency_key_reused',
  'rate_limit_exceeded',
  'store_unavailable',
  'overloaded',
]);

/** A caller with keep-alive connections who never repeats a request. */
export class Client {
  private readonly agent = new Agent({
    connections: 128,
    pipelining: 1,
    headersTimeout: 60_000,
    bodyTimeout: 60_000,
  });

  async send(url: string, token: string, ask: Ask): Promise<Receipt> {
    const leave = new AbortController();
    let hasLeft = false;
    const timer =
      ask.hangUpAfterMs === null
        ? null
        : setTimeout(() => {
            hasLeft = true;
            leave.abort();
          }, ask.hangUpAfterMs);
    const seen: Seen = { answer: null, text: '', isWhole: false, problem: null };
    try {
      seen.answer = await request(`${url}/v1/chat/completions`, {
        dispatcher: this.agent,
        signal: leave.signal,
        method: 'POST',
        headers: {
          authorization: `Bearer ${token}`,
          'content-type': 'application/json',
          'x-client-request-id': ask.id,
        },
        body: ask.body,
      });
      await readBody(seen.answer, seen);
    } catch (error) {
      seen.problem = problemOf(error);
    }
    if (timer !== null) clearTimeout(timer);
    return receiptOf(ask, seen, hasLeft);
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }
}

interface Seen {
  answer: Dispatcher.ResponseData | null;
  text: string;
  /** The body ended in order. */
  isWhole: boolean;
  problem: string | null;
}

async function readBody(answer: Dispatcher.ResponseData, seen: Seen): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of answer.body) chunks.push(chunk as Buffer);
    seen.isWhole = true;
  } finally {
    const encoding = answer.headers['content-encoding'];
    const bytes = Buffer.concat(chunks);
    seen.text = encoding === 'gzip' ? await gunzipWhatThereIs(bytes) : bytes.toString();
  }
}

/** A broken-off gzip body still shows the text before the break. */
async function gunzipWhatThereIs(bytes: Buffer): Promise<string> {
  return await new Promise<string>((resolve) => {
    const gunzip = createGunzip({ finishFlush: constants.Z_SYNC_FLUSH });
    let text = '';
    gunzip.on('data', (part: Buffer) => (text += part.toString()));
    gunzip.once('end', () => {
      resolve(text);
    });
    gunzip.once('error', () => {
      resolve(text);
    });
    gunzip.end(bytes);
  });
}

function receiptOf(ask: Ask, seen: Seen, hasLeft: boolean): Receipt {
  const { answer, problem } = seen;
  const header = (name: string): string | null => {
    const value = answer?.headers[name];
    return typeof value === 'string' ? value : null;
  };
  const code = answer !== null && answer.statusCode >= 400 ? ownCodeOf(seen.text) : null;
  return {
    ask,
    kind: kindOf(ask, seen, hasLeft, code, header('x-should-retry')),
    status: answer?.statusCode ?? null,
    code,
    eventId: header('x-request-id'),
    retryAfter: header('retry-after'),
    shouldRetry: header('x-should-retry'),
    problem,
  };
}

function kindOf(
  ask: Ask,
  seen: Seen,
  hasLeft: boolean,
  code: string | null,
  shouldRetry: string | null,
): ReceiptKind {
  const { answer, problem } = seen;
  if (answer === null) {
    if (hasLeft) return 'hung_up';
    return problem === 'ECONNREFUSED' ? 'not_sent' : 'no_answer';
  }
  if (answer.statusCode >= 400) {
    // Withheld because it could not be settled in time: that one was served.
    const isWithheld = code === 'store_unavailable' && shouldRetry === 'false';
    return code !== null && REFUSALS.has(code) && !isWithheld ? 'refused' : 'failed';
  }
  const isStream = String(answer.headers['content-type']).startsWith('text/event-stream');
  if (isStream ? isWholeStream(ask, seen) : seen.isWhole && isWholeAnswer(seen.text)) {
    return 'delivered';
  }
  return hasLeft ? 'hung_up' : 'interrupted';
}

/** Where the provider marks the end, the mark is the end: what follows it is nothing. */
function isWholeStream(ask: Ask, { text, isWhole }: Seen): boolean {
  if (ask.sendsDone) return /(^|\n)data: \[DONE\]\r?\n\r?\n/.test(text);
  const isFinished = /"finish_reason": ?"/.test(text);
  return isWhole && isFinished && !/(^|\n)data: \{"error"/.test(text);
}

function isWholeAnswer(text: string): boolean {
  try {
    const answer: unknown = JSON.parse(text);
    return typeof answer === 'object' && answer !== null && 'choices' in answer;
  } catch {
    return false;
  }
}

/** Our errors always have all five fields; a provider's relayed error does not. */
function ownCodeOf(text: string): string | null {
  try {
    const { error } = JSON.parse(text) as { error?: Record<string, unknown> };
    const isOurs = typeof error === 'object' && 'details' in error && 'param' in error;
    return isOurs && typeof error['code'] === 'string' ? error['code'] : null;
  } catch {
    return null;
  }
}

function problemOf(error: unknown): string {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return typeof code === 'string' ? code : String(message);
}
