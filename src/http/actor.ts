import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { Caller, RequestWithCaller } from './caller.js';

/** Who did it and from where, as the audit log keeps it. */
export interface Actor {
  /** `operator`, `token:<id>` or `system`. */
  readonly name: string;
  readonly address: string | null;
}

/** What the service does by itself: at start, or on a schedule. */
export const SYSTEM_ACTOR: Actor = { name: 'system', address: null };

/** The caller of a guarded route as the audit log names it. */
export const CurrentActor = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Actor => {
    const { caller, ip } = context.switchToHttp().getRequest<RequestWithCaller>();
    if (caller === undefined)
      throw new Error('a route without the caller guard asks for its actor');
    return { name: actorName(caller), address: ip };
  },
);

function actorName(caller: Caller): string {
  switch (caller.kind) {
    case 'operator':
      return 'operator';
    case 'token':
      return `token:${caller.tokenId}`;
  }
}
