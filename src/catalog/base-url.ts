import { hostOf, isPrivateHost } from '../http/public-address.js';

const URL_MAX_CHARS = 1000;

export type BaseUrlReading =
  | { readonly kind: 'url'; readonly baseUrl: string }
  /** What is wrong with it, to be said after the field's name. */
  | { readonly kind: 'refused'; readonly problem: string };

/**
 * Reads an address that somebody entered and that we are to call: http or https, without
 * credentials, query and fragment, and not private unless the operator's environment names the host.
 *
 * @param allowedHosts lower case, without brackets and port.
 * @returns without a trailing slash.
 */
export function readBaseUrl(text: string, allowedHosts: readonly string[]): BaseUrlReading {
  if (text.length > URL_MAX_CHARS || !URL.canParse(text)) {
    return refused(`must be an address of at most ${URL_MAX_CHARS} characters`);
  }
  const url = new URL(text);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    return refused('must be an http or https address');
  }
  if (url.username !== '' || url.password !== '') {
    return refused('must not carry credentials: send the key as apiKey');
  }
  // An empty query or fragment leaves its mark in the text alone.
  if (/[?#]/.test(text)) return refused('must not have a query or a fragment');
  const host = hostOf(url);
  if (isPrivateHost(host) && !allowedHosts.includes(host)) {
    return refused('must not be a private address: ALLOW_PRIVATE_UPSTREAMS does not name its host');
  }
  return { kind: 'url', baseUrl: url.origin + url.pathname.replace(/\/+$/, '') };
}

/** Without what precedes the routes of the provider, such as the `/v1` that clients are given. */
export function withoutPrefix(baseUrl: string, prefix: string | null): string {
  return prefix !== null && prefix !== '' && new URL(baseUrl).pathname.endsWith(prefix)
    ? baseUrl.slice(0, -prefix.length)
    : baseUrl;
}

function refused(problem: string): BaseUrlReading {
  return { kind: 'refused', problem };
}
