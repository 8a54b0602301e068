import { ApiProperty } from '@nestjs/swagger';
import { Matches } from 'class-validator';
import { formatUsd } from '../domain/money.js';
import type { Plain } from '../http/plain.js';
import { IsBookableInstant, IsPositiveUsd, usdOf } from './money-rules.js';
import type { ProviderPayment, ProviderPaymentRequest } from './provider-payments.repository.js';

const SLUG = /^[a-z0-9-]{2,40}$/;
const SLUG_RULE = { message: 'must be a slug: 2 to 40 of a-z, 0-9 and "-"' };

export class CreateProviderPayment {
  @ApiProperty({ type: String, example: 'default' })
  @Matches(SLUG, SLUG_RULE)
  upstream!: string;

  @ApiProperty({ type: String, example: 'together' })
  @Matches(SLUG, SLUG_RULE)
  provider!: string;

  @ApiProperty({ type: String, example: '1250.40', description: 'Above 0.' })
  @IsPositiveUsd()
  amountUsd!: string;

  @ApiProperty({ type: String, format: 'date-time', description: 'Not in the future.' })
  @IsBookableInstant()
  paidAt!: string;
}

export class ProviderPaymentView {
  @ApiProperty({ type: String, format: 'uuid' })
  id!: string;
  @ApiProperty({ type: String })
  upstream!: string;
  @ApiProperty({ type: String })
  provider!: string;
  @ApiProperty({ type: String })
  amountUsd!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  paidAt!: string;
  @ApiProperty({ type: String, format: 'date-time' })
  createdAt!: string;
}

export class ProviderPaymentsPage {
  @ApiProperty({ type: [ProviderPaymentView] })
  data!: readonly ProviderPaymentView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function providerPaymentOf(
  { upstream, provider, amountUsd, paidAt }: CreateProviderPayment,
  idempotencyKey: string | null,
): ProviderPaymentRequest {
  const amountPicoUsd = usdOf(amountUsd);
  return { upstream, provider, amountPicoUsd, paidAt: new Date(paidAt), idempotencyKey };
}

export function viewOfProviderPayment(payment: ProviderPayment): Plain<ProviderPaymentView> {
  return {
    id: payment.id,
    upstream: payment.upstream,
    provider: payment.provider,
    amountUsd: formatUsd(payment.amountPicoUsd),
    paidAt: payment.paidAt.toISOString(),
    createdAt: payment.createdAt.toISOString(),
  };
}
