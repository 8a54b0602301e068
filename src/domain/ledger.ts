import { type PicoUsd } from './money.js';

/** Accounts of one payer; of the credits a period's plan credit is an account of its own. */
export const PAYER_ACCOUNT_KINDS = [
  'plan_credit',
  'promo_credit',
  'prepaid_credit',
  'unbilled',
  'receivable',
] as const;
export type PayerAccountKind = (typeof PAYER_ACCOUNT_KINDS)[number];

/**
 * An account of the ledger by its code, for example `unbilled:<account id>:2026-11`. Our own have no
 * stored balance: `promo_cost`, `subscription_revenue`, `breakage`, `absorbed_cost`, `payment_fees`,
 * `write_off`, `stripe_clearing`, `cash`.
 */
export type LedgerAccount = string;

export type TransferKind =
  | 'plan_grant'
  | 'promotional_grant'
  | 'top_up'
  | 'settlement'
  | 'absorbed'
  | 'taken_back'
  | 'covered'
  | 'plan_fee'
  | 'invoice'
  | 'carry'
  | 'expiry'
  | 'payment'
  | 'correction'
  | 'credit_note'
  | 'void'
  | 'write_off'
  | 'provider_payment';

/** Money that moves from one account to another: debit and credit the same amount. */
export interface Transfer {
  readonly id: string;
  readonly createdAt: Date;
  readonly period: string;
  readonly kind: TransferKind;
  readonly debit: LedgerAccount;
  readonly credit: LedgerAccount;
  /** Above 0. */
  readonly amountPicoUsd: PicoUsd;
  /** The payer whose books it belongs to. */
  readonly accountId: string | null;
  /** The grant that it makes, burns or expires. */
  readonly grantId: string | null;
  /** The business fact that it books, so that booking it twice is one booking; null: a settlement. */
  readonly idempotencyId: string | null;
}

export function planCredit(accountId: string, period: string): LedgerAccount {
  return `plan_credit:${accountId}:${period}`;
}

export function promoCredit(accountId: string): LedgerAccount {
  return `promo_credit:${accountId}`;
}

export function prepaidCredit(accountId: string): LedgerAccount {
  return `prepaid_credit:${accountId}`;
}

/** What an account owes beyond credit and has not been invoiced yet. */
export function unbilled(accountId: string, period: string): LedgerAccount {
  return `unbilled:${accountId}:${period}`;
}

/** What an account owes on issued invoices. */
export function receivable(accountId: string): LedgerAccount {
  return `receivable:${accountId}`;
}

/** What we owe a provider. Its name is null where an answer did not tell. */
export function providerPayable(upstream: string, provider: string | null): LedgerAccount {
  return `provider_payable:${upstream}:${provider ?? 'unknown'}`;
}

/** The payer of an account and what it is of his; null for ours and the providers'. */
export function payerOf(
  account: LedgerAccount,
): { readonly kind: PayerAccountKind; readonly accountId: string } | null {
  const [kind = '', accountId = ''] = account.split(':');
  const found = PAYER_ACCOUNT_KINDS.find((one) => one === kind);
  return found === undefined ? null : { kind: found, accountId };
}

/** Debits minus credits per account. The values sum to 0. */
export function foldTransfers(
  transfers: Iterable<Pick<Transfer, 'debit' | 'credit' | 'amountPicoUsd'>>,
): ReadonlyMap<LedgerAccount, PicoUsd> {
  const balances = new Map<LedgerAccount, PicoUsd>();
  for (const { debit, credit, amountPicoUsd } of transfers) {
    balances.set(debit, (balances.get(debit) ?? 0n) + amountPicoUsd);
    balances.set(credit, (balances.get(credit) ?? 0n) - amountPicoUsd);
  }
  return balances;
}

/** A change of one payer's stored balance. */
export interface BalanceChange {
  readonly account: LedgerAccount;
  readonly accountId: string;
  readonly kind: PayerAccountKind;
  readonly deltaPicoUsd: PicoUsd;
}

/** What transfers do to the stored balances: those of payers, sorted by code, without zeros. */
export function balanceChanges(
  transfers: Iterable<Pick<Transfer, 'debit' | 'credit' | 'amountPicoUsd'>>,
): readonly BalanceChange[] {
  const changes: BalanceChange[] = [];
  for (const [account, deltaPicoUsd] of foldTransfers(transfers)) {
    const payer = payerOf(account);
    if (payer !== null && deltaPicoUsd !== 0n) changes.push({ account, ...payer, deltaPicoUsd });
  }
  return changes.sort((one, other) => (one.account < other.account ? -1 : 1));
}
