import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsEmail, IsIn } from 'class-validator';
import { IsLine, IsUsdAmount, MayBeAbsent, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { Member, MemberChange } from './member.js';
import type { NewMember } from './members.service.js';
import { ROLES, type Role } from './organization.js';
import { picoUsdOf, usdText } from './organizations.dto.js';

export const EMAIL_MAX_CHARS = 254;
const ROLE_RULE = { message: `must be one of: ${ROLES.join(', ')}` };

export class CreateMember {
  @ApiProperty({ type: String, format: 'email' })
  @IsLine(EMAIL_MAX_CHARS)
  @IsEmail({}, { message: 'must be an e-mail address' })
  email!: string;

  @ApiProperty({ type: String, maxLength: 200 })
  @IsLine()
  name!: string;

  @ApiProperty({ enum: ROLES })
  @IsIn(ROLES, ROLE_RULE)
  role!: Role;

  @ApiPropertyOptional({ type: String, nullable: true, example: '50.00' })
  @MayBeAbsentOrNull()
  @IsUsdAmount()
  monthlyLimitUsd?: string | null;
}

export class UpdateMember {
  @ApiPropertyOptional({ type: String, maxLength: 200 })
  @MayBeAbsent()
  @IsLine()
  name?: string;

  @ApiPropertyOptional({ enum: ROLES })
  @MayBeAbsent()
  @IsIn(ROLES, ROLE_RULE)
  role?: Role;

  @ApiPropertyOptional({ type: String, nullable: true, description: 'null: no limit.' })
  @MayBeAbsentOrNull()
  @IsUsdAmount()
  monthlyLimitUsd?: string | null;
}

export class MemberView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  email!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty({ enum: ROLES })
  role!: Role;
  @ApiProperty({ type: String, nullable: true })
  monthlyLimitUsd!: string | null;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
}

export class MembersPage {
  @ApiProperty({ type: [MemberView] })
  data!: readonly MemberView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function newMemberOf({ email, name, role, monthlyLimitUsd }: CreateMember): NewMember {
  return { email, name, role, monthlyLimitPicoUsd: picoUsdOf(monthlyLimitUsd ?? null) };
}

export function memberChangeOf({ name, role, monthlyLimitUsd }: UpdateMember): MemberChange {
  return {
    ...(name === undefined ? {} : { name }),
    ...(role === undefined ? {} : { role }),
    ...(monthlyLimitUsd === undefined ? {} : { monthlyLimitPicoUsd: picoUsdOf(monthlyLimitUsd) }),
  };
}

export function viewOfMember(member: Member): Plain<MemberView> {
  const { id, email, name, role, monthlyLimitPicoUsd, createdAt } = member;
  return {
    id,
    email,
    name,
    role,
    monthlyLimitUsd: usdText(monthlyLimitPicoUsd),
    createdAt: createdAt.toISOString(),
  };
}
