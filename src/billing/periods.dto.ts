import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { IsBoolean } from 'class-validator';
import { MayBeAbsent } from '../http/field-rules.js';
import type { Plain } from '../http/plain.js';
import type { CloseReport } from './period-close.service.js';

export class ClosePeriod {
  @ApiPropertyOptional({
    type: Boolean,
    default: false,
    description: 'Shows what the close would write, the running month included; writes nothing.',
  })
  @MayBeAbsent()
  @IsBoolean({ message: 'must be true or false' })
  dryRun?: boolean;
}

export class BlockedCloseView {
  @ApiProperty({ type: String })
  organization!: string;
  @ApiProperty({ type: 'integer', description: 'Requests in flight.' })
  open!: number;
  @ApiProperty({ type: 'integer', description: 'Requests whose provider has not stated the cost.' })
  pending!: number;
}

export class UnresolvedCloseView {
  @ApiProperty({ type: String })
  organization!: string;
  @ApiProperty({ type: 'integer' })
  unpriced!: number;
  @ApiProperty({ type: 'integer' })
  quarantined!: number;
}

export class FailedCloseView {
  @ApiProperty({ type: String })
  organization!: string;
  @ApiProperty({ type: String })
  problem!: string;
}

export class InvoiceHeadView {
  @ApiProperty({ type: String })
  organization!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true, description: 'Null: a dry run.' })
  id!: string | null;
  @ApiProperty({ type: String, nullable: true })
  number!: string | null;
  @ApiProperty({ type: String })
  totalUsd!: string;
}

export class CloseReportView {
  @ApiProperty({ type: String, example: '2026-10' })
  period!: string;
  @ApiProperty({ type: 'integer', description: 'Accounts whose month is closed, now or before.' })
  closed!: number;
  @ApiProperty({ type: [BlockedCloseView] })
  blocked!: readonly BlockedCloseView[];
  @ApiProperty({
    type: [UnresolvedCloseView],
    description: 'They do not block. Of all months that this close closed for the organization.',
  })
  unresolved!: readonly UnresolvedCloseView[];
  @ApiProperty({ type: [FailedCloseView] })
  failed!: readonly FailedCloseView[];
  @ApiProperty({ type: [InvoiceHeadView] })
  invoices!: readonly InvoiceHeadView[];
}

export function viewOfClose(report: CloseReport): Plain<CloseReportView> {
  const { period, closed, blocked, unresolved, failed, invoices } = report;
  return { period, closed, blocked, unresolved, failed, invoices };
}
