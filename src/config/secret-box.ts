import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto';

const ALGORITHM = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;

/** A secret as it is stored: which key sealed it, and iv, tag and ciphertext in one. */
export interface SealedSecret {
  readonly keyId: string;
  readonly box: Buffer;
}

/**
 * Seals and opens secrets at rest with one key (AES-256-GCM). What a secret belongs to is bound into
 * it: a box that was moved to another row does not open.
 */
export class SecretBox {
  /** Tells the key apart from others and nothing more. */
  readonly keyId: string;

  /** @param key 32 bytes. */
  constructor(private readonly key: Buffer) {
    this.keyId = createHash('sha256')
      .update('tollgate key id')
      .update(key)
      .digest('hex')
      .slice(0, 16);
  }

  seal(secret: string, belongsTo: string): SealedSecret {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(ALGORITHM, this.key, iv, { authTagLength: TAG_BYTES });
    cipher.setAAD(Buffer.from(belongsTo));
    const ciphertext = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
    return { keyId: this.keyId, box: Buffer.concat([iv, cipher.getAuthTag(), ciphertext]) };
  }

  /** @throws Error when it was sealed with another key, belongs to something else, or was changed. */
  open({ keyId, box }: SealedSecret, belongsTo: string): string {
    if (keyId !== this.keyId) {
      throw new Error(
        `a secret was sealed with the encryption key ${keyId}, this process has ${this.keyId}`,
      );
    }
    const decipher = createDecipheriv(ALGORITHM, this.key, box.subarray(0, IV_BYTES), {
      authTagLength: TAG_BYTES,
    });
    decipher.setAAD(Buffer.from(belongsTo));
    decipher.setAuthTag(box.subarray(IV_BYTES, IV_BYTES + TAG_BYTES));
    const plain = decipher.update(box.subarray(IV_BYTES + TAG_BYTES));
    return Buffer.concat([plain, decipher.final()]).toString('utf8');
  }
}
