import { ApiPropertyOptional } from '@nestjs/swagger';
import { IsEmail } from 'class-validator';
import { IsLine, MayBeAbsentOrNull } from '../http/field-rules.js';
import type { BillingDetails } from './billing-details.repository.js';
import { IsLines } from './money-rules.js';

const EMAIL_MAX_CHARS = 254;
const ADDRESS_MAX_CHARS = 1000;
const TAX_ID_MAX_CHARS = 64;

/** What is left out is null: none. */
export class BillingDetailsBody {
  @ApiPropertyOptional({ type: String, nullable: true, description: "null: the account's name." })
  @MayBeAbsentOrNull()
  @IsLine()
  name?: string | null;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    example: '1 Main Street\n12345 Town',
    maxLength: ADDRESS_MAX_CHARS,
  })
  @MayBeAbsentOrNull()
  @IsLines(ADDRESS_MAX_CHARS)
  address?: string | null;

  @ApiPropertyOptional({ type: String, format: 'email', nullable: true })
  @MayBeAbsentOrNull()
  @IsLine(EMAIL_MAX_CHARS)
  @IsEmail({}, { message: 'must be an e-mail address' })
  email?: string | null;

  @ApiPropertyOptional({ type: String, nullable: true, maxLength: TAX_ID_MAX_CHARS })
  @MayBeAbsentOrNull()
  @IsLine(TAX_ID_MAX_CHARS)
  taxId?: string | null;

  @ApiPropertyOptional({
    type: String,
    nullable: true,
    description: "The customer's own: an order number, a cost centre.",
  })
  @MayBeAbsentOrNull()
  @IsLine()
  reference?: string | null;
}

export function billingDetailsOf(body: BillingDetailsBody): BillingDetails {
  return {
    name: body.name ?? null,
    address: body.address ?? null,
    email: body.email ?? null,
    taxId: body.taxId ?? null,
    reference: body.reference ?? null,
  };
}
