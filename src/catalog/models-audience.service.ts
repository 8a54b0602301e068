import { Injectable } from '@nestjs/common';
import type { IncomingHttpHeaders } from 'node:http';
import { refusal, TollgateError } from '../domain/errors.js';
import { AdminToken } from '../identity/admin-token.js';
import { billedTo } from '../identity/identity.js';
import { IdentityService } from '../identity/identity.service.js';
import { presentedSecret } from '../identity/token-secret.js';

const NOBODYS: ReadonlySet<string> = new Set();

/** For whom the catalogue is shown: everybody, or a token whose account allows some providers only. */
@Injectable()
export class ModelsAudienceService {
  constructor(
    private readonly identities: IdentityService,
    private readonly adminToken: AdminToken,
  ) {}

  /**
   * Providers that are not to be shown: those that the account which would pay has switched off.
   *
   * @throws TollgateError invalid_token for one that was sent and is none of ours; not_a_member.
   */
  async disabledFor(headers: IncomingHttpHeaders, address: string): Promise<ReadonlySet<string>> {
    const secret = presentedSecret(headers);
    if (secret === null || this.adminToken.matches(secret)) return NOBODYS;
    const identity = await this.identities.identify(secret, address);
    if (identity === null) {
      throw new TollgateError(
        refusal('invalid_token', 'The token is malformed, unknown, revoked or expired.'),
      );
    }
    const slug = headers['x-hf-bill-to'];
    const payer = billedTo(identity, typeof slug === 'string' && slug !== '' ? slug : null);
    if (payer === null) {
      throw new TollgateError(
        refusal('not_a_member', 'The token cannot spend for the organization in X-HF-Bill-To.', {
          param: 'X-HF-Bill-To',
        }),
      );
    }
    return payer.routing?.disabled ?? NOBODYS;
  }
}
