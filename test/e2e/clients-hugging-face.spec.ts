import { InferenceClient } from '@huggingface/inference';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { BookEntry } from '../../simulator/books.js';
import { unlistedPrices } from '../../simulator/unlisted-prices.js';
import { allEnded, startSimulated, type SimulatedService } from '../support/simulated.js';
import {
  endedEvent,
  expectBilled,
  heldPicoUsd,
  postPrice,
  type RoutedEvent,
} from '../support/upstreams.js';

const LLAMA = 'meta-llama/Llama-3.3-70B-Instruct';
const FLUX = 'black-forest-labs/FLUX.1-schnell';
/** Nobody posts a price for it. */
const QWEN = 'Qwen/Qwen-Image';
const WHISPER = 'openai/whisper-large-v3';
const BGE = 'BAAI/bge-small-en-v1.5';
const GPT2 = 'openai-community/gpt2';
const WAV = Buffer.from('RIFF\0\0\0\0WAVE');

let service: SimulatedService;
let client: InferenceClient;
/** `METHOD path` and our id, of every call that the client made to the router. */
let calls: { readonly line: string; readonly id: string; readonly authorization: string }[] = [];
const realFetch = globalThis.fetch;

beforeAll(async () => {
  service = await startSimulated();
  await priceUnlisted();
  // The client knows one router and asks after jobs with the global fetch: here the router is ours.
  globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    if (url.host === 'huggingface.co') {
      return realFetch(`${service.simulator.url}${url.pathname}${url.search}`, init);
    }
    if (url.host !== 'router.huggingface.co') return realFetch(input, init);
    const response = await realFetch(`${service.url}${url.pathname}${url.search}`, init);
    calls.push({
      line: `${init?.method ?? 'GET'} ${url.pathname}`,
      id: response.headers.get('x-request-id') ?? '',
      authorization: new Headers(init?.headers).get('authorization') ?? '',
    });
    return response;
  };
  client = new InferenceClient(`hf_${service.token}`, { retry_on_error: false });
});

afterAll(async () => {
  globalThis.fetch = realFetch;
  await allEnded(service);
  await service.close();
});

afterEach(async () => {
  await allEnded(service);
  expect(await heldPicoUsd(service)).toBe('0');
  expect(calls.every(({ authorization }) => authorization === `Bearer hf_${service.token}`)).toBe(
    true,
  );
  expect(service.simulator.openRequests()).toBe(0);
  calls = [];
});

/** Under each provider's own name of a model, by which its own routes ask for it. */
async function priceUnlisted(): Promise<void> {
  const { simulator } = service;
  const wanted = new Set([FLUX, WHISPER, BGE, GPT2]);
  for (const price of unlistedPrices(simulator)) {
    if (!wanted.has(price.model)) continue;
    const offer =
      simulator.unitOffers.of(price.model).find(({ provider }) => provider === price.provider) ??
      simulator.catalogue.offer(price.model, price.provider);
    await postPrice(service, { ...price, model: offer?.providerModelId ?? price.model });
  }
  const chat = simulator.catalogue.offer(LLAMA, 'together');
  const key = { provider: 'together', model: chat?.providerModelId ?? '' };
  const { inputUsdPerMillion = '', outputUsdPerMillion = '' } = chat?.terms ?? {};
  await postPrice(service, { ...key, unit: 'input', usdPerMillion: inputUsdPerMillion });
  await postPrice(service, { ...key, unit: 'output', usdPerMillion: outputUsdPerMillion });
}

/** The one event of the call, which is what the simulator billed. */
async function billed(): Promise<{ event: RoutedEvent; line: BookEntry }> {
  const [first] = calls.filter(({ line }) => line.startsWith('POST '));
  const event = await endedEvent(service, first?.id ?? 'no call came');
  const line = await expectBilled(service, event);
  const path = `/organizations/${service.organization}/requests?limit=200`;
  const { body } = await service.api<{ data: RoutedEvent[] }>(path);
  const billedLines = service.simulator.books.since().filter((one) => one.billed);
  expect(body.data.filter(({ state }) => state === 'settled')).toHaveLength(billedLines.length);
  return { event, line };
}

describe('chat with Hugging Face’s client', () => {
  const messages = [{ role: 'user', content: 'Tell me. [[sim output=9 input=21]]' }];

  it('by whichever provider is fastest', async () => {
    const answer = await client.chatCompletion({ model: LLAMA, messages, max_tokens: 50 });
    expect(answer.choices[0]?.message.content).not.toBe('');
    expect(answer.usage.completion_tokens).toBe(9);
    const { event, line } = await billed();
    expect(event).toMatchObject({ task: 'chat', model: LLAMA, stream: false, outputTokens: 9 });
    expect(event.provider).toBe(line.provider);
    expect(calls.map((one) => one.line)).toEqual(['POST /v1/chat/completions']);
  });

  it('as a stream, without the usage that it did not ask for', async () => {
    const deltas: string[] = [];
    const usages: unknown[] = [];
    const stream = client.chatCompletionStream({ model: LLAMA, messages, max_tokens: 50 });
    for await (const chunk of stream) {
      deltas.push(chunk.choices[0]?.delta.content ?? '');
      if (chunk.choices.length === 0) usages.push(chunk);
    }
    expect(deltas.join('').length).toBeGreaterThan(0);
    expect(usages).toEqual([]);
    const { event } = await billed();
    expect(event).toMatchObject({ task: 'chat', model: LLAMA, stream: true, outputTokens: 9 });
  });

  it.each([false, true])('by a provider’s own route (stream: %s)', async (stream) => {
    const args = { model: LLAMA, messages, max_tokens: 50, provider: 'together' } as const;
    if (stream) {
      let text = '';
      for await (const chunk of client.chatCompletionStream(args)) {
        text += chunk.choices[0]?.delta.content ?? '';
      }
      expect(text).not.toBe('');
    } else {
      const answer = await client.chatCompletion(args);
      expect(answer.choices[0]?.message.content).not.toBe('');
    }
    const { event, line } = await billed();
    expect(calls.map((one) => one.line)).toEqual(['POST /together/v1/chat/completions']);
    expect(event).toMatchObject({ task: 'chat', provider: 'together', stream, outputTokens: 9 });
    expect([event.model, line.model]).toEqual([line.providerModelId, LLAMA]);
  });
});

describe('the serverless tier with Hugging Face’s client', () => {
  const provider = 'hf-inference';

  it('embeds', async () => {
    const vector = await client.featureExtraction({ model: BGE, inputs: 'a toll', provider });
    expect(vector.length).toBeGreaterThan(100);
    const { event } = await billed();
    expect(event).toMatchObject({ task: 'inference', provider, model: BGE });
    expect(Object.keys(event.units ?? {})).toEqual(['compute_ms']);
  });

  it('generates text', async () => {
    const answer = await client.textGeneration({ model: GPT2, inputs: 'The', provider });
    expect(answer.generated_text).not.toBe('');
    const { event } = await billed();
    expect(event).toMatchObject({ provider, model: GPT2 });
    expect(Object.keys(event.units ?? {})).toEqual(['compute_ms']);
  });

  it('hears', async () => {
    const data = new Blob([WAV], { type: 'audio/wav' });
    const heard = await client.automaticSpeechRecognition({ model: WHISPER, data, provider });
    expect(heard.text).not.toBe('');
    const { event } = await billed();
    expect(event).toMatchObject({ task: 'inference', provider, model: WHISPER });
    expect(Object.keys(event.units ?? {})).toEqual(['compute_ms']);
  });

  it('has a cold model told as such, which costs nothing', async () => {
    service.simulator.coldStarts.makeCold(BGE);
    const asked = client.featureExtraction({ model: BGE, inputs: 'cold', provider });
    await expect(asked).rejects.toMatchObject({
      httpResponse: { status: 503, body: { error: { code: 'model_loading' } } },
    });
    const [first] = calls;
    const event = await endedEvent(service, first?.id ?? '');
    expect(event).toMatchObject({ state: 'released', costUsd: null });
    service.simulator.coldStarts.warm(BGE);
  });
});

describe('images with Hugging Face’s client', () => {
  it('from fal’s queue, whose polls and fetch are no events', async () => {
    const blob = await client.textToImage({
      model: FLUX,
      inputs: 'a toll booth [[sim polls=1]]',
      parameters: { width: 512, height: 512 },
      provider: 'fal-ai',
    });
    expect(blob).toBeInstanceOf(Blob);
    const { event, line } = await billed();
    expect(event).toMatchObject({
      task: 'image',
      provider: 'fal-ai',
      model: 'fal-ai/flux/schnell',
    });
    expect(event.units).toEqual({ pixel: '262144' });
    expect(line.costPicoUsd).toBe(786_432_000n);
    expect(calls.filter((one) => one.line.startsWith('GET ')).length).toBeGreaterThan(1);
  });

  it('from together, at once', async () => {
    const blob = await client.textToImage({
      model: FLUX,
      inputs: 'a toll booth',
      parameters: { width: 1024, height: 512 },
      provider: 'together',
    });
    expect(blob).toBeInstanceOf(Blob);
    const { event } = await billed();
    expect(event).toMatchObject({ task: 'image', provider: 'together' });
    expect(event.units).toEqual({ pixel: String(1024 * 512) });
  });
});

describe('a refusal with Hugging Face’s client', () => {
  it('says what is wrong, and no provider is asked', async () => {
    const lines = service.simulator.books.since().length;
    const unpriced = client.textToImage({ model: QWEN, inputs: 'x', provider: 'fal-ai' });
    await expect(unpriced).rejects.toThrow();
    const messages = [{ role: 'user', content: 'x' }];
    const unknown = client.chatCompletion({ model: 'org/none', messages });
    await expect(unknown).rejects.toThrow();
    const own = new InferenceClient('hf_tg_unknown', { retry_on_error: false });
    const stranger = own.chatCompletion({ model: LLAMA, messages });
    await expect(stranger).rejects.toThrow();
    calls = [];
    expect(service.simulator.books.since()).toHaveLength(lines);
  });
});
