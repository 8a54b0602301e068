import { castOf, type Column } from '../database/columns.js';
import type { NewGrant } from '../domain/budget-rows.js';
import { creditText } from '../domain/credits.js';
import type { BalanceChange, Transfer } from '../domain/ledger.js';
import { inputTokensOf, outputTokensOf } from '../domain/usage.js';
import type { ChangedBudget, EndedEvent } from './batch-decision.js';
import { upstreamOf, type AdmissionRequest } from './journal.js';

export interface OpenedRow {
  readonly request: AdmissionRequest;
  readonly ownerId: string;
  readonly admittedAt: Date;
  readonly period: string;
  readonly holdPicoUsd: bigint;
}

export interface EndedRow extends EndedEvent {
  readonly settledAt: Date;
}

export const OPENED_COLUMNS: readonly Column<OpenedRow>[] = [
  { name: 'id', type: 'uuid', of: (row) => row.request.id },
  { name: 'owner_id', type: 'uuid', of: (row) => row.ownerId },
  { name: 'account_id', type: 'uuid', of: (row) => row.request.accountId },
  { name: 'member_id', type: 'uuid', of: (row) => row.request.memberId },
  { name: 'token_id', type: 'uuid', of: (row) => row.request.tokenId },
  { name: 'created_at', type: 'timestamptz', of: (row) => row.request.createdAt.toISOString() },
  { name: 'admitted_at', type: 'timestamptz', of: (row) => row.admittedAt.toISOString() },
  { name: 'period', type: 'bpchar', of: (row) => row.period },
  { name: 'upstream', type: 'text', of: (row) => row.request.upstream },
  { name: 'model', type: 'text', of: (row) => row.request.model },
  { name: 'task', type: 'text', of: (row) => row.request.task },
  { name: 'is_stream', type: 'boolean', of: (row) => row.request.isStream },
  { name: 'hold_pico_usd', type: 'bigint', of: (row) => row.holdPicoUsd },
  {
    name: 'tags',
    type: 'jsonb',
    of: (row) => (row.request.tags === null ? null : JSON.stringify(row.request.tags)),
  },
  { name: 'session_id', type: 'text', of: (row) => row.request.sessionId },
  { name: 'client_request_id', type: 'text', of: (row) => row.request.clientRequestId },
  { name: 'idempotency_key', type: 'text', of: (row) => row.request.idempotency?.key ?? null },
];

/** What an ended event keeps of its open row. */
export const CARRIED_COLUMNS: readonly string[] = [
  'account_id',
  'member_id',
  'token_id',
  'created_at',
  'admitted_at',
  'period',
  'model',
  'task',
  'is_stream',
  'hold_pico_usd',
  'tags',
  'session_id',
  'client_request_id',
];

/** What an ending adds; the same columns are rewritten when an ended event changes its state. */
const ENDING_COLUMNS: readonly Column<EndedRow>[] = [
  { name: 'state', type: 'text', of: (row) => row.settlement.ending.state },
  { name: 'outcome', type: 'text', of: (row) => row.settlement.ending.outcome },
  {
    name: 'served_at',
    type: 'timestamptz',
    of: (row) => row.settlement.ending.servedAt?.toISOString() ?? null,
  },
  { name: 'settled_at', type: 'timestamptz', of: (row) => row.settledAt.toISOString() },
  {
    name: 'upstream',
    type: 'text',
    of: ({ settlement: { event, ending } }) => upstreamOf(event, ending),
  },
  { name: 'provider', type: 'text', of: (row) => row.settlement.ending.provider },
  { name: 'provider_model_id', type: 'text', of: (row) => row.settlement.ending.providerModelId },
  {
    name: 'provider_request_id',
    type: 'text',
    of: (row) => row.settlement.ending.providerRequestId,
  },
  { name: 'status', type: 'smallint', of: (row) => row.settlement.ending.status },
  { name: 'input_tokens', type: 'bigint', of: (row) => totalOf(row, inputTokensOf) },
  {
    name: 'cached_input_tokens',
    type: 'bigint',
    of: (row) => row.settlement.ending.quantities?.cached_input ?? null,
  },
  { name: 'output_tokens', type: 'bigint', of: (row) => totalOf(row, outputTokensOf) },
  { name: 'reasoning_tokens', type: 'bigint', of: (row) => row.settlement.ending.reasoningTokens },
  { name: 'units', type: 'jsonb', of: (row) => unitsOf(row) },
  { name: 'usage_source', type: 'text', of: (row) => row.settlement.ending.usageSource },
  { name: 'is_price_assumed', type: 'boolean', of: (row) => row.settlement.ending.isPriceAssumed },
  {
    name: 'is_external',
    type: 'boolean',
    of: (row) => row.settlement.ending.isExternal === true,
  },
  { name: 'is_overrun', type: 'boolean', of: (row) => row.isOverrun },
  { name: 'is_withheld', type: 'boolean', of: (row) => row.settlement.isWithheld },
  { name: 'is_late', type: 'boolean', of: (row) => row.settlement.from === 'released' },
  { name: 'cost_pico_usd', type: 'bigint', of: (row) => row.costPicoUsd },
  { name: 'credit_pico_usd', type: 'bigint', of: (row) => row.creditPicoUsd },
  { name: 'pay_as_you_go_pico_usd', type: 'bigint', of: payAsYouGoOf },
  {
    name: 'rated_cost_pico_usd',
    type: 'bigint',
    of: (row) => row.settlement.ending.ratedCostPicoUsd,
  },
  { name: 'absorbed_pico_usd', type: 'bigint', of: (row) => row.absorbedPicoUsd },
  {
    name: 'provider_reported_pico_usd',
    type: 'bigint',
    of: (row) => row.settlement.ending.providerReportedPicoUsd,
  },
  { name: 'first_byte_ms', type: 'integer', of: (row) => row.settlement.ending.firstByteMs },
  { name: 'duration_ms', type: 'integer', of: (row) => row.settlement.ending.durationMs },
  {
    name: 'price_row_ids',
    type: 'bigint[]',
    of: (row) => `{${row.settlement.ending.priceRowIds.join(',')}}`,
  },
  { name: 'attempts', type: 'jsonb', of: (row) => JSON.stringify(row.settlement.ending.attempts) },
  { name: 'raw_usage', type: 'text', of: (row) => row.settlement.ending.rawUsage },
];

/** What books an ended event; one that is restated keeps those it had. */
const TRANSFER_IDS: Column<EndedRow> = {
  name: 'transfer_ids',
  type: 'uuid[]',
  of: (row) => `{${row.transferIds.join(',')}}`,
};

export const ENDED_COLUMNS: readonly Column<EndedRow>[] = [
  { name: 'id', type: 'uuid', of: (row) => row.settlement.event.id },
  ...ENDING_COLUMNS,
  TRANSFER_IDS,
];

/** A budget as it is to be written; `credit` is null where it stays as it is. */
export const BUDGET_COLUMNS: readonly Column<ChangedBudget>[] = [
  { name: 'id', type: 'uuid', of: (row) => row.subjectId },
  { name: 'period', type: 'bpchar', of: (row) => row.period },
  { name: 'used', type: 'numeric', of: (row) => row.usedPicoUsd },
  { name: 'previous_used', type: 'numeric', of: (row) => row.previousUsedPicoUsd },
  { name: 'held', type: 'numeric', of: (row) => row.heldPicoUsd },
  {
    name: 'credit',
    type: 'text',
    of: (row) => (row.isCreditChanged ? creditText(row.credit) : null),
  },
];

export const TRANSFER_COLUMNS: readonly Column<Transfer>[] = [
  { name: 'id', type: 'uuid', of: (row) => row.id },
  { name: 'created_at', type: 'timestamptz', of: (row) => row.createdAt.toISOString() },
  { name: 'period', type: 'bpchar', of: (row) => row.period },
  { name: 'kind', type: 'text', of: (row) => row.kind },
  { name: 'debit', type: 'text', of: (row) => row.debit },
  { name: 'credit', type: 'text', of: (row) => row.credit },
  { name: 'amount_pico_usd', type: 'bigint', of: (row) => row.amountPicoUsd },
  { name: 'account_id', type: 'uuid', of: (row) => row.accountId },
  { name: 'grant_id', type: 'uuid', of: (row) => row.grantId },
  { name: 'idempotency_id', type: 'text', of: (row) => row.idempotencyId },
];

export const BALANCE_COLUMNS: readonly Column<BalanceChange>[] = [
  { name: 'ledger_account', type: 'text', of: (row) => row.account },
  { name: 'account_id', type: 'uuid', of: (row) => row.accountId },
  { name: 'kind', type: 'text', of: (row) => row.kind },
  { name: 'balance_pico_usd', type: 'numeric', of: (row) => row.deltaPicoUsd },
];

export const GRANT_COLUMNS: readonly Column<NewGrant>[] = [
  { name: 'id', type: 'uuid', of: (row) => row.id },
  { name: 'account_id', type: 'uuid', of: (row) => row.accountId },
  { name: 'kind', type: 'text', of: (row) => row.kind },
  { name: 'amount_pico_usd', type: 'bigint', of: (row) => row.amountPicoUsd },
  { name: 'period', type: 'bpchar', of: (row) => row.period },
  { name: 'entitlement_pico_usd', type: 'bigint', of: (row) => row.entitlementPicoUsd },
  { name: 'granted_at', type: 'timestamptz', of: (row) => row.grantedAt.toISOString() },
  { name: 'expires_at', type: 'timestamptz', of: (row) => row.expiresAt?.toISOString() ?? null },
];

/** An ended event that changes its state: `was` is the state it must be in. */
export const RESTATED_COLUMNS: readonly Column<EndedRow>[] = [
  ...ENDED_COLUMNS,
  { name: 'was', type: 'text', of: (row) => row.settlement.from },
];

/** `name = alias.name` for every column of an ending. */
export function assignmentsFrom(alias: string): string {
  return ENDING_COLUMNS.map(({ name, type }) => `${name} = ${castOf(alias, name, type)}`).join(
    ', ',
  );
}

function payAsYouGoOf({ costPicoUsd, creditPicoUsd }: EndedRow): bigint | null {
  return costPicoUsd === null ? null : costPicoUsd - (creditPicoUsd ?? 0n);
}

function totalOf(row: EndedRow, total: typeof inputTokensOf): bigint | null {
  const { quantities } = row.settlement.ending;
  return quantities === null ? null : total(quantities);
}

function unitsOf(row: EndedRow): string | null {
  const { quantities } = row.settlement.ending;
  if (quantities === null) return null;
  let text = '';
  for (const unit in quantities) {
    const quantity = quantities[unit as keyof typeof quantities];
    if (quantity !== undefined)
      text += `${text === '' ? '' : ','}"${unit}":"${quantity.toString()}"`;
  }
  return `{${text}}`;
}
