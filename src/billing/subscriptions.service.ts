import { Injectable } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import { effectiveAtOf, planAt, SEATS_MAX, type Plan, type PlanChange } from '../domain/plans.js';
import { periodBounds, periodOf } from '../domain/periods.js';
import type { Actor } from '../http/actor.js';
import { PlansRepository } from './plans.repository.js';
import { SubscriptionsRepository } from './subscriptions.repository.js';

export interface Subscription {
  readonly inForce: PlanChange;
  /** What the next period begins with, where it is something else. */
  readonly scheduled: PlanChange | null;
}

/** Plans, and which an account has from when. */
@Injectable()
export class SubscriptionsService {
  constructor(
    private readonly plans: PlansRepository,
    private readonly subscriptions: SubscriptionsRepository,
  ) {}

  async listPlans(): Promise<readonly Plan[]> {
    return this.plans.list();
  }

  /** @throws TollgateError invalid_request when there is no such plan. */
  async plan(slug: string): Promise<Plan> {
    const plans = await this.plans.list();
    const found = plans.find((plan) => plan.slug === slug);
    if (found !== undefined) return found;
    const known = plans.map((plan) => plan.slug).join(', ');
    throw new TollgateError(
      refusal('invalid_request', `plan: there is no plan ${slug}; there is ${known}.`, {
        param: 'plan',
      }),
    );
  }

  /** What a new account begins with. */
  async start(slug: string, seats: number, at: Date): Promise<PlanChange> {
    return { plan: await this.plan(slug), seats, effectiveAt: at };
  }

  async of(accountId: string, at: Date): Promise<Subscription> {
    return subscriptionOf(await this.subscriptions.changesOf(accountId), at);
  }

  /**
   * An upgrade takes effect at once, with its credit; a downgrade with the next period.
   *
   * @throws TollgateError invalid_request for an unknown plan or seats that cannot be.
   */
  async change(
    accountId: string,
    request: { readonly plan: string; readonly seats: number },
    actor: Actor,
    at: Date,
  ): Promise<Subscription> {
    const plan = await this.plan(request.plan);
    const { seats } = request;
    if (!Number.isInteger(seats) || seats < 1 || seats > SEATS_MAX) {
      throw new TollgateError(
        refusal('invalid_request', `seats: a whole number from 1 to ${SEATS_MAX}.`, {
          param: 'seats',
        }),
      );
    }
    const next = { plan, seats };
    const changes = await this.subscriptions.change(
      accountId,
      next,
      (current) => effectiveAtOf(current, next, at),
      actor,
      at,
    );
    return subscriptionOf(changes, at);
  }

  /** Lets the rows of accounts tell the plan that is in force by now. */
  async takeScheduled(at: Date): Promise<number> {
    return this.subscriptions.takeScheduled(at);
  }
}

function subscriptionOf(changes: readonly PlanChange[], at: Date): Subscription {
  const inForce = planAt(changes, at);
  if (inForce === null) throw new Error('billing: an account without a plan');
  const later = planAt(changes, periodBounds(periodOf(at)).end);
  return { inForce, scheduled: later === inForce ? null : later };
}
