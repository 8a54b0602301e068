import type { Directives } from './directives.js';

/** Faults that replace the whole answer by an error of the router or the provider. */
export const statusFaults = [
  '401',
  '402',
  '403',
  '403-spending-limit',
  '404',
  '408',
  '422',
  '424',
  '429',
  '429-retry-after',
  '500',
  '502',
  '503',
  '503-loading',
  '504-html',
  '529',
  'html-error',
] as const;

/** Faults of the connection, the stream, the body and the usage. They combine: `fault=crlf,gzip`. */
export const otherFaults = [
  'reset-before-headers',
  'hang-before-headers',
  'reset-mid-stream',
  'hang-mid-stream',
  'end-mid-stream',
  'error-first-event',
  'error-mid-stream',
  'missing-usage',
  'usage-negative',
  'usage-fractional',
  'usage-string',
  'usage-huge',
  'usage-decreasing',
  'content-length-longer',
  'content-length-shorter',
  'gzip',
  'invalid-json',
  'html-200',
  'json-for-stream',
  'crlf',
  'multi-line-data',
  'oversize-event',
  'slow-drip',
  'unpriced-provider',
  'duplicate-request-id',
  'no-request-id',
] as const;

export type StatusFault = (typeof statusFaults)[number];
export type Fault = StatusFault | (typeof otherFaults)[number];

const names: ReadonlySet<string> = new Set([...statusFaults, ...otherFaults]);
const statusNames: ReadonlySet<string> = new Set(statusFaults);

export function isFault(name: string): name is Fault {
  return names.has(name);
}

export function isStatusFault(fault: Fault): fault is StatusFault {
  return statusNames.has(fault);
}

/** Which requests a rule strikes; every field given must agree. */
export interface FaultMatch {
  readonly route?: 'chat' | 'models';
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
  readonly route: 'chat' | 'models';
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
  // Without a route a rule strikes chat only: a test that breaks a model must not break the catalogue.
  if ((match.route ?? 'chat') !== target.route) return false;
  if (match.provider !== undefined && match.provider !== target.provider) return false;
  if (match.model !== undefined && match.model !== target.model) return false;
  return match.stream === undefined || match.stream === target.stream;
}
