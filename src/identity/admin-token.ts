import { createHash, timingSafeEqual } from 'node:crypto';
import type { Config } from '../config/config.js';
import { CONFIG } from '../config/config.module.js';
import { loadAdminToken } from '../config/secrets.js';

/** The operator's token; only its hash stays in memory. */
export class AdminToken {
  private readonly hash: Buffer;

  constructor(
    token: string,
    /** Where it was generated, to tell the operator; null: it came from the environment. */
    readonly file: string | null,
  ) {
    this.hash = sha256(token);
  }

  /** Compared in constant time. */
  matches(presented: string): boolean {
    return timingSafeEqual(sha256(presented), this.hash);
  }
}

export const adminTokenProvider = {
  provide: AdminToken,
  inject: [CONFIG],
  useFactory: async (config: Config): Promise<AdminToken> => {
    const { token, file } = await loadAdminToken(config);
    return new AdminToken(token, file);
  },
};

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
