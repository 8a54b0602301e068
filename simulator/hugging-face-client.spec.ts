import { InferenceClient } from '@huggingface/inference';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Simulator, startSimulator } from './server.js';

const MINILM = 'sentence-transformers/all-MiniLM-L6-v2';
const FLUX = 'black-forest-labs/FLUX.1-schnell';
const WHISPER = 'openai/whisper-large-v3';
const ROUTER = 'https://router.huggingface.co';
const HUB = 'https://huggingface.co';

let simulator: Simulator;
let client: InferenceClient;

beforeAll(async () => {
  simulator = await startSimulator({ seed: 3, apiKey: 'hf_simulated' });
  client = new InferenceClient('hf_simulated', { retry_on_error: false });
});
afterAll(() => simulator.close());

// The client looks jobs up with the global fetch, whatever fetch it was given.
beforeEach(() => {
  const real = globalThis.fetch;
  vi.stubGlobal('fetch', (input: string | URL | Request, init?: RequestInit) => {
    const url = input instanceof Request ? input.url : String(input);
    return real(url.replace(ROUTER, simulator.url).replace(HUB, simulator.url), init);
  });
  simulator.books.reset();
});
afterEach(() => {
  vi.unstubAllGlobals();
});

describe('@huggingface/inference against hf-inference', () => {
  const provider = 'hf-inference';

  it('feature extraction and sentence similarity', async () => {
    const vector = await client.featureExtraction({ model: MINILM, inputs: 'a toll', provider });
    expect(vector).toHaveLength(384);
    const inputs = { source_sentence: 'a', sentences: ['a', 'b'] };
    const scores = await client.sentenceSimilarity({ model: MINILM, inputs, provider });
    expect(scores[0]).toBe(1);
    expect(simulator.books.since()).toHaveLength(2);
  });

  it('text classification and text generation', async () => {
    const model = 'distilbert/distilbert-base-uncased-finetuned-sst-2-english';
    const labels = await client.textClassification({ model, inputs: 'paid', provider });
    expect(labels[0]).toEqual({ label: 'POSITIVE', score: 0.5 });
    const gpt2 = 'openai-community/gpt2';
    const text = await client.textGeneration({ model: gpt2, inputs: 'The', provider });
    expect(text.generated_text).toBe(' The toll is paid.');
  });

  it('other pipelines', async () => {
    const ner = 'dslim/bert-base-NER';
    const words = await client.tokenClassification({ model: ner, inputs: 'Rome', provider });
    expect(words).toHaveLength(1);
    const bart = 'facebook/bart-large-cnn';
    const summary = await client.summarization({ model: bart, inputs: 'long', provider });
    expect(summary.summary_text).toBe('The toll is paid.');
    const zero = await client.zeroShotClassification({
      model: 'facebook/bart-large-mnli',
      inputs: 'a road',
      parameters: { candidate_labels: ['road', 'sea'] },
      provider,
    });
    expect(zero.map(({ label }) => label)).toEqual(['road', 'sea']);
  });

  it('text to image and speech recognition', async () => {
    const blob = await client.textToImage({ model: FLUX, inputs: 'a toll', provider });
    expect(blob).toBeInstanceOf(Blob);
    const audio = new Blob([Buffer.from('RIFF')], { type: 'audio/wav' });
    const heard = await client.automaticSpeechRecognition({
      model: WHISPER,
      data: audio,
      provider,
    });
    expect(heard.text).toBe('The toll is paid.');
    const lines = simulator.books.since();
    expect(lines.map((line) => Object.keys(line.units))).toEqual([['compute_ms'], ['compute_ms']]);
  });

  it('a cold model is an error with its estimate, and waited for with the header', async () => {
    simulator.coldStarts.makeCold(MINILM);
    const ask = { model: MINILM, inputs: 'cold', provider } as const;
    await expect(client.featureExtraction(ask)).rejects.toThrow('is currently loading');
    const patient: typeof fetch = (input, init) => {
      const headers = new Headers(init?.headers);
      headers.set('x-wait-for-model', 'true');
      return fetch(input, { ...init, headers });
    };
    await client.featureExtraction(ask, { fetch: patient });
  });
});

describe('@huggingface/inference against jobs', () => {
  it('fal: a picture from the queue', async () => {
    const blob = await client.textToImage({
      model: FLUX,
      inputs: 'a toll booth [[sim polls=1 tag=client]]',
      parameters: { width: 512, height: 512 },
      provider: 'fal-ai',
    });
    expect(blob).toBeInstanceOf(Blob);
    expect(simulator.books.tagged('client')).toMatchObject([{ units: { pixel: 262_144n } }]);
  });

  it('fal: a film, speech and its recognition', async () => {
    const film = await client.textToVideo({
      model: 'Wan-AI/Wan2.5-T2V',
      inputs: '[[sim polls=0]]',
      provider: 'fal-ai',
    });
    expect(film.type).toBe('video/mp4');
    const kokoro = 'hexgrad/Kokoro-82M';
    const voice = await client.textToSpeech({ model: kokoro, inputs: 'Pay.', provider: 'fal-ai' });
    expect(voice.type).toBe('audio/wav');
    const data = new Blob([Buffer.from('RIFF')], { type: 'audio/wav' });
    const heard = await client.automaticSpeechRecognition({
      model: WHISPER,
      data,
      provider: 'fal-ai',
    });
    expect(heard.text).toBe('The toll is paid.');
    const units = simulator.books.since().flatMap((line) => Object.keys(line.units));
    expect(units).toEqual(['video_ms', 'character', 'gpu_ms']);
  });

  it.each([
    ['together', 'Wan-AI/Wan2.2-T2V-A14B'],
    ['novita', 'Wan-AI/Wan2.1-T2V-14B'],
    ['replicate', 'Wan-AI/Wan2.2-T2V-A14B'],
    ['wavespeed', 'Wan-AI/Wan2.2-T2V-A14B'],
  ] as const)('%s: a film', async (provider, model) => {
    // Replicate is awaited: a number of looks would leave the answer without an output.
    const inputs = provider === 'replicate' ? 'a toll' : 'a toll [[sim polls=0]]';
    const film = await client.textToVideo({ model, inputs, provider });
    expect(film.type).toBe('video/mp4');
    expect(simulator.books.since()).toMatchObject([{ provider, units: { video_ms: 5_000n } }]);
  });

  it('together: a picture at once, where the Hub says that it makes some', async () => {
    const inputs = 'a toll booth';
    const blob = await client.textToImage({ model: FLUX, inputs, provider: 'together' });
    expect(blob).toBeInstanceOf(Blob);
    expect(simulator.books.since()).toMatchObject([{ provider: 'together', task: 'image' }]);
  });

  it('a job that failed is an error and costs nothing', async () => {
    const inputs = '[[sim polls=0 end=failed]]';
    const model = 'Wan-AI/Wan2.1-T2V-14B';
    const film = client.textToVideo({ model, inputs, provider: 'novita' });
    await expect(film).rejects.toThrow('failed');
    expect(simulator.books.totalPicoUsd()).toBe(0n);
  });
});

it('a token that is not of Hugging Face goes to the provider itself', async () => {
  const real = globalThis.fetch;
  vi.stubGlobal('fetch', (input: string, init?: RequestInit) =>
    real(input.replace('https://queue.fal.run', `${simulator.url}/_direct/fal-queue`), init),
  );
  simulator.providerKeys.set('fal-ai', 'fal-key');
  const own = new InferenceClient('fal-key', { retry_on_error: false });
  const inputs = 'a toll [[sim polls=0 tag=own]]';
  await own.textToImage({ model: FLUX, inputs, provider: 'fal-ai' });
  expect(simulator.books.tagged('own')).toMatchObject([{ billed: true }]);
});
