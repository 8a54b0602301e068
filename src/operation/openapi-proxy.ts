import type { OpenAPIObject } from '@nestjs/swagger';

type PathItem = OpenAPIObject['paths'][string];
type Operation = NonNullable<PathItem['post']>;
type Parameters = NonNullable<Operation['parameters']>;
type Responses = Operation['responses'];
type Headers = Record<string, { description: string; schema: { type: 'string' } }>;

/** The one shape of our errors, as the controllers document it. */
const ERROR_SCHEMA_REF = '#/components/schemas/ErrorAnswer';

const REQUEST_HEADERS: readonly (readonly [name: string, description: string])[] = [
  ['X-HF-Bill-To', 'Slug of the organization that pays.'],
  ['X-HF-Session-id', 'At most 256 characters; stored with the request.'],
  ['X-Tollgate-Tags', 'Up to 10 `key=value`, comma-separated, values percent-encoded.'],
  ['X-Tollgate-Include-Cost', '`true`: the final usage object gains `cost` and `cost_details`.'],
  ['X-Client-Request-Id', 'Stored; requests can be searched by it.'],
  ['Idempotency-Key', 'At most 255 bytes; a second request under it is never sent to a provider.'],
];

const ANSWER_HEADERS: Headers = {
  'x-request-id': header('Id of the usage event; also sent as `request-id` and `inference-id`.'),
  'x-inference-provider': header('Who served the request.'),
  'x-upstream-request-id': header("The provider's own id."),
  'x-tollgate-model': header('The model that was asked for, without a suffix.'),
  'x-tollgate-attempts': header('Calls made to providers.'),
  'x-tollgate-max-tokens': header('The maximum of output tokens, when we wrote one.'),
  'x-tollgate-dropped': header('Fields of the body that the provider refuses, which we left out.'),
  'x-tollgate-cost-usd': header('What the request cost, when that is known before the body.'),
  RateLimit: header(
    'Of a token or payer with limits of requests: what is left of the window (`r`) and its seconds (`t`), as in `"minute";r=59;t=42`.',
  ),
  'RateLimit-Policy': header('The limits: requests (`q`) in a window of so many seconds (`w`).'),
  'x-should-retry': header('`false`: trying again cannot help; `true`: it can.'),
};

const PROXY_ERRORS: Readonly<Record<string, string>> = {
  '400': '`invalid_json`, `invalid_request`, `model_not_supported`',
  '401': '`invalid_token`',
  '402':
    '`credit_exhausted`, `spend_limit_reached`, `insufficient_funds`; `details` say what is left',
  '403': '`insufficient_scope`, `not_a_member`, `provider_disabled`',
  '408': '`request_timeout`',
  '409': '`request_in_progress`, `request_already_processed`',
  '413': '`request_too_large`',
  '415': '`unsupported_media_type`',
  '422': '`idempotency_key_reused`',
  '429': '`rate_limit_exceeded`',
  '500': '`internal_error`',
  '502': '`upstream_error`',
  '503': '`model_loading`, `store_unavailable`, `overloaded`; with `Retry-After`',
  '504': '`upstream_timeout`',
};

/** One of the proxy's routes, as far as its document differs from the others'. */
interface ProxyRoute {
  readonly operationId: string;
  readonly summary: string;
  readonly description: string;
  readonly requestType: 'application/json' | 'multipart/form-data';
  readonly required: readonly string[];
  readonly properties: Readonly<Record<string, object>>;
  /** Content types of a good answer. */
  readonly answers: readonly string[];
}

const JSON_AND_EVENTS = ['application/json', 'text/event-stream'];
const MODEL = {
  type: 'string',
  example: 'openai/gpt-oss-120b',
  description: '`org/name`, optionally with `:provider`, `:fastest`, `:cheapest` or `:preferred`.',
};
const STREAM = { type: 'boolean' };
const ANY = {};
const WHOLE = { type: 'integer', minimum: 1 };

const ROUTES: Readonly<Record<string, ProxyRoute>> = {
  '/v1/chat/completions': {
    operationId: 'proxyChatCompletions',
    summary: 'Chat completion',
    description:
      'OpenAI-compatible. Unknown fields pass through. Scope `inference`; the token may be sent as `x-api-key` or as `hf_` + token too.',
    requestType: 'application/json',
    required: ['model', 'messages'],
    properties: {
      messages: { type: 'array', items: { type: 'object', additionalProperties: true } },
      stream: STREAM,
      max_tokens: WHOLE,
    },
    answers: JSON_AND_EVENTS,
  },
  '/v1/completions': {
    operationId: 'proxyCompletions',
    summary: 'Completion of a prompt',
    description: 'OpenAI-compatible. A list of prompts is so many outputs.',
    requestType: 'application/json',
    required: ['model', 'prompt'],
    properties: { prompt: ANY, stream: STREAM, max_tokens: WHOLE },
    answers: JSON_AND_EVENTS,
  },
  '/v1/responses': {
    operationId: 'proxyResponses',
    summary: 'Responses API',
    description: 'OpenAI-compatible; `background: true` is refused: an answer passes through us.',
    requestType: 'application/json',
    required: ['model', 'input'],
    properties: { input: ANY, stream: STREAM, max_output_tokens: WHOLE },
    answers: JSON_AND_EVENTS,
  },
  '/v1/messages': {
    operationId: 'proxyMessages',
    summary: 'Messages in Anthropic style',
    description: "The query string is kept. Errors of ours come in Anthropic's shape.",
    requestType: 'application/json',
    required: ['model', 'messages', 'max_tokens'],
    properties: { messages: ANY, stream: STREAM, max_tokens: WHOLE },
    answers: JSON_AND_EVENTS,
  },
  '/v1/messages/count_tokens': {
    operationId: 'proxyCountTokens',
    summary: 'Tokens of messages in Anthropic style',
    description: 'Relayed without hold or charge.',
    requestType: 'application/json',
    required: ['model', 'messages'],
    properties: { messages: ANY },
    answers: ['application/json'],
  },
  '/v1/embeddings': {
    operationId: 'proxyEmbeddings',
    summary: 'Embeddings',
    description: 'OpenAI-compatible; `encoding_format` as the caller asks.',
    requestType: 'application/json',
    required: ['model', 'input'],
    properties: { input: ANY },
    answers: ['application/json'],
  },
  '/v1/images/generations': {
    operationId: 'proxyImageGenerations',
    summary: 'Images from a text',
    description: 'Charged by image, pixel or token, as the provider prices them.',
    requestType: 'application/json',
    required: ['model', 'prompt'],
    properties: { prompt: { type: 'string' }, n: WHOLE, size: { type: 'string' } },
    answers: ['application/json'],
  },
  '/v1/audio/transcriptions': {
    operationId: 'proxyTranscriptions',
    summary: 'Text of a recording',
    description: 'The upload is spooled to disk; `model` may come before or after the file.',
    requestType: 'multipart/form-data',
    required: ['model', 'file'],
    properties: { file: { type: 'string', format: 'binary' } },
    answers: ['application/json', 'text/plain', 'text/event-stream'],
  },
  '/v1/audio/speech': {
    operationId: 'proxySpeech',
    summary: 'Speech from a text',
    description: 'Charged by character, as the provider counts none: Unicode code points.',
    requestType: 'application/json',
    required: ['model', 'input'],
    properties: { input: { type: 'string' }, voice: ANY },
    answers: ['application/octet-stream', 'audio/mpeg'],
  },
};

/**
 * The routes that stand outside of Nest, by hand: bodies pass as the caller and the provider wrote
 * them, so their schemas are loose.
 */
export const PROXY_PATHS: Readonly<Record<string, PathItem>> = Object.fromEntries(
  Object.entries(ROUTES).map(([path, route]) => [path, { post: operationOf(route) }]),
);

function operationOf(route: ProxyRoute): Operation {
  return {
    operationId: route.operationId,
    summary: route.summary,
    description: route.description,
    tags: ['proxy'],
    security: [{ bearer: [] }],
    parameters: requestHeaders(),
    requestBody: {
      required: true,
      content: {
        [route.requestType]: {
          schema: {
            type: 'object',
            required: [...route.required],
            properties: { model: MODEL, ...route.properties },
            additionalProperties: true,
          },
        },
      },
    },
    responses: {
      '200': {
        description: 'The answer of the provider; a stream as its events come.',
        headers: ANSWER_HEADERS,
        content: Object.fromEntries(
          route.answers.map((type) => [type, { schema: schemaOf(type) }]),
        ),
      },
      ...errorResponses(PROXY_ERRORS),
    },
  };
}

function schemaOf(contentType: string): object {
  if (contentType === 'application/json') return { type: 'object', additionalProperties: true };
  return contentType.startsWith('text/')
    ? { type: 'string' }
    : { type: 'string', format: 'binary' };
}

function errorResponses(errors: Readonly<Record<string, string>>): Responses {
  return Object.fromEntries(
    Object.entries(errors).map(([status, description]) => [
      status,
      { description, content: { 'application/json': { schema: { $ref: ERROR_SCHEMA_REF } } } },
    ]),
  );
}

function requestHeaders(): Parameters {
  return REQUEST_HEADERS.map(([name, description]) => ({
    name,
    in: 'header' as const,
    required: false,
    description,
    schema: { type: 'string' },
  }));
}

function header(description: string): Headers[string] {
  return { description, schema: { type: 'string' } };
}
