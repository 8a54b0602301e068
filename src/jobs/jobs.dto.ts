import { ApiProperty } from '@nestjs/swagger';
import type { Plain } from '../http/plain.js';
import type { ListedJob } from './jobs.service.js';

const NULLABLE_TIME = { type: String, format: 'date-time', nullable: true } as const;

class JobView {
  @ApiProperty({ type: String, example: 'alert-delivery' })
  name!: string;
  @ApiProperty({
    type: String,
    example: '*/5 * * * *',
    description:
      'Cron in UTC: one run per tick over all processes. Or how often each process runs it.',
  })
  schedule!: string;
  @ApiProperty(NULLABLE_TIME)
  lastRunAt!: string | null;
  @ApiProperty(NULLABLE_TIME)
  lastFinishedAt!: string | null;
  @ApiProperty({ type: 'integer', nullable: true })
  lastDurationMs!: number | null;
  @ApiProperty(NULLABLE_TIME)
  lastSucceededAt!: string | null;
  @ApiProperty(NULLABLE_TIME)
  lastFailedAt!: string | null;
  @ApiProperty({ type: String, nullable: true, description: 'Of the last run that failed.' })
  lastError!: string | null;
  @ApiProperty({ type: 'integer' })
  runs!: number;
  @ApiProperty({ type: 'integer' })
  failures!: number;
  @ApiProperty({ ...NULLABLE_TIME, description: 'Null for what each process runs by a timer.' })
  nextRunAt!: string | null;
}

export class JobsPage {
  @ApiProperty({ type: [JobView] })
  data!: readonly JobView[];
  @ApiProperty({ type: String, nullable: true, description: 'Always null: the list is short.' })
  nextCursor!: string | null;
}

export function viewOfJob({ name, schedule, record, nextRunAt }: ListedJob): Plain<JobView> {
  return {
    name,
    schedule,
    lastRunAt: record?.lastStartedAt?.toISOString() ?? null,
    lastFinishedAt: record?.lastFinishedAt?.toISOString() ?? null,
    lastDurationMs: record?.lastDurationMs ?? null,
    lastSucceededAt: record?.lastSucceededAt?.toISOString() ?? null,
    lastFailedAt: record?.lastFailedAt?.toISOString() ?? null,
    lastError: record?.lastError ?? null,
    runs: record?.runs ?? 0,
    failures: record?.failures ?? 0,
    nextRunAt: nextRunAt?.toISOString() ?? null,
  };
}
