/** Vercel's AI SDK through the whole service. */
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, embedMany, generateText, streamText } from 'ai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ROUND_PRICES } from '../../simulator/special-models.js';
import { EMBEDDINGS, PER_IMAGE } from '../../simulator/unlisted-models.js';
import { bookedAs, startSelling } from '../support/books.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';

let service: SimulatedService;
let tollgate: ReturnType<typeof createOpenAICompatible>;

beforeAll(async () => {
  service = await startSelling([ROUND_PRICES, EMBEDDINGS, PER_IMAGE]);
  tollgate = createOpenAICompatible({
    name: 'tollgate',
    apiKey: service.token,
    baseURL: `${service.url}/v1`,
    includeUsage: true,
  });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

const PROMPT = 'Say hello [[sim input=100 cached=30 output=8 chunks=4]]';
const idIn = (headers: Record<string, string> | undefined) => headers?.['x-request-id'];

it('generates text at what was billed', async () => {
  const { text, usage, response } = await generateText({
    model: tollgate(ROUND_PRICES),
    prompt: PROMPT,
    maxRetries: 0,
  });
  expect(text.length).toBeGreaterThan(0);
  expect(usage).toMatchObject({ inputTokens: 100, outputTokens: 8 });
  expect((await bookedAs(service, idIn(response.headers))).line.costPicoUsd).toBe(101_000_000n);
});

it('streams text at what was billed', async () => {
  const result = streamText({ model: tollgate(ROUND_PRICES), prompt: PROMPT, maxRetries: 0 });
  let text = '';
  for await (const delta of result.textStream) text += delta;
  expect(text.length).toBeGreaterThan(0);
  expect(await result.usage).toMatchObject({ inputTokens: 100, outputTokens: 8 });
  const { headers } = await result.response;
  expect((await bookedAs(service, idIn(headers))).line).toMatchObject({
    costPicoUsd: 101_000_000n,
    stream: true,
  });
});

it('embeds one value and several at what was billed', async () => {
  const one = await embed({
    model: tollgate.embeddingModel(EMBEDDINGS),
    value: 'toll [[sim input=50]]',
    maxRetries: 0,
  });
  expect(one.embedding.length).toBeGreaterThan(0);
  expect(one.usage.tokens).toBe(50);
  await bookedAs(service, idIn(one.response?.headers));
  const many = await embedMany({
    model: tollgate.embeddingModel(EMBEDDINGS),
    values: ['toll', 'gate'],
    maxRetries: 0,
  });
  expect(many.embeddings).toHaveLength(2);
  await bookedAs(service, idIn(many.responses?.[0]?.headers));
});

it('tells why a request was refused', async () => {
  const refused = generateText({
    model: tollgate('nobody/knows'),
    prompt: PROMPT,
    maxRetries: 0,
  });
  await expect(refused).rejects.toMatchObject({ statusCode: 400, isRetryable: false });
});
