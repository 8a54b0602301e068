import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean, IsIn, Matches, ValidateBy } from 'class-validator';
import { MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import {
  ROUTING_POLICIES,
  type RoutingChange,
  type RoutingChoice,
  type RoutingPolicyName,
} from './account-providers.repository.js';
import type { AccountProviderRequest, OfferedProvider } from './account-providers.service.js';
import { KEY_PATTERN, KEY_RULE } from './providers.dto.js';
import { PROVIDER_SLUG } from './catalogue-entry.js';

const PREFERRED_MAX = 50;

export class SetRouting {
  @ApiPropertyOptional({
    enum: ROUTING_POLICIES,
    nullable: true,
    description: 'For a model without a suffix; null: as everybody has it.',
  })
  @MayBeAbsentOrNull()
  @IsIn(ROUTING_POLICIES, { message: `must be one of: ${ROUTING_POLICIES.join(', ')}, or null` })
  default?: RoutingPolicyName | null;

  @ApiPropertyOptional({
    type: [String],
    maxItems: PREFERRED_MAX,
    description: 'Slugs of providers, best first: the order of `:preferred`.',
  })
  @MayBeAbsent()
  @ValidateBy({
    name: 'preferred',
    validator: {
      validate: isSlugList,
      defaultMessage: () =>
        `must be a list of at most ${PREFERRED_MAX} different slugs of providers, best first`,
    },
  })
  preferred?: string[];
}

export class RoutingView {
  @ApiProperty({ enum: ROUTING_POLICIES, nullable: true })
  default!: RoutingPolicyName | null;
  @ApiProperty({ type: [String] })
  preferred!: string[];
}

export class SetAccountProvider {
  @ApiPropertyOptional({
    type: Boolean,
    description: 'False: no request of the account goes to it.',
  })
  @MayBeAbsent()
  @IsBoolean({ message: 'must be true or false' })
  enabled?: boolean;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    writeOnly: true,
    description:
      'Your own key: what it is used for is between you and the provider, and costs nothing here. Never shown again; null: forgotten.',
  })
  @MayBeAbsentOrNull()
  @Matches(KEY_PATTERN, KEY_RULE)
  apiKey?: string | null;
}

export class AccountProviderView {
  @ApiProperty({ type: String })
  provider!: string;
  @ApiProperty({ type: Boolean })
  enabled!: boolean;
  @ApiProperty({ type: Boolean, description: 'Whether there is a key of your own.' })
  hasKey!: boolean;
  @ApiProperty({ type: Boolean, description: 'False: the operator switched it off.' })
  available!: boolean;
  @ApiProperty({ type: Boolean, description: 'Whether a key of your own can be used.' })
  takesKey!: boolean;
}

export class AccountProvidersPage {
  @ApiProperty({ type: [AccountProviderView] })
  data!: AccountProviderView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function routingChangeOf({ default: defaultPolicy, preferred }: SetRouting): RoutingChange {
  return { defaultPolicy, preferred };
}

export function viewOfRouting({ defaultPolicy, preferred }: RoutingChoice): Plain<RoutingView> {
  return { default: defaultPolicy, preferred };
}

export function accountProviderRequestOf({
  enabled,
  apiKey,
}: SetAccountProvider): AccountProviderRequest {
  return { isEnabled: enabled, apiKey };
}

export function viewOfAccountProvider(offered: OfferedProvider): Plain<AccountProviderView> {
  return {
    provider: offered.provider,
    enabled: offered.isEnabled,
    hasKey: offered.apiKey !== null,
    available: offered.isAvailable,
    takesKey: offered.takesKey,
  };
}

function isSlugList(value: unknown): boolean {
  return (
    Array.isArray(value) &&
    value.length <= PREFERRED_MAX &&
    new Set(value).size === value.length &&
    value.every((slug) => typeof slug === 'string' && PROVIDER_SLUG.test(slug))
  );
}
