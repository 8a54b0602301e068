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

/**
 * The routes that stand outside of Nest, by hand: bodies pass as the caller and the provider wrote
 * them, so their schemas are loose.
 */
export const PROXY_PATHS: Readonly<Record<string, PathItem>> = {
  '/v1/chat/completions': {
    post: {
      operationId: 'proxyChatCompletions',
      summary: 'Chat completion',
      description:
        'OpenAI-compatible. Unknown fields pass through. Scope `inference`; the token may be sent as `x-api-key` or as `hf_` + token too.',
      tags: ['proxy'],
      security: [{ bearer: [] }],
      parameters: requestHeaders(),
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: {
              type: 'object',
              required: ['model', 'messages'],
              properties: {
                model: {
                  type: 'string',
                  example: 'openai/gpt-oss-120b',
                  description:
                    '`org/name`, optionally with `:provider`, `:fastest`, `:cheapest` or `:preferred`.',
                },
                messages: { type: 'array', items: { type: 'object', additionalProperties: true } },
                stream: { type: 'boolean' },
                max_tokens: { type: 'integer', minimum: 1 },
              },
              additionalProperties: true,
            },
          },
        },
      },
      responses: {
        '200': {
          description: 'The answer of the provider; with `stream` its events as they come.',
          headers: ANSWER_HEADERS,
          content: {
            'application/json': { schema: { type: 'object', additionalProperties: true } },
            'text/event-stream': { schema: { type: 'string' } },
          },
        },
        ...errorResponses(PROXY_ERRORS),
      },
    },
  },
};

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
