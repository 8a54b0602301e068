import { createHash } from 'node:crypto';

/**
 * SHA-256 (hex) of the canonical JSON of a document's content. It survives a round trip through the
 * database: what JSON stores in the same words hashes the same, whatever the order of its keys.
 */
export function invoiceHash(content: unknown): string {
  return createHash('sha256').update(canonicalJson(content)).digest('hex');
}

/**
 * JSON without spaces, keys sorted by UTF-16 code units, a bigint as decimal text and a Date in ISO
 * 8601 UTC; a property that is undefined is left out.
 *
 * @throws TypeError for what JSON cannot store and give back unchanged: a fraction (money is text), a
 *   number that is not exact, a list with holes, an object of a class.
 */
export function canonicalJson(value: unknown): string {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return JSON.stringify(value);
    case 'bigint':
      return `"${value.toString()}"`;
    case 'number':
      if (Number.isSafeInteger(value)) return JSON.stringify(value);
      throw new TypeError('canonical JSON: a number that is no whole number, or too large');
    case 'object':
      if (value === null) return 'null';
      if (value instanceof Date) return JSON.stringify(value.toISOString());
      if (Array.isArray(value)) return `[${Array.from(value, canonicalJson).join(',')}]`;
      return canonicalObject(value);
    default:
      throw new TypeError(`canonical JSON: no place for ${typeof value}`);
  }
}

function canonicalObject(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError('canonical JSON: only plain objects');
  }
  const members = Object.entries(value)
    .filter(([, member]) => member !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonicalJson(member)}`);
  return `{${members.join(',')}}`;
}
