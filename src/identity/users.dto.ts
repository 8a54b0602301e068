import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsEmail, IsIn } from 'class-validator';
import { IsLine, MayBeAbsent } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import { USER_PLANS, type UserAccount, type UserPlan } from './account.js';
import { EMAIL_MAX_CHARS } from './members.dto.js';
import { PLANS, type Plan } from './organization.js';
import {
  LimitsView,
  ScheduledPlanView,
  viewOfLimits,
  viewOfScheduled,
} from './organizations.dto.js';

export class CreateUser {
  @ApiProperty({
    type: String,
    format: 'email',
    description: 'Members of organizations with this address are this user.',
  })
  @IsLine(EMAIL_MAX_CHARS)
  @IsEmail({}, { message: 'must be an e-mail address' })
  email!: string;

  @ApiProperty({ type: String, maxLength: 200 })
  @IsLine()
  name!: string;

  @ApiPropertyOptional({ enum: USER_PLANS, default: 'free' })
  @MayBeAbsent()
  @IsIn(USER_PLANS, {
    message: `must be one of: ${USER_PLANS.join(', ')} (team is for organizations)`,
  })
  plan?: UserPlan;
}

export class UpdateUser {
  @ApiProperty({ enum: USER_PLANS, description: 'An upgrade at once, a downgrade next month.' })
  @IsIn(USER_PLANS, {
    message: `must be one of: ${USER_PLANS.join(', ')} (team is for organizations)`,
  })
  plan!: UserPlan;
}

export class UserView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  email!: string;
  @ApiProperty({ type: String })
  name!: string;
  @ApiProperty({ enum: PLANS })
  plan!: Plan;
  @ApiProperty({ type: ScheduledPlanView, nullable: true })
  scheduled!: ScheduledPlanView | null;
  @ApiProperty({ type: LimitsView })
  limits!: LimitsView;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
}

export class UsersPage {
  @ApiProperty({ type: [UserView] })
  data!: readonly UserView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function viewOfUser(user: UserAccount): Plain<UserView> {
  const { id, email, name, plan, scheduled, limits, createdAt } = user;
  return {
    id,
    email,
    name,
    plan,
    scheduled: viewOfScheduled(scheduled),
    limits: viewOfLimits(limits),
    createdAt: createdAt.toISOString(),
  };
}
