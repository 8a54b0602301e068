import { withHold, type AccountBudget, type Budget } from '../../src/domain/budgets.js';
import type { PicoUsd } from '../../src/domain/money.js';

/** What a settlement does to a budget, told as plainly as can be: the rules are tested against it. */

/** The budget with a hold given back: a released event, or one of another period that settled. */
export function withoutHold<Kind extends Budget>(budget: Kind, holdPicoUsd: PicoUsd): Kind {
  return withHold(budget, -holdPicoUsd);
}

/** How a charge is paid: credit first, the rest pay-as-you-go. The parts sum to the charge. */
export interface ChargeSplit {
  readonly creditPicoUsd: PicoUsd;
  readonly payAsYouGoPicoUsd: PicoUsd;
}

export function splitCharge(chargedPicoUsd: PicoUsd, account: AccountBudget): ChargeSplit {
  const usable = account.creditUsablePicoUsd;
  const creditPicoUsd = chargedPicoUsd < usable ? chargedPicoUsd : usable;
  return { creditPicoUsd, payAsYouGoPicoUsd: chargedPicoUsd - creditPicoUsd };
}

/** A budget after a settlement of its own period: the hold is gone and the charge is used. */
export function afterSettlement(
  budget: Budget,
  holdPicoUsd: PicoUsd,
  chargedPicoUsd: PicoUsd,
): Budget {
  const released = withoutHold(budget, holdPicoUsd);
  if (released.scope !== 'account') {
    return { ...released, usedPicoUsd: released.usedPicoUsd + chargedPicoUsd };
  }
  const { creditPicoUsd, payAsYouGoPicoUsd } = splitCharge(chargedPicoUsd, released);
  const { payAsYouGo } = released;
  return {
    ...released,
    creditUsablePicoUsd: released.creditUsablePicoUsd - creditPicoUsd,
    payAsYouGo: { ...payAsYouGo, usedPicoUsd: payAsYouGo.usedPicoUsd + payAsYouGoPicoUsd },
  };
}
