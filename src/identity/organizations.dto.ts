import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, IsInt, Matches, Max, Min } from 'class-validator';
import { formatUsd, parseUsd } from '../domain/money.js';
import {
  IsLine,
  IsUsdAmount,
  MayBeAbsent,
  MayBeAbsentOrNull,
  NotReserved,
  OrNull,
} from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { LimitsRequest } from './limit-change.js';
import {
  PLANS,
  type AccountLimits,
  type ScheduledPlan,
  type Organization,
  type OrganizationChange,
  type Plan,
} from './organization.js';

const SEATS_MAX = 100_000;
const RATE_MAX = 1_000_000_000;
const SEATS_RULE = { message: `must be a whole number from 1 to ${SEATS_MAX}` };
const RATE_RULE = { message: `must be a whole number from 0 to ${RATE_MAX}, or null for no limit` };
const PLAN_RULE = { message: `must be one of: ${PLANS.join(', ')}` };

export class CreateOrganization {
  @ApiProperty({ type: String, maxLength: 200 })
  @IsLine()
  name!: string;

  @ApiProperty({ type: String, pattern: '^[a-z0-9-]{2,40}$', description: 'Never changes.' })
  @NotReserved()
  @Matches(/^[a-z0-9-]{2,40}$/, { message: 'must be 2 to 40 of: a-z, 0-9, -' })
  slug!: string;

  @ApiProperty({ enum: PLANS })
  @IsIn(PLANS, PLAN_RULE)
  plan!: Plan;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: SEATS_MAX, default: 1 })
  @MayBeAbsent()
  @Max(SEATS_MAX, SEATS_RULE)
  @Min(1, SEATS_RULE)
  @IsInt(SEATS_RULE)
  seats?: number;
}

export class UpdateOrganization {
  @ApiPropertyOptional({ type: String, maxLength: 200 })
  @MayBeAbsent()
  @IsLine()
  name?: string;

  @ApiPropertyOptional({ enum: PLANS })
  @MayBeAbsent()
  @IsIn(PLANS, PLAN_RULE)
  plan?: Plan;

  @ApiPropertyOptional({ type: 'integer', minimum: 1, maximum: SEATS_MAX })
  @MayBeAbsent()
  @Max(SEATS_MAX, SEATS_RULE)
  @Min(1, SEATS_RULE)
  @IsInt(SEATS_RULE)
  seats?: number;
}

export class SetLimits {
  @ApiProperty({
    type: String,
    nullable: true,
    example: '50.00',
    description: 'Of pay-as-you-go, a month; null: none (operator).',
  })
  @OrNull()
  @IsUsdAmount()
  monthlySpendLimitUsd!: string | null;

  @ApiProperty({ type: Boolean })
  @IsBoolean({ message: 'must be true or false' })
  payAsYouGo!: boolean;

  @ApiPropertyOptional({ type: 'integer', nullable: true, minimum: 0 })
  @MayBeAbsentOrNull()
  @Max(RATE_MAX, RATE_RULE)
  @Min(0, RATE_RULE)
  @IsInt(RATE_RULE)
  requestsPerMinute?: number | null;

  @ApiPropertyOptional({ type: 'integer', nullable: true, minimum: 0 })
  @MayBeAbsentOrNull()
  @Max(RATE_MAX, RATE_RULE)
  @Min(0, RATE_RULE)
  @IsInt(RATE_RULE)
  requestsPerDay?: number | null;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    description: 'Only the operator sets it, or goes past it.',
  })
  @MayBeAbsentOrNull()
  @IsUsdAmount()
  maxSpendLimitUsd?: string | null;
}

export class LimitsView {
  @ApiProperty({ type: String, nullable: true })
  monthlySpendLimitUsd!: string | null;
  @ApiProperty({ type: Boolean })
  payAsYouGo!: boolean;
  @ApiProperty({ type: String, nullable: true })
  maxSpendLimitUsd!: string | null;
  @ApiProperty({ type: 'integer', nullable: true })
  requestsPerMinute!: number | null;
  @ApiProperty({ type: 'integer', nullable: true })
  requestsPerDay!: number | null;
}

export class ScheduledPlanView {
  @ApiProperty({ enum: PLANS })
  plan!: Plan;
  @ApiProperty({ type: 'integer' })
  seats!: number;
  @ApiProperty({ type: String, format: 'date-time' })
  effectiveAt!: string;
}

export class OrganizationView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  slug!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty({ enum: PLANS })
  plan!: Plan;
  @ApiProperty({ type: 'integer' })
  seats!: number;
  @ApiProperty({
    type: ScheduledPlanView,
    nullable: true,
    description: 'A downgrade takes effect with the next month.',
  })
  scheduled!: ScheduledPlanView | null;
  @ApiProperty({ type: LimitsView })
  limits!: LimitsView;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
}

export class OrganizationsPage {
  @ApiProperty({ type: [OrganizationView] })
  data!: readonly OrganizationView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function viewOfOrganization(organization: Organization): Plain<OrganizationView> {
  const { id, slug, name, plan, seats, scheduled, limits, createdAt } = organization;
  return {
    id,
    slug,
    name,
    plan,
    seats,
    scheduled: viewOfScheduled(scheduled),
    limits: viewOfLimits(limits),
    createdAt: createdAt.toISOString(),
  };
}

export function viewOfScheduled(scheduled: ScheduledPlan | null): Plain<ScheduledPlanView> | null {
  return scheduled === null
    ? null
    : { ...scheduled, effectiveAt: scheduled.effectiveAt.toISOString() };
}

export function viewOfLimits(limits: AccountLimits): Plain<LimitsView> {
  return {
    monthlySpendLimitUsd: usdText(limits.monthlySpendLimitPicoUsd),
    payAsYouGo: limits.isPayAsYouGo,
    maxSpendLimitUsd: usdText(limits.maxSpendLimitPicoUsd),
    requestsPerMinute: limits.requestsPerMinute,
    requestsPerDay: limits.requestsPerDay,
  };
}

/** A part that was left out stays out: it changes nothing. */
export function organizationChangeOf({
  name,
  plan,
  seats,
}: UpdateOrganization): OrganizationChange {
  return {
    ...(name === undefined ? {} : { name }),
    ...(plan === undefined ? {} : { plan }),
    ...(seats === undefined ? {} : { seats }),
  };
}

export function limitsRequestOf(body: SetLimits): LimitsRequest {
  const { requestsPerMinute, requestsPerDay, maxSpendLimitUsd } = body;
  return {
    monthlySpendLimitPicoUsd: picoUsdOf(body.monthlySpendLimitUsd),
    isPayAsYouGo: body.payAsYouGo,
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
    ...(requestsPerDay === undefined ? {} : { requestsPerDay }),
    ...(maxSpendLimitUsd === undefined
      ? {}
      : { maxSpendLimitPicoUsd: picoUsdOf(maxSpendLimitUsd) }),
  };
}

/** Null is no limit; text was checked by `IsUsdAmount`. */
export function picoUsdOf(text: string | null): bigint | null {
  if (text === null) return null;
  const amount = parseUsd(text);
  if (amount === null) throw new Error('an amount was not checked by its DTO');
  return amount;
}

export function usdText(amount: bigint | null): string | null {
  return amount === null ? null : formatUsd(amount);
}
