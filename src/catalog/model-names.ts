import type { ListedModel } from './catalogue-entry.js';

/**
 * A provider's models under the ids that the router lists them by: to callers they are one model.
 * Where the operator said so (`decided`, ids by the provider's own), where the provider's id is the
 * router's but for the case of its letters, or where its list says what the model is called at
 * Hugging Face and says so of no other. What the provider calls it is kept, to be sent. An id that
 * two of its models would get stays with the one that is written so, else with the first.
 */
export function asCalledElsewhere(
  models: readonly ListedModel[],
  ids: readonly string[],
  decided: ReadonlyMap<string, string> = new Map(),
): readonly ListedModel[] {
  const known = new Set(ids);
  const byLowerCase = new Map(ids.map((id) => [id.toLowerCase(), id]));
  const taken = new Set(models.map(({ id }) => id));
  const claims = new Map<string, number>();
  for (const { hubId } of models) {
    if (hubId !== undefined) claims.set(hubId, (claims.get(hubId) ?? 0) + 1);
  }
  const nameOf = ({ id, hubId }: ListedModel): string | undefined => {
    const said = decided.get(id);
    if (said !== undefined) return said;
    if (known.has(id)) return id;
    const isClaim = hubId !== undefined && known.has(hubId) && claims.get(hubId) === 1;
    return byLowerCase.get(id.toLowerCase()) ?? (isClaim ? hubId : undefined);
  };
  return models.map((model) => {
    const id = nameOf(model);
    if (id === undefined || id === model.id || taken.has(id)) return model;
    taken.add(id);
    return {
      id,
      entry: { ...model.entry, id },
      routes: model.routes.map((route) => ({ ...route, providerModelId: model.id })),
    };
  });
}
