import type { Directives } from './directives.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { hashText } from './random.js';

/** Everything about an answer that is decided before its first byte. */
export interface AnswerPlan {
  /** Includes cachedTokens. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** How many choices (`n`); the three figures below are of one choice. */
  readonly choices: number;
  /** Includes reasoningTokens. */
  readonly tokensPerChoice: number;
  readonly reasoningPerChoice: number;
  /** Pieces in which a stream delivers one choice's tokens. */
  readonly chunks: number;
  readonly finishReason: 'stop' | 'length' | 'tool_calls';
  readonly toolCalls: number;
  readonly toolName: string;
  /** `prompt_tokens_details: null` although the field is known. Only when nothing was cached. */
  readonly promptDetailsNull: boolean;
  /** Where in the endless text this answer starts. */
  readonly textOffset: number;
  /** Seeds the request's own random draws. */
  readonly hash: number;
}

const CHARS_PER_TOKEN = 4;
const TOKENS_PER_IMAGE = 256;
const DEFAULT_CHUNKS = 16;
const MAX_CHOICES = 16;

/**
 * Decides token counts from the request alone: prompt = characters / 4 rounded up, output from
 * content and seed, never above the caller's maximum nor the context. Directives overrule.
 */
export function planAnswer(
  body: JsonObject,
  asked: Directives,
  contextLength: number,
  seed: number,
): AnswerPlan {
  const { chars, images, tail } = measure(body);
  const promptTokens =
    asked.input ?? Math.max(1, Math.ceil(chars / CHARS_PER_TOKEN) + images * TOKENS_PER_IMAGE);
  const hash = hashText(tail, seed ^ chars);
  const most = Math.max(0, Math.min(maximum(body), contextLength - promptTokens));
  const wanted = asked.output ?? 8 + (hash % 57);
  const tokensPerChoice = Math.min(wanted, most);
  const cached = asked.cached ?? (hash % 4 === 0 ? promptTokens >> 1 : 0);
  const reasoning = asked.reasoning ?? ((hash >>> 8) % 5 === 0 ? tokensPerChoice >> 2 : 0);
  const cachedTokens = Math.min(cached, promptTokens);
  const tools = Array.isArray(body['tools']) ? body['tools'] : [];
  const toolCalls = tools.length === 0 ? 0 : (asked.tools ?? (forcesTool(body) ? 1 : 0));
  return {
    promptTokens,
    cachedTokens,
    choices: Math.min(MAX_CHOICES, Math.max(1, countOrNull(body['n']) ?? 1)),
    tokensPerChoice,
    reasoningPerChoice: Math.min(reasoning, tokensPerChoice),
    chunks: asked.chunks ?? Math.min(tokensPerChoice, DEFAULT_CHUNKS),
    finishReason: wanted > most ? 'length' : toolCalls > 0 ? 'tool_calls' : 'stop',
    toolCalls,
    toolName: firstToolName(tools),
    promptDetailsNull: cachedTokens === 0 && (hash >>> 16) % 2 === 0,
    textOffset: hash % 16,
    hash,
  };
}

/** The caller's output maximum per choice: the smaller where both fields are given. */
function maximum(body: JsonObject): number {
  return Math.min(
    countOrNull(body['max_tokens']) ?? Number.MAX_SAFE_INTEGER,
    countOrNull(body['max_completion_tokens']) ?? Number.MAX_SAFE_INTEGER,
  );
}

function measure(body: JsonObject): { chars: number; images: number; tail: string } {
  let chars = Array.isArray(body['tools']) ? JSON.stringify(body['tools']).length : 0;
  let images = 0;
  let tail = '';
  const add = (text: string): void => {
    chars += text.length;
    tail = text;
  };
  const messages: unknown[] = Array.isArray(body['messages']) ? body['messages'] : [];
  for (const message of messages) {
    if (!isObject(message)) continue;
    const content = message['content'];
    if (typeof content === 'string') add(content);
    if (!Array.isArray(content)) continue;
    for (const part of content as unknown[]) {
      if (!isObject(part)) continue;
      if (typeof part['text'] === 'string') add(part['text']);
      else images += 1;
    }
  }
  // Hashing the end is enough to tell requests apart and keeps a 400 KB prompt cheap.
  return { chars, images, tail: tail.slice(-256) };
}

function forcesTool(body: JsonObject): boolean {
  return body['tool_choice'] === 'required' || isObject(body['tool_choice']);
}

function firstToolName(tools: readonly unknown[]): string {
  const tool = tools[0];
  if (!isObject(tool) || !isObject(tool['function'])) return 'tool';
  const name = tool['function']['name'];
  return typeof name === 'string' ? name : 'tool';
}
