import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { refusal, TollgateError } from '../domain/errors.js';
import type { Caller, RequestWithCaller } from '../http/caller.js';
import { AdminToken } from './admin-token.js';
import type { Identity } from './identity.js';
import { IdentityService } from './identity.service.js';
import { presentedSecret } from './token-secret.js';

/**
 * Says who calls a route of our API, or refuses with 401 `invalid_token`. What the caller may do is
 * decided by `AccountAccess`, which shows how a controller uses both. Put it on every controller whose
 * module imports `IdentityModule`.
 */
@Injectable()
export class CallerGuard implements CanActivate {
  constructor(
    private readonly identities: IdentityService,
    private readonly adminToken: AdminToken,
  ) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const request = context.switchToHttp().getRequest<RequestWithCaller>();
    request.caller = await this.callerOf(request);
    return true;
  }

  private async callerOf(request: RequestWithCaller): Promise<Caller> {
    const secret = presentedSecret(request.headers);
    if (secret === null) {
      throw invalidToken('No token was sent. Send authorization: Bearer followed by your token.');
    }
    if (this.adminToken.matches(secret)) return { kind: 'operator' };
    const identity = await this.identities.identify(secret, request.ip);
    if (identity === null)
      throw invalidToken('The token is malformed, unknown, revoked or expired.');
    return callerFrom(identity);
  }
}

function callerFrom(identity: Identity): Caller {
  const { tokenId, accountId, userId, slug, memberId, scopes } = identity;
  return { kind: 'token', tokenId, accountId, userId, slug, memberId, scopes };
}

function invalidToken(message: string): TollgateError {
  return new TollgateError(refusal('invalid_token', message));
}
