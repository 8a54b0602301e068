import { isModelId } from './catalogue-entry.js';

/** What a provider calls models, by the id that callers use; each of its own ids once. */
export type ProviderModelIds = Readonly<Record<string, string>>;

const MODEL_IDS_MAX = 1_000;
/** A provider's id may have more in it than ours: it is sent, never parsed. */
const OWN_ID = /^[\x21-\x7e]{1,256}$/;

export const MODEL_IDS_RULE =
  `must be an object of at most ${MODEL_IDS_MAX} entries "id that callers use": "id of the provider", ` +
  'both without spaces, the first without ":", no id of the provider twice; or null';

export function isModelIds(value: unknown): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const entries = Object.entries(value);
  const ownIds = new Set(entries.map(([, ownId]: [string, unknown]) => ownId));
  return (
    entries.length <= MODEL_IDS_MAX &&
    ownIds.size === entries.length &&
    entries.every(
      ([id, ownId]: [string, unknown]) => isModelId(id) && !id.includes(':') && isOwnId(ownId),
    )
  );
}

export function isOwnId(value: unknown): value is string {
  return typeof value === 'string' && OWN_ID.test(value);
}

/** What lists say, and what the operator said, which counts more. */
interface Names {
  readonly routes: readonly {
    readonly provider: string;
    readonly model: string;
    readonly providerModelId: string | null;
  }[];
  readonly providers: readonly {
    readonly slug: string;
    readonly modelIds: ProviderModelIds | null;
  }[];
}

/** What models are called at providers and here: as the operator said, else as lists say. */
export class ModelIds {
  private constructor(
    private readonly ownIds: ReadonlyMap<string, string>,
    private readonly ids: ReadonlyMap<string, string>,
  ) {}

  static readonly none = new ModelIds(new Map(), new Map());

  static of({ providers, routes }: Names): ModelIds {
    const ownIds = new Map<string, string>();
    const ids = new Map<string, string>();
    for (const { provider, model, providerModelId } of routes) {
      if (providerModelId !== null) ids.set(`${provider} ${providerModelId}`, model);
    }
    for (const { slug, modelIds } of providers) {
      for (const [id, ownId] of Object.entries(modelIds ?? {})) {
        ownIds.set(`${slug} ${id}`, ownId);
        ids.set(`${slug} ${ownId}`, id);
      }
    }
    return new ModelIds(ownIds, ids);
  }

  /** What the operator said that the provider calls it; undefined: nothing. */
  ownIdOf(provider: string, id: string): string | undefined {
    return this.ownIds.get(`${provider} ${id}`);
  }

  /** What is called so at the provider, by the id that callers use elsewhere. */
  idOf(provider: string, ownId: string): string {
    return this.ids.get(`${provider} ${ownId}`) ?? ownId;
  }
}
