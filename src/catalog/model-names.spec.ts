import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ListedModel } from './catalogue-entry.js';
import { asCalledElsewhere } from './model-names.js';

function listed(id: string): ListedModel {
  return {
    id,
    entry: { id },
    routes: [
      {
        provider: 'somebody',
        status: 'live',
        contextLength: null,
        providerModelId: null,
        entry: {},
        prices: new Map(),
      },
    ],
  };
}

it('calls a model as the router does where only the case differs, and keeps what is to be sent', () => {
  const models = asCalledElsewhere(
    [listed('meta/llama'), listed('org/own'), listed('Same/Id')],
    ['Meta/Llama', 'Same/Id'],
  );
  expect(models.map(({ id, routes }) => [id, routes[0]?.providerModelId])).toEqual([
    ['Meta/Llama', 'meta/llama'],
    ['org/own', null],
    ['Same/Id', null],
  ]);
});

it('keeps every model, each under an id of its own, whatever the lists are', () => {
  const ids = fc.uniqueArray(fc.stringMatching(/^[abAB]{1,3}$/));
  fc.assert(
    fc.property(ids, ids, (own, routers) => {
      const models = asCalledElsewhere(own.map(listed), routers);
      const sent = models.map(({ id, routes }) => routes[0]?.providerModelId ?? id);
      expect(sent).toEqual(own);
      expect(new Set(models.map(({ id }) => id)).size).toBe(own.length);
      for (const { id, entry } of models) expect(entry['id']).toBe(id);
    }),
  );
});
