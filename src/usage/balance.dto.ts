import { ApiProperty } from '@nestjs/swagger';

/** A grant of credit that can still be used. */
export class GrantAnswer {
  @ApiProperty({ enum: ['plan', 'promotional', 'prepaid'] })
  kind!: string;

  @ApiProperty({ type: String })
  granted!: string;

  @ApiProperty({ type: String })
  remaining!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;
}

export class CreditAnswer {
  @ApiProperty({ type: String })
  granted!: string;

  @ApiProperty({ type: String })
  used!: string;

  @ApiProperty({ type: String })
  remaining!: string;

  @ApiProperty({ type: String, format: 'date-time', nullable: true })
  expiresAt!: string | null;

  @ApiProperty({ type: [GrantAnswer] })
  grants!: readonly GrantAnswer[];
}

export class PayAsYouGoAnswer {
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

  @ApiProperty({ type: CreditAnswer })
  credit!: CreditAnswer;

  @ApiProperty({ type: PayAsYouGoAnswer })
  payAsYouGo!: PayAsYouGoAnswer;

  @ApiProperty({
    type: String,
    example: '0.0016',
    description:
      'Worst case of the requests in flight, and of those that wait for a price, in every period.',
  })
  held!: string;
}
