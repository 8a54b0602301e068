import type { Route } from '../catalog/catalog.js';
import type { Config } from '../config/config.js';
import { holdRequestOf, type HoldRequest } from '../domain/admission.js';
import { statedQuantities } from '../domain/media.js';
import {
  HOLD_CONSTANTS,
  worstCaseOf,
  type HoldConstants,
  type PricedRoute,
} from '../domain/worst-case.js';
import type { RoutedRequest } from './call.js';

/** What admission holds for a request. */
export class Holds {
  private readonly constants: HoldConstants;
  private readonly pricedRoutes = new WeakMap<readonly Route[], readonly PricedRoute[]>();

  constructor(config: Config) {
    this.constants = {
      ...HOLD_CONSTANTS,
      defaultOutputTokens: config.holdDefaultOutputTokens,
      unknownPicoUsd: config.holdUnknownPicoUsd,
      unpricedPicoUsd: config.unpricedHoldPicoUsd,
    };
  }

  of({ endpoint, facts, routes, media }: RoutedRequest): HoldRequest {
    const { output } = endpoint;
    return holdRequestOf(
      worstCaseOf(
        {
          facts: facts.input,
          outputs: facts.outputs,
          // A bound that is not ours to write is taken as the caller's: never lowered, never sent.
          callerMaxOutputTokens:
            output.kind === 'fixed' ? output.tokens : facts.callerMaxOutputTokens,
          routes: endpoint.isCharged ? this.pricedRoutesOf(routes) : FREE,
          stated: statedQuantities(endpoint.task, media, this.constants),
        },
        this.constants,
      ),
    );
  }

  private pricedRoutesOf(routes: readonly Route[]): readonly PricedRoute[] {
    let priced = this.pricedRoutes.get(routes);
    if (priced === undefined) {
      priced = pricedRoutesOf(routes);
      this.pricedRoutes.set(routes, priced);
    }
    return priced;
  }
}

const FREE: readonly PricedRoute[] = [
  {
    contextLength: null,
    prices: new Map([['request', { picoUsd: 0n, perUnits: 1n }]]),
  },
];

/** One entry per provider and set of prices that may apply; routes to one offer share its candidate. */
function pricedRoutesOf(routes: readonly Route[]): readonly PricedRoute[] {
  const candidates = new Set(routes.flatMap((route) => route.candidates));
  return [...candidates].flatMap(({ contextLength, prices }): PricedRoute[] =>
    prices.length === 0
      ? [{ contextLength, prices: new Map() }]
      : prices.map((rows) => ({ contextLength, prices: rows })),
  );
}
