import { expect, it } from 'vitest';
import { UNPRICED } from '../../simulator/special-models.js';
import { PER_PIXEL } from '../../simulator/unlisted-models.js';
import { startSelling } from '../support/books.js';
import { allEnded, ask, chat, eventOf, startSimulated } from '../support/simulated.js';

it('charges what the provider billed once the price that was missing is known', async () => {
  const service = await startSimulated({ environment: { UNPRICED_MODELS: 'allow' } });
  const since = new Date(Date.now() - 1000).toISOString();
  const answer = await chat(service, ask(UNPRICED, 'output=40 cached=0', { stream: true }));
  expect(answer.status).toBe(200);
  await answer.text();
  await allEnded(service);
  const id = answer.headers.get('x-request-id');
  expect(await eventOf(service, id)).toMatchObject({
    state: 'unpriced',
    costUsd: null,
    provider: 'together',
  });

  const offer = service.simulator.catalogue.offer(UNPRICED, 'together');
  for (const [unit, picoUsd] of [
    ['input', offer?.price.input],
    ['output', offer?.price.output],
  ] as const) {
    const usdPerMillion = (Number(picoUsd) / 1e6).toFixed(6);
    const { status } = await service.api('/prices', {
      method: 'POST',
      body: { provider: 'together', model: UNPRICED, unit, usdPerMillion, effectiveFrom: since },
    });
    expect(status).toBe(201);
  }
  const event = await eventOf(service, id);
  const billed = service.simulator.books.since(0).reduce((sum, line) => sum + line.costPicoUsd, 0n);
  expect(event.state).toBe('settled');
  expect(billed).toBeGreaterThan(0n);
  expect(BigInt(Math.round(Number(event.costUsd) * 1e12))).toBe(billed);
  await service.close();
});

it('never calls a provider without a price, and says why', async () => {
  const service = await startSimulated();
  const refused = await chat(service, ask(UNPRICED, 'output=4'));
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({
    error: { code: 'model_not_supported', details: { reason: 'unpriced' } },
  });
  expect(service.simulator.books.since(0)).toEqual([]);
  await service.close();
});

it('charges a picture by whichever unit its price comes in, once it comes', async () => {
  const service = await startSelling([PER_PIXEL], {
    environment: { UNPRICED_MODELS: 'allow' },
  });
  const since = new Date(Date.now() - 1000).toISOString();
  const ask = async (fault: string): Promise<string> => {
    const answer = await fetch(`${service.url}/v1/images/generations`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${service.token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({
        model: PER_PIXEL,
        prompt: `A toll gate [[sim fault=${fault}]]`,
        n: 2,
        size: '512x512',
      }),
    });
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    return answer.headers.get('x-request-id') ?? '';
  };
  const id = await ask('unpriced-provider');
  await allEnded(service);
  expect(await eventOf(service, id)).toMatchObject({
    state: 'unpriced',
    provider: 'unlisted-provider',
    units: { image: '2', pixel: '524288' },
  });
  const price = { provider: 'unlisted-provider', model: PER_PIXEL, effectiveFrom: since };
  const post = (unit: string, usdPerUnit: string) =>
    service.api('/prices', { method: 'POST', body: { ...price, unit, usdPerUnit } });
  expect((await post('character', '0.1')).status).toBe(201);
  expect((await eventOf(service, id)).state).toBe('unpriced');
  expect((await post('megapixel', '0.025')).status).toBe(201);
  expect(await eventOf(service, id)).toMatchObject({
    state: 'settled',
    // 524,288 pixels at USD 0.025 per million; what else is known of it has no price.
    costUsd: '0.0131072',
    units: { pixel: '524288' },
  });
  await service.close();
});
