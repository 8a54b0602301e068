import { afterAll, beforeAll, expect, it } from 'vitest';
import { formatUsd } from '../../src/domain/money.js';
import { EVERY_DIALECT } from '../../simulator/special-models.js';
import {
  allEnded,
  ask,
  chat,
  eventOf,
  startSimulated,
  type SimulatedService,
} from '../support/simulated.js';

let service: SimulatedService;
let providers: readonly string[];

beforeAll(async () => {
  service = await startSimulated();
  providers = service.simulator.catalogue.offers(EVERY_DIALECT).map(({ provider }) => provider);
});

afterAll(async () => {
  await service.close();
});

async function check(tag: string, response: Response): Promise<void> {
  const [billed] = service.simulator.books.tagged(tag);
  const event = await eventOf(service, response.headers.get('x-request-id'));
  expect({ tag, ...event }).toMatchObject({
    tag,
    state: 'settled',
    outcome: 'complete',
    usageSource: 'provider',
    provider: billed?.provider,
    inputTokens: billed?.promptTokens,
    outputTokens: billed?.completionTokens,
    costUsd: formatUsd(billed?.costPicoUsd ?? -1n),
  });
  expect(event.cachedInputTokens ?? 0).toBe(billed?.cachedTokens);
}

it('knows every dialect', () => {
  expect(providers.length).toBeGreaterThanOrEqual(20);
});

it('records what each provider billed, to the token and the pico-dollar: plain answers', async () => {
  for (const provider of providers) {
    for (const directives of [
      'output=17',
      'output=9 cached=5',
      'output=30 reasoning=11',
      'output=21 fault=gzip',
    ]) {
      const tag = `plain-${provider}-${directives.replaceAll(/[ =]/g, '')}`;
      const response = await chat(
        service,
        ask(`${EVERY_DIALECT}:${provider}`, `tag=${tag} ${directives}`),
      );
      expect(response.status, tag).toBe(200);
      expect(response.headers.get('x-inference-provider')).toBe(provider);
      await response.arrayBuffer();
      await check(tag, response);
    }
  }
  await allEnded(service);
});

it('records what each provider billed, to the token and the pico-dollar: streams cut anywhere', async () => {
  for (const provider of providers) {
    for (const directives of [
      'output=17 split=random',
      'output=9 cached=5 split=1',
      'output=30 reasoning=11 split=random fault=crlf',
      'output=40 burst chunks=5',
      'output=21 fault=multi-line-data split=7',
      'output=12 fault=gzip',
    ]) {
      const tag = `stream-${provider}-${directives.replaceAll(/[ =]/g, '')}`;
      const response = await chat(
        service,
        ask(`${EVERY_DIALECT}:${provider}`, `tag=${tag} ${directives}`, { stream: true }),
      );
      expect(response.status, tag).toBe(200);
      await response.text();
      await check(tag, response);
    }
  }
  await allEnded(service);
});

it('passes an answer on byte for byte, and takes out only the usage event that it asked for itself', async () => {
  for (const provider of providers) {
    for (const stream of [false, true]) {
      const body = ask(
        `${EVERY_DIALECT}:${provider}`,
        'output=25 chunks=6 cached=3 reasoning=2 request_id=fixed',
        { stream, max_tokens: 100 },
      );
      const asked = {
        ...body,
        ...(stream && provider !== 'mistral' ? { stream_options: { include_usage: true } } : {}),
      };
      const direct = await fetch(`${service.simulator.url}/v1/chat/completions`, {
        method: 'POST',
        headers: { authorization: 'Bearer sim-key', 'content-type': 'application/json' },
        body: JSON.stringify(asked),
      });
      const through = await chat(service, asked);
      const withoutTimes = (text: string): string =>
        text.replaceAll(/"created":\d+/g, '"created":0').replaceAll(/"id":"[^"]*"/g, '"id":""');
      expect(withoutTimes(await through.text()), `${provider} ${String(stream)}`).toBe(
        withoutTimes(await direct.text()),
      );
      if (!stream) continue;
      const silent = await (await chat(service, body)).text();
      expect(silent, provider).not.toMatch(/"choices":\[\][^\n]*"usage":\{/);
    }
  }
});
