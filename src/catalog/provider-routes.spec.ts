import { describe, expect, it } from 'vitest';
import { TASKS } from '../domain/tasks.js';
import {
  authSchemeOf,
  cataloguePathOf,
  clientPrefixOf,
  KNOWN_PROVIDERS,
  pathOf,
  routerKind,
} from './provider-routes.js';

describe('the path of a task', () => {
  it.each([
    ['together', 'https://api.together.xyz/v1/chat/completions'],
    ['fireworks-ai', 'https://api.fireworks.ai/inference/v1/chat/completions'],
    ['groq', 'https://api.groq.com/openai/v1/chat/completions'],
    ['cerebras', 'https://api.cerebras.ai/v1/chat/completions'],
    ['deepinfra', 'https://api.deepinfra.com/v1/openai/chat/completions'],
    ['novita', 'https://api.novita.ai/v3/openai/chat/completions'],
    ['cohere', 'https://api.cohere.com/compatibility/v1/chat/completions'],
    ['scaleway', 'https://api.scaleway.ai/v1/chat/completions'],
    ['nscale', 'https://inference.api.nscale.com/v1/chat/completions'],
    ['zai-org', 'https://api.z.ai/api/paas/v4/chat/completions'],
    ['openrouter', 'https://openrouter.ai/api/v1/chat/completions'],
  ])('of chat at %s is what its documentation says', (provider, url) => {
    const known = KNOWN_PROVIDERS.get(provider);
    expect(`${known?.baseUrl ?? ''}${pathOf('openai_compatible', provider, 'chat') ?? ''}`).toBe(
      url,
    );
  });

  it('of anything else stands beside that of chat, where the provider has it', () => {
    expect(pathOf('openai_compatible', 'together', 'embedding')).toBe('/v1/embeddings');
    expect(pathOf('openai_compatible', 'deepinfra', 'speech')).toBe('/v1/openai/audio/speech');
    expect(pathOf('openai_compatible', 'groq', 'embedding')).toBeNull();
    expect(pathOf('openai_compatible', 'my-vllm', 'responses')).toBe('/v1/responses');
    expect(pathOf('openai_compatible', 'my-vllm', 'video')).toBeNull();
    expect(pathOf('openai_compatible', 'openrouter', 'messages')).toBe('/api/v1/messages');
  });

  it("at a router in OpenAI's shape is the same whoever serves", () => {
    expect(pathOf('openai_router', null, 'image')).toBe('/v1/images/generations');
    expect(pathOf('openai_router', 'groq', 'embedding')).toBe('/v1/embeddings');
    expect(pathOf('openai_router', null, 'inference')).toBeNull();
  });

  it("at Hugging Face is its own for chat, responses and messages, else the provider's passed through", () => {
    expect(pathOf('huggingface_router', null, 'chat')).toBe('/v1/chat/completions');
    expect(pathOf('huggingface_router', 'groq', 'messages')).toBe('/v1/messages');
    expect(pathOf('huggingface_router', 'together', 'embedding')).toBe('/together/v1/embeddings');
    expect(pathOf('huggingface_router', 'groq', 'transcription')).toBe(
      '/groq/openai/v1/audio/transcriptions',
    );
    expect(pathOf('huggingface_router', 'groq', 'embedding')).toBeNull();
    expect(pathOf('huggingface_router', null, 'embedding')).toBeNull();
    expect(pathOf('huggingface_router', 'nobody', 'embedding')).toBeNull();
    expect(pathOf('huggingface_router', 'fal-ai', 'image')).toBeNull();
  });

  it("is none in OpenAI's shape at fal and replicate, unless they are told to be one", () => {
    for (const task of TASKS) {
      expect(pathOf('fal', 'fal-ai', task)).toBeNull();
      expect(pathOf('replicate', 'replicate', task)).toBeNull();
    }
    expect(pathOf('openai_compatible', 'fal-ai', 'chat')).toBe('/v1/chat/completions');
  });

  it('begins with a slash and has no empty segment', () => {
    const kinds = ['huggingface_router', 'openai_router', 'openai_compatible'] as const;
    for (const kind of kinds) {
      for (const provider of [null, 'nobody', ...KNOWN_PROVIDERS.keys()]) {
        for (const task of TASKS) {
          expect(pathOf(kind, provider, task) ?? '/ok').toMatch(/^(\/[a-z0-9_-]+)+$/);
        }
      }
    }
  });
});

describe('what else is known of an upstream', () => {
  it('is its list of models, beside its chat route', () => {
    expect(cataloguePathOf('openai_router', null)).toBe('/v1/models');
    expect(cataloguePathOf('openai_compatible', 'groq')).toBe('/openai/v1/models');
    expect(cataloguePathOf('openai_compatible', 'openrouter')).toBe('/api/v1/models');
    expect(cataloguePathOf('openai_compatible', 'my-vllm')).toBe('/v1/models');
    expect(cataloguePathOf('fal', 'fal-ai')).toBeNull();
  });

  it('is what clients write behind its base URL', () => {
    expect(clientPrefixOf('openai_compatible', 'groq')).toBe('/openai/v1');
    expect(clientPrefixOf('openai_compatible', 'my-vllm')).toBe('/v1');
    expect(clientPrefixOf('fal', 'fal-ai')).toBeNull();
  });

  it('is how its key is presented', () => {
    expect(authSchemeOf('fal')).toBe('Key');
    expect(authSchemeOf('replicate')).toBe('Bearer');
  });

  it('is which router it is, by the host alone', () => {
    expect(routerKind('https://router.huggingface.co')).toBe('huggingface_router');
    expect(routerKind('http://127.0.0.1:9/router.huggingface.co')).toBe('openai_router');
  });
});
