import { ApiProperty } from '@nestjs/swagger';
import { formatUsd } from '../domain/money.js';
import type { Plan } from '../domain/plans.js';
import type { Plain } from '../http/plain.js';
import type { Subscription } from './subscriptions.service.js';

export class PlanView {
  @ApiProperty({ type: String, example: 'pro' })
  slug!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty({ type: String, description: 'A month; of a seat where `perSeat`.' })
  priceUsd!: string;
  @ApiProperty({ type: String, description: 'A month; of a seat where `perSeat`.' })
  creditUsd!: string;
  @ApiProperty({ type: Boolean })
  perSeat!: boolean;
  @ApiProperty({ type: Boolean, description: 'Whether a new account begins with it.' })
  payAsYouGo!: boolean;
}

export class PlansPage {
  @ApiProperty({ type: [PlanView] })
  data!: readonly PlanView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export class ScheduledPlanView {
  @ApiProperty({ type: String })
  plan!: string;
  @ApiProperty({ type: 'integer' })
  seats!: number;
  @ApiProperty({ type: String, format: 'date-time' })
  effectiveAt!: string;
}

export class SubscriptionView {
  @ApiProperty({ type: String, example: 'team' })
  plan!: string;
  @ApiProperty({ type: 'integer' })
  seats!: number;
  @ApiProperty({ type: ScheduledPlanView, nullable: true, description: 'What is to come.' })
  scheduled!: ScheduledPlanView | null;
}

export function viewOfPlan(plan: Plan): Plain<PlanView> {
  return {
    slug: plan.slug,
    name: plan.name,
    priceUsd: formatUsd(plan.pricePicoUsd),
    creditUsd: formatUsd(plan.creditPicoUsd),
    perSeat: plan.isPerSeat,
    payAsYouGo: plan.isPayAsYouGoDefault,
  };
}

export function viewOfSubscription({ inForce, scheduled }: Subscription): Plain<SubscriptionView> {
  return {
    plan: inForce.plan.slug,
    seats: inForce.seats,
    scheduled:
      scheduled === null
        ? null
        : {
            plan: scheduled.plan.slug,
            seats: scheduled.seats,
            effectiveAt: scheduled.effectiveAt.toISOString(),
          },
  };
}
