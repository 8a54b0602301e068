/** The model that the canned upstream lists, and the provider that serves it. */
export const MODEL = 'tollgate-bench/canned';
export const PROVIDER = 'together';

const PROVIDER_MODEL = 'canned-turbo';
const CREATED = 1_767_225_600;

/** `GET /v1/models`: one priced model. */
export const MODELS_JSON = JSON.stringify({
  object: 'list',
  data: [
    {
      id: MODEL,
      object: 'model',
      created: CREATED,
      owned_by: 'tollgate-bench',
      architecture: { input_modalities: ['text'], output_modalities: ['text'] },
      providers: [
        {
          provider: PROVIDER,
          status: 'live',
          context_length: 1_048_576,
          pricing: { input: 0.01, output: 0.03 },
          supports_tools: true,
          first_token_latency_ms: 100,
          throughput: 100,
        },
      ],
    },
  ],
});

const usage = { prompt_tokens: 57, completion_tokens: 64, total_tokens: 121 };

/** A plain answer, about 0.5 KB. */
export const PLAIN_JSON = JSON.stringify({
  id: 'chatcmpl-bench',
  object: 'chat.completion',
  created: CREATED,
  model: PROVIDER_MODEL,
  choices: [
    {
      index: 0,
      message: { role: 'assistant', content: 'word '.repeat(40).trim() },
      finish_reason: 'stop',
    },
  ],
  usage,
});

function chunk(fields: object): string {
  const base = { id: 'chatcmpl-bench', object: 'chat.completion.chunk', created: CREATED };
  return `data: ${JSON.stringify({ ...base, model: PROVIDER_MODEL, ...fields })}\n\n`;
}

const choice = (delta: object, finish: string | null): object => ({
  choices: [{ index: 0, delta, finish_reason: finish }],
});

/** One event of content. */
export const CONTENT_EVENT = chunk({ ...choice({ content: ' word' }, null), usage: null });

/** The last events of a stream, sent together: finish reason, usage, `[DONE]`. */
export const LAST_EVENTS = [
  chunk({ ...choice({}, 'stop'), usage: null }),
  chunk({ choices: [], usage }),
  'data: [DONE]\n\n',
].join('');

/** How a streamed answer is asked for: so many content events, one each `tickMs`. */
export function streamMark(chunks: number, tickMs: number): string {
  return `[[bench chunks=${chunks} tick=${tickMs}]]`;
}

/** Reads the mark back; null: a plain answer. */
export function readStreamMark(body: Buffer): { chunks: number; tickMs: number } | null {
  const at = body.lastIndexOf('[[bench ');
  if (at < 0) return null;
  const match = /chunks=(\d+) tick=(\d+)/.exec(body.toString('latin1', at, at + 64));
  return match === null ? null : { chunks: Number(match[1]), tickMs: Number(match[2]) };
}
