import { hash, randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';

const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const RANDOM_BYTES = 32;
/** 62^43 > 2^256: every secret has the same length. */
const RANDOM_CHARS = 43;
const PREFIX_CHARS = 11;
const SECRET = /^tg_[0-9A-Za-z]{43}$/;

/** A new secret of 256 random bits, and what is kept of it. */
export interface MintedSecret {
  /** Shown once, stored nowhere. */
  readonly secret: string;
  readonly hash: Buffer;
  /** First characters, to recognise it by. */
  readonly prefix: string;
}

export function mintSecret(): MintedSecret {
  let rest = BigInt(`0x${randomBytes(RANDOM_BYTES).toString('hex')}`);
  let digits = '';
  while (digits.length < RANDOM_CHARS) {
    digits = (ALPHABET[Number(rest % 62n)] ?? '') + digits;
    rest /= 62n;
  }
  const secret = `tg_${digits}`;
  return { secret, hash: hashOf(secret), prefix: secret.slice(0, PREFIX_CHARS) };
}

/**
 * The secret itself, however it was presented: Hugging Face's clients only send tokens that begin
 * with `hf_`, so `hf_tg_...` is `tg_...`. Null when it cannot be a secret of ours.
 */
export function plainSecret(presented: string): string | null {
  const plain = presented.startsWith('hf_tg_') ? presented.slice('hf_'.length) : presented;
  return SECRET.test(plain) ? plain : null;
}

/** SHA-256: all that is stored of a secret. 256 random bits need no slow hash. */
export function hashOf(secret: string): Buffer {
  return hash('sha256', secret, 'buffer');
}

/** What a request presents: `Authorization: Bearer ...`, or `x-api-key` (Anthropic clients). */
export function presentedSecret(headers: IncomingHttpHeaders): string | null {
  const bearer = /^Bearer +(\S+) *$/i.exec(headers.authorization ?? '')?.[1];
  if (bearer !== undefined) return bearer;
  const apiKey = headers['x-api-key'];
  const key = typeof apiKey === 'string' ? apiKey.trim() : '';
  return key === '' ? null : key;
}
