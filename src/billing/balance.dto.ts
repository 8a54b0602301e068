import { ApiProperty } from '@nestjs/swagger';
import type { GrantKind } from '../domain/credits.js';
import { formatUsd } from '../domain/money.js';
import type { Plain } from '../http/plain.js';
import type { Balance } from './balance.service.js';

/** A grant of credit that this period used or can still use. */
export class BalanceGrantAnswer {
  @ApiProperty({ enum: ['plan', 'promotional', 'prepaid'] })
  kind!: GrantKind;

  @ApiProperty({
    type: String,
    description: 'What it amounted to in this period: used in it, and remaining.',
  })
  granted!: string;

  @ApiProperty({ type: String })
  remaining!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;
}

/** The sums of `grants`. */
export class BalanceCreditAnswer {
  @ApiProperty({ type: String, description: 'Used in this period, and remaining.' })
  granted!: string;

  @ApiProperty({ type: String, description: 'In this period.' })
  used!: string;

  @ApiProperty({ type: String })
  remaining!: string;

  @ApiProperty({
    type: String,
    format: 'date-time',
    nullable: true,
    description: 'The soonest of the grants with something left; null: nothing left expires.',
  })
  expiresAt!: string | null;

  @ApiProperty({ type: [BalanceGrantAnswer], description: 'In the order in which they burn.' })
  grants!: readonly BalanceGrantAnswer[];
}

export class BalancePayAsYouGoAnswer {
  @ApiProperty({ type: Boolean })
  enabled!: boolean;

  @ApiProperty({ type: String, description: 'Of this period, past credit.' })
  used!: string;

  @ApiProperty({ type: String, nullable: true, description: 'A month; null: none.' })
  limit!: string | null;
}

/** What an account can still spend. Amounts are US dollars as decimal text. */
export class BalanceAnswer {
  @ApiProperty({ type: String, example: '2026-11', description: 'The current month in UTC.' })
  period!: string;

  @ApiProperty({ enum: ['USD'] })
  currency!: 'USD';

  @ApiProperty({ type: BalanceCreditAnswer })
  credit!: BalanceCreditAnswer;

  @ApiProperty({ type: BalancePayAsYouGoAnswer })
  payAsYouGo!: BalancePayAsYouGoAnswer;

  @ApiProperty({
    type: String,
    example: '0.0016',
    description:
      'Worst case of the requests in flight, and of those that wait for a price, in every period.',
  })
  held!: string;
}

export function viewOfBalance({
  period,
  grants,
  payAsYouGo,
  heldPicoUsd,
}: Balance): Plain<BalanceAnswer> {
  const usedPicoUsd = grants.reduce((sum, grant) => sum + grant.usedPicoUsd, 0n);
  const remainingPicoUsd = grants.reduce((sum, grant) => sum + grant.remainingPicoUsd, 0n);
  return {
    period,
    currency: 'USD',
    credit: {
      granted: formatUsd(usedPicoUsd + remainingPicoUsd),
      used: formatUsd(usedPicoUsd),
      remaining: formatUsd(remainingPicoUsd),
      expiresAt: soonestExpiry(grants),
      grants: grants.map((grant) => ({
        kind: grant.kind,
        granted: formatUsd(grant.usedPicoUsd + grant.remainingPicoUsd),
        remaining: formatUsd(grant.remainingPicoUsd),
        expiresAt: grant.expiresAt?.toISOString() ?? null,
      })),
    },
    payAsYouGo: {
      enabled: payAsYouGo.isOn,
      used: formatUsd(payAsYouGo.usedPicoUsd),
      limit: payAsYouGo.limitPicoUsd === null ? null : formatUsd(payAsYouGo.limitPicoUsd),
    },
    held: formatUsd(heldPicoUsd),
  };
}

function soonestExpiry(grants: Balance['grants']): string | null {
  const times = grants
    .filter(({ remainingPicoUsd }) => remainingPicoUsd > 0n)
    .flatMap(({ expiresAt }) => (expiresAt === null ? [] : [expiresAt.toISOString()]));
  return times.sort()[0] ?? null;
}
