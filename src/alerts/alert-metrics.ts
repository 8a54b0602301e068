import { Injectable } from '@nestjs/common';
import { Counter } from 'prom-client';
import { MetricsService } from '../http/metrics.service.js';

@Injectable()
export class AlertMetrics {
  readonly raised: Counter<'scope'>;
  readonly attempts: Counter<'channel' | 'outcome'>;

  constructor({ registry }: MetricsService) {
    this.raised = new Counter({
      name: 'tollgate_alerts_raised_total',
      help: 'Thresholds of limits that were reached, by whose limit it is.',
      labelNames: ['scope'] as const,
      registers: [registry],
    });
    this.attempts = new Counter({
      name: 'tollgate_alert_delivery_attempts_total',
      help: 'Attempts to deliver an alert: delivered, failed (tried again) or dead (given up).',
      labelNames: ['channel', 'outcome'] as const,
      registers: [registry],
    });
  }
}
