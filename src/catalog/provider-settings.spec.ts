import { describe, expect, it } from 'vitest';
import { readBaseUrl, withoutPrefix } from './base-url.js';
import {
  canBeCalled,
  changedProvider,
  untouchedProvider,
  type ProviderChange,
  type ProviderSettings,
} from './provider-settings.js';

const KEY = { keyId: 'id', box: Buffer.from('box') };

function after(slug: string, ...changes: readonly ProviderChange[]): ProviderSettings {
  return changes.reduce<ProviderSettings>((settings, change) => {
    const decision = changedProvider(settings, change, ['127.0.0.1']);
    if (decision.kind === 'refused') throw new Error(`${decision.field} ${decision.problem}`);
    return decision.settings;
  }, untouchedProvider(slug));
}

function refusedField(slug: string, ...changes: readonly ProviderChange[]): string {
  const last = changes.at(-1) ?? {};
  const decision = changedProvider(after(slug, ...changes.slice(0, -1)), last, []);
  return decision.kind === 'refused' ? decision.field : 'nothing';
}

describe('a change of a provider', () => {
  it('makes an upstream of one that is known by its key alone', () => {
    expect(after('groq', { apiKey: KEY })).toMatchObject({
      kind: 'openai_compatible',
      baseUrl: null,
      apiKey: KEY,
    });
    expect(after('fal-ai', { apiKey: KEY }).kind).toBe('fal');
  });

  it('makes none of one whose behaviour is all that was said', () => {
    expect(after('groq', { onClientGone: 'abort', isEnabled: false })).toEqual({
      ...untouchedProvider('groq'),
      onClientGone: 'abort',
      isEnabled: false,
    });
  });

  it('needs to know where an unknown one is', () => {
    expect(refusedField('my-vllm', { apiKey: KEY })).toBe('baseUrl');
    expect(refusedField('my-vllm', { kind: 'openai_compatible' })).toBe('baseUrl');
    expect(after('my-vllm', { baseUrl: 'http://127.0.0.1:8000/v1/' })).toMatchObject({
      kind: 'openai_compatible',
      baseUrl: 'http://127.0.0.1:8000',
    });
    expect(refusedField('my-vllm', { baseUrl: 'http://127.0.0.1:8000' }, { baseUrl: null })).toBe(
      'baseUrl',
    );
  });

  it('leaves what it does not name, and forgets what is null', () => {
    const set = after('groq', {
      apiKey: KEY,
      baseUrl: 'https://example.com/openai/v1',
      streamUsage: 'never',
      rejects: ['store'],
    });
    expect(set.baseUrl).toBe('https://example.com');
    expect(after('groq', { apiKey: KEY, streamUsage: 'never' }, {}).streamUsage).toBe('never');
    expect(after('groq', { apiKey: KEY }, { apiKey: null })).toMatchObject({
      kind: 'openai_compatible',
      apiKey: null,
    });
    expect(after('groq', { streamUsage: 'never' }, { streamUsage: null }).streamUsage).toBeNull();
  });

  it('forgets address and key with the kind', () => {
    expect(after('groq', { apiKey: KEY, baseUrl: 'https://example.com' }, { kind: null })).toEqual(
      untouchedProvider('groq'),
    );
    expect(refusedField('groq', { kind: null, apiKey: KEY })).toBe('apiKey');
    expect(refusedField('groq', { kind: null, baseUrl: 'https://example.com' })).toBe('baseUrl');
  });

  it('takes no cost from an API that it does not know', () => {
    expect(refusedField('groq', { cost: 'cost_api' })).toBe('costApiUrl');
    expect(refusedField('groq', { costApiUrl: 'http://10.0.0.1/' })).toBe('costApiUrl');
    expect(
      refusedField(
        'groq',
        { cost: 'cost_api', costApiUrl: 'https://example.com/cost' },
        { costApiUrl: null },
      ),
    ).toBe('costApiUrl');
  });

  it('can be called with a key, or at an address of the operator', () => {
    expect(canBeCalled({ slug: 'groq', baseUrl: null, hasKey: false })).toBe(false);
    expect(canBeCalled({ slug: 'groq', baseUrl: 'https://api.groq.com', hasKey: false })).toBe(
      false,
    );
    expect(canBeCalled({ slug: 'groq', baseUrl: 'https://proxy.example.com', hasKey: false })).toBe(
      true,
    );
    expect(canBeCalled({ slug: 'groq', baseUrl: null, hasKey: true })).toBe(true);
  });
});

describe('an address that was entered', () => {
  it.each([
    'http://127.0.0.1',
    'http://127.1:80',
    'http://0x7f000001',
    'http://2130706433/',
    'https://localhost',
    'https://LOCALHOST.:8000/',
    'https://a.localhost',
    'http://[::1]',
    'http://[::ffff:127.0.0.1]',
    'http://[fd00::1]',
    'http://10.1.2.3',
    'http://169.254.169.254/latest/meta-data',
    'http://0.0.0.0',
    'ftp://example.com',
    'file:///etc/passwd',
    'https://user@example.com',
    'https://user:secret@example.com',
    'https://example.com/?key=1',
    'https://example.com/?',
    'https://example.com/#x',
    'example.com',
    '',
    `https://example.com/${'a'.repeat(1000)}`,
  ])('is refused: %s', (text) => {
    expect(readBaseUrl(text, []).kind).toBe('refused');
  });

  it.each([
    ['https://example.com', 'https://example.com'],
    ['https://EXAMPLE.com:443/a//', 'https://example.com/a'],
    ['http://93.184.216.34:8080/x', 'http://93.184.216.34:8080/x'],
  ])('is taken: %s', (text, baseUrl) => {
    expect(readBaseUrl(text, [])).toEqual({ kind: 'url', baseUrl });
  });

  it('may be private where the environment names its host', () => {
    expect(readBaseUrl('http://localhost:8000', ['localhost']).kind).toBe('url');
    expect(readBaseUrl('http://[::1]:8000', ['::1']).kind).toBe('url');
    expect(readBaseUrl('http://127.0.0.2', ['127.0.0.1']).kind).toBe('refused');
  });

  it('loses what precedes the routes, as a segment', () => {
    expect(withoutPrefix('https://example.com/v1', '/v1')).toBe('https://example.com');
    expect(withoutPrefix('https://example.com/av1', '/v1')).toBe('https://example.com/av1');
    expect(withoutPrefix('https://example.com', '/v1')).toBe('https://example.com');
  });
});
