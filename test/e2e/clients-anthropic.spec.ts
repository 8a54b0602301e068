/** The real client of Anthropic through the whole service. */
import Anthropic from '@anthropic-ai/sdk';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CACHE_WRITES, EVERY_DIALECT } from '../../simulator/special-models.js';
import { bookedAs, startSelling } from '../support/books.js';
import { pennilessToken } from '../support/penniless.js';
import { allEnded, type SimulatedService } from '../support/simulated.js';

let service: SimulatedService;
let client: Anthropic;

beforeAll(async () => {
  service = await startSelling([CACHE_WRITES, EVERY_DIALECT]);
  client = clientWith({ apiKey: service.token });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

function clientWith(keys: { apiKey: string | null; authToken?: string }): Anthropic {
  return new Anthropic({ ...keys, baseURL: service.url, maxRetries: 0 });
}

function ask(directives: string, model = CACHE_WRITES) {
  const messages = [{ role: 'user' as const, content: `Say hello [[sim ${directives}]]` }];
  return { model, max_tokens: 100, messages };
}

const SIZE = 'input=100 cached=30 cache_write=10 cache_write_1h=20 output=8 chunks=4';
const USAGE = {
  input_tokens: 40,
  cache_read_input_tokens: 30,
  cache_creation_input_tokens: 30,
  output_tokens: 8,
};
const COST_PICO_USD = 406_500_000n;

describe('messages', () => {
  it('cost fresh, read and written input and output each at its own price', async () => {
    const { data, response } = await client.messages.create(ask(SIZE)).withResponse();
    expect(data.usage).toMatchObject(USAGE);
    const { event, line } = await bookedAs(service, response.headers.get('x-request-id'));
    expect(line.costPicoUsd).toBe(COST_PICO_USD);
    expect(event).toMatchObject({
      task: 'messages',
      inputTokens: 100,
      outputTokens: 8,
      units: {
        input: '40',
        cached_input: '30',
        cache_write_5m: '10',
        cache_write_1h: '20',
        output: '8',
      },
    });
  });

  it('cost the same as a stream, and the client knows the request by our id', async () => {
    const stream = client.messages.stream(ask(SIZE));
    const message = await stream.finalMessage();
    expect(message.usage).toMatchObject(USAGE);
    const { event, line } = await bookedAs(service, stream.request_id);
    expect(line).toMatchObject({ costPicoUsd: COST_PICO_USD, stream: true });
    expect(event.stream).toBe(true);
  });

  it('stream in pieces cut anywhere, from every provider, at what each billed', async () => {
    for (const { provider } of service.simulator.catalogue.offers(EVERY_DIALECT)) {
      const stream = client.messages.stream(
        ask(
          'input=50 cached=7 output=12 chunks=3 split=random burst',
          `${EVERY_DIALECT}:${provider}`,
        ),
      );
      await stream.finalMessage();
      await bookedAs(service, stream.request_id);
    }
  });

  it('call tools', async () => {
    const tools = [{ name: 'look_up', input_schema: { type: 'object' as const } }];
    const stream = client.messages.stream({ ...ask('tools=1'), tools });
    expect((await stream.finalMessage()).stop_reason).toBe('tool_use');
    await bookedAs(service, stream.request_id);
  });

  it('take the token as Bearer too', async () => {
    const bearer = clientWith({ apiKey: null, authToken: service.token });
    const { response } = await bearer.messages.create(ask('output=1')).withResponse();
    await bookedAs(service, response.headers.get('x-request-id'));
  });
});

describe('counting tokens', () => {
  it('is free: nothing is held, charged or billed', async () => {
    const before = await spent();
    const seq = service.simulator.books.seq;
    const { data, response } = await client.messages
      .countTokens({ model: CACHE_WRITES, messages: [{ role: 'user', content: 'x'.repeat(41) }] })
      .withResponse();
    expect(data.input_tokens).toBe(11);
    expect(service.simulator.books.seq).toBe(seq);
    expect(await spent()).toEqual(before);
    const events = await service.database.query(
      'SELECT cost_pico_usd FROM usage_events WHERE id = $1',
      [response.headers.get('x-request-id')],
    );
    for (const event of events) expect(Number(event['cost_pico_usd'] ?? 0)).toBe(0);
  });

  it('works where no credit is left', async () => {
    const poor = await penniless();
    const counted = await poor.messages.countTokens({
      model: CACHE_WRITES,
      messages: [{ role: 'user', content: 'hello' }],
    });
    expect(counted.input_tokens).toBeGreaterThan(0);
  });

  async function spent(): Promise<unknown> {
    const [row] = await service.database.query(
      'SELECT sum(used_pico_usd)::text AS used, sum(held_pico_usd)::text AS held FROM budgets',
    );
    return row;
  }
});

async function penniless(): Promise<Anthropic> {
  return clientWith({ apiKey: await pennilessToken(service) });
}

describe('our errors', () => {
  async function refused(call: Promise<unknown>): Promise<InstanceType<typeof Anthropic.APIError>> {
    const error: unknown = await call.catch((reason: unknown) => reason);
    if (!(error instanceof Anthropic.APIError)) throw new Error(`not refused: ${String(error)}`);
    expect(error.error).toMatchObject({ type: 'error', request_id: error.requestID });
    return error;
  }

  it('come in the form that the client knows, with the id of the request', async () => {
    const stranger = clientWith({ apiKey: 'tg_unknown' });
    const unknown = await refused(stranger.messages.create(ask('')));
    expect(unknown).toBeInstanceOf(Anthropic.AuthenticationError);
    expect(unknown.error).toMatchObject({
      error: { type: 'authentication_error', code: 'invalid_token' },
    });
    const noModel = await refused(client.messages.create(ask('', 'nobody/knows')));
    expect(noModel).toBeInstanceOf(Anthropic.BadRequestError);
    expect(noModel.error).toMatchObject({
      error: { type: 'invalid_request_error', code: 'model_not_supported', param: 'model' },
    });
    const poor = await refused((await penniless()).messages.create(ask('')));
    expect(poor.status).toBe(402);
    expect(poor.error).toMatchObject({ error: { code: 'credit_exhausted' } });
    const counting = await refused(
      client.messages.countTokens({ model: 'nobody/knows', messages: [] }),
    );
    expect(counting.status).toBe(400);
  });

  it('end a stream that broke as an event that the client raises', async () => {
    const stream = client.messages.stream(ask(`${SIZE} fault=reset-mid-stream after=5`));
    const error: unknown = await stream.finalMessage().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(Anthropic.APIError);
    expect((error as InstanceType<typeof Anthropic.APIError>).error).toMatchObject({
      type: 'error',
      error: { code: 'upstream_error' },
    });
  });

  it('of the provider are passed on as it said them', async () => {
    const error = await client.messages.create(ask('fault=422')).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ status: 422, error: { type: 'error' } });
    expect((error as InstanceType<typeof Anthropic.APIError>).error).not.toHaveProperty(
      'request_id',
      expect.stringMatching(/^0/),
    );
  });
});
