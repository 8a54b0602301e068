import type { SealedSecret } from '../config/secret-box.js';
import type { ProviderModelIds } from './provider-model-ids.js';
import { clientPrefixOf, KNOWN_PROVIDERS, type DirectKind } from './provider-routes.js';
import { readBaseUrl, withoutPrefix } from './base-url.js';

/** What the operator decided about a provider; null where the built-in table counts. */
export interface ProviderSettings {
  readonly slug: string;
  readonly isEnabled: boolean;
  /** Set: it is called directly, as an upstream of its own. */
  readonly kind: DirectKind | null;
  /** null: the one that is known of it. */
  readonly baseUrl: string | null;
  readonly apiKey: SealedSecret | null;
  readonly cost: 'price_book' | 'cost_api';
  readonly costApiUrl: string | null;
  readonly onClientGone: 'drain' | 'abort' | null;
  readonly streamUsage: 'ask' | 'never' | null;
  readonly maxOutputField: string | null;
  readonly rejects: readonly string[] | null;
  readonly modelIds: ProviderModelIds | null;
}

/** What is left out stays as it is. */
export interface ProviderChange {
  readonly isEnabled?: boolean | undefined;
  readonly kind?: DirectKind | null | undefined;
  readonly baseUrl?: string | null | undefined;
  /** Sealed already; null: forgotten. */
  readonly apiKey?: SealedSecret | null | undefined;
  readonly cost?: ProviderSettings['cost'] | undefined;
  readonly costApiUrl?: string | null | undefined;
  readonly onClientGone?: ProviderSettings['onClientGone'] | undefined;
  readonly streamUsage?: ProviderSettings['streamUsage'] | undefined;
  readonly maxOutputField?: string | null | undefined;
  readonly rejects?: readonly string[] | null | undefined;
  readonly modelIds?: ProviderModelIds | null | undefined;
}

export type ProviderDecision =
  | { readonly kind: 'settings'; readonly settings: ProviderSettings }
  | { readonly kind: 'refused'; readonly field: string; readonly problem: string };

/** A provider that nobody decided anything about. */
export function untouchedProvider(slug: string): ProviderSettings {
  return {
    slug,
    isEnabled: true,
    kind: null,
    baseUrl: null,
    apiKey: null,
    cost: 'price_book',
    costApiUrl: null,
    onClientGone: null,
    streamUsage: null,
    maxOutputField: null,
    rejects: null,
    modelIds: null,
  };
}

/** What a sealed key of the operator's belongs to. */
export function providerKeyOwner(slug: string): string {
  return `provider key:${slug}`;
}

/** What a sealed key of an account's own belongs to. */
export function accountKeyOwner(accountId: string, provider: string): string {
  return `account provider key:${accountId}:${provider}`;
}

/** Where a direct upstream is called; null: nobody said, and it is not known. */
export function baseUrlOf({
  slug,
  baseUrl,
}: Pick<ProviderSettings, 'slug' | 'baseUrl'>): string | null {
  return baseUrl ?? KNOWN_PROVIDERS.get(slug)?.baseUrl ?? null;
}

/**
 * Whether calls can be made with what the operator gave. A server at an address of the operator's
 * own may need no key; one on the internet that we know does.
 */
export function canBeCalled(settings: {
  readonly slug: string;
  readonly baseUrl: string | null;
  readonly hasKey: boolean;
}): boolean {
  return settings.hasKey || (settings.baseUrl !== null && !isKnownUrl(settings));
}

function isKnownUrl({
  slug,
  baseUrl,
}: {
  readonly slug: string;
  readonly baseUrl: string | null;
}): boolean {
  return KNOWN_PROVIDERS.get(slug)?.baseUrl === baseUrl;
}

/**
 * The settings after a change. A key or an address makes the provider an upstream; `kind: null` ends
 * that and forgets both.
 *
 * @param allowedHosts that may be private although they were entered here.
 */
export function changedProvider(
  current: ProviderSettings,
  change: ProviderChange,
  allowedHosts: readonly string[],
): ProviderDecision {
  const kind = kindAfter(current, change);
  if (kind === null && change.kind === null) {
    if (typeof change.baseUrl === 'string') return refused('baseUrl', NEEDS_KIND);
    if (change.apiKey !== null && change.apiKey !== undefined) return refused('apiKey', NEEDS_KIND);
  }
  let baseUrl = kind === null ? null : current.baseUrl;
  if (kind !== null && change.baseUrl !== undefined) {
    baseUrl = null;
    if (change.baseUrl !== null) {
      const reading = readBaseUrl(change.baseUrl, allowedHosts);
      if (reading.kind === 'refused') return refused('baseUrl', reading.problem);
      baseUrl = withoutPrefix(reading.baseUrl, clientPrefixOf(kind, current.slug));
    }
  }
  if (kind !== null && baseUrlOf({ slug: current.slug, baseUrl }) === null) {
    return refused('baseUrl', `is needed: it is not known where ${current.slug} is`);
  }
  const { costApiUrl = current.costApiUrl, cost = current.cost } = change;
  if (typeof change.costApiUrl === 'string') {
    const reading = readBaseUrl(change.costApiUrl, allowedHosts);
    if (reading.kind === 'refused') return refused('costApiUrl', reading.problem);
  }
  if (cost === 'cost_api' && costApiUrl === null) {
    return refused('costApiUrl', 'is needed where cost is cost_api');
  }
  const {
    isEnabled = current.isEnabled,
    apiKey = current.apiKey,
    onClientGone = current.onClientGone,
    streamUsage = current.streamUsage,
    maxOutputField = current.maxOutputField,
    rejects = current.rejects,
    modelIds = current.modelIds,
  } = change;
  return {
    kind: 'settings',
    settings: {
      slug: current.slug,
      isEnabled,
      kind,
      baseUrl,
      apiKey: kind === null ? null : apiKey,
      cost,
      costApiUrl,
      onClientGone,
      streamUsage,
      maxOutputField,
      rejects,
      modelIds,
    },
  };
}

const NEEDS_KIND = 'is for a provider that is called directly: kind must not be null';

function kindAfter(current: ProviderSettings, change: ProviderChange): DirectKind | null {
  if (change.kind !== undefined) return change.kind;
  if (current.kind !== null) return current.kind;
  const isGiven = typeof change.baseUrl === 'string' || (change.apiKey ?? null) !== null;
  return isGiven ? (KNOWN_PROVIDERS.get(current.slug)?.kind ?? 'openai_compatible') : null;
}

function refused(field: string, problem: string): ProviderDecision {
  return { kind: 'refused', field, problem };
}
