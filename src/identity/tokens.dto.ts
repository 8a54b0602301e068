import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import {
  ArrayNotEmpty,
  ArrayUnique,
  IsArray,
  IsIn,
  IsInt,
  IsUUID,
  Max,
  Min,
} from 'class-validator';
import { SCOPES, type Scope } from '../http/caller.js';
import {
  IsInstant,
  IsLine,
  IsUsdAmount,
  MayBeAbsent,
  MayBeAbsentOrNull,
} from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import { picoUsdOf, usdText } from './organizations.dto.js';
import type { Token, TokenChange } from './token.js';
import type { NewToken } from './tokens.service.js';

const RATE_MAX = 1_000_000_000;
const RATE_RULE = { message: `must be a whole number from 0 to ${RATE_MAX}, or null for no limit` };
const SCOPES_MESSAGE = `must be a list of different scopes, at least one of: ${SCOPES.join(', ')}`;
const SCOPE_RULE = { message: SCOPES_MESSAGE };
const EACH_SCOPE_RULE = { message: SCOPES_MESSAGE, each: true };

/** What a token is made with and may be changed in. */
class TokenSettings {
  @ApiPropertyOptional({ enum: SCOPES, isArray: true })
  @MayBeAbsent()
  @IsIn(SCOPES, EACH_SCOPE_RULE)
  @ArrayUnique(SCOPE_RULE)
  @ArrayNotEmpty(SCOPE_RULE)
  @IsArray(SCOPE_RULE)
  scopes?: Scope[];

  @ApiPropertyOptional({ type: String, nullable: true, example: '50.00' })
  @MayBeAbsentOrNull()
  @IsUsdAmount()
  monthlyLimitUsd?: string | null;

  @ApiPropertyOptional({ type: 'integer', nullable: true, minimum: 0 })
  @MayBeAbsentOrNull()
  @Max(RATE_MAX, RATE_RULE)
  @Min(0, RATE_RULE)
  @IsInt(RATE_RULE)
  requestsPerMinute?: number | null;

  @ApiPropertyOptional({ type: String, format: 'date-time', nullable: true })
  @MayBeAbsentOrNull()
  @IsInstant()
  expiresAt?: string | null;
}

export class UpdateToken extends TokenSettings {
  @ApiPropertyOptional({ type: String, maxLength: 200 })
  @MayBeAbsent()
  @IsLine()
  name?: string;
}

export class CreateToken extends TokenSettings {
  @ApiProperty({ type: String, maxLength: 200 })
  @IsLine()
  name!: string;

  @ApiPropertyOptional({
    type: String,
    format: 'uuid',
    nullable: true,
    description: 'The member it is for; none: a service.',
  })
  @MayBeAbsentOrNull()
  @IsUUID('all', { message: 'must be the id of a member of this organization' })
  memberId?: string | null;
}

export class TokenView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty({ type: String, description: 'First characters of the secret.' })
  prefix!: string;
  @ApiProperty({
    type: String,
    nullable: true,
    description: "Slug of the organization that pays; null: its user's own account does.",
  })
  organization!: string | null;
  @ApiProperty({ type: String, format: 'uuid', nullable: true })
  memberId!: string | null;
  @ApiProperty({ enum: SCOPES, isArray: true })
  scopes!: readonly Scope[];
  @ApiProperty({ type: String, nullable: true })
  monthlyLimitUsd!: string | null;
  @ApiProperty({ type: 'integer', nullable: true })
  requestsPerMinute!: number | null;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  lastUsedAt!: string | null;
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;
  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  revokedAt!: string | null;
}

export class CreatedToken extends TokenView {
  @ApiProperty({ type: String, description: 'The secret: shown once, stored nowhere.' })
  token!: string;
}

export class TokensPage {
  @ApiProperty({ type: [TokenView] })
  data!: readonly TokenView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function newTokenOf(body: CreateToken): NewToken {
  const { name, memberId } = body;
  return { ...tokenChangeOf(body), name, memberId: memberId ?? null };
}

export function tokenChangeOf(body: Plain<UpdateToken>): TokenChange {
  const { name, scopes, monthlyLimitUsd, requestsPerMinute, expiresAt } = body;
  return {
    ...(name === undefined ? {} : { name }),
    ...(scopes === undefined ? {} : { scopes }),
    ...(monthlyLimitUsd === undefined ? {} : { monthlyLimitPicoUsd: picoUsdOf(monthlyLimitUsd) }),
    ...(requestsPerMinute === undefined ? {} : { requestsPerMinute }),
    ...(expiresAt === undefined
      ? {}
      : { expiresAt: expiresAt === null ? null : new Date(expiresAt) }),
  };
}

export function viewOfToken(token: Token): Plain<TokenView> {
  const { id, name, prefix, organization, memberId, scopes, requestsPerMinute } = token;
  return {
    id,
    name,
    prefix,
    organization,
    memberId,
    scopes,
    monthlyLimitUsd: usdText(token.monthlyLimitPicoUsd),
    requestsPerMinute,
    createdAt: token.createdAt.toISOString(),
    lastUsedAt: token.lastUsedAt?.toISOString() ?? null,
    expiresAt: token.expiresAt?.toISOString() ?? null,
    revokedAt: token.revokedAt?.toISOString() ?? null,
  };
}
