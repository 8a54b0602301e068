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
  'no-last-blank-line',
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
  'response-failed',
  'response-incomplete',
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
