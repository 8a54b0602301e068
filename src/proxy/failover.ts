import type { UpstreamFailure } from './upstream-exchange.js';

const STATUSES: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504, 529]);

/** Whether an answer with this status may be tried elsewhere. Not any other 4xx: it would repeat. */
export function isFailoverStatus(status: number): boolean {
  return STATUSES.has(status);
}

/**
 * Whether a call without an answer may be tried elsewhere. Not on a headers timeout: the provider
 * may go on and bill. A reset only of a connection that had been used before: on a new one the
 * request had arrived.
 */
export function isFailoverFailure(failure: UpstreamFailure): boolean {
  return failure === 'unreachable';
}

/** Words by which an upstream says that it is our key that is wrong, or our limit that is reached. */
const ABOUT_OUR_KEY =
  /spending limit|scope|permission|insufficient|authoriz|credential|credit|billing|token/i;

/** An upstream's complaint about our key is our operator's problem, not the caller's. */
export function isAboutOurKey(status: number, bodyText: string): boolean {
  return status === 401 || status === 402 || (status === 403 && ABOUT_OUR_KEY.test(bodyText));
}

/** A refusal to be asked for the usage of a stream. */
export function namesStreamOptions(status: number, bodyText: string): boolean {
  return (status === 400 || status === 422) && /stream_options|include_usage/.test(bodyText);
}
