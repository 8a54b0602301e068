import fc from 'fast-check';
import { IncomingMessage, ServerResponse, validateHeaderValue } from 'node:http';
import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { Call } from './call.js';
import { callHeaders } from './call-headers.js';
import { CHAT_COMPLETIONS } from './endpoints.js';

const IDS = { 'x-request-id': 'id', 'request-id': 'id', 'inference-id': 'id' };

function callOf(model: string | null, providers: readonly (string | null)[]): Call {
  const request = new IncomingMessage(new Socket());
  const call = new Call('id', CHAT_COMPLETIONS, request, new ServerResponse(request));
  call.model = model;
  for (const provider of providers) {
    const rest = { upstream: 'default', providerRequestId: null, status: null, error: null };
    call.attempts.push({ ...rest, provider, durationMs: 1 });
  }
  return call;
}

describe('the headers of an answer', () => {
  it('say nothing of providers and models before the call was routed', () => {
    const headers = callHeaders(callOf(null, []), false);
    expect(headers).toMatchObject(IDS);
    expect(Object.keys(headers).filter((name) => /tollgate|provider/.test(name))).toEqual([]);
  });

  it('name the model, the provider of the last attempt and how many there were', () => {
    expect(callHeaders(callOf('org/model', ['groq', 'together']), true)).toMatchObject({
      ...IDS,
      'x-inference-provider': 'together',
      'x-tollgate-model': 'org/model',
      'x-tollgate-attempts': '2',
      'x-tollgate-demo': 'true',
    });
    const chosenElsewhere = callHeaders(callOf('org/model', [null]), false);
    expect(chosenElsewhere).toMatchObject({ 'x-tollgate-attempts': '1' });
    expect(chosenElsewhere).not.toHaveProperty('x-inference-provider');
  });

  it('can be sent whatever the model is called', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (model) => {
        const value = callHeaders(callOf(model, ['groq']), false)['x-tollgate-model'];
        validateHeaderValue('x-tollgate-model', String(value));
        expect(String(value)).toMatch(/^[\x21-\x7e]*$/);
      }),
    );
    const lone = callHeaders(callOf('a\ud800b modèle', ['groq']), false);
    expect(lone['x-tollgate-model']).toBe('a%EF%BF%BDb%20mod%C3%A8le');
  });
});
