/** A small HTTP client for the specs beside it: raw enough to see resets, lengths and pieces. */
import { type ClientRequest, type IncomingHttpHeaders, request } from 'node:http';
import type { Simulator } from './server.js';

/** What came back: `error` is the code of the failure that ended it, null when it ended in order. */
export interface Received {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly bytes: Buffer;
  readonly text: string;
  readonly pieces: number;
  readonly error: string | null;
}

export interface SentUsage {
  readonly prompt_tokens: unknown;
  readonly completion_tokens: unknown;
  readonly total_tokens: unknown;
  readonly prompt_tokens_details?: { readonly cached_tokens: number } | null;
  readonly completion_tokens_details?: { readonly reasoning_tokens: number };
  readonly estimated_cost?: number;
  readonly cost?: number;
  readonly total_latency?: number;
}

interface ToolCallDelta {
  readonly id?: string;
  readonly function: { readonly name?: string; readonly arguments: string };
}

interface SentDelta {
  readonly content?: string | null;
  readonly reasoning_content?: string;
  readonly tool_calls?: readonly ToolCallDelta[];
}

/** A chunk of a stream, or a plain answer. */
export interface SentChunk {
  readonly model: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: SentDelta;
    readonly message: SentDelta;
    readonly finish_reason: string | null;
    readonly usage?: SentUsage;
  }[];
  readonly usage?: SentUsage | null;
  readonly x_groq?: { readonly id: string; readonly usage?: SentUsage };
  readonly error?: unknown;
}

export interface ChatRequest {
  readonly model: string;
  /** The directives without their brackets. */
  readonly sim?: string;
  readonly stream?: boolean;
  readonly fields?: Record<string, unknown>;
  readonly headers?: Record<string, string>;
  readonly path?: string;
}

/** Posts a chat request of 40 characters (10 prompt tokens) besides its directives. */
export function chatBody(ask: ChatRequest): string {
  return JSON.stringify({
    model: ask.model,
    stream: ask.stream ?? false,
    messages: [
      { role: 'system', content: 'x'.repeat(40) },
      { role: 'user', content: ask.sim === undefined ? '' : `[[sim ${ask.sim}]]` },
    ],
    ...ask.fields,
  });
}

/** Sends a chat request and collects the answer, broken or not. */
export async function chat(simulator: Simulator, ask: ChatRequest): Promise<Received> {
  const path = ask.path ?? '/v1/chat/completions';
  return open(simulator, 'POST', path, chatBody(ask), ask.headers).received;
}

/** Any call, collected. */
export async function call(
  simulator: Simulator,
  method: string,
  path: string,
  body?: unknown,
): Promise<Received> {
  const sent = body === undefined ? '' : JSON.stringify(body);
  return open(simulator, method, path, sent).received;
}

/** Starts a chat request without waiting for its end. */
export function openChat(simulator: Simulator, ask: ChatRequest): Open {
  return open(simulator, 'POST', '/v1/chat/completions', chatBody(ask), ask.headers);
}

export interface Open {
  readonly request: ClientRequest;
  /** Resolves at the first bytes of the body. */
  readonly firstBytes: Promise<void>;
  readonly received: Promise<Received>;
}

function open(
  simulator: Simulator,
  method: string,
  path: string,
  body: string,
  headers: Record<string, string> = {},
): Open {
  let sent: ClientRequest | undefined;
  let announce: (() => void) | undefined;
  const firstBytes = new Promise<void>((resolve) => {
    announce = resolve;
  });
  const received = new Promise<Received>((resolve) => {
    const parts: Buffer[] = [];
    let status = 0;
    let answered: IncomingHttpHeaders = {};
    const finish = (error: string | null): void => {
      const bytes = Buffer.concat(parts);
      const text = bytes.toString();
      resolve({ status, headers: answered, bytes, text, pieces: parts.length, error });
    };
    const failed = (error: NodeJS.ErrnoException): void => {
      finish(error.code ?? error.message);
    };
    sent = request(`${simulator.url}${path}`, { method, headers, agent: false }, (response) => {
      status = response.statusCode ?? 0;
      answered = response.headers;
      response.on('data', (part: Buffer) => {
        parts.push(part);
        announce?.();
      });
      response.once('end', () => {
        finish(null);
      });
      response.once('error', failed);
    });
    sent.once('error', failed);
    sent.end(body);
  });
  if (sent === undefined) throw new Error('The request was not sent');
  return { request: sent, firstBytes, received };
}

/** The `data:` payloads of an event stream in order, comments left out, lines of one event joined. */
export function dataOf(text: string): string[] {
  return text
    .split(/\r?\n\r?\n/)
    .map((block) => block.split(/\r?\n/).filter((line) => line.startsWith('data: ')))
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.map((line) => line.slice(6)).join('\n'));
}

/** The chunks of an event stream, `[DONE]` left out. */
export function chunksOf(text: string): SentChunk[] {
  return dataOf(text)
    .filter((payload) => payload !== '[DONE]')
    .map((payload) => JSON.parse(payload) as SentChunk);
}

/** A plain answer's body. */
export function answerOf(received: Received): SentChunk {
  return JSON.parse(received.text) as SentChunk;
}

/** Lets the event loop turn until `condition` holds; fails loudly when it never does. */
export async function eventually(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('The condition never came true');
    await new Promise<void>((resolve) => setImmediate(resolve));
  }
}
