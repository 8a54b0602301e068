import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import type { FastifyRequest } from 'fastify';

export const SCOPES = [
  'inference',
  'usage.read',
  'billing.read',
  'tokens.write',
  'members.write',
  'limits.write',
  'partner.billing',
] as const;

export type Scope = (typeof SCOPES)[number];

/** Who calls our API: the operator with the admin token, or a program with a `tg_` token. */
export type Caller =
  | { readonly kind: 'operator' }
  | {
      readonly kind: 'token';
      readonly tokenId: string;
      readonly accountId: string;
      /** Whose own account that is; null: an organization's. */
      readonly userId: string | null;
      readonly slug: string;
      readonly memberId: string | null;
      readonly scopes: ReadonlySet<Scope>;
    };

/** Where the guard leaves the caller for the parameter decorator. */
export interface RequestWithCaller extends FastifyRequest {
  caller?: Caller;
}

/** The caller of a guarded route, as an argument of the method. */
export const CurrentCaller = createParamDecorator(
  (_data: unknown, context: ExecutionContext): Caller => {
    const { caller } = context.switchToHttp().getRequest<RequestWithCaller>();
    if (caller === undefined)
      throw new Error('a route without the caller guard asks for its caller');
    return caller;
  },
);
