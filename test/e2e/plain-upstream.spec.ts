import { afterAll, beforeAll, expect, it } from 'vitest';
import { startSimulator, type Simulator } from '../../simulator/server.js';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import { ApiClient } from '../support/api-client.js';
import { startService, type TestService } from '../support/service.js';
import { allEnded, ask, chat, type SimulatedService } from '../support/simulated.js';
import { endedEvent, expectBilled, owedTo, postPrice } from '../support/upstreams.js';

/** The slug of whoever stands at an address that is no router. */
const ITSELF = 'openai-compatible';

let simulator: Simulator;
let started: TestService;
let service: SimulatedService;

/** What a server like TGI or vLLM is: a list of models without providers, and no prices. */
beforeAll(async () => {
  simulator = await startSimulator({ cachedPrices: false });
  const url = `${simulator.url}/_direct/${ITSELF}`;
  started = await startService({ UPSTREAM_BASE_URL: url, UPSTREAM_API_KEY: 'any' });
  const operator = new ApiClient(started.url);
  const { secret } = await operator.addOrganization('mine');
  service = {
    ...started,
    simulator,
    organization: 'mine',
    token: secret,
    api: async (path, { method = 'GET', body } = {}) => {
      const answer = await operator.call(method as 'GET', `/api${path}`, body);
      return { status: answer.status, body: answer.body as never };
    },
  };
});

afterAll(async () => {
  await allEnded(service);
  await started.close();
  await simulator.close();
});

it('a plain server as the only upstream lists its models, and serves them at posted prices', async () => {
  const offer = simulator.catalogue.offer(EVERY_DIALECT, ITSELF);
  const model = offer?.providerModelId ?? '';
  const listed = (await (await fetch(`${service.url}/v1/models`)).json()) as {
    data: { id: string; providers: unknown }[];
  };
  expect(listed.data.find(({ id }) => id === model)).toMatchObject({
    providers: [{ provider: ITSELF, status: 'live' }],
  });

  const unpriced = await chat(service, ask(model, 'output=3'));
  expect(unpriced.status).toBe(400);
  expect(await unpriced.json()).toMatchObject({ error: { details: { reason: 'unpriced' } } });
  expect(simulator.books.since()).toEqual([]);

  const key = { provider: ITSELF, model };
  const { inputUsdPerMillion = '', outputUsdPerMillion = '' } = offer?.terms ?? {};
  await postPrice(service, { ...key, unit: 'input', usdPerMillion: inputUsdPerMillion });
  await postPrice(service, { ...key, unit: 'output', usdPerMillion: outputUsdPerMillion });
  for (const text of [model, `${model}:${ITSELF}`]) {
    for (const stream of [false, true]) {
      const answer = await chat(service, ask(text, 'output=9', { stream }));
      expect(answer.status, await answer.text()).toBe(200);
      const event = await endedEvent(service, answer.headers.get('x-request-id') ?? '');
      expect(event).toMatchObject({ upstream: 'default', provider: ITSELF, model, stream });
      await expectBilled(service, event);
    }
  }
  expect(await owedTo(service, 'default', ITSELF)).toBe(simulator.books.totalPicoUsd());
});
