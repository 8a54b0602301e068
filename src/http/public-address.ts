import { BlockList, isIP } from 'node:net';

/** Networks of IPv4 that are nobody's on the internet (RFC 6890 and successors). */
const PRIVATE_IPV4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const;

/** Of IPv6 only 2000::/3 is the internet; in it, what is special or carries an IPv4 address. */
const INTERNET_IPV6 = ['2000::', 3] as const;
const PRIVATE_IPV6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const;

const privateV4 = new BlockList();
for (const [network, prefix] of PRIVATE_IPV4) privateV4.addSubnet(network, prefix, 'ipv4');
const internetV6 = new BlockList();
internetV6.addSubnet(...INTERNET_IPV6, 'ipv6');
const privateV6 = new BlockList();
for (const [network, prefix] of PRIVATE_IPV6) privateV6.addSubnet(network, prefix, 'ipv6');

/**
 * Whether an IP address is on the public internet: not loopback, private, link-local, multicast or
 * reserved, and not an IPv4 address of those in IPv6 clothes. False for what is no address.
 */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !privateV4.check(address, 'ipv4');
    case 6:
      return internetV6.check(address, 'ipv6') && !privateV6.check(address, 'ipv6');
    default:
      return false;
  }
}

/** The host of a URL as names are compared: lower case, an IPv6 address without brackets. */
export function hostOf(url: URL): string {
  return url.hostname.toLowerCase().replace(/^\[(.*)\]$/, '$1');
}

/**
 * Whether a host is private without being looked up: an address that is not public, or a name of
 * this machine. For an early word; what a name stands for is judged at every connect.
 */
export function isPrivateHost(host: string): boolean {
  if (isIP(host) !== 0) return !isPublicAddress(host);
  const name = host.replace(/\.$/, '');
  return name === 'localhost' || name.endsWith('.localhost');
}
