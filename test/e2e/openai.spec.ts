import OpenAI from 'openai';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { allEnded, startSimulated, type SimulatedService } from '../support/simulated.js';

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

const MODEL = 'meta-llama/Llama-3.3-70B-Instruct';
const say = (directives: string): { role: 'user'; content: string }[] => [
  { role: 'user', content: `Say hello [[sim ${directives}]]` },
];

it('shows the usage of a stream to a client that asks for it', async () => {
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages: say('tag=usage output=9'),
    stream: true,
    stream_options: { include_usage: true },
  });
  let completionTokens: number | undefined;
  for await (const chunk of stream)
    completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
  expect(completionTokens).toBe(9);
});

it('carries tools and the calls to them, streamed and not', async () => {
  const tools = [
    {
      type: 'function' as const,
      function: {
        name: 'weather',
        parameters: { type: 'object', properties: { city: { type: 'string' } } },
      },
    },
  ];
  const plain = await client.chat.completions.create({
    model: MODEL,
    tools,
    messages: say('tools=1 output=20'),
  });
  expect(plain.choices[0]?.message.tool_calls).toHaveLength(1);
  const stream = client.chat.completions.stream({
    model: MODEL,
    tools,
    messages: say('tools=1 output=20'),
  });
  const final = await stream.finalChatCompletion();
  expect(final.choices[0]?.message.tool_calls).toHaveLength(1);
});

it('lets the client abort a stream', async () => {
  const stream = await client.chat.completions.create({
    model: MODEL,
    messages: say('tag=aborted output=40 chunks=20 chunk_delay=20'),
    stream: true,
  });
  for await (const chunk of stream) {
    expect(chunk.object).toBe('chat.completion.chunk');
    stream.controller.abort();
  }
  await allEnded(service);
  const [event] = await service.database.query<{ state: string }>(
    `SELECT state FROM usage_events WHERE outcome = 'client_gone'`,
  );
  expect(event?.state).toBe('settled');
});

it('is retried by the client where that helps, one event for each request', async () => {
  const patient = new OpenAI({
    apiKey: service.token,
    baseURL: `${service.url}/v1`,
    maxRetries: 2,
  });
  await fetch(`${service.simulator.url}/_sim/faults`, {
    method: 'POST',
    body: JSON.stringify({ match: {}, times: 1, fault: '500' }),
  });
  const before = await service.database.query('SELECT id FROM usage_events');
  // Pinned: nobody else can step in, so that it is the client that has to try again.
  const answer = await patient.chat.completions.create({
    model: `${MODEL}:together`,
    messages: say('output=5'),
  });
  expect(answer.usage?.completion_tokens).toBe(5);
  await allEnded(service);
  const after = await service.database.query('SELECT id FROM usage_events');
  expect(after.length - before.length).toBe(2);
});

it('lists the models, and finds one by the id that the client encodes', async () => {
  const ids: string[] = [];
  for await (const model of client.models.list()) ids.push(model.id);
  expect(ids).toContain(MODEL);
  expect((await client.models.retrieve(MODEL)).id).toBe(MODEL);
});
