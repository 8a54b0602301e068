import { Injectable } from '@nestjs/common';
import type { Actor } from '../http/actor.js';
import { PeriodCloseService, type CloseReport } from './period-close.service.js';
import { PeriodsRepository } from './periods.repository.js';

/** Closes that a person asks for; those that are due close by themselves. */
@Injectable()
export class PeriodsService {
  constructor(
    private readonly closes: PeriodCloseService,
    private readonly periods: PeriodsRepository,
  ) {}

  /** @throws TollgateError period_not_over. */
  async close(period: string, actor: Actor, at: Date): Promise<CloseReport> {
    const report = await this.closes.close(period, at);
    const { closed, blocked, failed, invoices } = report;
    const counts = {
      closed,
      blocked: blocked.length,
      failed: failed.length,
      invoices: invoices.length,
    };
    await this.periods.noteClose(period, counts, actor, at);
    return report;
  }

  /** @throws TollgateError period_not_over when it has not begun. */
  async dryRun(period: string, at: Date): Promise<CloseReport> {
    return this.closes.dryRun(period, at);
  }
}
