import { type UnitPrice } from '../domain/money.js';
import { ANY_MODEL } from '../domain/pricing.js';
import type { Unit } from '../domain/units.js';
import { numbersAsText } from './number-text.js';

export type JsonObject = Readonly<Record<string, unknown>>;

/** A provider of a model as a catalogue states it. */
export interface ListedRoute {
  readonly provider: string;
  readonly status: 'live' | 'error';
  readonly contextLength: number | null;
  /** What the provider calls the model; null: as it is listed. */
  readonly providerModelId: string | null;
  /** In the shape of a router's own provider entry. */
  readonly entry: JsonObject;
  /** What can be taken over, by unit; a unit that is missing, null or refused is not in it. */
  readonly prices: ReadonlyMap<Unit, UnitPrice>;
}

export interface ListedModel {
  readonly id: string;
  /** What the list says the model is called at Hugging Face, and so by the router. */
  readonly hubId?: string;
  /** The upstream's own entry without its providers. */
  readonly entry: JsonObject;
  readonly routes: readonly ListedRoute[];
}

/** Something in the document that was passed over and that an operator should know. */
export interface CatalogueFinding {
  readonly kind: 'malformed_entry' | 'duplicate_entry' | 'price_refused';
  readonly model: string | null;
  readonly provider: string | null;
  readonly unit: Unit | null;
  readonly problem: string;
}

export type CatalogueReading =
  | {
      readonly kind: 'catalogue';
      readonly models: readonly ListedModel[];
      readonly findings: readonly CatalogueFinding[];
    }
  /** Not a catalogue at all: nothing of it is taken over. */
  | { readonly kind: 'unreadable'; readonly problem: string };

/** The entries of a document, each beside itself with its numbers as they were written. */
export type CatalogueEntries =
  | {
      readonly kind: 'entries';
      readonly entries: readonly { readonly entry: unknown; readonly texts: unknown }[];
    }
  | { readonly kind: 'unreadable'; readonly problem: string };

const MODELS_MAX = 20_000;
const ID_MAX_CHARS = 256;
/** What a provider is called in paths, headers and `org/name:provider`. */
export const PROVIDER_SLUG = /^[a-z0-9-]{2,40}$/;
const TOKENS_MAX = 2_147_483_647;

/** The list under `data`, or the document itself where that is the list. */
export function entriesOf(text: string): CatalogueEntries {
  let document: unknown;
  let texts: unknown;
  try {
    document = JSON.parse(text);
    texts = JSON.parse(numbersAsText(text));
  } catch (error) {
    return { kind: 'unreadable', problem: error instanceof Error ? error.message : String(error) };
  }
  const list = isObject(document) ? document['data'] : document;
  const listTexts = isObject(texts) ? texts['data'] : texts;
  const isList = Array.isArray(list) && Array.isArray(listTexts);
  if (!isList || (list === document && list.length === 0)) {
    return { kind: 'unreadable', problem: 'there is no list of models under "data"' };
  }
  if (list.length > MODELS_MAX) {
    return { kind: 'unreadable', problem: `there are more than ${MODELS_MAX} models` };
  }
  return {
    kind: 'entries',
    entries: list.map((entry: unknown, index) => ({ entry, texts: listTexts[index] as unknown })),
  };
}

/** Reads each entry; a model that is listed twice counts once. */
export function catalogueOf(
  { entries }: CatalogueEntries & { readonly kind: 'entries' },
  read: (entry: unknown, texts: unknown, findings: CatalogueFinding[]) => ListedModel | null,
): CatalogueReading {
  const findings: CatalogueFinding[] = [];
  const models = new Map<string, ListedModel>();
  for (const { entry, texts } of entries) {
    const model = read(entry, texts, findings);
    if (model === null) continue;
    if (models.has(model.id)) {
      findings.push(finding('duplicate_entry', 'the model is listed twice', model.id));
    } else {
      models.set(model.id, model);
    }
  }
  return { kind: 'catalogue', models: [...models.values()], findings };
}

/** A colon would be read as a suffix, and `*` stands for every model. */
export function isModelId(id: string): boolean {
  return (
    id !== '' &&
    id !== ANY_MODEL &&
    id.length <= ID_MAX_CHARS &&
    !id.includes(':') &&
    !/[\p{Cc}\p{Cs}\s]/u.test(id)
  );
}

export function isTokenCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) > 0 && (value as number) <= TOKENS_MAX;
}

export function finding(
  kind: CatalogueFinding['kind'],
  problem: string,
  model: string | null = null,
  provider: string | null = null,
): CatalogueFinding {
  return { kind, model, provider, unit: null, problem };
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Without NUL and half surrogate pairs, which PostgreSQL's jsonb refuses. */
export function storable(value: unknown): unknown {
  if (typeof value === 'string') return storableText(value);
  if (Array.isArray(value)) return value.map(storable);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [storableText(key), storable(one)]),
  );
}

function storableText(text: string): string {
  return text.replaceAll('\0', '').replace(/\p{Cs}/gu, '\u{fffd}');
}
