import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startSimulated, type SimulatedService } from '../support/simulated.js';

let service: SimulatedService;
let client: OpenAI;

beforeAll(async () => {
  service = await startSimulated();
  client = new OpenAI({ apiKey: service.token, baseURL: `${service.url}/v1`, maxRetries: 0 });
});

afterAll(async () => {
  await service.close();
});

it('answers a plain chat and records it as the provider billed it', async () => {
  const { data, response } = await client.chat.completions
    .create({
      model: 'meta-llama/Llama-3.3-70B-Instruct',
      messages: [{ role: 'user', content: 'Say hello [[sim tag=plain output=12]]' }],
    })
    .withResponse();
  expect(data.choices[0]?.message.content?.length).toBeGreaterThan(0);
  const [billed] = service.simulator.books.tagged('plain');
  expect(billed?.completionTokens).toBe(12);
  const { body: event } = await service.api<Record<string, unknown>>(
    `/requests/${response.headers.get('x-request-id') ?? ''}`,
  );
  expect(event).toMatchObject({
    state: 'settled',
    provider: billed?.provider,
    inputTokens: billed?.promptTokens,
    outputTokens: 12,
    usageSource: 'provider',
  });
});

it('streams a chat and settles before the end marker', async () => {
  const stream = await client.chat.completions.create({
    model: 'meta-llama/Llama-3.3-70B-Instruct',
    messages: [{ role: 'user', content: 'Say hello [[sim tag=stream output=32 chunks=8]]' }],
    stream: true,
  });
  let text = '';
  let chunks = 0;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? '';
    expect(chunk.choices.length).toBeGreaterThan(0);
    chunks += 1;
  }
  expect(chunks).toBeGreaterThan(7);
  expect(text.length).toBeGreaterThan(0);
});
