import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn, IsOptional } from 'class-validator';
import { IsLine } from '../http/field-rules.js';
import { PageQuery } from '../http/pagination.js';
import { EVENT_STATES, type EventState, type Outcome, OUTCOMES } from './requests-query.js';
import { oneOfTexts, UsageFilterQuery } from './usage.dto.js';

const CLIENT_ID_MAX_CHARS = 256;
const STATE_RULE = { message: `must be one of: ${EVENT_STATES.join(', ')}` };

/** Narrows an account's requests. */
export class RequestsQuery extends UsageFilterQuery {
  @ApiPropertyOptional(oneOfTexts(EVENT_STATES))
  @IsOptional()
  @IsIn(EVENT_STATES, STATE_RULE)
  state?: EventState;

  @ApiPropertyOptional(oneOfTexts(OUTCOMES))
  @IsOptional()
  @IsIn(OUTCOMES, { message: `must be one of: ${OUTCOMES.join(', ')}` })
  outcome?: Outcome;

  @ApiPropertyOptional({
    type: String,
    description: 'What the caller sent as `X-Client-Request-Id`.',
  })
  @IsOptional()
  @IsLine(CLIENT_ID_MAX_CHARS)
  clientRequestId?: string;

  @ApiPropertyOptional({ type: String, description: 'What the caller sent as `X-HF-Session-id`.' })
  @IsOptional()
  @IsLine(CLIENT_ID_MAX_CHARS)
  sessionId?: string;
}

/** Narrows the requests of all accounts. */
export class RequestsByStateQuery extends PageQuery {
  @ApiPropertyOptional(oneOfTexts(EVENT_STATES))
  @IsOptional()
  @IsIn(EVENT_STATES, STATE_RULE)
  state?: EventState;
}

const USD = { type: String, nullable: true, example: '0.001234' } as const;
const COUNT = { type: 'integer', nullable: true } as const;
const TIME = { type: String, format: 'date-time', nullable: true } as const;
const TEXT = { type: String, nullable: true } as const;

/** The price of one unit of a request: `amountUsd` is quantity x price, whole pico-USD. */
export class PricedUnitAnswer {
  @ApiProperty({ type: String, description: 'Id of the price row.' })
  id!: string;

  @ApiProperty({ type: String, example: 'input' })
  unit!: string;

  @ApiProperty({ type: String, example: '1200' })
  quantity!: string;

  @ApiProperty({ type: String, example: '0.0000009', description: 'USD per `perUnits` units.' })
  priceUsd!: string;

  @ApiProperty({ type: String, example: '1' })
  perUnits!: string;

  @ApiProperty({ type: String, example: '0.00108' })
  amountUsd!: string;

  @ApiProperty({
    type: String,
    description: 'Unit of the price row: another than `unit` where the price was assumed.',
  })
  pricedAs!: string;

  @ApiProperty({ type: String, description: '`*`: the price of any model of the provider.' })
  model!: string;

  @ApiProperty({ ...TEXT, description: 'Tier of the price; null: the ordinary one.' })
  condition!: string | null;

  @ApiProperty({ enum: ['router_catalogue', 'provider_catalogue', 'manual', 'statement'] })
  source!: string;

  @ApiProperty({ type: String, format: 'date-time' })
  effectiveFrom!: string;

  @ApiProperty(TIME)
  effectiveTo!: string | null;
}

/** One call to a provider. */
export class AttemptAnswer {
  @ApiProperty({ type: String })
  upstream!: string;

  @ApiProperty(TEXT)
  provider!: string | null;

  @ApiProperty(TEXT)
  providerRequestId!: string | null;

  @ApiProperty(COUNT)
  status!: number | null;

  @ApiProperty(TEXT)
  error!: string | null;

  @ApiProperty({ type: 'integer' })
  durationMs!: number;
}

/** One admitted request: what it used and what it cost. Null: not known, which is never 0. */
export class UsageEventAnswer {
  @ApiProperty({ type: String, format: 'uuid', description: 'The `x-request-id` of its answer.' })
  id!: string;

  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    description: 'Fixes period, prices and limits.',
  })
  admittedAt!: string;

  @ApiProperty(TIME)
  servedAt!: string | null;

  @ApiProperty(TIME)
  settledAt!: string | null;

  @ApiProperty({ type: String, example: '2026-11' })
  period!: string;

  @ApiProperty({ enum: EVENT_STATES })
  state!: EventState;

  @ApiProperty({
    ...TEXT,
    description: "Slug of the organization that pays; null: a user's own account does.",
  })
  organization!: string | null;

  @ApiProperty({ ...TEXT, description: 'The user whose own account pays.' })
  userId!: string | null;

  @ApiProperty({ ...TEXT, format: 'uuid', description: 'Null: a token of a service.' })
  memberId!: string | null;

  @ApiProperty({ type: String, format: 'uuid' })
  tokenId!: string;

  @ApiProperty(TEXT)
  tokenName!: string | null;

  @ApiProperty({ type: 'object', additionalProperties: { type: 'string' }, nullable: true })
  tags!: Readonly<Record<string, string>> | null;

  @ApiProperty(TEXT)
  sessionId!: string | null;

  @ApiProperty(TEXT)
  clientRequestId!: string | null;

  @ApiProperty({ type: String })
  upstream!: string;

  @ApiProperty({ ...TEXT, description: 'Who really served it.' })
  provider!: string | null;

  @ApiProperty({ type: String })
  model!: string;

  @ApiProperty(TEXT)
  providerModelId!: string | null;

  @ApiProperty(TEXT)
  providerRequestId!: string | null;

  @ApiProperty({ type: String })
  task!: string;

  @ApiProperty({ type: Boolean })
  stream!: boolean;

  @ApiProperty({ ...COUNT, description: 'HTTP status of the answer.' })
  status!: number | null;

  @ApiProperty({ enum: OUTCOMES, nullable: true })
  outcome!: Outcome | null;

  @ApiProperty(COUNT)
  inputTokens!: number | null;

  @ApiProperty(COUNT)
  cachedInputTokens!: number | null;

  @ApiProperty(COUNT)
  outputTokens!: number | null;

  @ApiProperty(COUNT)
  reasoningTokens!: number | null;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string' },
    nullable: true,
    example: { compute_ms: '250' },
  })
  units!: Readonly<Record<string, string>> | null;

  @ApiProperty({ enum: ['provider', 'estimated', 'none'], nullable: true })
  usageSource!: string | null;

  @ApiProperty({ type: Boolean, nullable: true, description: 'A unit was priced as its parent.' })
  priceAssumed!: boolean | null;

  @ApiProperty({
    type: Boolean,
    nullable: true,
    description: "Served with the organization's own key.",
  })
  external!: boolean | null;

  @ApiProperty({ type: String, description: 'What was reserved at admission, USD.' })
  holdUsd!: string;

  @ApiProperty({ ...USD, description: 'What the account is charged.' })
  costUsd!: string | null;

  @ApiProperty(USD)
  creditUsd!: string | null;

  @ApiProperty(USD)
  payAsYouGoUsd!: string | null;

  @ApiProperty({ ...USD, description: 'Quantities x price rows.' })
  ratedCostUsd!: string | null;

  @ApiProperty({ ...USD, description: 'What we bear.' })
  absorbedUsd!: string | null;

  @ApiProperty({ ...USD, description: 'What the provider said.' })
  providerReportedCostUsd!: string | null;

  @ApiProperty(COUNT)
  firstByteMs!: number | null;

  @ApiProperty(COUNT)
  durationMs!: number | null;

  @ApiProperty({ type: [PricedUnitAnswer], description: 'Empty while there is no price.' })
  priceRows!: readonly PricedUnitAnswer[];

  @ApiProperty({ type: [AttemptAnswer], nullable: true })
  attempts!: readonly AttemptAnswer[] | null;
}

export class UsageEventPage {
  @ApiProperty({ type: [UsageEventAnswer] })
  data!: readonly UsageEventAnswer[];

  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}
