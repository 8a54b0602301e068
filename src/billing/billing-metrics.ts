import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { MetricsService } from '../http/metrics.service.js';

@Injectable()
export class BillingMetrics {
  readonly invoicesIssued: Counter;
  readonly closesBlocked: Gauge;
  readonly closesFailed: Gauge;
  readonly controlDifferenceUsd: Gauge;

  constructor({ registry }: MetricsService) {
    this.invoicesIssued = new Counter({
      name: 'tollgate_invoices_issued_total',
      help: 'Invoices that closes of this process issued.',
      registers: [registry],
    });
    this.closesBlocked = new Gauge({
      name: 'tollgate_closes_blocked',
      help: 'Accounts that the last close of this process left open: requests of the month are in flight.',
      registers: [registry],
    });
    this.closesFailed = new Gauge({
      name: 'tollgate_closes_failed',
      help: 'Accounts whose month the last close of this process could not close.',
      registers: [registry],
    });
    this.controlDifferenceUsd = new Gauge({
      name: 'tollgate_control_difference_usd',
      help: 'What events, budgets and ledger differed by in the last daily control; must be 0.',
      registers: [registry],
    });
  }
}
