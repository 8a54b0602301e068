import type { ListedModel } from './catalogue-entry.js';

/**
 * A provider's models under the ids that the router lists them by, where the two differ in nothing
 * but the case of their letters: to callers they are one model. What the provider calls it is kept,
 * to be sent. An id that two of its models would get stays with the one that is written so, else with
 * the first.
 */
export function asCalledElsewhere(
  models: readonly ListedModel[],
  ids: readonly string[],
): readonly ListedModel[] {
  const known = new Set(ids);
  const byLowerCase = new Map(ids.map((id) => [id.toLowerCase(), id]));
  const taken = new Set(models.map(({ id }) => id));
  return models.map((model) => {
    const id = known.has(model.id) ? model.id : byLowerCase.get(model.id.toLowerCase());
    if (id === undefined || id === model.id || taken.has(id)) return model;
    taken.add(id);
    return {
      id,
      entry: { ...model.entry, id },
      routes: model.routes.map((route) => ({ ...route, providerModelId: model.id })),
    };
  });
}
