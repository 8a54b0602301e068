import { Injectable } from '@nestjs/common';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

const LATENCY_BUCKETS_S = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10,
];

/** Prometheus metrics of this process, in a registry of their own. */
@Injectable()
export class MetricsService {
  readonly registry = new Registry();

  readonly requests = new Counter({
    name: 'tollgate_requests_total',
    help: 'Proxied requests by route and status.',
    labelNames: ['route', 'status'] as const,
    registers: [this.registry],
  });
  readonly refusals = new Counter({
    name: 'tollgate_refusals_total',
    help: 'Requests refused by us, by code.',
    labelNames: ['code'] as const,
    registers: [this.registry],
  });
  readonly rateLimitRefusals = new Counter({
    name: 'tollgate_rate_limit_refusals_total',
    help: 'Requests past a limit of requests, by its window and whose it is.',
    labelNames: ['window', 'scope'] as const,
    registers: [this.registry],
  });
  readonly rateLimitsUnshared = new Counter({
    name: 'tollgate_rate_limits_unshared_total',
    help: 'Requests counted in memory because Redis was away.',
    registers: [this.registry],
  });
  readonly attempts = new Counter({
    name: 'tollgate_upstream_attempts_total',
    help: 'Calls to providers, by upstream, provider and result.',
    labelNames: ['upstream', 'provider', 'result'] as const,
    registers: [this.registry],
  });
  readonly inFlight = new Gauge({
    name: 'tollgate_in_flight_requests',
    help: 'Proxied requests that have not ended.',
    registers: [this.registry],
  });
  readonly drains = new Gauge({
    name: 'tollgate_drains',
    help: 'Streams read on after their client left.',
    registers: [this.registry],
  });
  readonly journalBatchSize = new Histogram({
    name: 'tollgate_journal_batch_size',
    help: 'Admissions and settlements in one commit.',
    buckets: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
    registers: [this.registry],
  });
  readonly journalCommitSeconds = new Histogram({
    name: 'tollgate_journal_commit_seconds',
    help: 'Duration of one commit of the journal.',
    buckets: LATENCY_BUCKETS_S,
    registers: [this.registry],
  });
  readonly journalRetries = new Counter({
    name: 'tollgate_journal_retries_total',
    help: 'Batches run again, by reason.',
    labelNames: ['reason'] as const,
    registers: [this.registry],
  });
  readonly journalAnomalies = new Counter({
    name: 'tollgate_journal_anomalies_total',
    help: 'Late settlements, overruns, quarantined events and the like.',
    labelNames: ['kind'] as const,
    registers: [this.registry],
  });
  readonly journalQueue = new Gauge({
    name: 'tollgate_journal_queue',
    help: 'Requests that wait for a commit.',
    registers: [this.registry],
  });
  readonly storeUp = new Gauge({
    name: 'tollgate_store_up',
    help: '1 while the database answers the heartbeat.',
    registers: [this.registry],
  });
  readonly invoicesIssued = new Counter({
    name: 'tollgate_invoices_issued_total',
    help: 'Invoices that closes of this process issued.',
    registers: [this.registry],
  });
  readonly closesBlocked = new Gauge({
    name: 'tollgate_closes_blocked',
    help: 'Accounts that the last close of this process left open: requests of the month are in flight.',
    registers: [this.registry],
  });
  readonly closesFailed = new Gauge({
    name: 'tollgate_closes_failed',
    help: 'Accounts whose month the last close of this process could not close.',
    registers: [this.registry],
  });
  readonly controlDifferenceUsd = new Gauge({
    name: 'tollgate_control_difference_usd',
    help: 'What events, budgets and ledger differed by in the last daily control; must be 0.',
    registers: [this.registry],
  });
  readonly catalogueSyncs = new Counter({
    name: 'tollgate_catalogue_syncs_total',
    help: 'Catalogues asked for by this process, by upstream and what came of it.',
    labelNames: ['upstream', 'result'] as const,
    registers: [this.registry],
  });
  readonly alarms = new Counter({
    name: 'tollgate_operator_alarms_total',
    help: 'Things an operator must look at, by kind.',
    labelNames: ['kind'] as const,
    registers: [this.registry],
  });

  constructor() {
    collectDefaultMetrics({ register: this.registry });
  }
}
