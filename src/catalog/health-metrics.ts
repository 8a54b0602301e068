import { Injectable } from '@nestjs/common';
import { Counter, Gauge } from 'prom-client';
import { MetricsService } from '../http/metrics.service.js';

@Injectable()
export class HealthMetrics {
  readonly circuitsOpen: Gauge<'upstream' | 'provider'>;
  readonly openings: Counter<'upstream' | 'provider'>;
  readonly probes: Counter<'upstream' | 'result'>;

  constructor({ registry }: MetricsService) {
    this.circuitsOpen = new Gauge({
      name: 'tollgate_circuits_open',
      help: 'Circuits of a provider, and of its models, that are open or half-open in this process.',
      labelNames: ['upstream', 'provider'] as const,
      registers: [registry],
    });
    this.openings = new Counter({
      name: 'tollgate_circuit_openings_total',
      help: 'How often a provider, or a model of it, was put behind the others because it failed.',
      labelNames: ['upstream', 'provider'] as const,
      registers: [registry],
    });
    this.probes = new Counter({
      name: 'tollgate_upstream_probes_total',
      help: 'Looks at upstreams behind open circuits, by what was found.',
      labelNames: ['upstream', 'result'] as const,
      registers: [registry],
    });
  }
}
