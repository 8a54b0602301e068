import { DEFAULT_UPSTREAM, type Catalog, type Route } from '../../catalog/catalog.js';
import type { UpstreamDirectoryService } from '../../catalog/upstream-directory.service.js';
import type { Config } from '../../config/config.js';
import { refusal, type Refusal } from '../../domain/errors.js';
import { rowsInForce, type PriceRow, type RowsByUnit } from '../../domain/pricing.js';
import type { Identity } from '../../identity/identity.js';
import type { MatchedRoute } from './match.js';

export interface PassResolution {
  readonly kind: 'routes';
  readonly model: string;
  readonly routes: readonly Route[];
}

/**
 * Who serves a request to a provider's own route: that provider and nobody else. Under the
 * organization's own key where it has one, else directly where the operator calls it directly, else
 * through the router.
 */
export class PassRouting {
  constructor(
    private readonly config: Config,
    private readonly catalog: Catalog,
    private readonly directory: UpstreamDirectoryService,
  ) {}

  /** @param bodyModel the `model` of the body; null: it has none. */
  resolve(
    pass: MatchedRoute,
    bodyModel: string | null,
    { routing }: Identity,
    at: Date,
  ): PassResolution | Refusal {
    const { provider, route } = pass;
    const named = route.model === 'path' ? pass.model : bodyModel;
    if (named === null) {
      return refusal('invalid_request', '`model` must be a non-empty string.', { param: 'model' });
    }
    const isNamedTwice = route.model === 'path' && bodyModel !== null && isText(pass);
    if (isNamedTwice && bodyModel !== named) {
      const message = '`model` must be the model that the path names.';
      return refusal('invalid_request', message, { param: 'model' });
    }
    if (routing?.disabled.has(provider) === true) {
      return refusal(
        'provider_disabled',
        `The provider \`${provider}\` is switched off for this account.`,
      );
    }
    // Also where its key cannot be opened: what it has a contract for is never called at our cost.
    const isExternal = routing?.ownKeys.has(provider) === true;
    const isDirect = isExternal || this.directory.names().includes(provider);
    const upstream = isDirect ? provider : DEFAULT_UPSTREAM;
    const behaviour = this.catalog.behaviourAt(upstream, provider);
    if (behaviour === null) {
      return refusal('provider_disabled', `The provider \`${provider}\` is switched off here.`);
    }
    const model = this.modelOf(upstream, provider, named);
    const prices = this.pricesOf(upstream, provider, model, at);
    if (prices.length === 0 && !isExternal && this.config.unpricedModels === 'reject') {
      return refusal(
        'model_not_supported',
        `The model \`${model}\` has no price at \`${provider}\`, so it cannot be billed.`,
        { param: 'model', details: { reason: 'unpriced', closest: [], servedBy: [] } },
      );
    }
    const served: Route = {
      upstream,
      provider,
      modelSent: bodyModel ?? '',
      path: pass.path,
      candidates: [{ provider, contextLength: null, prices }],
      behaviour: {
        ...behaviour,
        // Cut off before its answer, a job would run on without anybody knowing of it.
        onClientGone: route.role === 'submit' ? 'drain' : behaviour.onClientGone,
        // The caller chose the provider: what that one refuses is the caller's to hear.
        rejects: [],
      },
      isExternal,
    };
    return { kind: 'routes', model, routes: [served] };
  }

  /** On its own routes a provider's models bear its own names; prices may be known under ours. */
  private modelOf(upstream: string, provider: string, named: string): string {
    const isPricedSo = this.catalog
      .priceRows(upstream, provider)
      .some(({ model }) => model === named);
    return isPricedSo ? named : this.catalog.idOf(provider, named);
  }

  /** The rows that may be in force at admission, one map per condition and instant. */
  private pricesOf(
    upstream: string,
    provider: string,
    model: string,
    at: Date,
  ): readonly RowsByUnit[] {
    const rows = this.catalog.priceRows(upstream, provider);
    const conditions = new Set<string | null>(rows.map(({ condition }: PriceRow) => condition));
    const instants = [at, new Date(at.getTime() + this.config.admitWaitMaxMs)];
    return [...conditions]
      .flatMap((condition) =>
        instants.map((instant) => rowsInForce(rows, { model, condition, at: instant })),
      )
      .filter((inForce) => inForce.size > 0);
  }
}

/** Where a server may take the model from the body although the path names one. */
function isText({ task }: MatchedRoute): boolean {
  return task === 'chat' || task === 'completion';
}
