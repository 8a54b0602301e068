import { ApiProperty, ApiPropertyOptional, ApiSchema } from '@nestjs/swagger';
import { IsIn, IsOptional, IsUUID } from 'class-validator';
import { IsLine } from '../http/field-rules.js';
import { PageQuery } from '../http/pagination.js';
import { CommaList, IsGroupBy, IsInstantOrDay } from './query-rules.js';
import { type Bucket, BUCKETS } from './usage-query.js';

const ID_RULE = { message: 'must be an id (UUID)' };
const NAME_MAX_CHARS = 256;

/** An `enum` of its own is lost where a query class is spread into parameters; this is kept. */
export function oneOfTexts(values: readonly string[]): {
  oneOf: { type: 'string'; enum: string[] }[];
} {
  return { oneOf: [{ type: 'string', enum: [...values] }] };
}

/** What narrows usage and lists of requests alike. */
export class UsageFilterQuery extends PageQuery {
  @ApiPropertyOptional({
    type: String,
    format: 'date-time',
    description:
      'First instant, inclusive, by time of admission: ISO 8601 with offset, or a UTC day.',
  })
  @IsOptional()
  @IsInstantOrDay()
  start?: string;

  @ApiPropertyOptional({
    type: String,
    format: 'date-time',
    description: 'First instant after the span.',
  })
  @IsOptional()
  @IsInstantOrDay()
  end?: string;

  @ApiPropertyOptional({ type: String, example: 'together' })
  @IsOptional()
  @IsLine(NAME_MAX_CHARS)
  provider?: string;

  @ApiPropertyOptional({ type: String, example: 'openai/gpt-oss-120b' })
  @IsOptional()
  @IsLine(NAME_MAX_CHARS)
  model?: string;

  @ApiPropertyOptional({ type: String, format: 'uuid', description: 'Id of a member.' })
  @IsOptional()
  @IsUUID('all', ID_RULE)
  member?: string;

  @ApiPropertyOptional({ type: String, format: 'uuid', description: 'Id of a token.' })
  @IsOptional()
  @IsUUID('all', ID_RULE)
  token?: string;

  @ApiPropertyOptional({ type: String, example: 'chat' })
  @IsOptional()
  @IsLine(NAME_MAX_CHARS)
  task?: string;
}

export class UsageQuery extends UsageFilterQuery {
  @ApiPropertyOptional({
    ...oneOfTexts(BUCKETS),
    default: 'day',
    description: 'Buckets are cut in UTC.',
  })
  @IsIn(BUCKETS, { message: `must be one of: ${BUCKETS.join(', ')}` })
  bucket: Bucket = 'day';

  @ApiPropertyOptional({
    type: String,
    example: 'provider,model,tag:project',
    description: 'Comma-separated: provider, model, member, token, task, tag:<key>.',
  })
  @IsOptional()
  @CommaList()
  @IsGroupBy()
  groupBy?: readonly string[];
}

/** Sums over the ended requests of a group. */
export class UsageFiguresAnswer {
  @ApiProperty({ type: 'integer', description: 'Requests that ended, however they ended.' })
  requests!: number;

  @ApiProperty({
    type: 'integer',
    description: 'Of these: outcome not `complete`, or status >= 400.',
  })
  errors!: number;

  @ApiProperty({ type: 'integer', description: 'Inclusive total of all input tokens.' })
  inputTokens!: number;

  @ApiProperty({ type: 'integer' })
  cachedInputTokens!: number;

  @ApiProperty({ type: 'integer', description: 'Inclusive total of all output tokens.' })
  outputTokens!: number;

  @ApiProperty({ type: 'integer', description: 'Part of the output tokens.' })
  reasoningTokens!: number;

  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string' },
    description: 'Quantities by unit of the price book; units that nobody reported are left out.',
    example: { input: '1200', output: '350' },
  })
  units!: Record<string, string>;

  @ApiProperty({
    type: String,
    example: '0.001234',
    description: 'What the account is charged, USD.',
  })
  costUsd!: string;

  @ApiProperty({ type: String, example: '0', description: 'Part of the cost paid by credit, USD.' })
  creditUsd!: string;

  @ApiProperty({
    type: String,
    example: '0.001234',
    description: 'Part of the cost past credit, USD.',
  })
  payAsYouGoUsd!: string;
}

/** One group in one bucket. A dimension that was not asked for is absent; null: events without one. */
@ApiSchema({
  description:
    'One group in one bucket; with one more field per tag grouped by, such as `tag:project`.',
})
export class UsageGroupAnswer extends UsageFiguresAnswer {
  @ApiProperty({
    type: String,
    format: 'date-time',
    description: 'Start of the bucket; the first may begin before `start`.',
  })
  bucketStart!: string;

  @ApiPropertyOptional({ type: String, nullable: true })
  provider?: string | null;

  @ApiPropertyOptional({ type: String })
  model?: string | null;

  @ApiPropertyOptional({ type: String, format: 'uuid', nullable: true })
  member?: string | null;

  @ApiPropertyOptional({ type: String, format: 'uuid' })
  token?: string | null;

  @ApiPropertyOptional({ type: String })
  task?: string | null;

  [tag: `tag:${string}`]: string | null;
}

export class UsageAnswer {
  @ApiProperty({ type: String, format: 'date-time' })
  start!: string;

  @ApiProperty({ type: String, format: 'date-time' })
  end!: string;

  @ApiProperty({ enum: BUCKETS })
  bucket!: Bucket;

  @ApiProperty({
    type: [UsageGroupAnswer],
    description: 'Non-empty groups, by bucket, then by cost, dearest first.',
  })
  data!: readonly UsageGroupAnswer[];

  @ApiProperty({ type: UsageFiguresAnswer, description: 'Of the whole query, not of this page.' })
  totals!: UsageFiguresAnswer;

  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}
