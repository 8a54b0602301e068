import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsIn } from 'class-validator';
import { IsLine, IsUsdAmount, MayBeAbsent } from '../http/field-rules.js';
import type { Decision } from './decisions.service.js';
import { usdOf } from './money-rules.js';

const ACTIONS = ['charge', 'absorb', 'release'] as const;
const REASON_MAX_CHARS = 500;

export class DecideRequest {
  @ApiProperty({
    enum: ACTIONS,
    description: '`absorb`: we bear the cost. `release`: it has none.',
  })
  @IsIn(ACTIONS, { message: `must be one of: ${ACTIONS.join(', ')}` })
  action!: (typeof ACTIONS)[number];

  @ApiPropertyOptional({
    type: String,
    example: '0.0125',
    description:
      'What it cost. Without it the cost is its quantities at the prices in force at its admission, where there are both.',
  })
  @MayBeAbsent()
  @IsUsdAmount()
  costUsd?: string;

  @ApiProperty({ type: String, maxLength: REASON_MAX_CHARS })
  @IsLine(REASON_MAX_CHARS)
  reason!: string;
}

export function decisionOf({ action, costUsd, reason }: DecideRequest): Decision {
  return { action, reason, costPicoUsd: costUsd === undefined ? null : usdOf(costUsd) };
}
