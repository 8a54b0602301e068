import type { Task } from '../../domain/tasks.js';
import type { AnswerFamily } from '../dialects/usage-fields.js';
import type { JobShape } from './job-shapes.js';

/** What a provider's own route does. */
export type RouteRole =
  /** Answered with the result: one request, one event. */
  | 'call'
  /** Starts a job: one event, which ends with the job. */
  | 'submit'
  /** Says how far a job is. */
  | 'poll'
  /** Says how far a job is and, once it is done, what came of it. */
  | 'result'
  | 'cancel';

export type RouteMethod = 'GET' | 'POST' | 'PUT';

/** Query parameters of a route; any other is refused. */
export interface RouteQuery {
  /** Must be there with this value; the route is another one without it. */
  readonly required: Readonly<Record<string, string>>;
  /** May be there. */
  readonly optional: readonly string[];
}

/** One route of a provider that is passed through. */
export interface PassRoute {
  readonly method: RouteMethod;
  /**
   * Path behind the provider's slug. `{model}` is one segment, `{model+}` several, `{job}` the
   * provider's id of a job, `{task}` the name of a pipeline.
   */
  readonly pattern: string;
  readonly role: RouteRole;
  /** null: the path takes models of any kind, and the model's name says which. */
  readonly task: Task | null;
  readonly family: AnswerFamily;
  /** Where the model is named; null: the route belongs to a job, which knows its model. */
  readonly model: 'path' | 'body' | null;
  /** What the request may carry: JSON, or anything (`upload`: files, multipart forms, JSON). */
  readonly body: 'json' | 'upload' | 'none';
  readonly query: RouteQuery;
  /** Query parameter that carries the job's id; null: it is in the path, or there is none. */
  readonly jobQuery: string | null;
  /** How jobs of this route are told; null: it has none. */
  readonly job: JobShape | null;
  /** What a `{model+}` may be; the rest of the provider's paths under it is not ours to hand out. */
  readonly models: ModelRule;
}

export interface ModelRule {
  readonly segmentsMin: number;
  readonly segmentsMax: number;
  /** None of its segments may be one of these: they are other routes of the provider. */
  readonly reserved: ReadonlySet<string>;
  /** Every model starts so; empty: any. */
  readonly prefix: string;
}
