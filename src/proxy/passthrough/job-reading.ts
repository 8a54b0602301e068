import { matchPassThrough } from './match.js';
import type { FieldPath, JobShape } from './job-shapes.js';

/** How far a job is, as its provider's answer tells. */
export type JobProgress =
  | 'running'
  | 'done'
  /** Failed or cancelled: it costs nothing. */
  | 'failed'
  /** The answer does not say. */
  | 'unclear';

/** The provider's id of a job must be one that can stand in a path. */
const JOB_ID = /^[A-Za-z0-9_][A-Za-z0-9._~:@+-]{0,199}$/;

/** What a job is called by: its provider, that one's id of it, and the model that runs. */
export interface JobName {
  readonly provider: string;
  readonly id: string;
  readonly model: string;
}

/** Paths of one job at its provider, with their query, behind the provider's slug. */
export interface JobPaths {
  readonly poll: string;
  readonly result: string;
  readonly cancel: string | null;
}

/** A JSON answer as a value; null for what is none. */
export function jsonOf(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    return null;
  }
}

/** The id under which the provider knows the job; null: the answer names none that could be one. */
export function jobIdIn(answer: unknown, shape: JobShape): string | null {
  const id = fieldOf(answer, shape.id);
  const text = typeof id === 'number' && Number.isSafeInteger(id) ? String(id) : id;
  return typeof text === 'string' && JOB_ID.test(text) ? text : null;
}

export function jobProgressIn(answer: unknown, shape: JobShape): JobProgress {
  for (const path of shape.status) {
    const status = fieldOf(answer, path);
    if (typeof status !== 'string') continue;
    if (includes(shape.done, status)) return 'done';
    return includes(shape.failed, status) ? 'failed' : 'running';
  }
  return 'unclear';
}

/**
 * Where a job is asked for. Of a provider that names the path itself only one that its table has;
 * else the path that its documentation gives.
 */
export function jobPathsOf(shape: JobShape, job: JobName, answer: unknown): JobPaths {
  const url = shape.url === null ? null : (namedPath(shape, job, answer) ?? usualPath(job));
  const written = (pattern: string): string => {
    const query = new URLSearchParams(shape.query);
    if (shape.jobQuery !== null) query.set(shape.jobQuery, job.id);
    const path = pattern.replace('{job}', job.id).replace('{url}', url ?? '');
    return query.size === 0 ? path : `${path}?${query.toString()}`;
  };
  return {
    poll: written(shape.poll),
    result: written(shape.result),
    cancel: shape.cancel === null ? null : written(shape.cancel.path),
  };
}

function namedPath(
  shape: JobShape,
  { provider, id, model }: JobName,
  answer: unknown,
): string | null {
  const text = shape.url === null ? null : fieldOf(answer, shape.url);
  if (typeof text !== 'string' || !URL.canParse(text)) return null;
  const query = new URLSearchParams(shape.query).toString();
  const { pathname } = new URL(text);
  // Through a router the path may come with the provider's slug before it, which may be the owner of
  // its models too: the last that begins with the model's owner counts.
  const owner = `/${model.split('/')[0] ?? ''}/`;
  const paths = [pathname.replace(new RegExp(`^/${provider}(?=/)`), ''), pathname];
  for (const path of paths) {
    if (!path.startsWith(owner)) continue;
    const match = matchPassThrough('GET', `/${provider}${path}?${query}`);
    if (match.kind === 'matched' && match.route.role === 'result' && match.jobId === id) {
      return match.path;
    }
  }
  return null;
}

/** fal leaves out what stands behind owner and name of a model. */
function usualPath({ id, model }: JobName): string {
  return `/${model.split('/').slice(0, 2).join('/')}/requests/${id}`;
}

function fieldOf(answer: unknown, path: FieldPath): unknown {
  let value = answer;
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name))
      return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}

function includes(words: readonly string[], word: string): boolean {
  return words.some((one) => one.toLowerCase() === word.toLowerCase());
}
