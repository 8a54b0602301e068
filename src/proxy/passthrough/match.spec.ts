import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isPassedProvider, matchPassThrough, taskOfModel, type RouteMatch } from './match.js';
import { ROUTE_TABLES } from './route-tables.js';
import { webhookFieldOf } from './webhooks.js';

const kindOf = (method: string, target: string): RouteMatch['kind'] =>
  matchPassThrough(method, target).kind;

/** A path that a pattern stands for. */
const exampleOf = (pattern: string, prefix: string, segments: number): string =>
  pattern
    .replace(
      '{model+}',
      [`${prefix}one`, ...Array.from({ length: segments - 1 }, (_one, at) => `part-${at}`)].join(
        '/',
      ),
    )
    .replace('{job}', 'job-1')
    .replace('{task}', 'feature-extraction');

describe('the tables', () => {
  it('match every route that they list, with its model and its job', () => {
    for (const [provider, routes] of ROUTE_TABLES) {
      for (const route of routes) {
        const query = new URLSearchParams(route.query.required);
        if (route.jobQuery !== null) query.set(route.jobQuery, 'job-1');
        const path = exampleOf(route.pattern, route.models.prefix, route.models.segmentsMin);
        const target = `/${provider}${path}${query.size === 0 ? '' : `?${query.toString()}`}`;
        const match = matchPassThrough(route.method, target);
        expect(match, target).toMatchObject({ kind: 'matched', provider, route });
        if (match.kind !== 'matched') continue;
        expect(match.path).toBe(path);
        expect(match.model !== null).toBe(route.model === 'path');
        expect(match.jobId).toBe(route.model === null ? 'job-1' : null);
        expect(isPassedProvider(provider)).toBe(true);
      }
    }
  });

  it.each([
    ['POST', '/replicate/v1/predictions'],
    ['GET', '/replicate/v1/predictions'],
    ['GET', '/replicate/v1/account'],
    ['POST', '/replicate/v1/deployments/acme/own/predictions'],
    ['GET', '/replicate/v1/models/black-forest-labs/flux-dev'],
    ['DELETE', '/replicate/v1/predictions/abc'],
    ['GET', '/together/v1/files'],
    ['POST', '/together/v1/files'],
    ['GET', '/together/v1/fine-tunes'],
    ['GET', '/together/v1/models'],
    ['GET', '/together/v2/videos'],
    ['GET', '/openrouter/api/v1/keys'],
    ['POST', '/openrouter/api/v1/keys'],
    ['GET', '/openrouter/api/v1/credits'],
    ['GET', '/novita/v3/async/task-result'],
    ['POST', '/novita/v3/async/task-result'],
    ['GET', '/wavespeed/api/v3/balance'],
    ['POST', '/wavespeed/api/v3/media/upload/binary'],
    ['POST', '/wavespeed/api/v3/predictions/abc'],
    ['GET', '/fal-ai/fal-ai/flux/requests/abc'],
    ['POST', '/fal-ai/fal-ai/flux/requests/abc?_subdomain=queue'],
    ['POST', '/fal-ai/flux'],
    ['GET', '/fal-ai/fal-ai/flux?_subdomain=queue'],
    ['POST', '/black-forest-labs/v1/finetune'],
    ['GET', '/black-forest-labs/v1/get_result'],
    ['GET', '/hf-inference/models/org/model'],
    ['POST', '/hf-inference/models/org/model/pipeline/anything'],
    ['POST', '/hf-inference/models/a/b/c'],
    ['POST', '/hf-inference/status/org/model'],
    ['POST', '/nobody/v1/chat/completions'],
    ['GET', '/groq/openai/v1/chat/completions'],
    ['POST', '/groq/openai/v1/chat/completions/'],
    ['POST', '/groq//openai/v1/chat/completions'],
    ['POST', '/groq'],
    ['POST', '/'],
    ['post', '/groq/openai/v1/chat/completions'],
    ['PATCH', '/groq/openai/v1/chat/completions'],
    ['POST', '/constructor/v1/chat/completions'],
  ])('know nothing of %s %s', (method, target) => {
    expect(kindOf(method, target)).toBe('unknown');
  });

  it.each([
    '/groq/openai/v1/../v1/chat/completions',
    '/groq/openai/v1/%2e%2e/v1/chat/completions',
    '/groq/openai/v1/.%2E/v1/chat/completions',
    '/groq/./openai/v1/chat/completions',
    '/hf-inference/models/org%2Fmodel',
    '/hf-inference/models/org%5Cmodel',
    '/hf-inference/models/org\\model',
    '/hf-inference/models/org%252Fmodel',
    '/hf-inference/models/org%00model',
    '/hf-inference/models/org%0d%0amodel',
    '/hf-inference/models/org%zz',
    'http://other.example/groq/openai/v1/chat/completions',
    'groq/openai/v1/chat/completions',
  ])('refuse %s as a path that could be read in two ways', (target) => {
    expect(matchPassThrough('POST', target)).toMatchObject({ kind: 'refused', param: 'path' });
  });

  it('take an escape that means a plain character for that character', () => {
    expect(matchPassThrough('POST', '/hf-inference/models/org/%6dodel')).toMatchObject({
      kind: 'matched',
      model: 'org/model',
      path: '/models/org/model',
    });
  });

  it('tell the queue of fal from its plain call by the query', () => {
    const match = (target: string): unknown => matchPassThrough('POST', target);
    expect(match('/fal-ai/fal-ai/flux/dev?_subdomain=queue')).toMatchObject({
      route: { role: 'submit' },
      model: 'fal-ai/flux/dev',
    });
    expect(match('/fal-ai/fal-ai/flux/dev')).toMatchObject({ route: { role: 'call' } });
    expect(match('/fal-ai/fal-ai/flux/dev?_subdomain=rest')).toMatchObject({ kind: 'refused' });
  });

  it.each(['fal_webhook', 'webhook', 'webhook_url'])('refuse %s in the query by name', (name) => {
    const target = `/fal-ai/fal-ai/flux/dev?_subdomain=queue&${name}=https://x.example`;
    expect(matchPassThrough('POST', target)).toMatchObject({ kind: 'refused', param: name });
  });

  it('refuse a parameter twice, and one that the route does not take', () => {
    expect(
      matchPassThrough('GET', '/novita/v3/async/task-result?task_id=a&task_id=b'),
    ).toMatchObject({ kind: 'refused', param: 'task_id' });
    expect(matchPassThrough('POST', '/groq/openai/v1/chat/completions?user=1')).toMatchObject({
      kind: 'refused',
      param: 'user',
    });
    expect(
      matchPassThrough('GET', '/novita/v3/async/task-result?task_id=a%26task_id%3Db'),
    ).toMatchObject({ kind: 'refused', param: 'task_id' });
  });
});

describe('any path at all', () => {
  const segment = fc.oneof(
    fc.constantFrom(
      ...[...ROUTE_TABLES.keys()],
      ...'v1 v2 v3 api async openai models predictions videos files keys requests status cancel'.split(
        ' ',
      ),
      ...'chat completions embeddings images generations pipeline task-result get_result'.split(
        ' ',
      ),
      ...['.', '..', '%2e%2e', '%2f', '', 'feature-extraction', 'org', 'flux-dev'],
    ),
    fc.string({ maxLength: 12 }),
    fc.string({ unit: 'binary', maxLength: 6 }),
  );
  const target = fc
    .tuple(
      fc.array(segment, { maxLength: 9 }),
      fc.option(fc.constantFrom('_subdomain=queue', 'task_id=x', 'id=x', 'a=b', '%', '?')),
    )
    .map(([segments, query]) => `/${segments.join('/')}${query === null ? '' : `?${query}`}`);
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS', 'get');

  it('never throws, and matches only what one pattern of the tables stands for', () => {
    fc.assert(
      fc.property(method, target, (asked, text) => {
        const match = matchPassThrough(asked, text);
        if (match.kind !== 'matched') return;
        expect(ROUTE_TABLES.get(match.provider)).toContain(match.route);
        expect(match.route.method).toBe(asked);
        const pattern = match.route.pattern
          .replace('{model+}', '[^/]+(?:/[^/]+){0,6}')
          .replace('{job}', match.jobId ?? 'none')
          .replace('{task}', '[a-z-]+');
        expect(match.path).toMatch(new RegExp(`^${pattern}$`));
        // The forwarded path means to any URL parser what it says.
        expect(new URL(`http://host${match.path}`).pathname).toBe(match.path);
        expect(match.path).not.toMatch(/\.\.|%|\\|\/\/|[?#]/);
      }),
      { numRuns: 20_000 },
    );
  });

  it('refuses or does not know a listed path into which a step up or an encoding was put', () => {
    const listed = fc.constantFrom(
      ...[...ROUTE_TABLES].flatMap(([provider, routes]) =>
        routes.map((route) => ({
          method: route.method,
          path: `/${provider}${exampleOf(route.pattern, route.models.prefix, route.models.segmentsMin)}`,
        })),
      ),
    );
    const poison = fc.constantFrom(
      ...['..', '.', '%2e%2e', '%2E.', '%2f', '%5c', '%252f', '\\', '%00', '%0a', '%', '%c0%ae'],
    );
    fc.assert(
      fc.property(listed, poison, fc.nat(), ({ method: asked, path }, text, at) => {
        const segments = path.split('/');
        segments.splice(1 + (at % segments.length), 0, text);
        expect(kindOf(asked, segments.join('/'))).not.toBe('matched');
      }),
      { numRuns: 5_000 },
    );
  });
});

describe('webhooks in a body', () => {
  const body = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

  it('are found at any depth, escaped, and behind a twin', () => {
    expect(webhookFieldOf(body({ extra: { webhook: { url: 'https://x' } } }), true)).toBe(
      'webhook',
    );
    expect(webhookFieldOf(body({ a: [{ b: { webhook_url: 'x' } }] }), true)).toBe('webhook_url');
    expect(webhookFieldOf(Buffer.from('{"web\\u0068ook":"x"}'), true)).toBe('webhook');
    expect(webhookFieldOf(Buffer.from('{"webhook":"x","webhook":null}'), true)).toBe('webhook');
    expect(webhookFieldOf(body({ prompt: 'a webhook', input: { image: 'x' } }), true)).toBeNull();
  });

  it('are no field of the request inside messages and tools', () => {
    const chat = { messages: [], tools: [{ parameters: { properties: { webhook: {} } } }] };
    expect(webhookFieldOf(body(chat), false)).toBeNull();
    expect(webhookFieldOf(body({ ...chat, webhook: 'x' }), false)).toBe('webhook');
  });

  it('are found wherever a body is given one', () => {
    fc.assert(
      fc.property(
        fc.array(fc.string({ minLength: 1, maxLength: 5 }), { maxLength: 20 }),
        fc.constantFrom('fal_webhook', 'webhook', 'webhook_url'),
        fc.jsonValue(),
        (path, field, value) => {
          const nested = path.reduceRight<unknown>((inner, name) => ({ [name]: inner }), {
            [field]: value,
          });
          expect(webhookFieldOf(body(nested), true)).not.toBeNull();
        },
      ),
    );
  });
});

describe('the task of a model', () => {
  it.each([
    ['fal-ai/flux/dev', 'image'],
    ['fal-ai/wan/v2.2/text-to-video', 'video'],
    ['wan-ai/wan-2.5', 'video'],
    ['fal-ai/whisper', 'transcription'],
    ['fal-ai/kokoro/american-english', 'speech'],
    [null, 'inference'],
  ] as const)('of %s is %s', (model, task) => {
    expect(taskOfModel(model)).toBe(task);
  });
});
