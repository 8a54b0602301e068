import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Simulator, startSimulator } from './server.js';
import { EVERY_DIALECT } from './special-models.js';
import { EMBEDDINGS } from './unlisted-models.js';

let simulator: Simulator;

beforeAll(async () => {
  simulator = await startSimulator({ apiKey: 'hf_simulated' });
});
afterAll(() => simulator.close());

interface Hub {
  readonly pipeline_tag: string;
  readonly inferenceProviderMapping: Readonly<Record<string, Record<string, string>>>;
}

async function lookUp(model: string): Promise<Hub> {
  const url = `${simulator.url}/api/models/${model}?expand[]=inferenceProviderMapping`;
  return (await (await fetch(url)).json()) as Hub;
}

describe("the Hub's look-up, without a key", () => {
  it('names every provider of a model that makes pictures, with its own id', async () => {
    const { pipeline_tag: tag, ...hub } = await lookUp('black-forest-labs/FLUX.1-schnell');
    const task = 'text-to-image';
    expect(tag).toBe(task);
    expect(hub.inferenceProviderMapping).toMatchObject({
      'fal-ai': { status: 'live', providerId: 'fal-ai/flux/schnell', task },
      together: { status: 'live', task },
      replicate: { status: 'live', providerId: 'black-forest-labs/flux.1-schnell', task },
      'hf-inference': { status: 'live', providerId: 'black-forest-labs/FLUX.1-schnell', task },
    });
  });

  it.each([
    ['openai/whisper-large-v3', 'hf-inference', 'automatic-speech-recognition'],
    ['openai/whisper-large-v3', 'fal-ai', 'automatic-speech-recognition'],
    ['BAAI/bge-small-en-v1.5', 'hf-inference', 'feature-extraction'],
    ['openai-community/gpt2', 'hf-inference', 'text-generation'],
    [EMBEDDINGS, 'together', 'feature-extraction'],
    [EVERY_DIALECT, 'fireworks-ai', 'conversational'],
  ])('%s at %s: %s', async (model, provider, task) => {
    const { inferenceProviderMapping: mapping } = await lookUp(model);
    expect(mapping[provider]).toMatchObject({ status: 'live', task });
  });

  it('is 404 for a model that nobody serves', async () => {
    const answer = await fetch(`${simulator.url}/api/models/none/none`);
    expect(answer.status).toBe(404);
    expect(await answer.json()).toEqual({ error: 'Repository not found' });
  });
});
