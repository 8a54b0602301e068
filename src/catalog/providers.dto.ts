import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, Matches, ValidateBy } from 'class-validator';
import { MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import { isModelIds, MODEL_IDS_RULE } from './provider-model-ids.js';
import { DIRECT_KINDS, type DirectKind } from './provider-routes.js';
import { baseUrlOf, type ProviderSettings } from './provider-settings.js';
import type { ProviderRequest } from './providers.service.js';

const ON_CLIENT_GONE = ['drain', 'abort'] as const;
const STREAM_USAGE = ['ask', 'never'] as const;
const COSTS = ['price_book', 'cost_api'] as const;
const MAX_OUTPUT_FIELDS = [
  'max_tokens',
  'max_completion_tokens',
  'max_output_tokens',
  'max_new_tokens',
] as const;
const REJECTS_MAX = 50;
/** Without these a request is none, or not the one that was priced. */
const NEVER_REJECTED: ReadonlySet<unknown> = new Set([
  'model',
  'messages',
  'input',
  'prompt',
  'stream',
]);
const FIELD_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;
/** What may stand in a header. */
const KEY = /^[\x21-\x7e]{1,1000}$/;

/** Of a key that is only ever written. */
export const KEY_RULE = {
  message: 'must be 1 to 1000 printable characters without spaces, or null',
} as const;
export const KEY_PATTERN = KEY;

function oneOf(choices: readonly string[]): { message: string } {
  return { message: `must be one of: ${choices.join(', ')}` };
}

export class SetProvider {
  @ApiPropertyOptional({ type: Boolean, description: 'False: no request goes to it, on any way.' })
  @MayBeAbsent()
  @IsBoolean({ message: 'must be true or false' })
  enabled?: boolean;

  @ApiPropertyOptional({
    enum: DIRECT_KINDS,
    nullable: true,
    description:
      'How it is called directly; null: not at all, its key is forgotten. Without it a key or a baseUrl says that it is.',
  })
  @MayBeAbsentOrNull()
  @IsIn(DIRECT_KINDS, oneOf(DIRECT_KINDS))
  kind?: DirectKind | null;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    example: 'https://api.groq.com',
    description: 'Without the path of its chat route; null: the one that is known.',
  })
  @MayBeAbsentOrNull()
  @IsText()
  baseUrl?: string | null;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    writeOnly: true,
    description: 'Never shown again; null: forgotten.',
  })
  @MayBeAbsentOrNull()
  @Matches(KEY, KEY_RULE)
  apiKey?: string | null;

  @ApiPropertyOptional({ enum: COSTS, description: 'Who states what a request costs.' })
  @MayBeAbsent()
  @IsIn(COSTS, oneOf(COSTS))
  cost?: ProviderSettings['cost'];

  @ApiPropertyOptional({ type: String, nullable: true })
  @MayBeAbsentOrNull()
  @IsText()
  costApiUrl?: string | null;

  @ApiPropertyOptional({
    enum: ON_CLIENT_GONE,
    nullable: true,
    description: 'Whether it goes on billing when its client is gone; null: as known of it.',
  })
  @MayBeAbsentOrNull()
  @IsIn(ON_CLIENT_GONE, oneOf(ON_CLIENT_GONE))
  onClientGone?: ProviderSettings['onClientGone'];

  @ApiPropertyOptional({ enum: STREAM_USAGE, nullable: true })
  @MayBeAbsentOrNull()
  @IsIn(STREAM_USAGE, oneOf(STREAM_USAGE))
  streamUsage?: ProviderSettings['streamUsage'];

  @ApiPropertyOptional({ enum: MAX_OUTPUT_FIELDS, nullable: true })
  @MayBeAbsentOrNull()
  @IsIn(MAX_OUTPUT_FIELDS, oneOf(MAX_OUTPUT_FIELDS))
  maxOutputField?: string | null;

  @ApiPropertyOptional({
    type: [String],
    nullable: true,
    maxItems: REJECTS_MAX,
    description: 'Fields of a request that it refuses: they are left out.',
  })
  @MayBeAbsentOrNull()
  @ValidateBy({
    name: 'rejects',
    validator: {
      validate: isFieldList,
      defaultMessage: () =>
        `must be a list of at most ${REJECTS_MAX} different names of top-level fields, or null; model, messages, input, prompt and stream are always sent`,
    },
  })
  rejects?: string[] | null;

  @ApiPropertyOptional({
    type: 'object',
    additionalProperties: { type: 'string' },
    nullable: true,
    example: { 'meta-llama/Llama-3.3-70B-Instruct': 'llama-3.3-70b-versatile' },
    description:
      'What it calls models, by the id that callers use, where that is not the same and its list does not say so.',
  })
  @MayBeAbsentOrNull()
  @ValidateBy({
    name: 'modelIds',
    validator: { validate: isModelIds, defaultMessage: () => MODEL_IDS_RULE },
  })
  modelIds?: Record<string, string> | null;
}

export class ProviderView {
  @ApiProperty({ type: String })
  slug!: string;
  @ApiProperty({ type: Boolean })
  enabled!: boolean;
  @ApiProperty({
    enum: DIRECT_KINDS,
    nullable: true,
    description: 'null: it is not called directly.',
  })
  kind!: DirectKind | null;
  @ApiProperty({ type: String, nullable: true, description: 'Where it is called directly.' })
  baseUrl!: string | null;
  @ApiProperty({ type: Boolean, description: 'Whether there is a key for calling it directly.' })
  hasKey!: boolean;
  @ApiProperty({ enum: COSTS })
  cost!: ProviderSettings['cost'];
  @ApiProperty({ type: String, nullable: true })
  costApiUrl!: string | null;
  @ApiProperty({ enum: ON_CLIENT_GONE, nullable: true, description: 'null: as known of it.' })
  onClientGone!: ProviderSettings['onClientGone'];
  @ApiProperty({ enum: STREAM_USAGE, nullable: true, description: 'null: as known of it.' })
  streamUsage!: ProviderSettings['streamUsage'];
  @ApiProperty({ type: String, nullable: true, description: 'null: as known of it.' })
  maxOutputField!: string | null;
  @ApiProperty({ type: [String], nullable: true, description: 'null: as known of it.' })
  rejects!: string[] | null;
  @ApiProperty({
    type: 'object',
    additionalProperties: { type: 'string' },
    nullable: true,
    description: 'What it calls models, by the id that callers use.',
  })
  modelIds!: Record<string, string> | null;
}

export class ProvidersPage {
  @ApiProperty({ type: [ProviderView] })
  data!: ProviderView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function providerRequestOf({ enabled, ...rest }: SetProvider): ProviderRequest {
  return { ...rest, isEnabled: enabled };
}

/** Without the key, whatever is added to the settings. */
export function viewOfProvider(settings: ProviderSettings): Plain<ProviderView> {
  return {
    slug: settings.slug,
    enabled: settings.isEnabled,
    kind: settings.kind,
    baseUrl: settings.kind === null ? null : baseUrlOf(settings),
    hasKey: settings.apiKey !== null,
    cost: settings.cost,
    costApiUrl: settings.costApiUrl,
    onClientGone: settings.onClientGone,
    streamUsage: settings.streamUsage,
    maxOutputField: settings.maxOutputField,
    rejects: settings.rejects,
    modelIds: settings.modelIds,
  };
}

/** Text, which is judged where it is known what it is for. */
function IsText(): PropertyDecorator {
  return ValidateBy({
    name: 'isText',
    validator: {
      validate: (value) => typeof value === 'string',
      defaultMessage: () => 'must be an http or https address, or null',
    },
  });
}

function isFieldList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= REJECTS_MAX &&
    new Set(value).size === value.length &&
    value.every(
      (name) => typeof name === 'string' && FIELD_NAME.test(name) && !NEVER_REJECTED.has(name),
    )
  );
}
