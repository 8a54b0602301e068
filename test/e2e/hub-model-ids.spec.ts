import { InferenceClient } from '@huggingface/inference';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CatalogService } from '../../src/catalog/catalog.service.js';
import { startService } from '../support/service.js';
import {
  allEnded,
  eventually,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';
import { endedEvent, expectBilled, heldPicoUsd, syncCatalogues } from '../support/upstreams.js';

const LLAMA = 'meta-llama/Llama-3.3-70B-Instruct';
const messages = [{ role: 'user', content: 'Tell me. [[sim output=9 input=21]]' }];
const realFetch = globalThis.fetch;

/** The simulator's Hub behind a door that can be shut. */
interface HubDoor {
  readonly url: string;
  targetUrl: string;
  isShut: boolean;
  readonly asked: string[];
  close(): void;
}

async function startHub(isShut: boolean): Promise<HubDoor> {
  const server = createServer((request, response) => {
    door.asked.push(request.url ?? '');
    if (door.isShut) {
      request.socket.destroy();
      return;
    }
    realFetch(`${door.targetUrl}${request.url ?? ''}`).then(
      async (answer) => response.writeHead(answer.status).end(await answer.text()),
      () => request.socket.destroy(),
    );
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  const door: HubDoor = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    targetUrl: '',
    isShut,
    asked: [],
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
  return door;
}

function startBehind(hub: HubDoor): Promise<SimulatedService> {
  return startSimulated({
    environment: { HUB_URL: hub.url },
    upstream: (simulatorUrl) => {
      hub.targetUrl = simulatorUrl;
      return Promise.resolve(simulatorUrl);
    },
  });
}

/** Our ids of the POSTs that the client made. */
let posted: string[] = [];

/** The official client with its two hosts: ours in the place of the router, the simulator's Hub. */
function clientOf(service: SimulatedService): InferenceClient {
  globalThis.fetch = async (input, init) => {
    const url = new URL(input instanceof Request ? input.url : input);
    const path = `${url.pathname}${url.search}`;
    if (url.host === 'huggingface.co') return realFetch(service.simulator.url + path, init);
    if (url.host !== 'router.huggingface.co') return realFetch(input, init);
    const response = await realFetch(service.url + path, init);
    posted.push(response.headers.get('x-request-id') ?? '');
    return response;
  };
  return new InferenceClient(`hf_${service.token}`, { retry_on_error: false });
}

/** What the router's providers are known to call models. */
async function learned(service: Pick<SimulatedService, 'database'>): Promise<readonly object[]> {
  return service.database.query(
    `SELECT model, provider, provider_model_id FROM model_routes
     WHERE upstream = 'default' AND provider_model_id IS NOT NULL ORDER BY model, provider`,
  );
}

afterEach(() => {
  posted = [];
  globalThis.fetch = realFetch;
});

describe('with the Hub', () => {
  let hub: HubDoor;
  let service: SimulatedService;

  beforeAll(async () => {
    hub = await startHub(false);
    service = await startBehind(hub);
    const catalog = service.app.get(CatalogService, { strict: false });
    for (const provider of ['groq', 'together']) {
      const ownId = service.simulator.catalogue.offer(LLAMA, provider)?.providerModelId ?? '';
      await eventually('the learning of names', () =>
        catalog.idOf(provider, ownId) === LLAMA ? true : null,
      );
    }
  });

  afterAll(async () => {
    await service.close();
    hub.close();
  });

  it.each([
    ['groq', false],
    ['groq', true],
    ['together', false],
    ['together', true],
  ] as const)('%s serves a model by its Hub id (stream: %s)', async (provider, stream) => {
    const client = clientOf(service);
    const args = { provider, model: LLAMA, messages, max_tokens: 50 };
    let text = '';
    if (stream) {
      for await (const chunk of client.chatCompletionStream(args)) {
        text += chunk.choices[0]?.delta.content ?? '';
      }
    } else {
      text = (await client.chatCompletion(args)).choices[0]?.message.content ?? '';
    }
    expect(text).not.toBe('');
    const event = await endedEvent(service, posted[0] ?? 'no call came');
    const line = await expectBilled(service, event);
    expect(event).toMatchObject({ upstream: 'default', provider, model: LLAMA, stream });
    expect(event).toMatchObject({ inputTokens: 21, outputTokens: 9 });
    expect([line.model, line.provider]).toEqual([LLAMA, provider]);
    expect(line.providerModelId).not.toBe(LLAMA);
    // The prices are those of the router's catalogue: nobody posted one.
    const prices = await service.database.query(
      `SELECT DISTINCT p.upstream, p.provider, p.model, p.source
       FROM prices p JOIN usage_events e ON p.id = ANY(e.price_row_ids) WHERE e.id = $1`,
      [event.id],
    );
    const source = 'router_catalogue';
    expect(prices).toEqual([{ upstream: 'default', provider, model: LLAMA, source }]);
    await allEnded(service);
    expect(await heldPicoUsd(service)).toBe('0');
  });

  it('the router’s own route is asked as before', async () => {
    const { ok, headers } = await realFetch(`${service.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ model: `${LLAMA}:groq`, messages, max_tokens: 50 }),
    });
    expect(ok).toBe(true);
    const event = await endedEvent(service, headers.get('x-request-id') ?? '');
    await expectBilled(service, event);
    expect(event).toMatchObject({ provider: 'groq', model: LLAMA });
  });

  it('each model is asked for once, and what was learned outlives the Hub', async () => {
    const names = await learned(service);
    const listed = await service.database.query(
      `SELECT id FROM models WHERE upstream = 'default' AND is_listed`,
    );
    expect(new Set(hub.asked).size).toBe(hub.asked.length);
    expect(hub.asked.length).toBeLessThanOrEqual(listed.length);
    hub.isShut = true;
    hub.asked.length = 0;
    await rewriteRoutes(service);
    await syncCatalogues(service);
    expect(hub.asked).toEqual([]);
    expect(await learned(service)).toEqual(names);

    // Another process, which remembers nothing and is told nothing.
    await rewriteRoutes(service);
    const other = await startService(
      { UPSTREAM_BASE_URL: service.simulator.url, HUB_URL: hub.url },
      service.database,
    );
    try {
      await syncCatalogues(other);
      await eventually('a look-up', () => (hub.asked.length > 0 ? true : null));
      expect(await learned(service)).toEqual(names);
    } finally {
      await other.close();
    }
    expect(await learned(service)).toEqual(names);
  });
});

/** The next sync has every route to write. */
async function rewriteRoutes(service: SimulatedService): Promise<void> {
  await service.database.query(
    `UPDATE model_routes SET context_length = 1 WHERE upstream = 'default'`,
  );
}

describe('without the Hub', () => {
  it('prices are synced and models served; a name that nobody told us is refused unsent', async () => {
    const hub = await startHub(true);
    const service = await startBehind(hub);
    try {
      await syncCatalogues(service);
      await eventually('a look-up', () => (hub.asked.length > 0 ? true : null));
      const client = clientOf(service);
      const answer = await client.chatCompletion({ model: LLAMA, messages, max_tokens: 50 });
      expect(answer.choices[0]?.message.content).not.toBe('');
      await expectBilled(service, await endedEvent(service, posted[0] ?? ''));
      const lines = service.simulator.books.since().length;
      const named = client.chatCompletion({ provider: 'groq', model: LLAMA, messages });
      await expect(named).rejects.toMatchObject({
        httpResponse: { status: 400, body: { error: { code: 'model_not_supported' } } },
      });
      expect(service.simulator.books.since()).toHaveLength(lines);
      expect(await learned(service)).toEqual([]);
    } finally {
      await service.close();
      hub.close();
    }
  });
});
