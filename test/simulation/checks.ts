import { fold, type BudgetFacts, type Books, type Flow } from './books.js';
import type { Model } from './model.js';
import type { ModelAccount } from './model-account.js';
import { carryIn } from './model-books.js';
import { entitlementOf } from './model-plans.js';
import { monthBefore } from './months.js';

/** A rule that did not hold. */
export interface Violation {
  /** The name of the check: which invariant, in words. */
  readonly check: string;
  readonly what: string;
}

/** Collects what does not hold of one account. */
export class Findings {
  readonly violations: Violation[] = [];

  constructor(private readonly subject: string) {}

  equal(check: string, what: string, actual: unknown, expected: unknown): void {
    if (actual === expected) return;
    this.violations.push({
      check,
      what: `${this.subject}: ${what} is ${String(actual)}, must be ${String(expected)}`,
    });
  }

  ensure(check: string, isTrue: boolean, what: string): void {
    if (!isTrue) this.violations.push({ check, what: `${this.subject}: ${what}` });
  }
}

/** Compares what the store says of some accounts with itself and with the model. */
export function checkBooks(
  model: Model,
  books: Books,
  accounts: readonly ModelAccount[],
): readonly Violation[] {
  return accounts.flatMap((account) => {
    const own = booksOf(books, account.id);
    const findings = new Findings(account.name);
    checkLedger(findings, own);
    checkGrants(findings, account, own);
    checkBudgets(findings, model, account, own);
    checkMonths(findings, model, account, own);
    checkPayable(findings, model, account, own);
    checkHouse(findings, account, own);
    return findings.violations;
  });
}

function booksOf(books: Books, accountId: string): Books {
  const own = <Row extends { readonly account_id: string }>(rows: readonly Row[]): Row[] =>
    rows.filter((row) => row.account_id === accountId);
  return {
    budgets: own(books.budgets),
    balances: own(books.balances),
    flows: own(books.flows),
    events: own(books.events),
    holds: own(books.holds),
    grants: own(books.grants),
    corrections: own(books.corrections),
  };
}

const CREDIT_ACCOUNT = /^(plan|promo|prepaid)_credit:/;
const PAYER_ACCOUNT = /^(plan_credit|promo_credit|prepaid_credit|unbilled|receivable):/;

function checkLedger(findings: Findings, { flows, balances }: Books): void {
  const folded = fold(flows);
  let sum = 0n;
  for (const balance of folded.values()) sum += balance;
  findings.equal('invariant 1: transfers sum to zero', 'the sum of all balances', sum, 0n);
  const stored = new Map(
    balances.map(({ ledger_account, balance }) => [ledger_account, BigInt(balance)]),
  );
  for (const account of new Set([...folded.keys(), ...stored.keys()])) {
    if (!PAYER_ACCOUNT.test(account)) continue;
    findings.equal(
      'invariant 1: each stored balance is the fold of its transfers',
      `the balance of ${account}`,
      stored.get(account) ?? 0n,
      folded.get(account) ?? 0n,
    );
  }
  for (const { kind, debit, credit, least } of flows) {
    findings.ensure(
      'invariant 2: amounts are above 0, between two accounts',
      BigInt(least) > 0n && debit !== credit,
      `a ${kind} of ${least} from ${debit} to ${credit}`,
    );
  }
  for (const [account, balance] of [...stored, ...folded]) {
    findings.ensure(
      'invariant 3: credit is never negative',
      !CREDIT_ACCOUNT.test(account) || balance <= 0n,
      `${account} is overdrawn by ${balance}`,
    );
  }
}

function checkGrants(findings: Findings, account: ModelAccount, books: Books): void {
  const kept = new Map(
    (budgetOf(books, account.id)?.credit?.grants ?? []).map(({ id, remainingPicoUsd }) => [
      id,
      BigInt(remainingPicoUsd),
    ]),
  );
  const granted = new Set(books.grants.map(({ id }) => id));
  for (const id of kept.keys()) {
    findings.ensure(
      'invariant 1: what is left of each grant is the fold of its transfers',
      granted.has(id),
      `the budget keeps the grant ${id}, which was never made`,
    );
  }
  const expected = new Map(account.grants.map((grant) => [grant.id, grant.left]));
  for (const { id, kind, amount } of books.grants) {
    let folded = 0n;
    for (const flow of books.flows) {
      if (flow.grant_id !== id) continue;
      if (CREDIT_ACCOUNT.test(flow.credit)) folded += BigInt(flow.amount);
      if (CREDIT_ACCOUNT.test(flow.debit)) folded -= BigInt(flow.amount);
    }
    const left = kept.get(id) ?? 0n;
    findings.equal(
      'invariant 1: what is left of each grant is the fold of its transfers',
      `what is left of the ${kind} grant of ${amount}`,
      left,
      folded,
    );
    findings.ensure('invariant 3: credit is never negative', left >= 0n, `grant ${id} is ${left}`);
    if (kind !== 'plan') {
      findings.equal(
        'invariant 8: credit is used as the rules say',
        `what is left of the ${kind} grant of ${amount}`,
        left,
        expected.get(id) ?? null,
      );
    }
  }
  findings.equal(
    'invariant 4: one idempotency id, one effect',
    'the number of promotional and prepaid grants',
    books.grants.filter(({ kind }) => kind !== 'plan').length,
    account.grants.length,
  );
}

function checkBudgets(findings: Findings, model: Model, account: ModelAccount, books: Books): void {
  const subjects = [
    { id: account.id, isUnlimited: account.isUnlimited },
    ...[...account.members, ...account.tokens].map(({ id, limit }) => ({
      id,
      isUnlimited: limit === null,
    })),
  ];
  for (const { id, isUnlimited } of subjects) {
    const budget = budgetOf(books, id);
    if (budget === null) throw new Error(`simulation: ${id} has no budget`);
    const scope = `the ${budget.scope} ${id.slice(0, 8)}`;
    const held = books.holds
      .filter((one) => [one.account_id, one.member_id, one.token_id].includes(id))
      .reduce((sum, { hold }) => sum + BigInt(hold), 0n);
    findings.equal(
      'invariant 5: a hold ends once',
      `what ${scope} holds by its requests`,
      held,
      model.heldOf(id),
    );
    findings.equal(
      'invariant 5: a hold ends once',
      `what ${scope} holds by its budget`,
      budget.held === null ? null : BigInt(budget.held),
      isUnlimited ? null : model.heldOf(id),
    );
    const isAccount = budget.scope === 'account';
    const used = (month: string): bigint =>
      isAccount ? account.month(month).requestsOwed : model.usedOf(id, month);
    const ofWhat = isAccount ? 'pay-as-you-go' : 'cost';
    findings.equal(
      'invariant 8: charges are what the rules say',
      `${ofWhat} of ${scope} in ${budget.period}`,
      BigInt(budget.used),
      used(budget.period),
    );
    findings.equal(
      'invariant 8: charges are what the rules say',
      `${ofWhat} of ${scope} in the month before ${budget.period}`,
      BigInt(budget.previous_used),
      used(monthBefore(budget.period)),
    );
  }
  const own = budgetOf(books, account.id);
  if (!account.areLimitsChanged && account.limit !== null && account.isPayAsYouGo) {
    for (const used of [own?.used ?? '0', own?.previous_used ?? '0']) {
      findings.ensure(
        'invariant 6: nobody is charged past a limit',
        BigInt(used) <= account.limit,
        `pay-as-you-go of ${used}, past ${account.limit}`,
      );
    }
  }
  findings.equal(
    'invariant 16: a month closes once, in order',
    'what is closed',
    budgetOf(books, account.id)?.closed_through ?? null,
    account.closedThrough,
  );
}

function checkMonths(findings: Findings, model: Model, account: ModelAccount, books: Books): void {
  const folded = fold(books.flows);
  const balanceOf = (code: string): bigint => folded.get(code) ?? 0n;
  findings.equal(
    'invariant 14: what was billed is what is receivable',
    'the receivable',
    balanceOf(`receivable:${account.id}`),
    account.receivable,
  );
  for (const facts of account.allMonths()) {
    const { month } = facts;
    const events = books.events.filter(({ period }) => period === month);
    const cost = total(events, 'cost');
    const late = lateCost(model, account, month);
    findings.equal(
      'invariant 8: charges are what the rules say',
      `the cost of ${month}`,
      cost,
      facts.cost + late,
    );
    findings.equal(
      'invariant 10: credit and pay-as-you-go are the cost',
      `credit and pay-as-you-go of the requests of ${month}`,
      total(events, 'parts'),
      cost,
    );
    const unbilled = balanceOf(`unbilled:${account.id}:${month}`);
    const planCredit = -balanceOf(`plan_credit:${account.id}:${month}`);
    if (facts.isClosed) {
      findings.equal('invariant 16: a closed month is empty', `unbilled of ${month}`, unbilled, 0n);
      findings.equal(
        'invariant 16: a closed month is empty',
        `plan credit of ${month}`,
        planCredit,
        0n,
      );
      continue;
    }
    checkOpenMonth(findings, account, month, books, { unbilled, planCredit });
  }
}

function checkOpenMonth(
  findings: Findings,
  account: ModelAccount,
  month: string,
  books: Books,
  { unbilled, planCredit }: { readonly unbilled: bigint; readonly planCredit: bigint },
): void {
  const facts = account.month(month);
  const used = creditUsedIn(books.flows, month);
  findings.equal(
    'invariant 8: credit is used as the rules say',
    `credit that paid for ${month}`,
    used,
    account.creditUsed(month),
  );
  const elsewhere = facts.landed + facts.voided + carryIn(account, month);
  const owed = unbilled - elsewhere;
  findings.equal(
    'invariant 10: credit and pay-as-you-go are the cost',
    `what ${month} owes past credit`,
    owed,
    facts.cost + facts.corrected - used,
  );
  const granted = books.grants
    .filter(({ kind, period }) => kind === 'plan' && period === month)
    .reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const due = entitlementOf(account.changes, month) - granted;
  findings.ensure(
    'invariant 8: plan credit is what the plan entitles to',
    due >= 0n,
    `${month} was granted ${granted}, which is ${-due} too much`,
  );
  findings.equal(
    'invariant 8: plan credit is what the plan entitles to',
    `plan credit left of ${month}`,
    planCredit + due,
    account.planLeft(month),
  );
  if (!account.areLimitsChanged && !account.isPayAsYouGo) {
    findings.ensure(
      'invariant 6: an account without pay-as-you-go never owes',
      owed <= 0n,
      `${month} owes ${owed}`,
    );
  }
  const usable = usableFacts(books, month) + due;
  findings.ensure(
    'invariant 10: never uncovered cost and usable credit',
    owed <= 0n || usable === 0n,
    `${month} owes ${owed} although ${usable} of credit is usable in it`,
  );
}

/** Credit that paid for a month: of its requests, and of corrections booked while it was open. */
function creditUsedIn(flows: readonly Flow[], month: string): bigint {
  let used = 0n;
  for (const { kind, period, debit, credit, amount } of flows) {
    if (period !== month || !PAYS_FOR.has(kind)) continue;
    if (CREDIT_ACCOUNT.test(debit)) used += BigInt(amount);
    if (CREDIT_ACCOUNT.test(credit)) used -= BigInt(amount);
  }
  return used;
}

const PAYS_FOR: ReadonlySet<string> = new Set([
  'settlement',
  'covered',
  'taken_back',
  'correction',
]);

/** Credit that is left and usable in a month, told by grants and transfers alone. */
function usableFacts({ grants, flows }: Books, month: string): bigint {
  const startMs = BigInt(Date.parse(`${month}-01T00:00:00Z`));
  const nextMonth = new Date(Number(startMs));
  nextMonth.setUTCMonth(nextMonth.getUTCMonth() + 1);
  let usable = 0n;
  for (const { id, kind, period, granted_ms: granted, expires_ms: expires } of grants) {
    const isUsable =
      kind === 'plan'
        ? period === month
        : BigInt(granted) < BigInt(nextMonth.getTime()) &&
          (expires === null || startMs < BigInt(expires));
    if (!isUsable) continue;
    for (const flow of flows) {
      if (flow.grant_id !== id) continue;
      if (CREDIT_ACCOUNT.test(flow.credit)) usable += BigInt(flow.amount);
      if (CREDIT_ACCOUNT.test(flow.debit)) usable -= BigInt(flow.amount);
    }
  }
  return usable;
}

function checkPayable(
  findings: Findings,
  model: Model,
  account: ModelAccount,
  { flows, events, corrections }: Books,
): void {
  let payable = 0n;
  let borne = 0n;
  for (const [code, balance] of fold(flows)) {
    if (code.startsWith('provider_payable:')) payable -= balance;
    if (code === 'absorbed_cost') borne += balance;
  }
  const corrected = corrections
    .filter(({ kind, is_decision }) => kind === 'correction' && !is_decision)
    .reduce((sum, { amount }) => sum + BigInt(amount), 0n);
  const absorbed = total(events, 'absorbed');
  findings.equal(
    'invariant 11: what providers are owed is what was charged and what we bear',
    'owed to providers',
    payable,
    total(events, 'cost') + absorbed + corrected,
  );
  const expected = model.eventsOf(account).reduce((sum, event) => sum + event.absorbed, 0n);
  findings.equal(
    'invariant 8: charges are what the rules say',
    'what we bear of requests',
    absorbed,
    expected,
  );
  findings.equal(
    'invariant 11: what providers are owed is what was charged and what we bear',
    'absorbed cost',
    borne,
    expected + account.correctionsAbsorbed,
  );
}

/** Our own accounts, as far as this account moved them. */
function checkHouse(findings: Findings, account: ModelAccount, { flows, grants }: Books): void {
  const folded = fold(flows);
  const planGranted = total(
    grants.filter(({ kind }) => kind === 'plan'),
    'amount',
  );
  for (const [name, expected] of Object.entries(account.house)) {
    findings.equal(
      'invariant 1: every fact is booked where it belongs',
      name,
      folded.get(name) ?? 0n,
      expected + (name === 'promo_cost' ? planGranted : 0n),
    );
  }
}

function total<Key extends string>(
  rows: readonly Readonly<Record<Key, string>>[],
  key: Key,
): bigint {
  return rows.reduce((sum, row) => sum + BigInt(row[key]), 0n);
}

function lateCost(model: Model, account: ModelAccount, month: string): bigint {
  return model
    .eventsOf(account)
    .filter((event) => event.month === month && event.isLateDecision)
    .reduce((sum, { cost }) => sum + cost, 0n);
}

function budgetOf({ budgets }: Books, subjectId: string): BudgetFacts | null {
  return budgets.find(({ subject_id }) => subject_id === subjectId) ?? null;
}
