import type { AccountRouting, HealthView, ModelOffers } from '../domain/routing-offers.js';
import { rendezvous, type TokenEstimate } from '../domain/routing-order.js';
import { policyOf, routesFor, stickyProviders } from '../domain/routing.js';
import type {
  AskedModel,
  NotSupported,
  Resolution,
  RouteAsk,
  RoutingPolicy,
} from '../domain/routing-ask.js';
import type { Health } from './health.js';

/** After a failed provider's time is over, so often one request finds out whether it serves again. */
const TRIAL_EVERY_MS = 1_000;

/** What is said for as long as the health of the routes is the same. */
interface Answers {
  readonly healthVersion: number;
  readonly plain: Resolution;
  /** Some route may be tried again: it comes last in `plain`, and where it belongs in a trial. */
  readonly hasTrial: boolean;
  nextTrialMs: number;
  /** By the provider that a sticky key chose; made when it is first chosen. */
  readonly byFirst: Map<string, Resolution>;
  /** Made when the first sticky key comes. */
  sticky: readonly string[] | null;
}

/** One text, task and set of settings between two changes of prices, with what was answered. */
export class RoutePlan {
  private answers: Answers | null = null;
  private readonly isByEstimate: boolean;

  constructor(
    private readonly asked: AskedModel,
    private readonly entry: ModelOffers | NotSupported,
    private readonly routing: AccountRouting | null,
    private readonly policy: RoutingPolicy,
    private readonly health: Health,
  ) {
    const chosen = policyOf(asked, routing);
    this.isByEstimate =
      policy.cheapestBy === 'total' && chosen.kind === 'policy' && chosen.policy === 'cheapest';
  }

  resolve({ at, account, stickyKey, estimate }: RouteAsk): Resolution {
    const { entry } = this;
    if (isRefusal(entry)) return entry;
    const healthVersion = this.health.versionAt(at);
    let { answers } = this;
    if (answers?.healthVersion !== healthVersion) {
      answers = this.answersAt(at, healthVersion, entry);
      this.answers = answers;
    }
    if (answers.hasTrial && at.getTime() >= answers.nextTrialMs) {
      answers.nextTrialMs = at.getTime() + TRIAL_EVERY_MS;
      return this.routesAt(at, entry, { allowsTrials: true, estimate, first: null });
    }
    if (stickyKey !== null) {
      const first = this.stickyFirst(answers, at, entry, account?.id ?? '', stickyKey);
      if (first !== null) return this.stickyTo(first, answers, at, entry);
    }
    if (!this.isByEstimate || estimate === null || isChosenElsewhere(answers.plain)) {
      return answers.plain;
    }
    return this.routesAt(at, entry, { allowsTrials: false, estimate, first: null });
  }

  private answersAt(at: Date, healthVersion: number, entry: ModelOffers): Answers {
    const plain = this.routesAt(at, entry, { allowsTrials: false, estimate: null, first: null });
    const hasTrial = entry.offers.some(
      ({ upstream, provider }) =>
        this.health.healthOf(upstream, provider, entry.model, at) === 'trial',
    );
    return {
      healthVersion,
      plain,
      hasTrial: hasTrial && plain.kind === 'routes' && plain.routes.length > 1,
      nextTrialMs: this.answers?.nextTrialMs ?? -Infinity,
      byFirst: new Map(),
      sticky: null,
    };
  }

  private stickyFirst(
    answers: Answers,
    at: Date,
    entry: ModelOffers,
    accountId: string,
    stickyKey: string,
  ): string | null {
    answers.sticky ??= stickyProviders(this.asked, entry, {
      policy: this.policy,
      account: this.routing,
      health: this.viewAt(at, entry.model, false),
      estimate: null,
      first: null,
    });
    return rendezvous(`${accountId}\n${stickyKey}\n${entry.model}`, answers.sticky);
  }

  private stickyTo(first: string, { byFirst }: Answers, at: Date, entry: ModelOffers): Resolution {
    let resolution = byFirst.get(first);
    if (resolution === undefined) {
      resolution = this.routesAt(at, entry, { allowsTrials: false, estimate: null, first });
      byFirst.set(first, resolution);
    }
    return resolution;
  }

  private routesAt(
    at: Date,
    entry: ModelOffers,
    how: {
      readonly allowsTrials: boolean;
      readonly estimate: TokenEstimate | null;
      readonly first: string | null;
    },
  ): Resolution {
    return routesFor(this.asked, entry, {
      policy: this.policy,
      account: this.routing,
      health: this.viewAt(at, entry.model, how.allowsTrials),
      estimate: how.estimate,
      first: how.first,
    });
  }

  private viewAt(at: Date, model: string, allowsTrials: boolean): HealthView {
    return {
      isHealthy: (upstream, provider) => {
        const found = this.health.healthOf(upstream, provider, model, at);
        return found === 'healthy' || (allowsTrials && found === 'trial');
      },
      throughput: (upstream, provider) =>
        this.health.measured(upstream, provider, model).throughput,
    };
  }
}

function isRefusal(entry: ModelOffers | NotSupported): entry is NotSupported {
  return 'kind' in entry;
}

/** The router chooses, or nobody does: what the request would cost changes nothing. */
function isChosenElsewhere(resolution: Resolution): boolean {
  return resolution.kind === 'not_supported' || resolution.routes[0]?.provider === null;
}
