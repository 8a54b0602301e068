import type { Task } from '../../domain/tasks.js';
import type { PassRoute, RouteMethod } from './pass-route.js';
import { PIPELINES, ROUTE_TABLES } from './route-tables.js';
import { WEBHOOK_FIELDS } from './webhooks.js';

export interface MatchedRoute {
  readonly kind: 'matched';
  /** The provider's slug: the first segment of the path. */
  readonly provider: string;
  readonly route: PassRoute;
  readonly task: Task;
  /** As the path names it; null: in the body, or the job's. */
  readonly model: string | null;
  /** The provider's id of the job; null: the route starts one, or has none. */
  readonly jobId: string | null;
  /** The path at the provider, written anew from its checked segments. */
  readonly path: string;
  /** Query parameters, checked; without the job's id they are ours to repeat. */
  readonly query: readonly (readonly [string, string])[];
}

export type RouteMatch =
  | MatchedRoute
  | { readonly kind: 'unknown' }
  /** 400: `param` names the field. */
  | { readonly kind: 'refused'; readonly param: string; readonly problem: string };

export const PATH_MAX_CHARS = 2048;
const SEGMENTS_MAX = 14;
/** What a segment may consist of once decoded: nothing that means something to a URL parser. */
const SEGMENT = /^[A-Za-z0-9_][A-Za-z0-9._~:@+-]{0,199}$/;
const QUERY_VALUE = /^[A-Za-z0-9._~:@+-]{1,256}$/;
const UNKNOWN = { kind: 'unknown' } as const;

type PatternPart =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'model' | 'job' | 'pipeline' };

interface CompiledRoute {
  readonly route: PassRoute;
  readonly parts: readonly PatternPart[];
}

const COMPILED: ReadonlyMap<string, readonly CompiledRoute[]> = new Map(
  [...ROUTE_TABLES].map(([provider, routes]) => [
    provider,
    routes.map((route) => ({ route, parts: partsOf(route.pattern) })),
  ]),
);

/** Whether a first path segment names a provider whose routes are passed through. */
export function isPassedProvider(slug: string): boolean {
  return COMPILED.has(slug);
}

/** Whether a route is about a job that was taken on before: free, and answered without an event. */
export function isJobRoute({ route }: MatchedRoute): boolean {
  return route.role !== 'call' && route.role !== 'submit';
}

/**
 * The route that a request is for, of the tables and of nothing else. Pure and total.
 *
 * @param target path and query as they came, such as `/fal-ai/fal-ai/flux/dev?_subdomain=queue`.
 */
export function matchPassThrough(method: string, target: string): RouteMatch {
  const queryAt = target.indexOf('?');
  const path = queryAt < 0 ? target : target.slice(0, queryAt);
  const segments = segmentsOf(path);
  if (!Array.isArray(segments)) return segments;
  const [provider, ...rest] = segments;
  const routes = provider === undefined ? undefined : COMPILED.get(provider);
  if (provider === undefined || routes === undefined) return UNKNOWN;
  const query = queryOf(queryAt < 0 ? '' : target.slice(queryAt + 1));
  if (!Array.isArray(query)) return query;
  let refused: RouteMatch = UNKNOWN;
  for (const { route, parts } of routes) {
    if (!isMethod(route.method, method)) continue;
    const captured = captureOf(parts, rest, route);
    if (captured === null) continue;
    const checked = checkedQuery(route, query);
    if (checked.kind === 'other_route') continue;
    if (checked.kind === 'refused') {
      refused = checked;
      continue;
    }
    const jobId = captured.job ?? checked.job;
    if (route.model === null && jobId === null) continue;
    return {
      kind: 'matched',
      provider,
      route,
      task: route.task ?? taskOfModel(captured.model),
      model: route.model === 'path' ? captured.model : null,
      jobId,
      path: `/${rest.join('/')}`,
      query,
    };
  }
  return refused;
}

/** The segments of a path, decoded and checked, or what is wrong with it. */
function segmentsOf(path: string): string[] | RouteMatch {
  const bad = (problem: string): RouteMatch => ({ kind: 'refused', param: 'path', problem });
  if (!path.startsWith('/')) return bad('The path must begin with a slash.');
  if (path.length > PATH_MAX_CHARS) return UNKNOWN;
  if (path.includes('\\')) return bad('The path has a backslash.');
  const segments = path.slice(1).split('/');
  if (segments.length > SEGMENTS_MAX) return UNKNOWN;
  const decoded: string[] = [];
  let isUnknown = false;
  for (const segment of segments) {
    const text = decodedSegment(segment);
    if (text === null) return bad('The path has broken percent-encoding.');
    if (text === '.' || text === '..') return bad('The path has a dot segment ("." or "..").');
    if (/[/\\]/.test(text)) return bad('The path has an encoded slash.');
    // Decoded twice somewhere behind us it could become any of the above.
    if (text.includes('%')) return bad('The path has an encoded percent sign.');
    if (/\p{Cc}/u.test(text)) return bad('The path has an encoded control character.');
    isUnknown ||= !SEGMENT.test(text);
    decoded.push(text);
  }
  return isUnknown ? UNKNOWN : decoded;
}

function decodedSegment(segment: string): string | null {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}

/** The parameters of a query, decoded; a name twice is refused: which one counts is not agreed. */
function queryOf(text: string): (readonly [string, string])[] | RouteMatch {
  const parameters: (readonly [string, string])[] = [];
  if (text === '') return parameters;
  for (const [name, value] of new URLSearchParams(text)) {
    if (WEBHOOK_FIELDS.has(name)) {
      return { kind: 'refused', param: name, problem: webhookProblem(name) };
    }
    const param = name.slice(0, 64).toWellFormed();
    if (parameters.some(([other]) => other === name)) {
      return { kind: 'refused', param, problem: `The query names ${param} twice.` };
    }
    parameters.push([name, value]);
    if (parameters.length > 16) {
      return { kind: 'refused', param: 'query', problem: 'The query has too many parameters.' };
    }
  }
  return parameters;
}

export function webhookProblem(field: string): string {
  return `\`${field}\` is not supported here: results must pass through this service. Ask for the job's status instead.`;
}

type CheckedQuery =
  | { readonly kind: 'fits'; readonly job: string | null }
  | { readonly kind: 'other_route' }
  | Extract<RouteMatch, { kind: 'refused' }>;

function checkedQuery(
  route: PassRoute,
  query: readonly (readonly [string, string])[],
): CheckedQuery {
  const { required, optional } = route.query;
  const values = new Map(query);
  for (const name in required) {
    if (values.get(name) !== required[name]) return { kind: 'other_route' };
  }
  let job: string | null = null;
  for (const [name, value] of query) {
    if (Object.hasOwn(required, name)) continue;
    const param = name.slice(0, 64).toWellFormed();
    if (!optional.includes(name)) {
      const problem = `The query parameter ${param} is not taken on this route.`;
      return { kind: 'refused', param, problem };
    }
    if (!QUERY_VALUE.test(value)) {
      return { kind: 'refused', param, problem: `The query parameter ${param} is no plain text.` };
    }
    if (name === route.jobQuery) job = value;
  }
  return { kind: 'fits', job };
}

function isMethod(expected: RouteMethod, method: string): boolean {
  return expected === method;
}

interface Captured {
  readonly model: string | null;
  readonly job: string | null;
}

/** What the placeholders of a pattern stand for in this path; null: it is another path. */
function captureOf(
  parts: readonly PatternPart[],
  segments: readonly string[],
  { models }: PassRoute,
): Captured | null {
  const modelAt = parts.findIndex(({ kind }) => kind === 'model');
  // The one part of any length takes what the others leave.
  const modelLength = modelAt < 0 ? 0 : segments.length - (parts.length - 1);
  if (modelAt < 0 ? segments.length !== parts.length : modelLength < models.segmentsMin) {
    return null;
  }
  let model: string | null = null;
  let job: string | null = null;
  let at = 0;
  for (const part of parts) {
    const segment = segments[at] ?? '';
    at += part.kind === 'model' ? modelLength : 1;
    switch (part.kind) {
      case 'text':
        if (segment !== part.text) return null;
        break;
      case 'pipeline':
        if (!PIPELINES.has(segment)) return null;
        break;
      case 'job':
        job = segment;
        break;
      case 'model': {
        const named = segments.slice(at - modelLength, at);
        if (named.length > models.segmentsMax) return null;
        if (named.some((one) => models.reserved.has(one))) return null;
        model = named.join('/');
        if (!model.startsWith(models.prefix)) return null;
        break;
      }
    }
  }
  return { model, job };
}

function partsOf(pattern: string): readonly PatternPart[] {
  return pattern
    .slice(1)
    .split('/')
    .map((text): PatternPart => {
      if (text === '{model+}') return { kind: 'model' };
      if (text === '{job}') return { kind: 'job' };
      if (text === '{task}') return { kind: 'pipeline' };
      return { kind: 'text', text };
    });
}

/** What a model of a provider of many kinds makes, by its name; in doubt an image. */
export function taskOfModel(model: string | null): Task {
  if (model === null) return 'inference';
  if (/speech-to-text|whisper|wizper|transcri|asr\b/i.test(model)) return 'transcription';
  if (/video|(?:^|\/)(?:wan|kling|veo|sora|hailuo|minimax|seedance|ltx)/i.test(model)) {
    return 'video';
  }
  if (/speech|\btts\b|audio|music|voice|kokoro|orpheus|chatterbox/i.test(model)) return 'speech';
  return 'image';
}
