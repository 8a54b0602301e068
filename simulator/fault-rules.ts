import type { Directives } from './directives.js';

/** Which kind of request: a job is submitted (`job`) and asked after (`job-poll`). */
export const faultRoutes = [
  'chat',
  'completion',
  'responses',
  'messages',
  'embedding',
  'image',
  'transcription',
  'speech',
  'models',
  'job',
  'job-poll',
  'serverless',
] as const;
export type FaultRoute = (typeof faultRoutes)[number];

/** Which requests a rule strikes; every field given must agree. */
export interface FaultMatch {
  readonly route?: FaultRoute;
  readonly provider?: string;
  readonly model?: string;
  readonly stream?: boolean;
}

/** One standing order: strike the next `times` matching requests. */
export interface FaultRule {
  readonly match: FaultMatch;
  readonly directives: Partial<Directives>;
  readonly times: number;
}

/** The request as a rule sees it. `model` without suffix. */
export interface FaultTarget {
  readonly route: FaultRoute;
  readonly provider: string | null;
  readonly model: string | null;
  readonly stream: boolean;
}

/** The standing orders, oldest first. */
export class FaultRules {
  private rules: { rule: FaultRule; left: number }[] = [];

  /** Adds a rule behind the others. `times` is how many requests it strikes. */
  add(rule: FaultRule): void {
    this.rules.push({ rule, left: rule.times });
  }

  /** Forgets every rule. */
  clear(): void {
    this.rules = [];
  }

  /** The rules still in force with how often each will still strike. */
  list(): { match: FaultMatch; directives: Partial<Directives>; left: number }[] {
    return this.rules.map(({ rule, left }) => ({ ...rule, left }));
  }

  /** The directives of the oldest matching rule, using up one of its times; null when none matches. */
  take(target: FaultTarget): Partial<Directives> | null {
    if (this.rules.length === 0) return null;
    const found = this.rules.find(({ rule }) => matches(rule.match, target));
    if (found === undefined) return null;
    found.left -= 1;
    if (found.left <= 0) this.rules = this.rules.filter((entry) => entry !== found);
    return found.rule.directives;
  }
}

function matches(match: FaultMatch, target: FaultTarget): boolean {
  // Without a route a rule strikes every task of a model, but not the catalogue that lists it.
  const agrees = match.route === undefined ? isTask(target.route) : match.route === target.route;
  if (!agrees) return false;
  if (match.provider !== undefined && match.provider !== target.provider) return false;
  if (match.model !== undefined && match.model !== target.model) return false;
  return match.stream === undefined || match.stream === target.stream;
}

function isTask(route: FaultRoute): boolean {
  return route !== 'models' && route !== 'job' && route !== 'job-poll' && route !== 'serverless';
}
