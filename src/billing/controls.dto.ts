import { ApiProperty } from '@nestjs/swagger';
import { formatUsd } from '../domain/money.js';
import type { Plain } from '../http/plain.js';
import type { RecordedControl } from './daily-control.repository.js';

export class ControlDifferenceView {
  @ApiProperty({ type: String, example: 'balance', description: 'Which comparison.' })
  check!: string;
  @ApiProperty({ type: String, format: 'uuid', nullable: true, description: 'Null: the ledger.' })
  accountId!: string | null;
  @ApiProperty({ type: String, description: 'The month, grant or account of the ledger.' })
  of!: string;
  @ApiProperty({ type: String, description: 'What is kept.' })
  keptUsd!: string;
  @ApiProperty({ type: String, description: 'What the transfers say.' })
  ledgerUsd!: string;
}

export class ControlView {
  @ApiProperty({ type: String, format: 'date-time' })
  at!: string;
  @ApiProperty({ type: 'integer' })
  accounts!: number;
  @ApiProperty({ type: String, description: 'All differences, whichever way they point.' })
  differenceUsd!: string;
  @ApiProperty({ type: [ControlDifferenceView], description: 'The first 200.' })
  differences!: readonly ControlDifferenceView[];
}

export class ControlsPage {
  @ApiProperty({ type: [ControlView] })
  data!: readonly ControlView[];
  @ApiProperty({ type: String, nullable: true })
  nextCursor!: string | null;
}

export function viewOfControl(run: RecordedControl): Plain<ControlView> {
  const { at, accounts, differencePicoUsd, differences } = run;
  return {
    at: at.toISOString(),
    accounts,
    differenceUsd: formatUsd(differencePicoUsd),
    differences,
  };
}
