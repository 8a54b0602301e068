import { MS_PER_SECOND, quantityOf } from '../../domain/media.js';
import type { MediaReport } from '../../domain/media-rating.js';
import type { Task } from '../../domain/tasks.js';
import type { Unit } from '../../domain/units.js';
import { meterFor } from '../media/answer-meter.js';
import type { JobAnswer } from './job-client.js';
import { jsonOf } from './job-reading.js';
import type { FieldPath, JobShape } from './job-shapes.js';

/**
 * What the result of a job says about what was used: as any answer does, and where this provider
 * says it in a place of its own.
 */
export function reportOf(
  { status, headers, body }: JobAnswer,
  shape: JobShape,
  task: Task,
): MediaReport {
  const meter = meterFor(task, { status, headers });
  meter.push(body);
  const { report } = meter.end();
  const quantities: Partial<Record<Unit, bigint>> = { ...report.quantities };
  let { problem } = report;
  const json = jsonOf(body);
  const count = countOf(json, shape.made.counted);
  if (count !== null && task === 'image') quantities.image ??= count;
  for (const path of shape.made.seconds) {
    const seconds = quantities.video_ms === undefined ? sumIn(json, path) : null;
    if (seconds === null) continue;
    if (seconds.ok) quantities.video_ms = seconds.quantity;
    else problem ??= { problem: `${path.join('.')} is ${seconds.problem}`, raw: shape.name };
  }
  return { ...report, quantities, problem };
}

/** What the provider says that the job costs, as decimal text; null: it does not say. */
export function statedCostOf({ body }: JobAnswer, { made }: JobShape): string | null {
  if (made.costUsd === null) return null;
  const [stated] = valuesIn(jsonOf(body), made.costUsd);
  return typeof stated === 'number' || typeof stated === 'string' ? String(stated) : null;
}

function countOf(json: unknown, paths: readonly FieldPath[]): bigint | null {
  for (const path of paths) {
    const [made] = valuesIn(json, path);
    if (Array.isArray(made)) return BigInt(made.length);
    if (typeof made === 'string' && made !== '') return 1n;
  }
  return null;
}

/** The milliseconds of the seconds at a place; null: nothing is there. */
function sumIn(json: unknown, path: FieldPath): ReturnType<typeof quantityOf> | null {
  let sum: bigint | null = null;
  for (const value of valuesIn(json, path)) {
    if (typeof value !== 'number' && typeof value !== 'string') continue;
    const reading = quantityOf(String(value), MS_PER_SECOND);
    if (!reading.ok) return reading;
    sum = (sum ?? 0n) + reading.quantity;
  }
  return sum === null ? null : { ok: true, quantity: sum };
}

/** What stands at a place; where an array is on the way, in each of its elements. */
function valuesIn(json: unknown, path: FieldPath): readonly unknown[] {
  let values: readonly unknown[] = [json];
  for (const name of path) {
    values = values
      .flatMap((value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [value]))
      .flatMap((value) =>
        typeof value === 'object' && value !== null && Object.hasOwn(value, name)
          ? [(value as Record<string, unknown>)[name]]
          : [],
      );
  }
  return values;
}
