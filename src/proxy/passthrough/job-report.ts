import { quantityOf, MS_PER_SECOND } from '../../domain/media.js';
import { NO_TOKEN_DETAILS, type MediaReport } from '../../domain/media-rating.js';
import type { JobAnswer } from './job-client.js';

/** What the result of a job says about what was used. */
export function reportOf({ headers }: JobAnswer): MediaReport {
  const units = headers['x-fal-billable-units'];
  const compute = headers['x-compute-time'];
  const computed = typeof compute === 'string' ? quantityOf(compute, MS_PER_SECOND) : null;
  return {
    usage: { kind: 'none' },
    details: NO_TOKEN_DETAILS,
    quantities: computed?.ok === true ? { compute_ms: computed.quantity } : {},
    billableUnits: typeof units === 'string' ? units : null,
    problem: null,
  };
}
