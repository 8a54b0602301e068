import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Allow, IsIn, Matches } from 'class-validator';
import {
  formatUsd,
  isPublishedUnit,
  priceFromUsdPerMillion,
  priceFromUsdPerUnit,
  PRICE_MAX_USD,
  type PriceQuote,
  type UnitPrice,
} from '../domain/money.js';
import { ANY_MODEL, conditionOf, type PriceRow } from '../domain/pricing.js';
import { isUnit, type Unit } from '../domain/units.js';
import { IsInstant, IsLine, MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import { PageQuery } from '../http/pagination.js';
import { invalidField } from '../http/validation.pipe.js';
import { DEFAULT_UPSTREAM } from './catalog.js';
import type { PendingPrice } from './price-plan.js';
import type { SyncReport } from './price-sync.service.js';
import type { ListedPending, ListedPrice } from './prices.repository.js';
import type { PriceRequest } from './prices.service.js';

const SOURCES = ['manual', 'statement', 'provider_catalogue', 'router_catalogue'] as const;
const MODEL_MAX_CHARS = 256;
const CONDITION_MAX_CHARS = 64;
const SLUG = /^[a-z0-9-]{2,40}$/;
const SLUG_RULE = { message: 'must be a slug: 2 to 40 of a-z, 0-9 and "-"' };

export class PricesQuery extends PageQuery {
  @ApiPropertyOptional({ type: String })
  @MayBeAbsent()
  @IsLine()
  upstream?: string;

  @ApiPropertyOptional({ type: String })
  @MayBeAbsent()
  @IsLine()
  provider?: string;

  @ApiPropertyOptional({ type: String, description: '`*`: rows for any model.' })
  @MayBeAbsent()
  @IsLine(MODEL_MAX_CHARS)
  model?: string;

  @ApiPropertyOptional({
    type: String,
    format: 'date-time',
    description: 'Rows in force at this instant; without it every row, past and future.',
  })
  @MayBeAbsent()
  @IsInstant()
  at?: string;
}

export class CreatePrice {
  @ApiPropertyOptional({ type: String, default: DEFAULT_UPSTREAM })
  @MayBeAbsent()
  @Matches(SLUG, SLUG_RULE)
  upstream?: string;

  @ApiProperty({ type: String })
  @Matches(SLUG, SLUG_RULE)
  provider!: string;

  @ApiProperty({ type: String, description: '`*`: any model without a row of its own.' })
  @IsLine(MODEL_MAX_CHARS)
  model!: string;

  @ApiProperty({
    type: String,
    description:
      'A unit of quantity, or megapixel, compute_second, gpu_second, video_second, audio_second|minute|hour.',
  })
  @IsLine()
  unit!: string;

  @ApiPropertyOptional({ type: String, nullable: true, description: 'Service tier or batch.' })
  @MayBeAbsentOrNull()
  @IsLine(CONDITION_MAX_CHARS)
  condition?: string | null;

  @ApiPropertyOptional({ type: String, example: '0.90', description: 'This or usdPerUnit.' })
  @Allow()
  usdPerMillion?: unknown;

  @ApiPropertyOptional({ type: String, example: '0.025', description: 'This or usdPerMillion.' })
  @Allow()
  usdPerUnit?: unknown;

  @ApiPropertyOptional({
    type: String,
    format: 'date-time',
    description:
      'Without it as soon as possible; a row that replaces another starts 2 s ahead at the earliest.',
  })
  @MayBeAbsent()
  @IsInstant()
  effectiveFrom?: string;

  @ApiPropertyOptional({ enum: SOURCES, default: 'manual' })
  @MayBeAbsent()
  @IsIn(SOURCES, { message: `must be one of: ${SOURCES.join(', ')}` })
  source?: PriceRow['source'];
}

export class PriceView {
  @ApiProperty({ type: String })
  id!: string;
  @ApiProperty({ type: String })
  upstream!: string;
  @ApiProperty({ type: String })
  provider!: string;
  @ApiProperty({ type: String })
  model!: string;
  @ApiProperty({ type: String })
  unit!: string;
  @ApiProperty({ type: String, nullable: true })
  condition!: string | null;
  @ApiProperty({ type: String, description: 'USD for `perUnits` units, exact.' })
  priceUsd!: string;
  @ApiProperty({ type: String })
  perUnits!: string;
  @ApiProperty({ type: String, nullable: true, description: 'null where it is not exact.' })
  usdPerMillion!: string | null;
  @ApiProperty({ type: String, format: 'date-time' })
  effectiveFrom!: string;
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  effectiveTo!: string | null;
  @ApiProperty({ enum: SOURCES })
  source!: PriceRow['source'];
}

export class ListedPriceView extends PriceView {
  @ApiProperty({ type: String, format: 'date-time' })
  importedAt!: string;
  @ApiProperty({ type: Boolean, description: 'The catalogue no longer states it.' })
  isStale!: boolean;
}

export class PricesPage {
  @ApiProperty({ type: [ListedPriceView] })
  data!: readonly ListedPriceView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export class PendingPriceView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  upstream!: string;
  @ApiProperty({ type: String })
  provider!: string;
  @ApiProperty({ type: String })
  model!: string;
  @ApiProperty({ type: String })
  unit!: string;
  @ApiProperty({ type: String, nullable: true })
  condition!: string | null;
  @ApiProperty({ type: String })
  priceUsd!: string;
  @ApiProperty({ type: String })
  perUnits!: string;
  @ApiProperty({ type: String, nullable: true })
  usdPerMillion!: string | null;
  @ApiProperty({ enum: SOURCES })
  source!: PriceRow['source'];
  @ApiProperty({ enum: ['large_change', 'to_or_from_zero', 'differs_from_manual'] })
  reason!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
  @ApiProperty({ type: String, nullable: true, enum: ['approved', 'rejected', 'superseded'] })
  decision!: string | null;
}

export class ListedPendingView extends PendingPriceView {
  @ApiProperty({ type: PriceView, nullable: true, description: 'The row in force.' })
  current!: PriceView | null;
}

export class PendingPricesPage {
  @ApiProperty({ type: [ListedPendingView] })
  data!: readonly ListedPendingView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export class SyncFailureView {
  @ApiProperty({ type: String })
  upstream!: string;
  @ApiProperty({ type: String })
  problem!: string;
}

export class SyncFindingView {
  @ApiProperty({ type: String })
  upstream!: string;
  @ApiProperty({ enum: ['malformed_entry', 'duplicate_entry', 'price_refused'] })
  kind!: string;
  @ApiProperty({ type: String, nullable: true })
  model!: string | null;
  @ApiProperty({ type: String, nullable: true })
  provider!: string | null;
  @ApiProperty({ type: String, nullable: true })
  unit!: string | null;
  @ApiProperty({ type: String })
  problem!: string;
}

export class SyncView {
  @ApiProperty({ type: Number })
  models!: number;
  @ApiProperty({ type: Number })
  routes!: number;
  @ApiProperty({ type: Number })
  pricesAdded!: number;
  @ApiProperty({ type: Number })
  pricesEnded!: number;
  @ApiProperty({ type: Number })
  pricesPending!: number;
  @ApiProperty({ type: Number })
  pricesStale!: number;
  @ApiProperty({ type: [SyncFindingView], description: 'The first 100.' })
  findings!: readonly SyncFindingView[];
  @ApiProperty({
    type: [SyncFailureView],
    description: 'Upstreams whose catalogue was not taken over.',
  })
  failures!: readonly SyncFailureView[];
}

const FINDINGS_SHOWN_MAX = 100;

/** @throws TollgateError invalid_request for what the fields say together. */
export function priceRequestOf(body: CreatePrice): PriceRequest {
  if (body.model !== ANY_MODEL && (body.model.includes(':') || body.model.includes('*'))) {
    throw invalidField('model', 'must be a model id without a suffix, or "*" for any model');
  }
  const condition = body.condition ?? null;
  if (condition !== null && conditionOf(condition, null) === null) {
    throw invalidField('condition', 'names the ordinary tier: leave it out');
  }
  return {
    upstream: body.upstream ?? DEFAULT_UPSTREAM,
    provider: body.provider,
    model: body.model,
    condition,
    ...quoteOf(body),
    source: body.source ?? 'manual',
    effectiveFrom: body.effectiveFrom === undefined ? null : new Date(body.effectiveFrom),
  };
}

function quoteOf(body: CreatePrice): UnitPrice & { readonly unit: Unit } {
  const { unit, usdPerMillion, usdPerUnit } = body;
  if (!isPublishedUnit(unit))
    throw invalidField('unit', 'is no unit that a price can be quoted in');
  if ((usdPerMillion === undefined) === (usdPerUnit === undefined)) {
    throw invalidField('usdPerMillion', 'or usdPerUnit must be given, and only one of them');
  }
  if (usdPerUnit !== undefined) {
    const quote = priceFromUsdPerUnit(amountText('usdPerUnit', usdPerUnit), unit);
    return acceptedQuote('usdPerUnit', quote);
  }
  if (!isUnit(unit)) {
    throw invalidField('usdPerMillion', `is not taken for ${unit}: use usdPerUnit`);
  }
  const quote = priceFromUsdPerMillion(amountText('usdPerMillion', usdPerMillion));
  return { ...acceptedQuote('usdPerMillion', quote), unit };
}

function amountText(field: string, value: unknown): string {
  if (typeof value === 'string') return value;
  const problem =
    typeof value === 'number'
      ? `must be a decimal string: write "${value.toString()}" in quotes, a JSON number may lose digits`
      : 'must be an amount of USD as a decimal string such as "0.90"';
  throw invalidField(field, problem);
}

const QUOTE_PROBLEMS = {
  invalid: 'must be an amount of USD as a decimal string such as "0.90"',
  negative: 'must be at least 0',
  too_large: `must be at most ${PRICE_MAX_USD} USD`,
  not_whole: 'has more decimals than can be kept exactly: at most 12',
  unknown_unit: 'is not taken for this unit',
} as const;

function acceptedQuote<Quoted extends UnitPrice>(field: string, quote: PriceQuote<Quoted>): Quoted {
  if (quote.kind === 'price') return quote;
  throw invalidField(field, QUOTE_PROBLEMS[quote.reason]);
}

export function viewOfPrice(row: PriceRow): PriceView {
  return priceFields(row);
}

function priceFields(row: PriceRow) {
  return {
    id: row.id.toString(),
    upstream: row.upstream,
    provider: row.provider,
    model: row.model,
    unit: row.unit,
    condition: row.condition,
    ...amountView(row),
    effectiveFrom: row.effectiveFrom.toISOString(),
    effectiveTo: row.effectiveTo?.toISOString() ?? null,
    source: row.source,
  };
}

export function viewOfListedPrice({ row, importedAt, isStale }: ListedPrice): ListedPriceView {
  return { ...priceFields(row), importedAt: importedAt.toISOString(), isStale };
}

export function viewOfPending(pending: PendingPrice): PendingPriceView {
  return pendingFields(pending);
}

function pendingFields(pending: PendingPrice) {
  return {
    id: pending.id,
    upstream: pending.upstream,
    provider: pending.provider,
    model: pending.model,
    unit: pending.unit,
    condition: pending.condition,
    ...amountView(pending),
    source: pending.source,
    reason: pending.reason,
    createdAt: pending.createdAt.toISOString(),
    decision: pending.decision,
  };
}

export function viewOfListedPending({ pending, current }: ListedPending): ListedPendingView {
  return { ...pendingFields(pending), current: current === null ? null : viewOfPrice(current) };
}

export function viewOfSync(report: SyncReport): SyncView {
  return { ...report, findings: report.findings.slice(0, FINDINGS_SHOWN_MAX) };
}

function amountView({ picoUsd, perUnits }: UnitPrice): {
  priceUsd: string;
  perUnits: string;
  usdPerMillion: string | null;
} {
  const perMillion = picoUsd * 1_000_000n;
  return {
    priceUsd: formatUsd(picoUsd),
    perUnits: perUnits.toString(),
    usdPerMillion: perMillion % perUnits === 0n ? formatUsd(perMillion / perUnits) : null,
  };
}
