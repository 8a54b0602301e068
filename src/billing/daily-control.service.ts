import { Inject, Injectable, type OnModuleInit } from '@nestjs/common';
import type { Logger } from 'pino';
import { differencesOf, totalDifference, type ControlDifference } from '../domain/daily-control.js';
import { formatUsd, type PicoUsd } from '../domain/money.js';
import { addDays, startOfUtcDay } from '../domain/periods.js';
import { LOGGER } from '../http/http.module.js';
import { MetricsService } from '../http/metrics.service.js';
import {
  DailyControlRepository,
  type RecordedControl,
  type RecordedDifference,
} from './daily-control.repository.js';
import { LedgerCheckpointsRepository } from './ledger-checkpoints.repository.js';
import { LedgerRepository } from './ledger.repository.js';

const PAGE = 200;
const DIFFERENCES_KEPT_MAX = 200;
const CHECKPOINTS_KEPT_DAYS = 8;

/** Compares everything that is kept twice; whatever differs is an error of ours. */
@Injectable()
export class DailyControlService implements OnModuleInit {
  constructor(
    private readonly controls: DailyControlRepository,
    private readonly ledger: LedgerRepository,
    private readonly checkpoints: LedgerCheckpointsRepository,
    private readonly metrics: MetricsService,
    @Inject(LOGGER) private readonly logger: Logger,
  ) {}

  /** What the last run found stays published when the process that found it is gone. */
  async onModuleInit(): Promise<void> {
    const [last] = await this.controls.list(1, null);
    this.publish(last?.differencePicoUsd ?? 0n);
  }

  /** Controls every account and the ledger as a whole, and keeps what was found. */
  async run(at: Date): Promise<RecordedControl> {
    const { accounts, differences: ofAccounts } = await this.controlAccounts();
    const differences = [...ofAccounts, ...(await this.controlLedger(at))];
    const differencePicoUsd = totalDifference(differences);
    const run: RecordedControl = {
      at,
      accounts,
      differencePicoUsd,
      differences: differences.slice(0, DIFFERENCES_KEPT_MAX).map(recorded),
    };
    await this.controls.record(run);
    this.publish(differencePicoUsd);
    if (differences.length > 0) {
      this.metrics.alarms.inc({ kind: 'daily_control' });
      const { differences: first } = run;
      this.logger.error(
        { differenceUsd: formatUsd(differencePicoUsd), found: differences.length, first },
        'the daily control found differences',
      );
    }
    return run;
  }

  /** Latest first. */
  async list(limit: number, before: Date | null): Promise<readonly RecordedControl[]> {
    return this.controls.list(limit, before);
  }

  private async controlAccounts(): Promise<{
    readonly accounts: number;
    readonly differences: readonly ControlDifference[];
  }> {
    const differences: ControlDifference[] = [];
    let accounts = 0;
    let after: string | null = null;
    for (;;) {
      const page: Awaited<ReturnType<DailyControlRepository['accountsAfter']>> =
        await this.controls.accountsAfter(after, PAGE);
      for (const control of page) differences.push(...differencesOf(control));
      accounts += page.length;
      if (page.length < PAGE) return { accounts, differences };
      after = page.at(-1)?.row.subjectId ?? null;
    }
  }

  /** The last checkpoint and the trial balance; then the next checkpoint, a day behind. */
  private async controlLedger(at: Date): Promise<readonly ControlDifference[]> {
    const wrong = await this.checkpoints.differences(DIFFERENCES_KEPT_MAX);
    // Computed anew from the beginning below.
    if (wrong.length > 0) await this.checkpoints.forgetAll();
    const day = startOfUtcDay(addDays(at, -1));
    await this.checkpoints.write(day);
    await this.checkpoints.thin(addDays(day, -CHECKPOINTS_KEPT_DAYS));
    const sums = await this.ledger.sumsAt(null);
    const debits = sums.reduce((sum, { debitsPicoUsd }) => sum + debitsPicoUsd, 0n);
    const credits = sums.reduce((sum, { creditsPicoUsd }) => sum + creditsPicoUsd, 0n);
    const whole = { accountId: null, check: 'trial_balance', of: 'all accounts' } as const;
    return [
      ...wrong.flatMap(({ checkpoint, folded }): readonly ControlDifference[] => [
        {
          check: 'checkpoint',
          accountId: null,
          of: `${checkpoint.account} debits`,
          keptPicoUsd: checkpoint.debitsPicoUsd,
          ledgerPicoUsd: folded.debitsPicoUsd,
        },
        {
          check: 'checkpoint',
          accountId: null,
          of: `${checkpoint.account} credits`,
          keptPicoUsd: checkpoint.creditsPicoUsd,
          ledgerPicoUsd: folded.creditsPicoUsd,
        },
      ]),
      { ...whole, keptPicoUsd: debits, ledgerPicoUsd: credits },
    ].filter(({ keptPicoUsd, ledgerPicoUsd }) => keptPicoUsd !== ledgerPicoUsd);
  }

  private publish(differencePicoUsd: PicoUsd): void {
    this.metrics.controlDifferenceUsd.set(Number(formatUsd(differencePicoUsd)));
  }
}

function recorded(difference: ControlDifference): RecordedDifference {
  const { check, accountId, of, keptPicoUsd, ledgerPicoUsd } = difference;
  return {
    check,
    accountId,
    of,
    keptUsd: formatUsd(keptPicoUsd),
    ledgerUsd: formatUsd(ledgerPicoUsd),
  };
}
