import { afterAll, beforeAll, expect, it } from 'vitest';
import { formatUsd } from '../../src/domain/money.js';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import {
  allEnded,
  ask,
  chat,
  eventually,
  startSimulated,
  type ShownEvent,
  type SimulatedService,
} from '../support/simulated.js';

let service: SimulatedService;
const MODEL = `${EVERY_DIALECT}:together`;

beforeAll(async () => {
  // The router bills an answer whole, whoever stops listening.
  service = await startSimulated({ simulator: { routerBillsAborted: true } });
});

afterAll(async () => {
  await allEnded(service);
  await service.close();
});

const endedEvent = (clientRequestId: string): Promise<ShownEvent> =>
  eventually(`the end of ${clientRequestId}`, async () => {
    const { body } = await service.api<{ data: ShownEvent[] }>(
      `/organizations/${service.organization}/requests?clientRequestId=${clientRequestId}`,
    );
    const [event] = body.data;
    return event === undefined || event.state === 'open' ? null : event;
  });

async function expectBilledWhole(tag: string): Promise<void> {
  const event = await endedEvent(tag);
  const [billed] = service.simulator.books.tagged(tag);
  expect(event).toMatchObject({
    state: 'settled',
    outcome: 'client_gone',
    usageSource: 'provider',
    outputTokens: billed?.completionTokens,
    costUsd: formatUsd(billed?.costPicoUsd ?? -1n),
  });
}

it('records the whole bill when the client hangs up before the first byte', async () => {
  const abort = new AbortController();
  const pending = chat(service, ask(MODEL, 'tag=gone-early output=30 delay=300'), {
    signal: abort.signal,
    headers: { 'x-client-request-id': 'gone-early' },
  });
  await eventually('admission', async () => {
    const open = await service.database.query(
      `SELECT id FROM open_events WHERE client_request_id = 'gone-early'`,
    );
    return open.length > 0 ? true : null;
  });
  abort.abort();
  await expect(pending).rejects.toThrow();
  await expectBilledWhole('gone-early');
});

it('records the whole bill when the client hangs up in the middle of a stream', async () => {
  const abort = new AbortController();
  const response = await chat(
    service,
    ask(MODEL, 'tag=gone-mid output=60 chunks=20 chunk_delay=15', { stream: true }),
    { signal: abort.signal, headers: { 'x-client-request-id': 'gone-mid' } },
  );
  const reader = response.body!.getReader();
  await reader.read();
  abort.abort();
  await expectBilledWhole('gone-mid');
});

it('stops reading after DRAIN_MAX_MS and charges what was read', async () => {
  const impatient = await startSimulated({
    environment: { DRAIN_MAX_MS: '300' },
    simulator: { routerBillsAborted: true },
  });
  const abort = new AbortController();
  const response = await chat(
    impatient,
    ask(MODEL, 'output=400 chunks=200 chunk_delay=20', { stream: true }),
    { signal: abort.signal },
  );
  const id = response.headers.get('x-request-id');
  await response.body!.getReader().read();
  abort.abort();
  const event = await eventually('the end', async () => {
    const { body } = await impatient.api<ShownEvent>(`/requests/${id ?? ''}`);
    return body.state === 'open' ? null : body;
  });
  expect(event).toMatchObject({
    state: 'settled',
    outcome: 'client_gone',
    usageSource: 'estimated',
  });
  expect(event.outputTokens).toBeGreaterThan(0);
  expect(event.outputTokens).toBeLessThan(400);
  await allEnded(impatient);
  await impatient.close();
});

it('refuses new streams while as many are drained as may be, and cuts none of them', async () => {
  const narrow = await startSimulated({ environment: { DRAIN_MAX_CONCURRENT: '1' } });
  const abort = new AbortController();
  const response = await chat(
    narrow,
    ask(MODEL, 'tag=drained output=40 chunks=40 chunk_delay=25', { stream: true }),
    { signal: abort.signal },
  );
  await response.body!.getReader().read();
  abort.abort();
  const refused = await eventually('a refusal', async () => {
    const next = await chat(narrow, ask(MODEL, 'output=1', { stream: true }));
    await next.text();
    return next.status === 503 ? next : null;
  });
  expect(refused.headers.get('retry-after')).toBe('1');
  await allEnded(narrow);
  const [billed] = narrow.simulator.books.tagged('drained');
  const [event] = await narrow.database.query<{ output_tokens: string }>(
    'SELECT output_tokens::text FROM usage_events WHERE outcome = $1',
    ['client_gone'],
  );
  expect(event?.output_tokens).toBe(String(billed?.completionTokens));
  await narrow.close();
});
