import { describe, expect, it } from 'vitest';
import type { UpstreamKind } from '../../catalog/provider-routes.js';
import type { Upstream } from '../upstreams.js';
import { addressOf } from './pass-address.js';

const MAIN = { name: 'main' } as unknown as Upstream['dispatcher'];
const QUEUE = { name: 'queue' } as unknown as Upstream['dispatcher'];

const upstream = (kind: UpstreamKind, hasQueue: boolean): Upstream => ({
  name: 'x',
  kind,
  authScheme: 'Bearer',
  apiKey: 'k',
  billTo: null,
  dispatcher: MAIN,
  basePath: '/base',
  queue: hasQueue ? { dispatcher: QUEUE, basePath: '/q' } : null,
  headersTimeoutMs: 1,
  idleTimeoutMs: 1,
});
const STATUS = '/fal-ai/flux/requests/1/status?_subdomain=queue&logs=1';

describe('a provider’s own path', () => {
  it('stands under its slug at a router, with what only a router understands', () => {
    for (const kind of ['huggingface_router', 'openai_router'] as const) {
      expect(addressOf(upstream(kind, false), 'fal-ai', STATUS)).toMatchObject({
        dispatcher: MAIN,
        path: `/base/fal-ai${STATUS}`,
      });
    }
  });

  it('is at the host of its queue where the provider is called directly', () => {
    expect(addressOf(upstream('fal', true), 'fal-ai', STATUS)).toMatchObject({
      dispatcher: QUEUE,
      path: '/q/fal-ai/flux/requests/1/status?logs=1',
    });
    expect(addressOf(upstream('fal', true), 'fal-ai', '/fal-ai/flux')).toMatchObject({
      dispatcher: MAIN,
      path: '/base/fal-ai/flux',
    });
    expect(addressOf(upstream('fal', false), 'fal-ai', STATUS)).toMatchObject({
      dispatcher: MAIN,
      path: '/base/fal-ai/flux/requests/1/status?logs=1',
    });
  });
});
