import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatUsd } from '../../src/domain/money.js';
import { EVERY_DIALECT, PARTLY_PRICED } from '../../simulator/special-models.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  startSimulated,
  type ShownEvent,
  type SimulatedService,
} from '../support/simulated.js';

let service: SimulatedService;
const MODEL = `${EVERY_DIALECT}:together`;

beforeAll(async () => {
  service = await startSimulated({
    environment: { UPSTREAM_HEADERS_TIMEOUT_MS: '700', UPSTREAM_IDLE_TIMEOUT_MS: '700' },
  });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

let count = 0;

async function run(
  directives: string,
  stream: boolean,
): Promise<{ response: Response; text: string | null; event: ShownEvent; tag: string }> {
  count += 1;
  const tag = `fault-${count}`;
  const response = await chat(
    service,
    ask(MODEL, `tag=${tag} output=20 chunks=6 ${directives}`, { stream }),
  );
  const text = await response.text().catch(() => null);
  return {
    response,
    text,
    event: await eventOf(service, response.headers.get('x-request-id')),
    tag,
  };
}

const codeOf = (text: string | null): string =>
  (JSON.parse(text ?? '{}') as { error: { code: string } }).error.code;

describe.each([false, true])('an upstream that does not answer (stream: %s)', (stream) => {
  it.each([
    ['fault=reset-before-headers', 502, 'upstream_error'],
    ['fault=hang-before-headers', 504, 'upstream_timeout'],
  ])('%s', async (directives, status, code) => {
    const { response, text, event } = await run(directives, stream);
    expect(response.status).toBe(status);
    expect(codeOf(text)).toBe(code);
    expect(event).toMatchObject({ state: 'released', outcome: 'upstream_error', costUsd: null });
    if (status === 504) expect(response.headers.get('x-should-retry')).toBe('false');
  });

  it.each(['500', '503', '429', '404', '422', '504-html', 'html-error', '529'])(
    'relays a provider error untouched: %s',
    async (fault) => {
      const { response, text, event } = await run(`fault=${fault}`, stream);
      expect(response.status).toBeGreaterThanOrEqual(400);
      expect(text?.length).toBeGreaterThan(0);
      expect(text).not.toContain('tollgate');
      expect(event).toMatchObject({
        state: 'released',
        outcome: 'upstream_error',
        status: response.status,
        costUsd: null,
      });
    },
  );

  it.each(['401', '402', '403-spending-limit'])(
    'keeps a refusal of our own key to itself: %s',
    async (fault) => {
      const { response, text, event } = await run(`fault=${fault}`, stream);
      expect(response.status).toBe(502);
      expect(codeOf(text)).toBe('upstream_error');
      expect(response.headers.get('x-should-retry')).toBe('false');
      expect(event).toMatchObject({ state: 'released', outcome: 'upstream_error' });
    },
  );

  it('quarantines a usage that cannot be one, and delivers the answer', async () => {
    for (const fault of ['usage-negative', 'usage-fractional', 'usage-huge']) {
      const { response, event } = await run(`fault=${fault}`, stream);
      expect(response.status).toBe(200);
      expect({ fault, state: event.state, costUsd: event.costUsd }).toEqual({
        fault,
        state: 'quarantined',
        costUsd: null,
      });
    }
  });

  it('estimates an answer without usage from its bytes', async () => {
    const { response, event } = await run('fault=missing-usage', stream);
    expect(response.status).toBe(200);
    expect(event).toMatchObject({ state: 'settled', usageSource: 'estimated', outputTokens: 20 });
    expect(event.costUsd).not.toBe('0');
  });
});

describe('a plain answer', () => {
  it('is 502 when the connection breaks in the middle of it, and costs nothing', async () => {
    for (const fault of ['reset-mid-stream', 'content-length-longer']) {
      const { response, text, event } = await run(`fault=${fault}`, false);
      expect({ fault, status: response.status }).toEqual({ fault, status: 502 });
      expect(codeOf(text)).toBe('upstream_error');
      expect(event).toMatchObject({ state: 'released', outcome: 'upstream_error' });
    }
  });

  it.each([false, true])(
    'is 502 when it is no JSON: nobody gets for nothing what cannot be charged (stream: %s)',
    async (stream) => {
      const faults = stream ? ['html-200'] : ['invalid-json', 'html-200', 'content-length-shorter'];
      for (const fault of faults) {
        const { response, text, event } = await run(`fault=${fault}`, stream);
        expect({ fault, status: response.status }).toEqual({ fault, status: 502 });
        expect(codeOf(text)).toBe('upstream_error');
        expect(event).toMatchObject({ state: 'released', outcome: 'upstream_error' });
        expect(event.attempts).toMatchObject([{ status: 200, error: 'malformed' }]);
      }
    },
  );

  it('that never came whole leaves its Idempotency-Key free for another try', async () => {
    const headers = { 'idempotency-key': 'once-more' };
    const body = ask(MODEL, 'output=3');
    service.simulator.faults.add({
      match: { provider: 'together' },
      times: 1,
      directives: { faults: ['invalid-json'] },
    });
    expect((await chat(service, body, { headers })).status).toBe(502);
    expect((await chat(service, body, { headers })).status).toBe(200);
    expect((await chat(service, body, { headers })).status).toBe(409);
  });

  it('that is too long to be kept is charged by the usage that it states at its end', async () => {
    const { response, text, event, tag } = await run('fault=oversize-event size=9000000', false);
    expect(response.status).toBe(200);
    expect(text?.length).toBeGreaterThan(9_000_000);
    const [billed] = service.simulator.books.tagged(tag);
    expect(event).toMatchObject({
      state: 'settled',
      usageSource: 'provider',
      outputTokens: 20,
      costUsd: formatUsd(billed?.costPicoUsd ?? -1n),
    });
  });
});

describe('a stream', () => {
  it('that breaks ends with one error event and no end marker, and is charged for what passed', async () => {
    for (const fault of ['reset-mid-stream', 'hang-mid-stream']) {
      const { response, text, event } = await run(`fault=${fault} after=3`, true);
      expect(response.status).toBe(200);
      expect(text).not.toContain('[DONE]');
      const last = text?.trim().split('\n\n').at(-1) ?? '';
      expect(last).toMatch(/^data: \{"error":\{/);
      expect(text?.match(/"error":/g)).toHaveLength(1);
      expect(event).toMatchObject({
        state: 'settled',
        outcome: 'upstream_error',
        usageSource: 'estimated',
      });
    }
  });

  it('passes an error that the provider sends in the middle', async () => {
    const { text, event } = await run('fault=error-mid-stream after=3', true);
    expect(text).toContain('"error"');
    expect(event).toMatchObject({ outcome: 'upstream_error' });
  });

  it('that is answered plainly is relayed plainly and charged by its usage', async () => {
    const { response, text, event, tag } = await run('fault=json-for-stream', true);
    expect(response.headers.get('content-type')).toContain('application/json');
    expect(JSON.parse(text ?? '')).toHaveProperty('choices');
    const [billed] = service.simulator.books.tagged(tag);
    expect(event).toMatchObject({
      state: 'settled',
      costUsd: formatUsd(billed?.costPicoUsd ?? -1n),
    });
  });

  it('lets an event of 17 MB through and keeps its memory', async () => {
    const { response, text } = await run('fault=oversize-event', true);
    expect(response.status).toBe(200);
    expect(text?.length).toBeGreaterThan(16 * 1024 * 1024);
  });

  it('whose usage falls is charged its highest figure', async () => {
    const { event } = await run('fault=usage-decreasing', true);
    expect(event.state).toBe('settled');
  });
});

describe('failover before the first byte', () => {
  // `partly-priced` has an unpriced provider, so Tollgate pins the priced ones itself.
  it('never takes the route without a price', async () => {
    const response = await chat(service, ask(PARTLY_PRICED, 'output=5'));
    expect(response.headers.get('x-inference-provider')).toBe('together');
    expect((await eventOf(service, response.headers.get('x-request-id'))).state).toBe('settled');
  });

  it('asks again without stream_options where they are refused, and remembers', async () => {
    const model = `${EVERY_DIALECT}:mistral`;
    const response = await chat(service, ask(model, 'tag=mistral output=5', { stream: true }));
    expect(response.status).toBe(200);
    await response.text();
    const [billed] = service.simulator.books.tagged('mistral').filter(({ billed }) => billed);
    expect(await eventOf(service, response.headers.get('x-request-id'))).toMatchObject({
      state: 'settled',
      costUsd: formatUsd(billed?.costPicoUsd ?? -1n),
    });
  });
});

it('charges a provider request once even when its id comes twice', async () => {
  const first = await run('request_id=twice', false);
  const second = await run('request_id=twice', false);
  expect(first.event.state).toBe('settled');
  expect(second.response.status).toBe(200);
  expect(second.event).toMatchObject({ state: 'quarantined', costUsd: null });
});
