import type { Context } from './context.js';
import { Dice } from './dice.js';
import {
  changeAccountLimits,
  changeLimit,
  changePlan,
  changePrice,
  grant,
  openAccount,
  readBalance,
  replayGrant,
  revokeToken,
  takeScheduled,
} from './steps-accounts.js';
import { close, closeDue, closeRace, closeTooEarly, dryRun } from './steps-closing.js';
import { breakJournal, crash, hang, settleLate } from './steps-faults.js';
import { chargeLate, correction, endOne, voidOne, writeCreditNote } from './steps-late.js';
import {
  admitOne,
  burst,
  decide,
  duplicateRequest,
  priceArrives,
  quarantine,
  race,
  release,
  replayRequest,
  replaySettlement,
  settleSome,
  unpriced,
  withhold,
} from './steps-requests.js';
import { days, hours, lag, monthEnd, seconds } from './steps-time.js';

/** Every kind of step with how often it comes, in its own words. */
const KINDS: Readonly<
  Record<string, { readonly weight: number; readonly perform: (context: Context) => Promise<void> }>
> = {
  admit: { weight: 14, perform: admitOne },
  burst: { weight: 8, perform: burst },
  settle: { weight: 14, perform: settleSome },
  replay: { weight: 2, perform: replaySettlement },
  replay_request: { weight: 3, perform: replayRequest },
  withhold: { weight: 4, perform: withhold },
  release: { weight: 2, perform: release },
  unpriced: { weight: 4, perform: unpriced },
  price_arrives: { weight: 4, perform: priceArrives },
  quarantine: { weight: 3, perform: quarantine },
  decide: { weight: 3, perform: decide },
  duplicate: { weight: 2, perform: duplicateRequest },
  race: { weight: 3, perform: race },
  seconds: { weight: 2, perform: seconds },
  hours: { weight: 8, perform: hours },
  days: { weight: 4, perform: days },
  month_end: { weight: 6, perform: monthEnd },
  lag: { weight: 1, perform: lag },
  open_account: { weight: 2, perform: openAccount },
  plan: { weight: 5, perform: changePlan },
  take_scheduled: { weight: 1, perform: takeScheduled },
  account_limits: { weight: 5, perform: changeAccountLimits },
  limit: { weight: 2, perform: changeLimit },
  revoke: { weight: 1, perform: revokeToken },
  grant: { weight: 7, perform: grant },
  replay_grant: { weight: 2, perform: replayGrant },
  read_balance: { weight: 2, perform: readBalance },
  price_change: { weight: 2, perform: changePrice },
  close: { weight: 5, perform: close },
  close_due: { weight: 2, perform: closeDue },
  close_race: { weight: 2, perform: closeRace },
  close_too_early: { weight: 1, perform: closeTooEarly },
  dry_run: { weight: 2, perform: (context) => dryRun(context) },
  correction: { weight: 6, perform: correction },
  charge_late: { weight: 4, perform: chargeLate },
  credit_note: { weight: 3, perform: writeCreditNote },
  void: { weight: 2, perform: voidOne },
  end_invoice: { weight: 3, perform: endOne },
  crash: { weight: 2, perform: crash },
  settle_late: { weight: 3, perform: settleLate },
  hang: { weight: 1, perform: hang },
  break_journal: { weight: 2, perform: breakJournal },
};

/** Finer things that can be left out beside whole kinds of steps. */
export const DETAILS = [
  'interruptions',
  'withheld_unpriced',
  'corrections_of_open_months',
] as const;

export const STEP_KINDS: readonly string[] = Object.keys(KINDS);

export function planOf(seed: number, steps: number): readonly string[] {
  const dice = new Dice(`${seed}/plan`);
  const weighted = Object.entries(KINDS).map(([kind, { weight }]) => [kind, weight] as const);
  return Array.from({ length: steps }, () => dice.weighted(weighted));
}

export async function perform(context: Context): Promise<void> {
  const kind = KINDS[context.kind];
  if (kind === undefined) throw new Error(`simulation: there is no step ${context.kind}`);
  await kind.perform(context);
}
