import fc from 'fast-check';
import { expect, it } from 'vitest';
import type { ListedModel } from './catalogue-entry.js';
import { asCalledElsewhere } from './model-names.js';

function listed(id: string, hubId?: string): ListedModel {
  return {
    id,
    ...(hubId !== undefined && { hubId }),
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

it('calls a model as its list says, where it says so of that one alone', () => {
  const models = asCalledElsewhere(
    [listed('a-turbo', 'Org/A'), listed('b-fast', 'Org/B'), listed('b', 'Org/B'), listed('c', 'X')],
    ['Org/A', 'Org/B'],
  );
  expect(models.map(({ id, routes }) => [id, routes[0]?.providerModelId])).toEqual([
    ['Org/A', 'a-turbo'],
    ['b-fast', null],
    ['b', null],
    ['c', null],
  ]);
});

it('calls a model as the operator said, also where no router lists it', () => {
  const models = asCalledElsewhere(
    [listed('llama-versatile', 'Org/A'), listed('b'), listed('org/c')],
    ['Org/A', 'Org/C'],
    new Map([
      ['llama-versatile', 'Org/Llama'],
      ['b', 'org/c'],
    ]),
  );
  expect(models.map(({ id, routes }) => [id, routes[0]?.providerModelId])).toEqual([
    ['Org/Llama', 'llama-versatile'],
    // It would have the name of another of its models.
    ['b', null],
    ['Org/C', 'org/c'],
  ]);
});

it('keeps every model, each under an id of its own, whatever the lists are', () => {
  const id = fc.stringMatching(/^[abAB]{1,3}$/);
  const ids = fc.uniqueArray(id);
  fc.assert(
    fc.property(ids, ids, fc.array(id), (own, routers, hubIds) => {
      const models = asCalledElsewhere(
        own.map((one, index) => listed(one, hubIds[index])),
        routers,
      );
      const sent = models.map(({ id, routes }) => routes[0]?.providerModelId ?? id);
      expect(sent).toEqual(own);
      expect(new Set(models.map(({ id }) => id)).size).toBe(own.length);
      for (const { id, entry } of models) expect(entry['id']).toBe(id);
    }),
  );
});
