import { Injectable } from '@nestjs/common';
import { arrayText } from '../database/columns.js';
import { DatabaseService } from '../database/database.service.js';
import { periodBounds } from '../domain/periods.js';

/** What a usage line of an invoice sums: one upstream, provider, model and set of price rows. */
export interface LineKey {
  readonly accountId: string;
  readonly period: string;
  readonly upstream: string;
  readonly provider: string;
  readonly model: string;
  readonly priceRowIds: readonly string[];
}

/** Where a list of requests goes on: after this one, towards older ones. */
export interface RequestPosition {
  readonly id: string;
  readonly admittedAt: Date;
}

/**
 * The events that the close had summed: the same conditions as there. One that a person decided on
 * after the close is settled now, but stands on a later invoice as a correction.
 */
const LINE_REQUESTS = `
SELECT e.id::text, (extract(epoch FROM e.admitted_at) * 1000)::bigint AS admitted_at_ms
FROM usage_events e
WHERE e.account_id = $1::text::uuid AND e.admitted_at >= $2::text::timestamptz AND e.admitted_at < $3::text::timestamptz
  AND (e.admitted_at, e.id) < ($4::text::timestamptz, $5::text::uuid)
  AND e.upstream = $6::text AND coalesce(e.provider, 'unknown') = $7::text AND e.model = $8::text
  AND e.price_row_ids = $9::text::bigint[]
  AND e.state = 'settled' AND NOT e.is_external AND NOT (e.cost_pico_usd = 0 AND e.absorbed_pico_usd > 0)
  AND NOT EXISTS (SELECT 1 FROM corrections c
    WHERE c.request_id = e.id AND c.idempotency_key LIKE 'decision:%' AND c.idempotency_key = 'decision:' || e.id::text)
ORDER BY e.admitted_at DESC, e.id DESC LIMIT $10::int`;

const PAST_EVERY_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';

@Injectable()
export class InvoiceRequestsRepository {
  constructor(private readonly database: DatabaseService) {}

  /** The requests of a line, newest first by admission, then id. */
  async list(
    key: LineKey,
    limit: number,
    after: RequestPosition | null,
  ): Promise<readonly RequestPosition[]> {
    const { start, end } = periodBounds(key.period);
    const records = await this.database.prisma.$queryRawUnsafe<
      { id: string; admitted_at_ms: bigint }[]
    >(
      LINE_REQUESTS,
      key.accountId,
      start.toISOString(),
      end.toISOString(),
      after?.admittedAt.toISOString() ?? 'infinity',
      after?.id ?? PAST_EVERY_ID,
      key.upstream,
      key.provider,
      key.model,
      arrayText(key.priceRowIds),
      limit,
    );
    return records.map((record) => ({
      id: record.id,
      admittedAt: new Date(Number(record.admitted_at_ms)),
    }));
  }
}
