import type { Directives } from './directives.js';
import { countOrNull, isObject, type JsonObject } from './json.js';
import { hashText } from './random.js';

/** Everything about an answer that is decided before its first byte. */
export interface AnswerPlan {
  /** Includes cachedTokens and cacheWriteTokens. */
  readonly promptTokens: number;
  readonly cachedTokens: number;
  /** Prompt tokens put into the cache; includes cacheWrite1hTokens. */
  readonly cacheWriteTokens: number;
  readonly cacheWrite1hTokens: number;
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
  /** Quantities beyond tokens, by unit; fixed before the answer begins. */
  readonly units: Readonly<Record<string, bigint>>;
}

const CHARS_PER_TOKEN = 4;
const TOKENS_PER_PART = 256;
const TAIL_CHARS = 256;
const DEFAULT_CHUNKS = 16;
const MAX_CHOICES = 16;

/** What of a text request decides its answer. */
export interface TextAsk {
  /** Characters of text in the input. */
  readonly chars: number;
  /** Tokens that came as ids. */
  readonly ids: number;
  /** Parts of the input that are not text. */
  readonly parts: number;
  /** The end of the input: enough to tell requests apart, and cheap with a prompt of 400 KB. */
  readonly tail: string;
  /** The caller's maximum of output tokens per choice; null: none. */
  readonly maximum: number | null;
  readonly choices: number;
  /** False: the endpoint has no place for reasoning, so none is made unless asked for. */
  readonly reasons: boolean;
  readonly tools: readonly unknown[];
  readonly forcesTool: boolean;
}

/**
 * Decides token counts from the request alone: prompt = characters / 4 rounded up, output from
 * content and seed, never above the caller's maximum nor the context. Directives overrule.
 */
export function planText(
  ask: TextAsk,
  asked: Directives,
  contextLength: number,
  seed: number,
): AnswerPlan {
  const counted = Math.ceil(ask.chars / CHARS_PER_TOKEN) + ask.ids + ask.parts * TOKENS_PER_PART;
  const promptTokens = asked.input ?? Math.max(1, counted);
  const hash = hashText(ask.tail, seed ^ ask.chars);
  const maximum = ask.maximum ?? Number.MAX_SAFE_INTEGER;
  const most = Math.max(0, Math.min(maximum, contextLength - promptTokens));
  const wanted = asked.output ?? 8 + (hash % 57);
  const tokensPerChoice = Math.min(wanted, most);
  const cached = asked.cached ?? (hash % 4 === 0 ? promptTokens >> 1 : 0);
  const drawn = ask.reasons && (hash >>> 8) % 5 === 0 ? tokensPerChoice >> 2 : 0;
  const cachedTokens = Math.min(cached, promptTokens);
  const toolCalls = ask.tools.length === 0 ? 0 : (asked.tools ?? (ask.forcesTool ? 1 : 0));
  return {
    promptTokens,
    cachedTokens,
    ...cacheWrites(asked, promptTokens - cachedTokens),
    choices: ask.choices,
    tokensPerChoice,
    reasoningPerChoice: Math.min(asked.reasoning ?? drawn, tokensPerChoice),
    chunks: asked.chunks ?? Math.min(tokensPerChoice, DEFAULT_CHUNKS),
    finishReason: wanted > most ? 'length' : toolCalls > 0 ? 'tool_calls' : 'stop',
    toolCalls,
    toolName: firstToolName(ask.tools),
    promptDetailsNull: cachedTokens === 0 && (hash >>> 16) % 2 === 0,
    textOffset: hash % 16,
    hash,
    units: {},
  };
}

/** Nothing goes into a cache unless asked for: few providers have a price for it. */
function cacheWrites(
  asked: Directives,
  most: number,
): Pick<AnswerPlan, 'cacheWriteTokens' | 'cacheWrite1hTokens'> {
  const long = Math.min(asked.cacheWrite1h ?? 0, most);
  return {
    cacheWriteTokens: long + Math.min(asked.cacheWrite ?? 0, most - long),
    cacheWrite1hTokens: long,
  };
}

/** The plan of an answer that is no text: quantities by unit, and tokens where it has some. */
export function planMedia(
  hash: number,
  units: Readonly<Record<string, bigint>>,
  tokens: { readonly prompt: number; readonly completion: number } = { prompt: 0, completion: 0 },
): AnswerPlan {
  return {
    promptTokens: tokens.prompt,
    cachedTokens: 0,
    cacheWriteTokens: 0,
    cacheWrite1hTokens: 0,
    choices: 1,
    tokensPerChoice: tokens.completion,
    reasoningPerChoice: 0,
    chunks: 0,
    finishReason: 'stop',
    toolCalls: 0,
    toolName: '',
    promptDetailsNull: true,
    textOffset: hash % 16,
    hash,
    units,
  };
}

/** What of a chat request decides its answer. */
export function chatAsk(body: JsonObject): TextAsk {
  const tools: unknown[] = Array.isArray(body['tools']) ? body['tools'] : [];
  return {
    ...measureMessages(body, tools),
    maximum: maximum(body),
    choices: choicesOf(body['n']),
    reasons: true,
    tools,
    forcesTool: body['tool_choice'] === 'required' || isObject(body['tool_choice']),
  };
}

/** How many choices `n` asks for. */
export function choicesOf(n: unknown): number {
  return Math.min(MAX_CHOICES, Math.max(1, countOrNull(n) ?? 1));
}

/** The caller's output maximum per choice: the smaller where both fields are given. */
function maximum(body: JsonObject): number {
  return Math.min(
    countOrNull(body['max_tokens']) ?? Number.MAX_SAFE_INTEGER,
    countOrNull(body['max_completion_tokens']) ?? Number.MAX_SAFE_INTEGER,
  );
}

/** The text of `system`, `messages` and tools. */
export function measureMessages(
  body: JsonObject,
  tools: readonly unknown[],
): Pick<TextAsk, 'chars' | 'ids' | 'parts' | 'tail'> {
  const meter = new TextMeter();
  if (tools.length > 0) meter.chars += JSON.stringify(tools).length;
  meter.addContent(body['system']);
  const messages: unknown[] = Array.isArray(body['messages']) ? body['messages'] : [];
  for (const message of messages) {
    if (isObject(message)) meter.addContent(message['content']);
  }
  return meter.measured;
}

/** Adds up the text of an input and remembers its end. */
export class TextMeter {
  chars = 0;
  ids = 0;
  parts = 0;
  private last = '';

  addText(text: string): void {
    this.chars += text.length;
    this.last = text;
  }

  /** Text, or a list of parts: one without text counts as a picture. */
  addContent(content: unknown): void {
    if (typeof content === 'string') this.addText(content);
    if (!Array.isArray(content)) return;
    for (const part of content as unknown[]) {
      if (!isObject(part)) continue;
      if (typeof part['text'] === 'string') this.addText(part['text']);
      else this.parts += 1;
    }
  }

  get measured(): Pick<TextAsk, 'chars' | 'ids' | 'parts' | 'tail'> {
    const { chars, ids, parts } = this;
    return { chars, ids, parts, tail: this.last.slice(-TAIL_CHARS) };
  }
}

function firstToolName(tools: readonly unknown[]): string {
  const tool = tools[0];
  if (!isObject(tool)) return 'tool';
  // Chat nests it; the responses and messages routes do not.
  const name = isObject(tool['function']) ? tool['function']['name'] : tool['name'];
  return typeof name === 'string' ? name : 'tool';
}
