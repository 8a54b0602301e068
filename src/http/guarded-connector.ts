import type { LookupAddress, LookupOptions } from 'node:dns';
import { Resolver, lookup as systemLookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { buildConnector } from 'undici';
import { isPublicAddress } from './public-address.js';

/** The addresses that a name stands for. */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface GuardOptions {
  /** Names and addresses (lower case) that may be private; where the operator's word is meant. */
  readonly allowedHosts: readonly string[];
  readonly connectTimeoutMs: number;
  /** Of names that are not allowed to be private; DNS itself unless a test says otherwise. */
  readonly resolve?: ResolveHost;
}

/** The connection was not opened: the host is, or resolves to, an address that is not public. */
export class PrivateAddressError extends Error {
  override readonly name = 'PrivateAddressError';
  readonly code = 'PRIVATE_ADDRESS';

  constructor() {
    super('the host is a private address, or resolves to one');
  }
}

const RESOLVE_TIMEOUT_MS = 2_000;
const RESOLVE_TRIES = 2;

/**
 * Connections to hosts that someone outside chose. At every connect the addresses of the host are
 * looked up and judged, and the connection goes to one of those: a name that changes its mind
 * between a check and its use finds none.
 */
export function guardedConnector(options: GuardOptions): buildConnector.connector {
  const allowed = new Set(options.allowedHosts.map(bare));
  const resolve = options.resolve ?? resolveByDns;
  const connect = buildConnector({
    timeout: options.connectTimeoutMs,
    maxCachedSessions: 0,
    lookup: (hostname: string, wanted: LookupOptions, callback: LookupCallback) => {
      addressesOf(hostname, allowed, resolve).then(
        (addresses) => {
          answer(addresses, wanted, callback);
        },
        (error: unknown) => {
          callback(error as NodeJS.ErrnoException, []);
        },
      );
    },
  });
  return (target, callback) => {
    const host = bare(target.hostname);
    // An address is never looked up.
    if (isIP(host) !== 0 && !allowed.has(host) && !isPublicAddress(host)) {
      callback(new PrivateAddressError(), null);
      return;
    }
    connect(target, callback);
  };
}

type LookupCallback = (
  error: NodeJS.ErrnoException | null,
  address: string | LookupAddress[],
  family?: number,
) => void;

async function addressesOf(
  hostname: string,
  allowed: ReadonlySet<string>,
  resolve: ResolveHost,
): Promise<readonly LookupAddress[]> {
  if (allowed.has(bare(hostname))) return systemLookup(hostname, { all: true });
  const addresses = await resolve(hostname);
  // One that mixes both is up to nothing good.
  if (!addresses.every(({ address }) => isPublicAddress(address))) throw new PrivateAddressError();
  return addresses;
}

function answer(
  addresses: readonly LookupAddress[],
  wanted: LookupOptions,
  callback: LookupCallback,
): void {
  const [first] = addresses;
  if (first === undefined) {
    callback(Object.assign(new Error('the host has no address'), { code: 'ENOTFOUND' }), []);
  } else if (wanted.all === true) callback(null, [...addresses]);
  else callback(null, first.address, first.family);
}

/**
 * By DNS, not by the system's own look-up: that one runs on the few threads that files and every
 * other connection of the process wait for, and a slow name server of a stranger would hold them.
 */
async function resolveByDns(hostname: string): Promise<readonly LookupAddress[]> {
  const resolver = new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: RESOLVE_TRIES });
  const [v4, v6] = await Promise.allSettled([
    resolver.resolve4(hostname),
    resolver.resolve6(hostname),
  ]);
  const found = [
    ...(v4.status === 'fulfilled' ? v4.value : []).map((address) => ({ address, family: 4 })),
    ...(v6.status === 'fulfilled' ? v6.value : []).map((address) => ({ address, family: 6 })),
  ];
  if (found.length === 0 && v4.status === 'rejected') throw v4.reason;
  return found;
}

function bare(hostname: string): string {
  return hostname.toLowerCase().replace(/^\[(.*)\]$/, '$1');
}
