import type { CorrectionPlan } from '../domain/corrections.js';
import type { Transfer } from '../domain/ledger.js';
import type { Transaction } from './transactions.repository.js';

/** The event of a late decision, as it ends in the same transaction. */
export interface LateEvent {
  readonly id: string;
  readonly state: 'unpriced' | 'quarantined';
}

/** The event of a late decision: settled with what the account pays of it. */
export async function settleLate(
  tx: Transaction,
  late: LateEvent,
  amountPicoUsd: bigint,
  plan: CorrectionPlan,
  transfers: readonly Transfer[],
  at: Date,
): Promise<void> {
  const cost = amountPicoUsd - plan.absorbedPicoUsd;
  const owed = plan.parts
    .filter(({ account }) => account.startsWith('unbilled:'))
    .reduce((sum, part) => sum + part.amountPicoUsd, 0n);
  const [counts] = await tx.$queryRawUnsafe<{ settled: number; charged: number }[]>(
    SETTLE_LATE,
    late.id,
    late.state,
    at.toISOString(),
    cost.toString(),
    (cost - owed).toString(),
    owed.toString(),
    plan.absorbedPicoUsd.toString(),
    `{${transfers.map(({ id }) => id).join(',')}}`,
  );
  if (counts?.settled !== 1) throw new EventChanged(`event ${late.id} is no longer ${late.state}`);
  if (counts.charged !== 1) throw new EventChanged(`event ${late.id} was charged as another`);
}

// A provider request is charged at most once, this way too; `charged` is 1 also where none is named.
const SETTLE_LATE = `
WITH settled AS (
  UPDATE usage_events SET state = 'settled', is_late = TRUE, settled_at = $3::text::timestamptz, cost_pico_usd = $4::text::bigint,
    credit_pico_usd = $5::text::bigint, pay_as_you_go_pico_usd = $6::text::bigint, absorbed_pico_usd = $7::text::bigint,
    transfer_ids = $8::text::uuid[]
  WHERE id = $1::text::uuid AND state = $2::text
  RETURNING id, upstream, provider, provider_request_id
),
charged AS (
  INSERT INTO charged_requests (upstream, provider, provider_request_id, event_id)
  SELECT upstream, provider, provider_request_id, id FROM settled
  WHERE provider IS NOT NULL AND provider_request_id IS NOT NULL
  ON CONFLICT DO NOTHING RETURNING 1
)
SELECT (SELECT count(*) FROM settled)::int AS settled,
  ((SELECT count(*) FROM charged)
   + (SELECT count(*) FROM settled WHERE provider IS NULL OR provider_request_id IS NULL))::int AS charged`;

/** Somebody else decided on the event meanwhile; nothing was booked. */
export class EventChanged extends Error {
  override readonly name = 'EventChanged';
}
